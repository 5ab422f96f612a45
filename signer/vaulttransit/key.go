package vaulttransit

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
	"github.com/oidctoken/oidctoken/signer"
)

// key is Vault's description of a key.
type key struct {
	Name                 string                     `json:"name"`
	Type                 string                     `json:"type"`
	Derived              bool                       `json:"derived"`
	DeletionAllowed      bool                       `json:"deletion_allowed"`
	SoftDeleted          bool                       `json:"soft_deleted"` // OpenBao
	LatestVersion        int                        `json:"latest_version"`
	MinEncryptionVersion int                        `json:"min_encryption_version"` // also of signing; 0: no minimum
	Keys                 map[string]json.RawMessage `json:"keys"`                   // by version, those that are not archived
}

var errNoVersion = errors.New("the version is missing, or may no longer sign")

func readRequest(name string) request {
	return request{op: "read key", method: http.MethodGet, path: "keys/" + name}
}

func (c *Client) readKey(ctx context.Context, guard *signer.Guard, name string) (*key, error) {
	r := readRequest(name)
	var k key
	if err := c.do(ctx, guard.ForKey(), r, &k); err != nil {
		return nil, err
	}
	switch {
	case k.Name != name:
		return nil, r.malformed("the answer is about another key")
	case k.LatestVersion < 1:
		return nil, r.malformed("the answer has no latest_version")
	case k.SoftDeleted:
		return nil, r.fail(signer.Gone, "", "the key is soft-deleted")
	}
	return &k, nil
}

// publicKey returns the public half of a version that may sign.
func (k *key) publicKey(version int) (crypto.PublicKey, error) {
	r := readRequest(k.Name)
	entry, found := k.Keys[strconv.Itoa(version)]
	switch {
	case !isSigning(k.Type):
		return nil, r.fail(signer.Refused, "", fmt.Sprintf("a key of type %s cannot sign here", tokenhttp.Printable(k.Type, 40)))
	case k.Derived:
		return nil, r.fail(signer.Refused, "", "the key is derived: it has no public key")
	case !found || version < k.MinEncryptionVersion:
		return nil, &signer.Error{Service: service, Op: r.op, Kind: signer.Gone, Err: errNoVersion}
	}
	var v struct {
		PublicKey string `json:"public_key"`
	}
	if err := tokenhttp.DecodeJSON(entry, &v); err != nil {
		return nil, r.malformed("version: " + err.Error())
	}
	public, err := parsePublicKey(k.Type, v.PublicKey)
	if err != nil {
		return nil, r.malformed("public_key: " + tokenhttp.Printable(err.Error(), 200))
	}
	return public, nil
}

func isSigning(kind string) bool {
	switch kind {
	case "rsa-2048", "rsa-3072", "rsa-4096", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519":
		return true
	}
	return false
}

// parsePublicKey reads what Vault has for the type: PEM, or for Ed25519 the 32
// bytes in base64.
func parsePublicKey(kind, text string) (crypto.PublicKey, error) {
	if kind == "ed25519" {
		raw, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil || len(raw) != ed25519.PublicKeySize {
			return nil, errors.New("it is not 32 bytes in base64")
		}
		return ed25519.PublicKey(raw), nil
	}
	if !strings.HasPrefix(text, "-----BEGIN ") {
		return nil, errors.New("it is not PEM")
	}
	public, err := signer.PublicKey([]byte(text))
	if err != nil {
		return nil, err
	}
	actual := ""
	switch k := public.(type) {
	case *rsa.PublicKey:
		actual = fmt.Sprintf("rsa-%d", k.N.BitLen())
	case *ecdsa.PublicKey:
		actual = fmt.Sprintf("ecdsa-p%d", k.Params().BitSize)
	}
	if actual != kind {
		return nil, fmt.Errorf("it is not of the key's type %s", kind)
	}
	return public, nil
}

// parseVersioned takes "vault:vN:TEXT" apart, as signatures and ciphertexts
// are written: N is from 1 on, and TEXT is in base64.
func parseVersioned(s string) (version int, raw []byte, err error) {
	rest, ok := strings.CutPrefix(s, "vault:v")
	digits, text, found := strings.Cut(rest, ":")
	if !ok || !found {
		return 0, nil, errors.New(`it is not "vault:vN:" with something behind it`)
	}
	version, err = strconv.Atoi(digits)
	if err != nil || version < 1 || strconv.Itoa(version) != digits {
		return 0, nil, errors.New("its version is not a number")
	}
	raw, err = base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) == 0 || strings.ContainsAny(text, "\r\n") {
		return 0, nil, errors.New("it is not in base64")
	}
	return version, raw, nil
}
