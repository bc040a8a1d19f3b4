package node

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// The blocks of a bundle. The first two are what every NATS tool takes for
// credentials, so the file is also the LEDGER user's creds file; tools do not
// read on to ours.
const (
	ledgerTokenBlock  = "NATS USER JWT"
	ledgerSeedBlock   = "USER NKEY SEED"
	answersTokenBlock = "GATEBOOK ANSWERS JWT"
	answersSeedBlock  = "GATEBOOK ANSWERS SEED"
	edgeSeedBlock     = "GATEBOOK EDGE ACCOUNT SEED"
	operatorSeedBlock = "GATEBOOK OPERATOR SEED"
	systemTokenBlock  = "GATEBOOK SYSTEM JWT"
	systemSeedBlock   = "GATEBOOK SYSTEM SEED"
)

// ErrBundle is what Join gives for a file that is no bundle.
var ErrBundle = errors.New("not a ledger bundle")

// bundle is all that a ledger needs of NATS servers that are not its own.
type bundle struct {
	ledger   login    // appends, in LEDGER
	answers  login    // answers, in EDGE
	system   login    // tells the servers about former keys
	operator identity // signs EDGE with its former keys
	edge     Issuer   // signs people and intercoms
}

// newBundle makes the users that a ledger on other servers connects as.
func newBundle(k keyring) (b bundle, err error) {
	b.edge = Issuer{account: k.edge.id, signer: k.edge}
	b.operator = k.operator
	ledger := &Issuer{account: k.ledger.id, signer: k.ledger}
	system := &Issuer{account: k.system.id, signer: k.system}
	if b.ledger, err = ledger.mint(jwt.ConnectionTypeStandard, ledgerUserClaims); err != nil {
		return bundle{}, err
	}
	if b.answers, err = b.edge.mint(jwt.ConnectionTypeStandard, answersClaims); err != nil {
		return bundle{}, err
	}
	b.system, err = system.mint(jwt.ConnectionTypeStandard, systemUserClaims(k.edge.id))
	return b, err
}

func (b bundle) marshal() ([]byte, error) {
	creds, err := jwt.FormatUserConfig(b.ledger.token, []byte(b.ledger.seed))
	if err != nil {
		return nil, fmt.Errorf("write bundle: %w", err)
	}
	edge, err := b.edge.signer.key.Seed()
	if err != nil {
		return nil, fmt.Errorf("write bundle: %w", err)
	}
	operator, err := b.operator.key.Seed()
	if err != nil {
		return nil, fmt.Errorf("write bundle: %w", err)
	}
	out := bytes.NewBuffer(creds)
	for _, block := range []struct{ heading, value string }{
		{answersTokenBlock, b.answers.token},
		{answersSeedBlock, b.answers.seed},
		{edgeSeedBlock, string(edge)},
		{operatorSeedBlock, string(operator)},
		{systemTokenBlock, b.system.token},
		{systemSeedBlock, b.system.seed},
	} {
		fmt.Fprintf(out, "\n-----BEGIN %s-----\n%s\n------END %s------\n", block.heading, block.value, block.heading)
	}
	return out.Bytes(), nil
}

func readBundle(path string) (bundle, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return bundle{}, fmt.Errorf("read bundle: %w", err)
	}
	b, err := parseBundle(data)
	if err != nil {
		return bundle{}, fmt.Errorf("read bundle: %s: %w", path, err)
	}
	return b, nil
}

func parseBundle(data []byte) (b bundle, err error) {
	blocks := readBlocks(data)
	for _, m := range []struct {
		heading string
		to      *string
	}{
		{ledgerTokenBlock, &b.ledger.token},
		{ledgerSeedBlock, &b.ledger.seed},
		{answersTokenBlock, &b.answers.token},
		{answersSeedBlock, &b.answers.seed},
		{systemTokenBlock, &b.system.token},
		{systemSeedBlock, &b.system.seed},
	} {
		if *m.to, err = blocks.get(m.heading); err != nil {
			return bundle{}, err
		}
	}
	if b.operator, err = blocks.identity(operatorSeedBlock, nkeys.PrefixByteOperator); err != nil {
		return bundle{}, err
	}
	if b.edge.signer, err = blocks.identity(edgeSeedBlock, nkeys.PrefixByteAccount); err != nil {
		return bundle{}, err
	}
	b.edge.account, err = accountOf(b.answers.token)
	return b, err
}

// blocks are the values of a file of decorated blocks, by heading. Of a heading
// that comes twice the first counts, as it does for NATS.
type blocks map[string]string

func readBlocks(data []byte) blocks {
	found := blocks{}
	pattern := regexp.MustCompile(`-{3,} ?BEGIN ([A-Z ]+?) ?-{3,}\r?\n([\w\-.=]+)\r?\n-{3,} ?END `)
	for _, m := range pattern.FindAllSubmatch(data, -1) {
		if _, ok := found[string(m[1])]; !ok {
			found[string(m[1])] = string(m[2])
		}
	}
	return found
}

func (b blocks) get(heading string) (string, error) {
	if v := b[heading]; v != "" {
		return v, nil
	}
	return "", fmt.Errorf("%w: it has no block %q; a bundle is made together with the servers' configuration, see gatebook accounts --help", ErrBundle, heading)
}

func (b blocks) identity(heading string, prefix nkeys.PrefixByte) (identity, error) {
	seed, err := b.get(heading)
	if err != nil {
		return identity{}, err
	}
	id, err := parseIdentity(prefix, seed)
	if err != nil {
		return identity{}, fmt.Errorf("%w: block %q: %w", ErrBundle, heading, err)
	}
	return id, nil
}

// accountOf is the account of a user. The seed that signs users may be one of
// the account's signing keys, so the account is read from a user it signed.
func accountOf(userJWT string) (string, error) {
	c, err := jwt.DecodeUserClaims(userJWT)
	if err != nil {
		return "", fmt.Errorf("%w: block %q: %w", ErrBundle, answersTokenBlock, err)
	}
	if c.IssuerAccount != "" {
		return c.IssuerAccount, nil
	}
	return c.Issuer, nil
}
