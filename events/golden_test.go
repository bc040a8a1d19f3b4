package events_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"gatebook/events"
)

// pinned are the golden ledgers and the SHA-256 of each file. They are what
// version 1 stored: a ledger is added here, never changed. Who has to change a
// line of this table has broken ledgers that people have.
var pinned = map[string]string{
	"v1-ends.hashes":         "3ea086da48b5a0f876f79c53b263cc383d97ddb4275368c57fc7ca558a82ed14",
	"v1-ends.jsonl":          "58cacece325425313143b416478c027bd6f6a562ba5bd9555faa6543a746dc33",
	"v1-enrolment.hashes":    "22f8fd07ca9147630a1b5890c45c7bfb7620547ecaabb83b185f378204d3ed5d",
	"v1-enrolment.jsonl":     "8928d183f69e4a8c3efd9eaa51bef46c5c322eb6239de0e66e3f1f2fe10caf9c",
	"v1-failed.hashes":       "6eb460cc658c60028db7a5c04010ed44aa904350932821bac1efa755707ccdcc",
	"v1-failed.jsonl":        "67310093ae4b25744415f252b3d2e8b45d9ddc35c645bdceef096b75df5b62b9",
	"v1-life.hashes":         "c58378d6ac5e030dbe44860d6b84d207cf067baf88467fc9c7706bd758adfcff",
	"v1-life.jsonl":          "d28406b1593e85c2122bf2a670465b3df058e11d8693ac1f5e7c7118690596b7",
	"v1-unknown-type.hashes": "fddbb215b22fcc1f31b0ea7090ae06a04ec4c4b9cb0f0bace4bd6c8bb54646f9",
	"v1-unknown-type.jsonl":  "ea5b254dab733c7d5ebec9c298652bc371fdd4fb2ce5902f3bde5aaba6a237ee",
	"v1-version-2.hashes":    "0871402a8a3b37422af4b8fe802e30ab8232c036a766100de8b3711f481270aa",
	"v1-version-2.jsonl":     "f2f629311ae31f4db8870df3218bb2830929ebed00680a77b1d110b3fd372b65",
}

func TestGoldenFilesAreNeverChanged(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if _, ok := pinned[filepath.Base(file)]; !ok {
			t.Errorf("%s is not pinned: add its SHA-256 to the table", file)
		}
	}
	for name, want := range pinned {
		raw, err := os.ReadFile(filepath.Join("testdata/golden", name))
		if err != nil {
			t.Errorf("golden file is gone: %v", err)
			continue
		}
		if got := events.Hash(raw); got != want {
			t.Errorf("%s was changed: SHA-256 %s, pinned %s", name, got, want)
		}
	}
}

// dataOf is an empty value of the data of each type that version 1 writes.
func dataOf(t events.Type) any {
	switch t {
	case events.Configured:
		return new(events.ConfiguredData)
	case events.Enrolled:
		return new(events.EnrolledData)
	case events.Unenrolled:
		return new(events.UnenrolledData)
	case events.Issued:
		return new(events.IssuedData)
	case events.Entered, events.Exited:
		return new(events.UsedData)
	case events.Failed:
		return new(events.FailedData)
	case events.Revoked, events.Expired:
		return new(events.EndedData)
	}
	return nil
}

func goldenLines(t testing.TB, file string) [][]byte {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSuffix(raw, []byte("\n")), []byte("\n"))
}

// Every stored event decodes, hashes and chains as recorded beside it, and what
// this version understands encodes to the very bytes it came from: the envelope
// and the data by itself.
func TestGoldenLedgers(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden ledgers", err)
	}
	seen := map[events.Type]bool{}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			recorded := goldenLines(t, file[:len(file)-len("jsonl")]+"hashes")
			lines := goldenLines(t, file)
			if len(recorded) != len(lines) {
				t.Fatalf("%d events and %d recorded hashes", len(lines), len(recorded))
			}
			var link events.Link
			for i, line := range lines {
				s, err := events.Decode(line, uint64(i+1))
				if err != nil {
					t.Fatal(err)
				}
				if got := fmt.Sprintf("%d %s", s.Revision, s.Hash); got != string(recorded[i]) {
					t.Errorf("event %d is %s, recorded %s", i+1, got, recorded[i])
				}
				if err := s.Extends(link); err != nil {
					t.Error(err)
				}
				link = s.Link()
				if s.Sequence != uint64(i+1) || !bytes.Equal(s.Raw, line) {
					t.Errorf("event %d does not keep its sequence and bytes", i+1)
				}
				if s.V != events.Version {
					continue
				}
				again, err := s.Encode()
				if err != nil || !bytes.Equal(again, line) {
					t.Errorf("event %d encodes to other bytes (%v)\n got %s\nwant %s", i+1, err, again, line)
				}
				if data := dataOf(s.Type); data != nil {
					seen[s.Type] = true
					sameData(t, s, data)
				}
			}
		})
	}
	for _, want := range []events.Type{events.Configured, events.Enrolled, events.Unenrolled, events.Issued,
		events.Entered, events.Exited, events.Failed, events.Expired, events.Revoked} {
		if !seen[want] {
			t.Errorf("no golden ledger has a %s", want)
		}
	}
}

func sameData(t *testing.T, s events.Stored, data any) {
	t.Helper()
	if err := s.Unpack(data); err != nil {
		t.Error(err)
		return
	}
	e, err := events.New(s.ID, s.Type, s.By, s.Via, s.Command, data)
	if err != nil || !bytes.Equal(e.Data, s.Data) {
		t.Errorf("data of %s encodes to other bytes (%v)\n got %s\nwant %s", s.Type, err, e.Data, s.Data)
	}
}

// One flipped bit anywhere in a stored event is noticed: it does not decode, or
// the event after it does not extend it.
func TestGoldenFlippedBit(t *testing.T) {
	lines := goldenLines(t, "testdata/golden/v1-life.jsonl")
	next, err := events.Decode(lines[3], 4)
	if err != nil {
		t.Fatal(err)
	}
	for i := range lines[2] {
		for bit := range 8 {
			bad := bytes.Clone(lines[2])
			bad[i] ^= 1 << bit
			s, err := events.Decode(bad, 3)
			if err == nil && next.Extends(s.Link()) == nil {
				t.Fatalf("bit %d of byte %d flipped, and nobody noticed", bit, i)
			}
		}
	}
}
