package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/internal/jose"
)

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign returns a JWS with that header (RFC 7518, section 3.4).
func sign(t *testing.T, key *ecdsa.PrivateKey, header string) string {
	t.Helper()
	input := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"s"}`))
	digest := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	raw := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return input + "." + base64.RawURLEncoding.EncodeToString(raw)
}

func set(t *testing.T, keys ...jose.Key) *jose.Set {
	t.Helper()
	document, err := jose.MarshalSet(keys)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.ParseSet(document)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// T01 T02
func TestVerify(t *testing.T) {
	key, other := newKey(t), newKey(t)
	keys := set(t, jose.Key{Public: key.Public(), ID: "k1", Algorithm: "ES256"}, jose.Key{Public: other.Public(), ID: "k2", Algorithm: "ES384"})
	good := sign(t, key, `{"alg":"ES256","kid":"k1"}`)
	for _, tt := range []struct {
		name, compact string
		accepted      []string
		ok            bool
	}{
		{"good", good, []string{"RS256", "ES256"}, true},
		{"algorithm not accepted", good, []string{"RS256"}, false},
		{"tampered", strings.Replace(good, ".", ".e", 1), []string{"ES256"}, false},
		{"another key's kid", sign(t, key, `{"alg":"ES256","kid":"k2"}`), []string{"ES256"}, false},
		{"the key has another algorithm", sign(t, other, `{"alg":"ES256","kid":"k2"}`), []string{"ES256"}, false},
		{"unknown kid", sign(t, key, `{"alg":"ES256","kid":"k3"}`), []string{"ES256"}, false},
		{"no kid", sign(t, key, `{"alg":"ES256"}`), []string{"ES256"}, false},
		{"none", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"k1"}`)) + ".e30.", []string{"ES256", "none"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := keys.Verify(tt.compact, tt.accepted...)
			if (err == nil) != tt.ok {
				t.Fatalf("Verify: %v", err)
			}
			if !tt.ok {
				return
			}
			want := &jose.Verified{KeyID: "k1", Algorithm: "ES256", Payload: []byte(`{"sub":"s"}`)}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Verify (-want +got):\n%s", diff)
			}
		})
	}
}

// P04
func TestMarshalSet(t *testing.T) {
	key := newKey(t)
	if _, err := jose.MarshalSet([]jose.Key{{Public: crypto.PublicKey(key), ID: "k", Algorithm: "ES256"}}); err == nil {
		t.Error("a private key is published")
	}
	document, err := jose.MarshalSet(nil)
	if err != nil || string(document) != `{"keys":[]}` {
		t.Errorf("no keys are %s, %v", document, err)
	}
}

// T04: the example of RFC 7638, section 3.1, with a key of our own.
func TestThumbprint(t *testing.T) {
	key := newKey(t)
	document, err := jose.MarshalSet([]jose.Key{{Public: key.Public(), ID: "k", Algorithm: "ES256"}})
	if err != nil {
		t.Fatal(err)
	}
	var published struct{ Keys []map[string]string }
	if err := json.Unmarshal(document, &published); err != nil {
		t.Fatal(err)
	}
	k := published.Keys[0]
	sum := sha256.Sum256([]byte(`{"crv":"P-256","kty":"EC","x":"` + k["x"] + `","y":"` + k["y"] + `"}`))
	got, err := jose.Thumbprint(key.Public())
	if want := base64.RawURLEncoding.EncodeToString(sum[:]); err != nil || got != want {
		t.Errorf("Thumbprint = %s, %v; want %s", got, err, want)
	}
}

// ParseSet matches the names of members exactly and refuses a name that occurs twice.
func TestParseSetExactNames(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good, err := jose.MarshalSet([]jose.Key{{Public: key.Public(), ID: "k", Algorithm: "ES256"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, old, new string
		keys           int // -1: an error
	}{
		{"as it is", "", "", 1},
		{"KEYS", `"keys"`, `"KEYS"`, 0},
		{"keys with a Kelvin sign", `"keys"`, `"\u212aeys"`, 0},
		{"keys twice", `{"keys"`, `{"keys":[],"keys"`, -1},
		{"kid twice", `"kid"`, `"kid":"j","kid"`, -1},
		{"not an object", `{"keys":`, `[{"keys":`, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set, err := jose.ParseSet([]byte(strings.Replace(string(good), tt.old, tt.new, 1)))
			if (err != nil) != (tt.keys < 0) {
				t.Fatalf("ParseSet: %v, want %d keys", err, tt.keys)
			}
			if err == nil && len(set.Keys()) != tt.keys {
				t.Errorf("%d keys, want %d", len(set.Keys()), tt.keys)
			}
		})
	}
}
