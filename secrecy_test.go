package oidctoken_test

//lint:file-ignore SA1019 invalid keys, and secrets to look for, can be had in no other way

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken"
)

// renderings shows v in every way that a program writes values down. An
// encoder that refuses v shows its error.
func renderings(v any) map[string]string {
	r := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%T %[1]v", "%8.3s", "%w"} {
		r[verb] = fmt.Sprintf(verb, v)
	}
	r["Errorf"] = fmt.Errorf("refused: %v", v).Error()
	r["Println"] = fmt.Sprintln(v, []any{v}, map[string]any{"k": v}, struct{ V any }{v})
	encoders := map[string]func(*bytes.Buffer) error{
		"json": func(b *bytes.Buffer) error { return json.NewEncoder(b).Encode(v) },
		"xml":  func(b *bytes.Buffer) error { return xml.NewEncoder(b).Encode(v) },
		"gob":  func(b *bytes.Buffer) error { return gob.NewEncoder(b).Encode(v) },
		"slog text": func(b *bytes.Buffer) error {
			slog.New(slog.NewTextHandler(b, nil)).Info("m", "v", v, "in", []any{v}, slog.Group("g", "v", v))
			return nil
		},
		"slog json": func(b *bytes.Buffer) error {
			slog.New(slog.NewJSONHandler(b, nil)).Info("m", "v", v, "in", []any{v}, slog.Group("g", "v", v))
			return nil
		},
	}
	for name, encode := range encoders {
		var b bytes.Buffer
		if err := encode(&b); err != nil {
			fmt.Fprintf(&b, " error: %v", err)
		}
		r[name] = b.String()
	}
	return r
}

// T05, D08: a token shows its id and nothing else, wherever it stands.
func TestTokenDoesNotPrint(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	token := mint(t, issuer, full())
	name := "jwt:" + token.ID()
	type holder struct {
		Token   *oidctoken.Token
		Value   oidctoken.Token
		private oidctoken.Token
		pointer *oidctoken.Token
		list    []oidctoken.Token
	}
	for kind, v := range map[string]any{
		"pointer": token,
		"value":   *token,
		"slice":   []*oidctoken.Token{token},
		"map":     map[string]oidctoken.Token{"k": *token},
		"holder":  holder{token, *token, *token, token, []oidctoken.Token{*token}},
		"channel": func() any { c := make(chan *oidctoken.Token, 1); c <- token; return c }(),
		"issuer":  issuer,
	} {
		for how, text := range renderings(v) {
			if leaks(t, text, token.JWT()) || strings.Contains(text, token.JWT()[:40]) {
				t.Errorf("%s by %s reveals the token: %s", kind, how, text)
			}
			whole := kind == "pointer" || kind == "value"
			if whole && how != "gob" && how != "%w" && !strings.Contains(text, name) {
				t.Errorf("%s by %s is %q, want %q in it", kind, how, text, name)
			}
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%50s"} {
		if got := fmt.Sprintf(verb, token); got != name {
			t.Errorf("%s is %q, want %q", verb, got, name)
		}
	}
	if got := token.LogValue().String(); got != name {
		t.Errorf("LogValue is %q, want %q", got, name)
	}
}

// secretsOf are texts of which each would betray a private key.
func secretsOf(key crypto.Signer) (secrets []string) {
	var numbers []*big.Int
	switch k := key.(type) {
	case *rsa.PrivateKey:
		numbers = append(append(numbers, k.D, k.Precomputed.Dp, k.Precomputed.Dq, k.Precomputed.Qinv), k.Primes...)
	case *ecdsa.PrivateKey:
		numbers = append(numbers, k.D)
	case ed25519.PrivateKey:
		numbers = append(numbers, new(big.Int).SetBytes(k.Seed()))
	}
	for _, n := range numbers {
		b := n.Bytes()
		middle := b[len(b)/2-6 : len(b)/2+6]
		words := n.Bits()
		secrets = append(secrets,
			n.String()[:20], fmt.Sprintf("%x", middle), fmt.Sprintf("%X", middle), string(middle),
			strings.Trim(fmt.Sprint(middle), "[]"), strings.Trim(fmt.Sprintf("%#v", middle), "[]byte{}"),
			base64.StdEncoding.EncodeToString(b)[:12], fmt.Sprint(uint(words[0])), fmt.Sprintf("%#x", uint(words[0])),
		)
	}
	return secrets
}

// K05
func TestKeysDoNotPrint(t *testing.T) {
	for alg, makeKey := range keyFor {
		key := makeKey()
		signer := memory(key)
		issuer := issuerFor(t, alg)
		mint(t, issuer, minimal())
		secrets := secretsOf(key)
		for kind, v := range map[string]any{
			"signer":   signer,
			"value":    reflect.ValueOf(signer).Elem().Interface(),
			"key":      oidctoken.Key{Signer: signer},
			"keys":     oidctoken.StaticKeys{{Signer: signer}},
			"config":   oidctoken.Config{Keys: oidctoken.StaticKeys{{Signer: signer}}},
			"issuer":   issuer,
			"embedded": struct{ oidctoken.Signer }{signer},
			"private":  struct{ s oidctoken.Signer }{signer},
		} {
			for how, text := range renderings(v) {
				for _, secret := range secrets {
					if strings.Contains(text, secret) {
						t.Errorf("%s, %s by %s reveals %q", alg, kind, how, secret)
					}
				}
			}
		}
		// Else the test would not see a leak.
		found := false
		for _, secret := range secrets {
			found = found || strings.Contains(fmt.Sprintf("%v %#v %x", key, key, key), secret)
		}
		if !found {
			t.Errorf("%s: none of the secrets is in the key's own print", alg)
		}
	}
}

// K05: nor are they in the errors.
func TestErrorsHoldNoKey(t *testing.T) {
	goodRSA, goodEC := rsaKey().(*rsa.PrivateKey), p256Key().(*ecdsa.PrivateKey)
	for name, key := range map[string]crypto.Signer{
		"RSA":     &rsa.PrivateKey{PublicKey: otherRSA().(*rsa.PrivateKey).PublicKey, D: goodRSA.D, Primes: goodRSA.Primes},
		"ECDSA":   &ecdsa.PrivateKey{PublicKey: ecdsa.PublicKey{Curve: goodEC.Curve}, D: goodEC.D},
		"Ed25519": ed25519.PrivateKey(edKey().(ed25519.PrivateKey).Seed()),
	} {
		_, err := oidctoken.NewSigner(key)
		if err == nil {
			t.Fatalf("%s: the key was taken", name)
		}
		for _, good := range []crypto.Signer{goodRSA, goodEC, edKey()} {
			for _, secret := range secretsOf(good) {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%s: the error reveals %q", name, secret)
				}
			}
		}
	}
}

// The claims are no secret, and have no token in them.
func TestClaimsHoldNoToken(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	prepared, err := issuer.Prepare(t.Context(), full())
	if err != nil {
		t.Fatal(err)
	}
	token := must(prepared.Mint(t.Context()))
	for how, text := range renderings(prepared.Claims()) {
		if leaks(t, text, token.JWT()) {
			t.Errorf("Claims by %s reveals the token", how)
		}
	}
	for how, text := range renderings(prepared) {
		if leaks(t, text, token.JWT()) {
			t.Errorf("Prepared by %s reveals the token", how)
		}
	}
}
