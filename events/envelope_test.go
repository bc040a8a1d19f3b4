package events_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatebook/events"

	"pgregory.net/rapid"
)

const (
	eventID   = "01KJM6JM3V0009WDVSQ5ZMMZ0N"
	commandID = "01KJM6JM3V0003RVQKEBZ99Y1A"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 1, time.UTC)

func sample(t testing.TB) events.Event {
	t.Helper()
	e, err := events.New(eventID, events.Revoked, "person:ada", events.ViaApp, commandID, events.EndedData{CodeID: eventID})
	if err != nil {
		t.Fatal(err)
	}
	return e.Chained("north", events.Link{}, noon)
}

// with is the sample as JSON, one field of it replaced (or taken away by "").
func with(t testing.TB, field, value string) []byte {
	t.Helper()
	raw, err := sample(t).Encode()
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	delete(fields, field)
	if value != "" {
		fields[field] = json.RawMessage(value)
	}
	var b bytes.Buffer
	b.WriteByte('{')
	for _, name := range []string{"v", "id", "type", "intercom", "revision", "at", "by", "via", "command", "prev", "data"} {
		if v, ok := fields[name]; ok {
			if b.Len() > 1 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "%q:%s", name, v)
		}
	}
	b.WriteByte('}')
	return b.Bytes()
}

func TestDecodeTakesWhatItDoesNotKnow(t *testing.T) {
	for _, c := range []struct{ field, value string }{
		{"v", "2"}, {"v", "999"}, {"type", `"granted"`}, {"type", `"never-heard-of"`}, {"data", `{"anything":["goes"]}`},
	} {
		raw := with(t, c.field, c.value)
		s, err := events.Decode(raw, 7)
		if err != nil || s.Hash != events.Hash(raw) || s.Sequence != 7 {
			t.Errorf("%s %s: %v", c.field, c.value, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	cases := []struct{ name, field, value string }{
		{"no version", "v", ""}, {"version 0", "v", "0"}, {"negative version", "v", "-1"},
		{"version is no number", "v", `"1"`}, {"fractional version", "v", "1.5"}, {"version too large", "v", "99999999999999999999"},
		{"no id", "id", ""}, {"empty id", "id", `""`}, {"lower-case id", "id", `"01kjm6jm3v0009wdvsq5zmmz0n"`},
		{"overflowing id", "id", `"8ZZZZZZZZZZZZZZZZZZZZZZZZZ"`},
		{"no type", "type", ""}, {"type with a dot", "type", `"a.b"`}, {"type is a wildcard", "type", `">"`}, {"upper-case type", "type", `"Revoked"`},
		{"no intercom", "intercom", ""}, {"the whole ledger", "intercom", `"_"`}, {"intercom with a dot", "intercom", `"a.b"`},
		{"no revision", "revision", ""}, {"revision 0", "revision", "0"}, {"negative revision", "revision", "-1"},
		{"revision too large", "revision", "18446744073709551616"},
		{"no time", "at", ""}, {"null time", "at", "null"}, {"zero time", "at", `"0001-01-01T00:00:00Z"`},
		{"offset", "at", `"2026-03-01T12:00:00+02:00"`}, {"offset of nothing", "at", `"2026-03-01T12:00:00+00:00"`},
		{"no zone", "at", `"2026-03-01T12:00:00"`}, {"lower-case zone", "at", `"2026-03-01T12:00:00z"`},
		{"leap second", "at", `"2026-03-01T23:59:60Z"`}, {"no such day", "at", `"2026-02-30T12:00:00Z"`}, {"time as number", "at", "1"},
		{"no prev", "prev", ""}, {"short prev", "prev", `"00"`}, {"long prev", "prev", `"` + events.Genesis + `0"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if s, err := events.Decode(with(t, c.field, c.value), 1); !errors.Is(err, events.ErrEnvelope) {
				t.Errorf("decoded to %+v, %v", s, err)
			}
		})
	}
	whole, err := sample(t).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string]string{
		"nothing": "", "null": "null", "array": "[]", "string": `"x"`, "number": "1", "empty object": "{}",
		"cut off": string(whole[:len(whole)-1]), "doubled": string(whole) + string(whole), "trailing comma": string(whole) + ",",
		"nul byte": string(whole) + "\x00", "deep": strings.Repeat("[", 1<<20), "deep object": strings.Repeat(`{"a":`, 1<<18),
		"deep data": strings.Replace(string(whole), `"data":{`, `"data":{"x":`+strings.Repeat("[", 20000), 1),
	} {
		if _, err := events.Decode([]byte(raw), 1); !errors.Is(err, events.ErrEnvelope) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Bytes that two readers could read differently are no event.
func TestDecodeRefusesTwoReadings(t *testing.T) {
	raw, err := sample(t).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string][2]string{
		"doubled type":        {`"type":"revoked"`, `"type":"revoked","type":"issued"`},
		"doubled alike":       {`"type":"revoked"`, `"type":"revoked","type":"revoked"`},
		"doubled by escape":   {`"type":"revoked"`, `"type":"revoked","\u0074ype":"issued"`},
		"doubled data":        {`"data":`, `"data":{},"data":`},
		"doubled in the data": {`"data":{`, `"data":{"code_id":"x",`},
		"doubled unknown":     {`"data":`, `"extra":1,"extra":2,"data":`},
		"broken text":         {`person:ada`, "person:\xff"},
		"broken name":         {`"data":`, "\"\xff\":1,\"data\":"},
		"broken data":         {`"data":{`, "\"data\":{\"x\":\"\xff\","},
		"lone surrogate":      {`person:ada`, `person:\ud800`},
		"comma in time":       {`12:00:00.000000001Z`, `12:00:00,5Z`},
	} {
		t.Run(name, func(t *testing.T) {
			edited := strings.Replace(string(raw), edit[0], edit[1], 1)
			if s, err := events.Decode([]byte(edited), 1); edited == string(raw) || !errors.Is(err, events.ErrEnvelope) {
				t.Errorf("decoded: type %s by %q at %s data %s", s.Type, s.By, s.At, s.Data)
			}
		})
	}
}

// A field counts under its own name alone: what is called nearly so is unknown.
func TestDecodeKnowsFieldsByTheirExactNames(t *testing.T) {
	raw, err := sample(t).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, extra := range map[string]string{
		"unknown": `"extra":1,`, "other case": `"Type":"issued",`, "all upper": `"DATA":{"code_id":"x"},`,
		"long s folds to s": `"revi\u017fion":9,`, "kelvin folds to k": `"\u212a":9,`,
	} {
		t.Run(name, func(t *testing.T) {
			for _, at := range []string{`"v":`, `"data":`} { // before and after what it is called like
				edited := strings.Replace(string(raw), at, extra+at, 1)
				s, err := events.Decode([]byte(edited), 1)
				if err == nil && fmt.Sprint(s.Event) != fmt.Sprint(sample(t)) {
					t.Errorf("read as %+v", s.Event)
				}
			}
		})
	}
	e := sample(t)
	e.Data = json.RawMessage(`{"Code_id":"x"}`)
	var d events.EndedData
	if err := e.Unpack(&d); err == nil {
		t.Errorf("data read as %+v", d)
	}
}

func TestUnpackRefuses(t *testing.T) {
	for name, data := range map[string]string{
		"unknown field": `{"code_id":"x","why":1}`, "wrong kind": `{"code_id":1}`, "array": `[]`, "string": `"x"`, "nothing": ``,
		"object for text": `{"code_id":{}}`, "cut off": `{"code_id":"x"`, "null": `null`, "white space": ` {"code_id":"x"}`,
		"doubled": `{"code_id":"A","code_id":"B"}`, "other case too": `{"code_id":"A","CODE_ID":"B"}`,
		"trailing": `{"code_id":"A"}{"code_id":"B"}`, "broken text": "{\"code_id\":\"\xff\"}",
	} {
		e := sample(t)
		e.Data = json.RawMessage(data)
		var d events.EndedData
		if err := e.Unpack(&d); err == nil {
			t.Errorf("%s: read as %+v", name, d)
		}
	}
}

// What could not be read again is not encoded.
func TestEncodeRefuses(t *testing.T) {
	for name, edit := range map[string]func(*events.Event){
		"data that is no JSON":   func(e *events.Event) { e.Data = json.RawMessage(`{"a":`) },
		"year 10000":             func(e *events.Event) { e.At = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"no time":                func(e *events.Event) { e.At = time.Time{} },
		"local time":             func(e *events.Event) { e.At = e.At.In(time.FixedZone("", 3600)) },
		"zone that is UTC today": func(e *events.Event) { e.At = e.At.In(time.FixedZone("", 0)) },
		"the whole ledger":       func(e *events.Event) { e.Intercom = events.Whole },
		"no version":             func(e *events.Event) { e.V = 0 },
		"no id":                  func(e *events.Event) { e.ID = "" },
		"id is no ULID":          func(e *events.Event) { e.ID = strings.ToLower(e.ID) },
		"no type":                func(e *events.Event) { e.Type = "" },
		"type is a wildcard":     func(e *events.Event) { e.Type = ">" },
		"no revision":            func(e *events.Event) { e.Revision = 0 },
		"no prev":                func(e *events.Event) { e.Prev = "" },
	} {
		t.Run(name, func(t *testing.T) {
			e := sample(t)
			edit(&e)
			if raw, err := e.Encode(); err == nil {
				t.Errorf("encoded to %s", raw)
			}
		})
	}
}

func TestFit(t *testing.T) {
	good := events.ConfiguredData{EntryDevice: "in", ExitDevice: "out", Limit: 10, ValidityS: 60, GraceS: 5, RetryS: 60}
	const month = 720 * 3600
	for name, c := range map[string]struct {
		edit func(*events.ConfiguredData)
		want bool
	}{
		"good":              {func(*events.ConfiguredData) {}, true},
		"same device":       {func(d *events.ConfiguredData) { d.ExitDevice = "" }, true},
		"least":             {func(d *events.ConfiguredData) { d.Limit, d.ValidityS, d.GraceS, d.RetryS = 1, 1, 0, 0 }, true},
		"most":              {func(d *events.ConfiguredData) { d.Limit, d.ValidityS, d.GraceS, d.RetryS = 1000, month, month, month }, true},
		"no entry device":   {func(d *events.ConfiguredData) { d.EntryDevice = "" }, false},
		"bad exit device":   {func(d *events.ConfiguredData) { d.ExitDevice = "*" }, false},
		"limit 0":           {func(d *events.ConfiguredData) { d.Limit = 0 }, false},
		"limit too high":    {func(d *events.ConfiguredData) { d.Limit = 1001 }, false},
		"validity 0":        {func(d *events.ConfiguredData) { d.ValidityS = 0 }, false},
		"validity too long": {func(d *events.ConfiguredData) { d.ValidityS = month + 1 }, false},
		"grace below 0":     {func(d *events.ConfiguredData) { d.GraceS = -1 }, false},
		"grace too long":    {func(d *events.ConfiguredData) { d.GraceS = month + 1 }, false},
		"retry below 0":     {func(d *events.ConfiguredData) { d.RetryS = -1 }, false},
		"retry too long":    {func(d *events.ConfiguredData) { d.RetryS = month + 1 }, false},
	} {
		d := good
		c.edit(&d)
		if d.Fit() != c.want {
			t.Errorf("settings, %s: fit %v", name, d.Fit())
		}
	}
	code := events.IssuedData{CodeID: eventID, ExpiresAt: noon, EntryDevice: "in", ExitDevice: "out"}
	for name, c := range map[string]struct {
		edit func(*events.IssuedData)
		want bool
	}{
		"good":              {func(*events.IssuedData) {}, true},
		"no id":             {func(d *events.IssuedData) { d.CodeID = "" }, false},
		"no ULID":           {func(d *events.IssuedData) { d.CodeID = "x" }, false},
		"no end":            {func(d *events.IssuedData) { d.ExpiresAt = time.Time{} }, false},
		"end in a zone":     {func(d *events.IssuedData) { d.ExpiresAt = noon.In(time.FixedZone("", 3600)) }, false},
		"end at +00:00":     {func(d *events.IssuedData) { d.ExpiresAt = noon.In(time.FixedZone("", 0)) }, false},
		"end in local time": {func(d *events.IssuedData) { d.ExpiresAt = noon.Local() }, false},
		"no way in":         {func(d *events.IssuedData) { d.EntryDevice = "" }, false},
		"no way out":        {func(d *events.IssuedData) { d.ExitDevice = "" }, false},
		"bad way out":       {func(d *events.IssuedData) { d.ExitDevice = "a.b" }, false},
	} {
		d := code
		c.edit(&d)
		if d.Fit() != c.want {
			t.Errorf("code, %s: fit %v", name, d.Fit())
		}
	}
}

// What this version writes, it reads: equal events, equal bytes, whatever stands
// in the free text.
func TestEncodeDecodeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := events.UsedData{
			CodeID: eventID, Device: rapid.StringMatching(idGrammar).Draw(t, "device"),
			Flags: rapid.SliceOfN(rapid.SampledFrom([]string{"leave_once", "<&>\u2028", "é"}), 1, 3).Draw(t, "flags"),
		}
		e, err := events.New(eventID, events.Exited, rapid.SampledFrom([]string{"clock", "operator", "person:a&b"}).Draw(t, "by"),
			events.ViaKeypad, commandID, data)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "s"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).
			In(time.FixedZone("", rapid.IntRange(-12*3600, 14*3600).Draw(t, "zone")))
		link := events.Link{Revision: rapid.Uint64Range(1, 1<<62).Draw(t, "revision"), Hash: events.Hash([]byte("x")), At: time.Unix(0, 0).UTC()}
		e = e.Chained(rapid.StringMatching(idGrammar).Draw(t, "intercom"), link, at)
		raw, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		s, err := events.Decode(raw, 9)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Extends(link); err != nil {
			t.Fatal(err)
		}
		if !s.At.Equal(at) || s.At.Location() != time.UTC {
			t.Fatalf("%s became %s", at, s.At)
		}
		again, err := s.Encode()
		if err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("got %s, want %s (%v)", again, raw, err)
		}
		var back events.UsedData
		if err := s.Unpack(&back); err != nil || fmt.Sprint(back) != fmt.Sprint(data) {
			t.Fatalf("got %v, want %v (%v)", back, data, err)
		}
	})
}

// Whatever the bytes: no panic, and what decodes and encodes again is the same
// event for ever after.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/golden/*.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		for _, line := range goldenLines(f, file) {
			f.Add(line)
		}
	}
	whole, err := sample(f).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(strings.Replace(string(whole), `"data":{`, `"DATA":null,"data":{"code_id": "\ud800",`, 1)))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := events.Decode(raw, 1)
		if err != nil {
			return
		}
		for _, into := range []any{new(events.ConfiguredData), new(events.EnrolledData), new(events.IssuedData),
			new(events.UsedData), new(events.FailedData), new(events.EndedData)} {
			_ = s.Unpack(into) // must not panic
		}
		once, err := s.Encode()
		if err != nil {
			t.Fatalf("a decoded event does not encode: %v", err)
		}
		b, err := events.Decode(once, 1)
		if err != nil {
			t.Fatalf("an encoded event does not decode: %v\n%s", err, once)
		}
		twice, err := b.Encode()
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("encoding does not settle (%v)\n%s\n%s", err, once, twice)
		}
		x, y := s.Event, b.Event
		x.Data, y.Data = nil, nil // may have had white space
		if fmt.Sprint(x) != fmt.Sprint(y) {
			t.Fatalf("%v became %v", x, y)
		}
	})
}
