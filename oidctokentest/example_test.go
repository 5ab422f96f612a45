package oidctokentest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

func ExampleNewIssuer() {
	// The content of a func TestX(t *testing.T).
	_ = func(t *testing.T) {
		issuer := oidctokentest.NewIssuer(t, func(c *oidctoken.Config) {
			c.Keys = append(c.Keys.(oidctoken.StaticKeys), oidctokentest.NewKey(t, "EdDSA"))
		})
		answer, err := issuer.Client.Get(issuer.URL + "/.well-known/openid-configuration")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if _, err := io.ReadAll(answer.Body); err != nil {
			t.Fatal(err)
		}
	}
	// Output:
}

func ExampleNewKey() {
	_ = func(t *testing.T) {
		// A key that has left the issuer, as a rotation makes it.
		key := oidctokentest.NewKey(t, "ES384")
		key.Expires = time.Now()
	}
	// Output:
}

func ExampleTestSigner() {
	_ = func(t *testing.T) {
		oidctokentest.TestSigner(t, func(t *testing.T) oidctoken.Signer {
			return oidctokentest.NewKey(t, "ES256").Signer // in place of the Signer under test
		})
	}
	// Output:
}

func ExampleTestExchanger() {
	_ = func(t *testing.T) {
		oidctokentest.TestExchanger(t, oidctokentest.ExchangerTest{
			New: func(_ *testing.T, endpoint string, transport http.RoundTripper) exchange.Exchanger {
				return &sample{endpoint: endpoint, transport: transport} // in place of the Exchanger under test
			},
			Answer: func(_ *http.Request, value string, lifetime time.Duration) oidctokentest.CloudAnswer {
				body, err := json.Marshal(map[string]any{"token": value, "expires_in": int64(lifetime / time.Second)})
				if err != nil {
					t.Fatal(err)
				}
				return oidctokentest.CloudAnswer{Status: http.StatusOK, ContentType: "application/json", Body: string(body)}
			},
			Refusal: func(words string) oidctokentest.CloudAnswer {
				return oidctokentest.CloudAnswer{
					Status: http.StatusForbidden, ContentType: "application/json",
					Body: fmt.Sprintf(`{"words":%q}`, words),
				}
			},
		})
	}
	// Output:
}
