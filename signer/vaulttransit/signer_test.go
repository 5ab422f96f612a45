package vaulttransit_test

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/oidctokentest"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/vaulttransit"
)

// T06: the first version still signs after the key was rotated twice, in the
// form of oidctoken.Signer.
func TestSigner(t *testing.T) {
	for _, tt := range []struct {
		kind       string
		algorithms []string
	}{
		{"rsa-2048", []string{"RS256", "RS384", "RS512"}},
		{"rsa-3072", []string{"RS256"}},
		{"ecdsa-p256", []string{"ES256"}},
		{"ecdsa-p384", []string{"ES384"}},
		{"ecdsa-p521", []string{"ES512"}},
		{"ed25519", []string{"EdDSA"}},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			v := startVault(t)
			v.addKey("ci", tt.kind)
			s := newSigner(t, v, "ci", 1)
			v.rotate(t, "ci")
			v.rotate(t, "ci")
			second := newSigner(t, v, "ci", 2)
			if second.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(s.Public()) {
				t.Error("two versions have one key")
			}
			oidctokentest.TestSigner(t, func(*testing.T) oidctoken.Signer { return s }, tt.algorithms...)
		})
	}
}

// The request states every parameter and relies on no default.
func TestSignRequest(t *testing.T) {
	digest := sha256.Sum256([]byte("x"))
	input := base64.StdEncoding.EncodeToString(digest[:])
	for _, tt := range []struct {
		kind   string
		opts   crypto.SignerOpts
		path   string
		fields map[string]any
	}{
		{"rsa-2048", crypto.SHA256, "sign/ci/sha2-256", map[string]any{
			"input": input, "key_version": 1.0, "prehashed": true, "signature_algorithm": "pkcs1v15", "marshaling_algorithm": "asn1"}},
		{"ecdsa-p256", crypto.SHA256, "sign/ci/sha2-256", map[string]any{
			"input": input, "key_version": 1.0, "prehashed": true, "marshaling_algorithm": "asn1"}},
		{"ed25519", crypto.Hash(0), "sign/ci", map[string]any{
			"input": input, "key_version": 1.0, "marshaling_algorithm": "asn1"}},
		{"ed25519", nil, "sign/ci", map[string]any{
			"input": input, "key_version": 1.0, "marshaling_algorithm": "asn1"}},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			v := startVault(t)
			v.namespace, v.mount = "admin/eu", "team-a/transit"
			v.addKey("ci", tt.kind)
			if _, err := newSigner(t, v, "ci", 1).Sign(t.Context(), digest[:], tt.opts); err != nil {
				t.Fatal(err)
			}
			got := v.last()
			var fields map[string]any
			if err := json.Unmarshal([]byte(got.Body), &fields); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.fields, fields); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			if got.Method != "POST" || got.Path != tt.path {
				t.Errorf("request = %s %s, want POST %s", got.Method, got.Path, tt.path)
			}
			got.Header.Del("Content-Length")
			want := http.Header{
				"X-Vault-Token": {vaultToken}, "X-Vault-Namespace": {"admin/eu"}, "X-Vault-Request": {"true"},
				"Accept": {"application/json"}, "Accept-Encoding": {"identity"}, "Content-Type": {"application/json"}, "User-Agent": {"oidctoken"},
			}
			if diff := cmp.Diff(want, got.Header); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
		})
	}
}

// A digest that the key does not sign never reaches Vault.
func TestSignRefusesInput(t *testing.T) {
	v := startVault(t)
	v.addKey("ci", "ecdsa-p256")
	s := newSigner(t, v, "ci", 1)
	for _, tt := range []struct {
		name   string
		digest []byte
		opts   crypto.SignerOpts
		want   string
	}{
		{"another hash", make([]byte, 48), crypto.SHA384, "vaulttransit: signer: algorithm: the P-256 key does not go with SHA-384"},
		{"short digest", make([]byte, 31), crypto.SHA256, "vaulttransit: signer: algorithm: the digest has 31 bytes: SHA-256 has 32"},
	} {
		if _, err := s.Sign(t.Context(), tt.digest, tt.opts); err == nil || err.Error() != tt.want {
			t.Errorf("%s: Sign = %v, want %s", tt.name, err, tt.want)
		}
	}
	if n := v.count("POST", "sign/"); n != 0 {
		t.Errorf("Vault was asked %d times", n)
	}
}

// A version that may not sign counts as gone, in New and in Sign.
func TestGone(t *testing.T) {
	const newOp, signOp = "read key", "sign data"
	gone := func(op, code string) failure { return failure{Op: op, Code: code, Kind: signer.Gone} }
	for _, tt := range []struct {
		name               string
		change             func(keys map[string]*transitKey)
		wantNew, wantSign  failure
		wordsNew, wordSign string
	}{
		{"deleted", func(keys map[string]*transitKey) { delete(keys, "ci") },
			gone(newOp, "404"), gone(signOp, "400"), "without a reason", "signing key not found"},
		{"below min_encryption_version", func(keys map[string]*transitKey) { keys["ci"].minEncryption = 2 },
			gone(newOp, ""), gone(signOp, "500"), "the version is missing", "less than the minimum"},
		{"archived", func(keys map[string]*transitKey) { keys["ci"].minDecryption = 2 },
			gone(newOp, ""), gone(signOp, "500"), "the version is missing", "no such key version"},
		{"soft-deleted", func(keys map[string]*transitKey) { keys["ci"].softDeleted = true },
			gone(newOp, ""), gone(signOp, "500"), "soft-deleted", "soft-deleted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := startVault(t)
			v.addKey("ci", "ecdsa-p256")
			v.rotate(t, "ci")
			s := newSigner(t, v, "ci", 1)
			v.with(tt.change)
			digest := sha256.Sum256([]byte("x"))
			_, err := vaulttransit.New(t.Context(), v.client(), "ci", 1, nil)
			if diff := diffFailure(tt.wantNew, tt.wordsNew, err); diff != "" {
				t.Errorf("New (-want +got):\n%s", diff)
			}
			_, err = s.Sign(t.Context(), digest[:], crypto.SHA256)
			if diff := diffFailure(tt.wantSign, tt.wordSign, err); diff != "" {
				t.Errorf("Sign (-want +got):\n%s", diff)
			}
		})
	}
}

// A key that was deleted and made again has fewer versions.
func TestMadeAnew(t *testing.T) {
	v := startVault(t)
	v.addKey("ci", "ecdsa-p256")
	v.rotate(t, "ci")
	s := newSigner(t, v, "ci", 2)
	v.addKey("ci", "ecdsa-p256") // in its place
	digest := sha256.Sum256([]byte("x"))
	_, err := s.Sign(t.Context(), digest[:], crypto.SHA256)
	if diff := diffFailure(failure{Op: "sign data", Code: "500", Kind: signer.Gone}, "higher than the latest", err); diff != "" {
		t.Errorf("Sign (-want +got):\n%s", diff)
	}
}

// Keys that cannot sign for an issuer.
func TestNewRefuses(t *testing.T) {
	v := startVault(t)
	v.addKey("aes", "aes256-gcm96")
	v.addKey("derived", "ed25519")
	v.with(func(keys map[string]*transitKey) { keys["derived"].derived = true })
	for name, words := range map[string]string{"aes": "a key of type aes256-gcm96 cannot sign here", "derived": "the key is derived"} {
		_, err := vaulttransit.New(t.Context(), v.client(), name, 1, nil)
		if diff := diffFailure(failure{Op: "read key", Kind: signer.Refused}, words, err); diff != "" {
			t.Errorf("New of %s (-want +got):\n%s", name, diff)
		}
	}
	_, err := vaulttransit.New(t.Context(), v.client(), "none", 1, nil)
	if diff := diffFailure(failure{Op: "read key", Code: "404", Kind: signer.Gone}, "", err); diff != "" {
		t.Errorf("New (-want +got):\n%s", diff)
	}
}

// T07: a signature of another key, in the right form and of the right version,
// leaves as no token.
func TestWrongKey(t *testing.T) {
	for kind, algorithm := range map[string]string{"rsa-2048": "RS256", "ecdsa-p256": "ES256", "ed25519": "EdDSA"} {
		v := startVault(t)
		v.addKey("ci", kind)
		s := newSigner(t, v, "ci", 1)
		v.addKey("ci", kind) // in its place
		err := mint(t.Context(), oidctoken.StaticKeys{{Signer: s}}, algorithm)
		if !errors.Is(err, oidctoken.ErrBadSignature) {
			t.Errorf("%s: Mint = %v, want %v", kind, err, oidctoken.ErrBadSignature)
		}
	}
}
