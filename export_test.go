package oidctoken

import (
	"crypto"
	"io"
)

// DefaultSubject is the default of Profile.Subject.
const DefaultSubject = defaultSubject

// ClaimRow holds a row of the claim table, for tests and docs/claims.md.
type ClaimRow struct {
	Name, Field, Format, Known, Doc string
	Audit                           bool // an invalid value is left out
}

// ClaimTable returns the claim table.
func ClaimTable() []ClaimRow {
	rows := make([]ClaimRow, len(table))
	for i, c := range table {
		rows[i] = ClaimRow{c.name, c.field, c.format.Name, c.known, c.doc, c.format.Audit}
	}
	return rows
}

// RegisteredClaims returns the names of the registered claims.
func RegisteredClaims() []string { return registered }

// constantKey returns the same signature for every digest.
type constantKey struct {
	public    crypto.PublicKey
	signature []byte
}

func (k *constantKey) Public() crypto.PublicKey { return k.public }

func (k *constantKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return k.signature, nil
}

// ConstantSigner returns a signer that takes no time and whose signatures are not verified,
// as if it were in memory. It shows the cost of this package.
func ConstantSigner(public crypto.PublicKey, signature []byte) Signer {
	key := &constantKey{public, signature}
	return &memorySigner{wrappedSigner{public, func() crypto.Signer { return key }}}
}
