package commands_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"gatebook/commands"
	"gatebook/events"
)

func TestRead(t *testing.T) {
	const ok, no = "", commands.BadRequest
	for _, c := range []struct {
		name, body string
		want       commands.Code
	}{
		{"object", `{"command":"a","name":"b","mobile":"c","validity_s":60}`, ok},
		{"white space", " \n\t{ } \r\n", ok},
		{"nothing", "", ok},
		{"only white space", " \n", ok},
		{"missing fields", `{}`, ok},
		{"null field", `{"validity_s":null}`, ok},
		{"null", `null`, no},
		{"doubled field", `{"name":"a","name":"b"}`, no},
		{"doubled by escape", `{"name":"a","n\u0061me":"b"}`, no},
		{"other case too", `{"name":"a","NAME":"b"}`, no},
		{"only other case", `{"Name":"b"}`, no},
		{"broken text", "{\"name\":\"\xff\"}", no},
		{"lone surrogate", `{"name":"\ud800"}`, no},
		{"unknown field", `{"person":"eve"}`, no},
		{"second object", `{}{}`, no},
		{"trailing garbage", `{}x`, no},
		{"trailing comma", `{},`, no},
		{"trailing bracket", `{}]`, no},
		{"trailing nul", "{}\x00", no},
		{"comment", `{}//`, no},
		{"array", `[]`, no},
		{"array of objects", `[{}]`, no},
		{"string", `"x"`, no},
		{"number", `1`, no},
		{"true", `true`, no},
		{"cut off", `{"name":"b"`, no},
		{"wrong kind", `{"name":1}`, no},
		{"list for a name", `{"name":["a","b"]}`, no},
		{"object for a mobile", `{"mobile":{}}`, no},
		{"fraction", `{"validity_s":1.5}`, no},
		{"exponent", `{"validity_s":1e3}`, no},
		{"too large", `{"validity_s":9223372036854775808}`, no},
		{"single quotes", `{'name':'a'}`, no},
		{"raw newline in text", "{\"name\":\"a\nb\"}", no},
		{"byte order mark", "\ufeff{}", no},
		{"utf-16", "{\x00}\x00", no},
		{"depth bomb", strings.Repeat("[", 1<<20), no},
		{"depth bomb in a field", `{"name":` + strings.Repeat("[", 1<<20), no},
		{"depth bomb in an unknown field", `{"x":` + strings.Repeat(`{"x":`, 1<<18), no},
		{"depth bomb behind", `{}` + strings.Repeat("[", 1<<20), no},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r commands.IssueRequest
			if got := word(commands.Read([]byte(c.body), &r)); got != c.want {
				t.Errorf("got %q, want %q: %+v", got, c.want, r)
			}
		})
	}
}

// A mebibyte is read without trouble, and refused by what it says.
func TestReadLarge(t *testing.T) {
	var r commands.IssueRequest
	body, err := json.Marshal(commands.IssueRequest{Name: strings.Repeat("a", 1<<20), Mobile: strings.Repeat("1", 1<<20)})
	if err != nil {
		t.Fatal(err)
	}
	if err := commands.Read(body, &r); err != nil {
		t.Fatal(err)
	}
	if word(r.Check()) != commands.BadRequest {
		t.Error("a name of a mebibyte was taken")
	}
	r.Name = "Ada"
	if word(r.Check()) != commands.BadRequest {
		t.Error("a number of a mebibyte was taken")
	}
}

func TestCheckCommand(t *testing.T) {
	for c, want := range map[string]commands.Code{
		id(1): "", "": "bad_request", strings.ToLower(id(1)): "bad_request", "x": "bad_request",
		id(1) + "0": "bad_request", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ": "bad_request", "550e8400-e29b-41d4-a716-446655440000": "bad_request",
	} {
		if got := word(commands.CheckCommand(c)); got != want {
			t.Errorf("CheckCommand(%q): %q", c, got)
		}
	}
}

func TestCheckName(t *testing.T) {
	hundred := strings.Repeat("é", 100)
	for name, want := range map[string]string{ // what is kept, "" for refused
		"Ada Lovelace": "Ada Lovelace", " Ada\t": "Ada", "Müller, Anna": "Müller, Anna", "O'Brien-Smith": "O'Brien-Smith",
		"明日香": "明日香", "שרה": "שרה", "A": "A", "Ada 🙂": "Ada 🙂", hundred: hundred, " " + hundred + " ": hundred,
		"": "", "  \t\n": "", "\u00a0\u2003": "", hundred + "é": "", "Ada\nBob": "", "Ada\x00": "", "Ada\x7f": "", "A\x1b[31mda": "",
		"Ada\u0085Bob": "", "Ada\u2028Bob": "", "Ada\u2029Bob": "", "A\ufeffda": "", "\ufeffAda": "",
		"A\u202eda": "", "A\u202dda": "", "A\u202ada": "", "A\u202bda": "", "A\u202cda": "", "A\u2066da": "", "A\u2067da": "",
		"A\u2068da": "", "A\u2069da": "", "A\u200eda": "", "A\u200fda": "", "A\u061cda": "",
		"می\u200cخواهم": "می\u200cخواهم", "👩\u200d🔬": "👩\u200d🔬", "A\u0301": "A\u0301", "7": "7",
		"\u200b": "", "\u2060": "", "\u00ad": "", "\u3164": "", "\u115f": "", "\u1160": "", "\uffa0": "", "\u180e": "", "A\u200bda": "", "A\u3164": "",
		"\ufffd": "", "A\ufffd": "", "\U000e0041": "", "A\U000e0041": "", "\ue000": "", "A\ue000da": "", "\u200d": "", "\u200c\u200d": "", "\u0301": "", "...": "", "-": "", "'": "",
		"\u2800": "", "A\u2800da": "", "A\ufffeda": "", "A\uffffda": "", "A\ufdd0da": "", "A\ufdefda": "", "A\U0001fffeda": "", "A\U0010ffffda": "",
		"A\xffda": "", "A\xed\xa0\x80": "",
	} {
		r := commands.IssueRequest{Name: name, Mobile: "12345"}
		err := r.Check()
		if (word(err) == "") != (want != "") || (want != "" && r.Name != want) {
			t.Errorf("%q became %q, %v", name, r.Name, err)
		}
	}
}

func TestCheckMobile(t *testing.T) {
	for mobile, want := range map[string]string{ // what is kept, "" for refused
		"+49 170 1234567": "+491701234567", "0170-123.45.67": "01701234567", "(0170) 1234567": "01701234567", " 12345 ": "12345",
		"123456789012345": "123456789012345", "+123456789012345": "+123456789012345", "00491701234567": "00491701234567",
		"(+49) 170 1234567": "+491701234567", "+49\u00a0170\u00a01234567": "+491701234567", "+49 170 12\u2011345\u201067": "+491701234567",
		"0170/1234567": "", "12345\ufffd": "", "12345\u2013": "",
		"": "", "   ": "", "+": "", "1234": "", "+1234": "", "1234567890123456": "", "12345+": "", "++12345": "", "1+2345": "",
		"12345,67890": "", "12345, 67890": "", "12345; 67890": "", "12345;67890": "", "12345 and 67890": "", "12345 & 67890": "",
		"12345/67890": "", "12345\n67890": "", "12345\t67890": "", "12345|67890": "", "12345 or 67890": "", "12345 u. 67890": "",
		"+491701234567+491701234568": "", "+491701234567 +491701234568": "", "+491701234567 01701234568": "",
		"12345 ext 6": "", "12345x6": "", "12345#6": "", "12345*6": "", "tel:12345": "", "ada@example.com": "", "Ada": "",
		"１２３４５": "", "١٢٣٤٥": "", "12345\u202e": "", "12345\x00": "", "1234\xff5": "", "-----": "", "12345\u200b": "",
	} {
		r := commands.IssueRequest{Name: "Ada", Mobile: mobile}
		err := r.Check()
		if (word(err) == "") != (want != "") || (want != "" && r.Mobile != want) {
			t.Errorf("%q became %q, %v", mobile, r.Mobile, err)
		}
	}
}

func TestCheckValidity(t *testing.T) {
	for v, want := range map[int64]commands.Code{
		60: "", 720 * 3600: "", 59: "bad_request", 0: "bad_request", -60: "bad_request", 720*3600 + 1: "bad_request",
		1<<63 - 1: "bad_request", -1 << 63: "bad_request",
	} {
		r := commands.IssueRequest{Name: "Ada", Mobile: "12345", ValidityS: &v}
		if got := word(r.Check()); got != want {
			t.Errorf("%d s: %q", v, got)
		}
	}
}

// No refusal of a request repeats what the request said of the guest (law 9).
func TestRefusalsKeepGuestsToThemselves(t *testing.T) {
	for _, r := range []commands.IssueRequest{
		{Name: "Eve\u202eSecret", Mobile: "12345"}, {Name: "Ada", Mobile: "98765 Secret"}, {Name: strings.Repeat("Secret", 50), Mobile: "98765"},
	} {
		err := r.Check()
		if err == nil || strings.Contains(err.Error(), "Secret") || strings.Contains(err.Error(), "98765") {
			t.Errorf("refusal: %v", err)
		}
	}
	var r commands.IssueRequest
	if err := commands.Read([]byte(`{"name":"Secret","mobile":98765}`), &r); err == nil || strings.Contains(err.Error(), "Secret") {
		t.Errorf("refusal: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	for _, body := range []string{`{}`, `{"name":"Ada","mobile":"12345"}`, `null`, `[]`, `{"NAME":"a","name":"b"}`, "{}\x00", `{"validity_s":1e400}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, into := range []any{new(commands.ConfigureRequest), new(commands.IssueRequest), new(commands.CodeRequest), new(commands.RevokeRequest),
			new(commands.EnrollRequest), new(commands.UnenrollRequest), new(commands.UseRequest), new(commands.FailedRequest),
			new(commands.SyncRequest), new(commands.ReceiptRequest), new(commands.AuditRequest), new(commands.ReplayRequest)} {
			if got := word(commands.Read(body, into)); got != "" && got != commands.BadRequest {
				t.Fatalf("%T: %s", into, got)
			}
		}
		var r commands.IssueRequest
		if commands.Read(body, &r) != nil || r.Check() != nil {
			return
		}
		if strings.ContainsFunc(r.Name, unicode.IsControl) || r.Name != strings.TrimSpace(r.Name) || r.Name == "" {
			t.Fatalf("took the name %q", r.Name)
		}
		for i, d := range r.Mobile {
			if (d < '0' || d > '9') && (d != '+' || i > 0) {
				t.Fatalf("took the mobile %q", r.Mobile)
			}
		}
		again := r
		if err := again.Check(); err != nil || again.Name != r.Name || again.Mobile != r.Mobile {
			t.Fatalf("checked twice: %+v became %+v (%v)", r, again, err)
		}
	})
}

func FuzzName(f *testing.F) {
	for _, name := range []string{"Ada", "A\u202eda", " ", "\xff", "שרה"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		r := commands.IssueRequest{Name: name, Mobile: "12345"}
		if r.Check() != nil {
			return
		}
		raw, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var back commands.IssueRequest
		if err := commands.Read(raw, &back); err != nil || back.Name != r.Name {
			t.Fatalf("%q came back as %q (%v)", r.Name, back.Name, err)
		}
		if strings.ContainsFunc(r.Name, func(c rune) bool { return unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) }) {
			t.Fatalf("took %q", r.Name)
		}
	})
}

func TestEveryVerbHasAWordForASubject(t *testing.T) {
	for _, v := range []commands.Verb{commands.Settings, commands.Configure, commands.IssueVerb, commands.List, commands.Show, commands.Revoke,
		commands.Enroll, commands.Unenroll, commands.Audit, commands.Replay, commands.Verify, commands.Use, commands.Fail, commands.Sync, commands.Receipt} {
		if _, c, _, err := events.ParseRequest(events.Request("north", string(v), events.Operator)); err != nil || c != string(v) {
			t.Errorf("%q does not travel: %v", v, err)
		}
	}
}
