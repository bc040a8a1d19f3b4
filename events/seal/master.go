package seal

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrMaster is what a master key file gives that must not be used as it is.
var ErrMaster = errors.New("unusable master key")

// Master is the root of all keys that are not a code's own. Without it, every
// wrapped key, and so every box, stays closed for ever.
type Master struct {
	secret Key
	wrap   Key
}

// LoadMaster reads the master key from a file that nobody but its owner may
// read. A missing one is made only if create is true, which a caller may say
// only of a folder without a ledger: a new key opens nothing that is there.
//
// Making one is durable when it returns. A crash on the way leaves either no
// key, and perhaps a temporary file with bytes that nothing was wrapped with, or
// the whole key.
func LoadMaster(path string, create bool) (*Master, error) {
	m, err := readMaster(path)
	if create && errors.Is(err, fs.ErrNotExist) {
		if err := createMaster(path); err != nil {
			return nil, fmt.Errorf("make master key: %w", err)
		}
		m, err = readMaster(path)
	}
	if err != nil {
		return nil, fmt.Errorf("load master key: %w", err)
	}
	return m, nil
}

func readMaster(path string) (*Master, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := checkMasterFile(f, path); err != nil {
		return nil, err
	}
	var secret Key
	if _, err := io.ReadFull(f, secret[:]); err != nil {
		return nil, err
	}
	if secret == (Key{}) {
		return nil, fmt.Errorf("%w: nothing but zeros [%s]", ErrMaster, path)
	}
	return newMaster(secret), nil
}

func checkMasterFile(f *os.File, path string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: no regular file [%s]", ErrMaster, path)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%w: others may read or change it, want mode 0600 [%s mode %#o]", ErrMaster, path, info.Mode().Perm())
	case info.Size() != int64(len(Key{})):
		return fmt.Errorf("%w: want %d bytes [%s has %d]", ErrMaster, len(Key{}), path, info.Size())
	}
	return nil
}

// createMaster writes beside path and links, so that path never names a part of
// a key and never loses a key that somebody else made meanwhile.
func createMaster(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	secret, err := NewKey(rand.Reader)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	_, err = f.Write(secret[:])
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// A crash here may leave the second name of the same file, mode 0600.
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func newMaster(secret Key) *Master {
	return &Master{secret: secret, wrap: derive(secret, "wrap")}
}

// derive gives the key for one purpose. HKDF fails only for lengths that are
// never asked for here.
func derive(secret Key, purpose string, parts ...string) Key {
	out, err := hkdf.Key(sha256.New, secret[:], nil, string(bind(purpose, parts...)), len(Key{}))
	if err != nil {
		panic("seal: derive key: " + err.Error())
	}
	return Key(out)
}

// Wrap gives the key of a code as it may be stored.
func (m *Master) Wrap(codeID string, k Key, rnd io.Reader) ([]byte, error) {
	if k == (Key{}) {
		return nil, fmt.Errorf("wrap key of %s: %w", codeID, errZeroKey)
	}
	wrapped, err := m.wrap.enclose(rnd, k[:], bind("code", codeID))
	if err != nil {
		return nil, fmt.Errorf("wrap key of %s: %w", codeID, err)
	}
	return wrapped, nil
}

// Unwrap is the inverse of Wrap, for the same code. Its error wraps ErrSealed,
// whatever was wrong.
func (m *Master) Unwrap(codeID string, wrapped []byte) (Key, error) {
	plain, err := m.wrap.disclose(wrapped, bind("code", codeID))
	if err != nil || len(plain) != len(Key{}) {
		return Key{}, fmt.Errorf("unwrap key of %s: %w", codeID, ErrSealed)
	}
	return Key(plain), nil
}

// MatchKey is what one enrolled intercom and the ledger match digits with. An
// intercom that is enrolled again, with another public key, gets another.
func (m *Master) MatchKey(intercom, publicKey string) Key {
	return derive(m.secret, "match", intercom, publicKey)
}

// HeadKey authenticates the ledger's head file.
func (m *Master) HeadKey() Key { return derive(m.secret, "head") }
