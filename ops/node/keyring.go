package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/nats-io/nkeys"
)

const (
	keyringName = "accounts.json"
	storeName   = "jetstream" // the server's own name for its store under StoreDir
)

// identity is a key and the public id that it makes.
type identity struct {
	id  string
	key nkeys.KeyPair
}

// keyring has the keys that every credential of a ledger hangs from.
type keyring struct {
	operator identity // signs the accounts
	system   identity
	ledger   identity // signs the ledger's own users
	edge     identity // signs people, intercoms and the answering user
}

// seeds is a keyring as the folder keeps it.
type seeds struct {
	Operator string `json:"operator"`
	System   string `json:"system"`
	Ledger   string `json:"ledger"`
	Edge     string `json:"edge"`
}

// openKeyring reads the folder's keys, and makes them the first time. They are
// on disk before any server starts, so a store without keys means lost keys:
// new ones would name other accounts and the ledger would seem empty.
func openKeyring(f *Folder) (keyring, error) {
	path := f.Path(keyringName)
	data, err := os.ReadFile(path)
	if err == nil {
		return parseKeyring(path, data)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return keyring{}, fmt.Errorf("read account keys: %w", err)
	}
	if entries, _ := os.ReadDir(f.Path(storeName)); len(entries) > 0 {
		return keyring{}, fmt.Errorf("%s holds a ledger but %s is missing, put that file back from a backup", f.Path(storeName), path)
	}
	return makeKeyring(path)
}

func makeKeyring(path string) (keyring, error) {
	k, err := newKeyring()
	if err != nil {
		return keyring{}, err
	}
	data, err := k.marshal()
	if err != nil {
		return keyring{}, err
	}
	return k, CreateSecret(path, data)
}

func newKeyring() (k keyring, err error) {
	for _, m := range []struct {
		to     *identity
		prefix nkeys.PrefixByte
	}{
		{&k.operator, nkeys.PrefixByteOperator},
		{&k.system, nkeys.PrefixByteAccount},
		{&k.ledger, nkeys.PrefixByteAccount},
		{&k.edge, nkeys.PrefixByteAccount},
	} {
		if *m.to, err = newIdentity(m.prefix); err != nil {
			return keyring{}, err
		}
	}
	return k, nil
}

func parseKeyring(path string, data []byte) (k keyring, err error) {
	var s seeds
	if err := json.Unmarshal(data, &s); err != nil {
		return k, fmt.Errorf("read account keys: %s is damaged, put it back from a backup: %w", path, err)
	}
	for _, m := range []struct {
		to     *identity
		prefix nkeys.PrefixByte
		seed   string
	}{
		{&k.operator, nkeys.PrefixByteOperator, s.Operator},
		{&k.system, nkeys.PrefixByteAccount, s.System},
		{&k.ledger, nkeys.PrefixByteAccount, s.Ledger},
		{&k.edge, nkeys.PrefixByteAccount, s.Edge},
	} {
		if *m.to, err = parseIdentity(m.prefix, m.seed); err != nil {
			return keyring{}, fmt.Errorf("read account keys: %s is damaged, put it back from a backup: %w", path, err)
		}
	}
	return k, nil
}

func (k keyring) marshal() ([]byte, error) {
	var s seeds
	for _, m := range []struct {
		from identity
		to   *string
	}{
		{k.operator, &s.Operator}, {k.system, &s.System}, {k.ledger, &s.Ledger}, {k.edge, &s.Edge},
	} {
		seed, err := m.from.key.Seed()
		if err != nil {
			return nil, fmt.Errorf("keep account keys: %w", err)
		}
		*m.to = string(seed)
	}
	return json.MarshalIndent(s, "", "  ")
}

func newIdentity(prefix nkeys.PrefixByte) (identity, error) {
	kp, err := nkeys.CreatePair(prefix)
	if err != nil {
		return identity{}, fmt.Errorf("make key: %w", err)
	}
	return identityOf(kp)
}

func parseIdentity(prefix nkeys.PrefixByte, seed string) (identity, error) {
	got, _, err := nkeys.DecodeSeed([]byte(seed))
	if err != nil {
		return identity{}, fmt.Errorf("read seed: %w", err)
	}
	if got != prefix {
		return identity{}, fmt.Errorf("read seed: it is of kind %s, not %s", got, prefix)
	}
	kp, err := nkeys.FromSeed([]byte(seed))
	if err != nil {
		return identity{}, fmt.Errorf("read seed: %w", err)
	}
	return identityOf(kp)
}

func identityOf(kp nkeys.KeyPair) (identity, error) {
	id, err := kp.PublicKey()
	if err != nil {
		return identity{}, fmt.Errorf("read public key: %w", err)
	}
	return identity{id: id, key: kp}, nil
}
