//go:build unix

package main

import (
	"encoding/base64"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// The compared tokens have the size that docs/performance.md states.
func TestTypical(t *testing.T) {
	key, err := newKey("EdDSA")
	if err != nil {
		t.Fatal(err)
	}
	minters, err := allMinters("EdDSA", key)
	if err != nil {
		t.Fatal(err)
	}
	token, err := minters[0].mint()
	if err != nil {
		t.Fatal(err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
		t.Fatal(err)
	}
	if len(payload) != 945 || len(claims) != 32 {
		t.Errorf("the payload has %d bytes and %d claims, want 945 and 32:\n%s", len(payload), len(claims), payload)
	}
}

// sameJob finds a minter with other claims before it is measured.
func TestSameJob(t *testing.T) {
	key, err := newKey("EdDSA")
	if err != nil {
		t.Fatal(err)
	}
	minters, err := allMinters("EdDSA", key)
	if err != nil {
		t.Fatal(err)
	}
	token, err := minters[0].mint()
	if err != nil {
		t.Fatal(err)
	}
	kid := kidOf(t, token)
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
		t.Fatal(err)
	}
	// altered signs the claims again, with one claim changed.
	altered := func(kid, name string, value any) minter {
		return minter{"altered", func() (string, error) {
			token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{})
			for k, v := range claims {
				token.Claims.(jwt.MapClaims)[k] = v
			}
			token.Claims.(jwt.MapClaims)[name] = value
			token.Header["kid"] = kid
			return token.SignedString(key)
		}}
	}
	for _, tt := range []struct {
		name string
		way  minter
		want string // part of the error; empty if there must be no error
	}{
		{"unchanged", altered(kid, "jti", claims["jti"]), ""},
		{"another claim", altered(kid, "project_id", "other"), "project_id:other"},
		{"an audience list", altered(kid, "aud", []string{"a"}), "aud:[a]"},
		{"another kid", altered("other", "jti", claims["jti"]), `kid "other"`},
		{"a longer life", altered(kid, "exp", claims["exp"].(float64)+1), "the times are"},
		{"no id", altered(kid, "jti", ""), "the jti is"},
		{"no signature", minter{"altered", func() (string, error) { return token[:strings.LastIndexByte(token, '.')+1], nil }}, "altered: "},
		{"another's signature", minter{"altered", func() (string, error) {
			other, err := minters[0].mint()
			return token[:strings.LastIndexByte(token, '.')] + other[strings.LastIndexByte(other, '.'):], err
		}}, "altered: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := sameJob(key.Public(), "EdDSA", kid, []minter{minters[0], tt.way})
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("sameJob: %v, want %q", err, tt.want)
			}
		})
	}
}

func kidOf(t *testing.T, token string) string {
	t.Helper()
	parsed, _, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Header["kid"].(string)
}

// The client reports an error and continues.
func TestClient(t *testing.T) {
	s, err := newSite()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	defer server.Close()
	var answers strings.Builder
	orders := "2 " + helloPath + "\n1 /nothing\n3 " + jwksPath + "\n"
	if err := client(server.Listener.Addr().String(), strings.NewReader(orders), &answers); err != nil {
		t.Fatal(err)
	}
	if want := "\n/nothing: status 404, 10 bytes\n\n"; answers.String() != want {
		t.Errorf("answers %q, want %q", answers.String(), want)
	}
	if err := client(server.Listener.Addr().String(), strings.NewReader("many /\n"), &answers); err == nil {
		t.Error("the client accepted a line without a number")
	}
}
