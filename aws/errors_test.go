package aws_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/oidctoken/oidctoken/aws"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

func TestRefusalHints(t *testing.T) {
	const (
		denied   = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
		noKey    = "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements"
		duration = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
	)
	for _, tt := range []struct {
		name    string
		config  aws.Config
		status  int
		code    string
		message string
		hint    []string // expected parts
		not     []string // and must not
	}{
		{"trust policy", aws.Config{Audience: "https://aws.example.com"}, 403, "AccessDenied", denied,
			[]string{"trust policy of " + roleARN, "sts:AssumeRoleWithWebIdentity", "aud (https://aws.example.com)", "sub is account/acme:", "preview", "roles claim"},
			[]string{"TagSession", "SetSourceIdentity"}},
		{"trust policy, unpinned", aws.Config{InsecureAnyRole: true}, 403, "AccessDenied", denied, []string{"trust policy"}, []string{"roles claim"}},
		{"trust policy and tags", aws.Config{SessionTags: []string{"project_id"}, SourceIdentity: "triggered_by_id"}, 403, "AccessDenied", denied,
			[]string{"sts:AssumeRoleWithWebIdentity, sts:TagSession, sts:SetSourceIdentity"}, nil},
		{"audience", aws.Config{}, 400, "InvalidIdentityToken", "Incorrect token audience",
			[]string{"add sts.amazonaws.com to the client ids", "account 123456789012", "Config.Audience"}, nil},
		{"no provider", aws.Config{}, 400, "InvalidIdentityToken", "No OpenIDConnect provider found in your account for https://ci.example.com",
			[]string{"create an IAM OIDC identity provider in account 123456789012", "iss byte for byte", ": https://ci.example.com"}, nil},
		{"clock ahead", aws.Config{}, 400, "InvalidIdentityToken", "The ID Token provided is not valid yet", []string{"clock", "runs ahead"}, []string{"JWK Set"}},
		{"clock ahead, other words", aws.Config{}, 400, "InvalidIdentityToken", "Token used before issued", []string{"clock", "runs ahead"}, []string{"JWK Set"}},
		{"thumbprint", aws.Config{}, 400, "InvalidIdentityToken", "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint",
			[]string{"thumbprints"}, nil},
		{"key", aws.Config{}, 400, "InvalidIdentityToken", noKey, []string{"discovery document and JWK Set", "Internet", "5 seconds"}, nil},
		{"some other reason", aws.Config{}, 400, "InvalidIdentityToken", "x", []string{"cannot verify the JWT", "JWK Set", "clock must not run ahead"}, nil},
		{"issuer not reached", aws.Config{}, 400, "IDPCommunicationError", "x", []string{"discovery document and JWK Set", "Internet", "5 seconds"}, nil},
		{"claim", aws.Config{}, 403, "IDPRejectedClaim", "x", []string{"claims", "preview", "account 123456789012"}, nil},
		{"JWT over", aws.Config{}, 400, "ExpiredTokenException", "Token expired: current date/time 2 must be before the expiration date/time 1",
			[]string{"lifetime", "clock"}, nil},
		{"packed policy", aws.Config{}, 400, "PackedPolicyTooLarge", "x", []string{"SessionPolicy", "PolicyARNs", "SessionTags"}, nil},
		{"policy", aws.Config{}, 400, "MalformedPolicyDocument", "x", []string{"SessionPolicy"}, nil},
		{"region", aws.Config{}, 403, "RegionDisabledException", "x", []string{"activate STS in eu-west-1 for account 123456789012", "Config.Region"}, nil},
		{"duration", aws.Config{}, 400, "ValidationError", duration, []string{"Config.Lifetime", roleARN}, nil},
		{"other validation", aws.Config{}, 400, "ValidationError", "Request ARN is invalid", nil, []string{"Lifetime"}},
		{"something new", aws.Config{}, 400, "BrandNewException", "x", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &sts{answers: []answer{refused(tt.status, tt.code, tt.message)}}
				err := exchangeError(t, newExchanger(t, s, tt.config), (&minter{claims: map[string]any{}}).request())
				var got *exchange.Error
				if !errors.As(err, &got) {
					t.Fatalf("error = %v, want an *exchange.Error", err)
				}
				want := &exchange.Error{Provider: "aws", Op: "sts:AssumeRoleWithWebIdentity", Status: tt.status, Code: tt.code, Description: tt.message}
				if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(exchange.Error{}, "Hint", "Retryable")); diff != "" {
					t.Errorf("error (-want +got):\n%s", diff)
				}
				for _, words := range tt.hint {
					if !strings.Contains(got.Hint, words) {
						t.Errorf("hint = %q, want it to say %q", got.Hint, words)
					}
				}
				for _, words := range tt.not {
					if strings.Contains(got.Hint, words) {
						t.Errorf("hint = %q, want nothing of %q", got.Hint, words)
					}
				}
				if tt.hint == nil && got.Hint != "" {
					t.Errorf("hint = %q, want none", got.Hint)
				}
				if !strings.Contains(err.Error(), tt.code) || len(err.Error()) > 1024 {
					t.Errorf("error of %d bytes: %v", len(err.Error()), err)
				}
			})
		})
	}
}

// A refusal that is not one of STS has neither code nor words: they may be
// anything.
func TestRefusalOfSomebodyElse(t *testing.T) {
	for name, body := range map[string]string{
		"HTML":            "<html><body>Forbidden</body></html>",
		"text":            "Forbidden",
		"JSON":            `{"Error":{"Code":"AccessDenied","Message":"words"}}`,
		"document type":   `<!DOCTYPE x [<!ENTITY e "AccessDenied">]><ErrorResponse><Error><Code>&e;</Code><Message>words</Message></Error></ErrorResponse>`,
		"two codes":       `<ErrorResponse><Error><Code>A</Code><Code>B</Code></Error></ErrorResponse>`,
		"code is a text":  `<ErrorResponse><Error><Code>it did not work, sorry</Code></Error></ErrorResponse>`,
		"code is long":    `<ErrorResponse><Error><Code>` + strings.Repeat("c", 65) + `</Code></Error></ErrorResponse>`,
		"code has a line": "<ErrorResponse><Error><Code>Access\nDenied</Code></Error></ErrorResponse>",
	} {
		t.Run(name, func(t *testing.T) {
			s := &sts{answers: []answer{{status: 403, body: body}}}
			err := exchangeError(t, newExchanger(t, s, aws.Config{}), (&minter{}).request())
			var got *exchange.Error
			errors.As(err, &got)
			want := &exchange.Error{Provider: "aws", Op: "sts:AssumeRoleWithWebIdentity", Status: 403}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// X06: STS, or what stands in its place, echoes the JWT in every member of an
// error.
func TestRefusalEchoes(t *testing.T) {
	m := &minter{}
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		jwt := r.PostForm.Get("WebIdentityToken")
		a := refused(403, jwt[:60], "Value '"+jwt+"' ("+url.QueryEscape(jwt)+")\r\n\x1b[31m at 'webIdentityToken' failed "+strings.Repeat("x", 2000))
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(a.status)
		w.Write([]byte(a.body))
	})
	err := exchangeError(t, newExchanger(t, echo, aws.Config{}), m.request())
	cloudtest.NoLeak(t, err, m.All()...)
	var xe *exchange.Error
	if !errors.As(err, &xe) || len(xe.Description) > 512 || !strings.Contains(xe.Description, "at 'webIdentityToken' failed") || xe.Code != "" {
		t.Errorf("error = %#v, want the rest of the words, cut, and no code", xe)
	}
	if strings.ContainsFunc(err.Error(), unicode.IsControl) {
		t.Errorf("error = %q, want it printable", err)
	}
}

func TestConfigErrorHidesValue(t *testing.T) {
	const secret = "hunter2-hunter2-hunter2"
	_, err := aws.New(aws.Config{RoleARN: secret, Region: region})
	cloudtest.NoLeak(t, err, secret)
	if got, want := fmt.Sprint(err), "aws: RoleARN is not arn:PARTITION:iam::ACCOUNT:role/PATH/NAME, of 20 to 2048 characters"; got != want {
		t.Errorf("error = %q, want %q", got, want)
	}
	if b, err := json.Marshal(err); err != nil || strings.Contains(string(b), secret) {
		t.Errorf("json = %s, %v", b, err)
	}
}
