package seal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// padTo is what plain text is padded to a multiple of.
const padTo = 128

var errText = errors.New("name or mobile is not UTF-8")

// Guest is what a code must be able to have forgotten. Printed, logged or
// encoded as JSON, it is "[sealed]"; its json tags name the fields inside a box.
type Guest struct {
	Digits string `json:"digits"`
	Name   string `json:"name"`
	Mobile string `json:"mobile"`
	// ValidityS is the validity that the caller named, in seconds, and 0 when the
	// caller named none. It lets a repeated command be compared with its first body.
	ValidityS int64 `json:"validity_s"`
}

// plainGuest is Guest without its methods, for the inside of a box.
type plainGuest Guest

// Seal gives a box that only k opens, and only as that intercom's code codeID.
func Seal(k Key, rnd io.Reader, intercom, codeID string, g Guest) ([]byte, error) {
	if !utf8.ValidString(g.Digits) || !utf8.ValidString(g.Name) || !utf8.ValidString(g.Mobile) {
		return nil, fmt.Errorf("seal guest: %w", errText)
	}
	plain, err := json.Marshal(plainGuest(g))
	if err != nil {
		return nil, fmt.Errorf("seal guest: %w", err)
	}
	box, err := k.enclose(rnd, pad(plain), bind("guest", intercom, codeID))
	if err != nil {
		return nil, fmt.Errorf("seal guest: %w", err)
	}
	return box, nil
}

// Open gives the guest in a box that Seal made with the same key, intercom and
// code. Its error is ErrSealed, whatever was wrong.
func Open(k Key, intercom, codeID string, box []byte) (Guest, error) {
	plain, err := k.disclose(box, bind("guest", intercom, codeID))
	if err != nil || len(plain)%padTo != 0 {
		return Guest{}, ErrSealed
	}
	var g plainGuest
	d := json.NewDecoder(bytes.NewReader(plain))
	d.DisallowUnknownFields()
	if err := d.Decode(&g); err != nil {
		return Guest{}, ErrSealed
	}
	return Guest(g), nil
}

// pad adds spaces, which JSON ignores, up to the next multiple of padTo.
func pad(plain []byte) []byte {
	n := (padTo - len(plain)%padTo) % padTo
	return append(plain, bytes.Repeat([]byte{' '}, n)...)
}
