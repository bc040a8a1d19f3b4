package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gatebook/events/seal"
)

func TestPrintingShowsNothing(t *testing.T) {
	k, m := goldenKey(), newMaster(t)
	timeless := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	holder := struct {
		G  seal.Guest
		PG *seal.Guest
		K  seal.Key
		M  *seal.Master
		L  []seal.Guest
	}{guest, &guest, k, m, []seal.Guest{guest}}
	for _, v := range []any{guest, &guest, k, &k, m, *m, holder, &holder, []any{guest, k}, map[string]any{"g": guest}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10.3s", "%T %v"} {
			showsNothing(t, verb, fmt.Sprintf(verb, v, v))
		}
		showsNothing(t, "print", fmt.Sprint(v)+fmt.Sprintln(v))
		raw, err := json.Marshal(v)
		ok(t, err)
		showsNothing(t, "json", string(raw))
		var text, lines bytes.Buffer
		slog.New(slog.NewTextHandler(&text, timeless)).Info("issued", "guest", v)
		slog.New(slog.NewJSONHandler(&lines, timeless)).Info("issued", "guest", v)
		showsNothing(t, "slog", text.String()+lines.String())
	}
	for _, s := range []string{guest.String(), guest.GoString(), k.String(), k.GoString(), m.String(), m.GoString()} {
		if s != "[sealed]" {
			t.Errorf("got %q", s)
		}
	}
}

func showsNothing(t *testing.T, how, out string) {
	t.Helper()
	k := goldenKey()
	for _, secret := range []string{
		guest.Digits, "Ada", "velace", "7946", "3600", fmt.Sprintf("%x", guest.Name),
		hex.EncodeToString(k[4:8]), "4 5 6 7", "4,5,6,7", "0x4, 0x5", base64.StdEncoding.EncodeToString(k[:6]),
	} {
		if strings.Contains(strings.ToLower(out), strings.ToLower(secret)) {
			t.Errorf("%s shows %q in %q", how, secret, out)
		}
	}
	if !strings.Contains(out, "[sealed]") {
		t.Errorf("%s: no [sealed] in %q", how, out)
	}
}
