package space

import "testing"

func TestLimits(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		total, low, reserve, chunk int64
	}{
		{total: 0},
		{total: -1},
		{total: 16 * mib, low: 16 * mib / 20, reserve: mib, chunk: mib / 4},
		{total: 64 * mib, low: 64 * mib / 20, reserve: 2621440, chunk: 2621440 / 4},
		{total: gib, low: gib / 20, reserve: 42926080, chunk: mib},
		{total: 100 * gib, low: 64 * mib, reserve: 64 * mib, chunk: mib},
	} {
		l := usage{total: c.total}.limits()
		if (l != limits{low: c.low, reserve: c.reserve, chunk: c.chunk}) {
			t.Errorf("%d: %+v", c.total, l)
		}
		if l.reserve%align != 0 {
			t.Errorf("%d: the reserve of %d is not aligned", c.total, l.reserve)
		}
	}
}

func TestLowIsBelowTheMark(t *testing.T) {
	u := usage{total: 1000 * mib}
	for free, want := range map[int64]bool{50 * mib: false, 50*mib - 1: true, 0: true, -1: true} {
		if u.free = free; u.low() != want {
			t.Errorf("%d free: low %v", free, !want)
		}
	}
	if (usage{}).low() {
		t.Error("a volume that tells no size is low")
	}
}

func TestSpareStaysClearOfLow(t *testing.T) {
	for _, total := range []int64{16 * mib, 64 * mib, 1000 * mib, 1 << 40} {
		for free := int64(0); free <= 200*mib; free += 100_000 {
			u := usage{free: free, total: total}
			after := usage{free: free - u.spare(), total: total}
			if u.spare() < 0 || u.spare() > 0 && after.low() {
				t.Fatalf("of %d, %d free: %d to spare", total, free, u.spare())
			}
		}
	}
}

func TestRate(t *testing.T) {
	u := usage{total: 1000 * mib} // low below 50 MiB, reserve 40 MiB, chunk 1 MiB
	whole := u.limits().reserve
	for _, c := range []struct {
		free, have int64
		was, want  level
	}{
		{50 * mib, whole, roomy, roomy},
		{50*mib - 1, whole, roomy, low},
		{50 * mib, whole, low, low}, // hovers at the mark
		{51 * mib, whole, low, roomy},
		{51 * mib, 0, spent, roomy},
		{0, whole - 1, low, drawing},
		{0, 0, drawing, spent},
		{0, 1, unknown, drawing},
	} {
		u.free = c.free
		if got := rate(u, c.have, c.was); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
