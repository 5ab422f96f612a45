package aws_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/oidctoken/oidctoken/aws"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

// D06, X06: errors do not hold the JWT of an earlier attempt either: in the
// cloud's text, in its code, or in net/http's text.
func TestErrorsHoldNoEarlierJWT(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request, jwt string) {
		(&sts{answers: []answer{refused(403, jwt[:min(len(jwt), 40)], jwt)}}).ServeHTTP(w, r)
	}
	for name, again := range map[string]func(w http.ResponseWriter, r *http.Request, jwt string){
		"words": func(w http.ResponseWriter, r *http.Request, jwt string) { echo(w, r, "the JWT "+jwt) },
		"half":  func(w http.ResponseWriter, r *http.Request, jwt string) { echo(w, r, jwt[len(jwt)/2:]) },
		"escaped": func(w http.ResponseWriter, r *http.Request, jwt string) {
			var b strings.Builder
			for i := range len(jwt) {
				fmt.Fprintf(&b, "&#%d;", jwt[i])
			}
			echo(w, r, b.String())
		},
		"lines": func(w http.ResponseWriter, r *http.Request, jwt string) {
			echo(w, r, strings.Join(strings.SplitAfter(jwt, "a"), "\n"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &minter{}
				h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					jwts := m.All()
					if len(jwts) == 1 {
						w.WriteHeader(503)
						return
					}
					again(w, r, jwts[0])
				})
				err := exchangeError(t, newExchanger(t, h, aws.Config{}), m.request())
				if len(m.All()) != 2 {
					t.Fatalf("%d JWTs, want 2", len(m.All()))
				}
				cloudtest.NoLeak(t, err, m.All()...)
				if strings.Contains(err.Error(), "&#101;&#121;&#") {
					t.Errorf("error = %v, which shows an encoded JWT", err)
				}
			})
		})
		t.Run(name+", not HTTP", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &minter{}
				e := func() *aws.Exchanger {
					e, err := aws.New(aws.Config{RoleARN: roleARN, Region: region, Transport: garbled(m)})
					if err != nil {
						t.Fatal(err)
					}
					return e
				}()
				err := exchangeError(t, e, m.request())
				if len(m.All()) != 2 {
					t.Fatalf("%d JWTs, want 2", len(m.All()))
				}
				cloudtest.NoLeak(t, err, m.All()...)
			})
		})
	}
}

// garbled answers the first request with 503, and the second with a status line
// that holds the first one's JWT.
func garbled(m *minter) http.RoundTripper {
	return cloudtest.RoundTripper(func(r *http.Request) (*http.Response, error) {
		jwts := m.All()
		if len(jwts) == 1 {
			return &http.Response{StatusCode: 503, Body: http.NoBody}, nil
		}
		return nil, fmt.Errorf("malformed HTTP status code %q", jwts[0])
	})
}
