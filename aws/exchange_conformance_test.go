package aws_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken/aws"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

// X03 X04 X05 X06 X07 X08 X09
func TestExchangerConformance(t *testing.T) {
	for name, answer := range map[string]func(value string, expiration string) answer{
		"session token": func(value, expiration string) answer { return granted(accessKeyID, secretKey, value, expiration) },
		"secret key":    func(value, expiration string) answer { return granted(accessKeyID, value, sessionToken, expiration) },
	} {
		t.Run(name, func(t *testing.T) {
			oidctokentest.TestExchanger(t, oidctokentest.ExchangerTest{
				New: func(t *testing.T, endpoint string, transport http.RoundTripper) exchange.Exchanger {
					e, err := aws.New(aws.Config{RoleARN: roleARN, Region: region, Endpoint: endpoint, Transport: transport})
					if err != nil {
						t.Fatal(err)
					}
					return e
				},
				Answer: func(_ *http.Request, value string, lifetime time.Duration) oidctokentest.CloudAnswer {
					expiration := time.Now().Add(lifetime).UTC().Format(time.RFC3339)
					return oidctokentest.CloudAnswer{Status: http.StatusOK, ContentType: "text/xml", Body: answer(value, expiration).body}
				},
				Refusal: func(words string) oidctokentest.CloudAnswer {
					return oidctokentest.CloudAnswer{Status: http.StatusForbidden, ContentType: "text/xml", Body: refused(403, "AccessDenied", words).body}
				},
			})
		})
	}
}
