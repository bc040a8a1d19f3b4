package node

import (
	"fmt"
	"time"

	"github.com/nats-io/jwt/v2"

	"gatebook/events"
)

// forEver is the time that revocations carry: a server refuses a revoked key
// whose credentials were issued at or before it. A time of the revocation
// itself would let a key back in that is issued again later, or by a process
// whose clock is ahead; and being fixed it makes revoking twice change nothing.
func forEver() time.Time { return time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC) }

// operatorClaims is whom the servers trust to sign accounts.
func (k keyring) operatorClaims() *jwt.OperatorClaims {
	c := jwt.NewOperatorClaims(k.operator.id)
	c.Name = "gatebook"
	c.SystemAccount = k.system.id
	return c
}

// accounts are the three accounts, signed, by id.
func (k keyring) accounts(former []string) (map[string]string, error) {
	signed := make(map[string]string, 3)
	for _, c := range []*jwt.AccountClaims{k.systemClaims(), k.ledgerClaims(), k.edgeClaims(former)} {
		token, err := c.Encode(k.operator.key)
		if err != nil {
			return nil, fmt.Errorf("sign account %s: %w", c.Name, err)
		}
		signed[c.Subject] = token
	}
	return signed, nil
}

func (k keyring) systemClaims() *jwt.AccountClaims {
	c := jwt.NewAccountClaims(k.system.id)
	c.Name = "SYS"
	c.Limits.DisallowBearer = true
	return c
}

// ledgerClaims is the account of the streams. It lets out what it republishes
// and nothing else.
func (k keyring) ledgerClaims() *jwt.AccountClaims {
	c := jwt.NewAccountClaims(k.ledger.id)
	c.Name = "LEDGER"
	c.Limits.DisallowBearer = true
	c.Limits.LeafNodeConn = 0
	c.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: jwt.NoLimit,
		DiskStorage:   jwt.NoLimit,
		Streams:       jwt.NoLimit,
		Consumer:      jwt.NoLimit,
	}
	c.Exports.Add(&jwt.Export{Name: "live", Subject: events.LiveSubjects, Type: jwt.Stream})
	return c
}

// edgeClaims is the account of everybody else: no streams, no leaf nodes, and
// the former keys, which no server lets in.
func (k keyring) edgeClaims(former []string) *jwt.AccountClaims {
	c := jwt.NewAccountClaims(k.edge.id)
	c.Name = "EDGE"
	c.Limits.DisallowBearer = true
	c.Limits.LeafNodeConn = 0
	c.Imports.Add(&jwt.Import{
		Name: "live", Account: k.ledger.id, Subject: events.LiveSubjects, Type: jwt.Stream,
	})
	for _, key := range former {
		c.RevokeAt(key, forEver())
	}
	return c
}
