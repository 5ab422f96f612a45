package oidctoken

import (
	"crypto"
	"io"
)

// DefaultSubject is the subject template of a Profile that has none.
const DefaultSubject = defaultSubject

// ClaimRow is a row of the table, for tests and the reference page.
type ClaimRow struct {
	Name, Field, Format, Known, Doc string
	Audit                           bool // a value that does not fit is left out
}

// ClaimTable returns the table.
func ClaimTable() []ClaimRow {
	rows := make([]ClaimRow, len(table))
	for i, c := range table {
		rows[i] = ClaimRow{c.name, c.field, c.format.Name, c.known, c.doc, c.format.Audit}
	}
	return rows
}

// RegisteredClaims returns the names of the registered claims.
func RegisteredClaims() []string { return registered }

// constantKey answers with one signature, whatever it is asked to sign.
type constantKey struct {
	public    crypto.PublicKey
	signature []byte
}

func (k *constantKey) Public() crypto.PublicKey { return k.public }

func (k *constantKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return k.signature, nil
}

// ConstantSigner returns a signer that is trusted as one in memory is, and
// costs nothing: what remains of Mint is this package's own work.
func ConstantSigner(public crypto.PublicKey, signature []byte) Signer {
	key := &constantKey{public, signature}
	return &memorySigner{wrappedSigner{public, func() crypto.Signer { return key }}}
}
