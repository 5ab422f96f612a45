package exchange_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestError(t *testing.T) {
	cause := errors.New("cause")
	for _, tt := range []struct {
		name string
		err  exchange.Error
		want string
	}{
		{"all", exchange.Error{Provider: "gcp", Op: "sts:token", Status: 400, Code: "invalid_grant", Description: "bad aud", Hint: "set Audience", Err: cause}, "gcp: sts:token: invalid_grant (400): bad aud: cause; set Audience"},
		{"no code", exchange.Error{Provider: "gcp", Op: "sts:token", Status: 302, Err: cause}, "gcp: sts:token: HTTP 302: cause"},
		{"no status", exchange.Error{Provider: "azure", Op: "token", Code: "invalid_client", Description: "bad"}, "azure: token: invalid_client: bad"},
		{"no answer", exchange.Error{Provider: "aws", Op: "sts", Err: cause, Hint: "check the endpoint"}, "aws: sts: cause; check the endpoint"},
		{"nothing", exchange.Error{Provider: "aws", Op: "sts"}, "aws: sts"},
		{"zero", exchange.Error{}, "exchange failed"},
		{"lines", exchange.Error{Provider: "gcp", Op: "sts:token", Status: 400, Code: "a\nb", Description: "c\r\n\x1b[31md\xff", Err: errors.New("e\nf"), Hint: "g\nh"}, `gcp: sts:token: a\nb (400): c\r\n\x1b[31md\xff: e\nf; g\nh`},
		{"long", exchange.Error{Provider: "gcp", Op: "sts:token", Status: 400, Code: strings.Repeat("c", 65), Description: strings.Repeat("d", 513)}, "gcp: sts:token: " + strings.Repeat("c", 61) + "… (400): " + strings.Repeat("d", 509) + "…"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, verb := range []string{"%v", "%+v", "%s"} {
				if got := fmt.Sprintf(verb, &tt.err); got != tt.want {
					t.Errorf("%s = %q, want %q", verb, got, tt.want)
				}
			}
			if errors.Is(&tt.err, cause) != (tt.err.Err == cause) {
				t.Errorf("Unwrap = %v, want %v", errors.Unwrap(&tt.err), tt.err.Err)
			}
		})
	}
}

// X06: the text of an Error is one printable line of at most 1 KiB, for any
// values of its fields.
func TestErrorIsPrintable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		long := rapid.Custom(func(t *rapid.T) string {
			return strings.Repeat(rapid.String().Draw(t, "s"), rapid.IntRange(0, 50).Draw(t, "n"))
		})
		err := exchange.Error{
			Provider: long.Draw(t, "provider"), Op: long.Draw(t, "op"), Status: rapid.Int().Draw(t, "status"),
			Code: long.Draw(t, "code"), Description: long.Draw(t, "description"), Hint: long.Draw(t, "hint"),
		}
		if rapid.Bool().Draw(t, "has a cause") {
			err.Err = errors.New(long.Draw(t, "cause"))
		}
		got := err.Error()
		if len(got) > 1024 || got == "" {
			t.Fatalf("%d bytes: %q", len(got), got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q does not print: %q", r, got)
			}
		}
	})
}

// X06: clouds echo the assertion, in any form. The error that is made of the
// answer does not hold it.
func TestEchoedAssertion(t *testing.T) {
	assertion := strings.Repeat("eyJhbGciOiJSUzI1NiJ9-_", 20) + ".c2lnbmF0dXJlLXNpZ25hdHVyZQ"
	inJSON := ""
	for i := range len(assertion) {
		inJSON += fmt.Sprintf(`\u%04x`, assertion[i])
	}
	for name, echo := range map[string]string{
		"raw": assertion, "percent-encoded": url.QueryEscape("subject_token=" + assertion + "&x=+/"), "JSON-escaped": inJSON,
		"JSON-escaped, in a string in a string": strings.ReplaceAll(inJSON, `\`, `\\`), "quoted": strings.Trim(strconv.QuoteToASCII(assertion), `"`),
		"percent-encoded throughout": strings.ReplaceAll(inJSON, `\u00`, "%"),
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "2")
				w.WriteHeader(http.StatusServiceUnavailable)
				io.WriteString(w, `{"error":"invalid_grant","error_description":"The token `+echo+` is bad."}`)
			}))
			defer server.Close()
			answer, err := new(tokenhttp.Client).Post(t.Context(), tokenhttp.Request{
				URL: server.URL, ContentType: "application/x-www-form-urlencoded", Body: []byte("subject_token=" + assertion), Accept: "application/json",
			})
			if err != nil {
				t.Fatal(err)
			}
			var refusal struct {
				Error       string `json:"error"`
				Description string `json:"error_description"`
			}
			if err := tokenhttp.DecodeJSON(answer.Body, &refusal); err != nil {
				t.Fatal(err)
			}
			refused := &exchange.Error{
				Provider: "gcp", Op: "sts:token", Status: answer.Status, Code: refusal.Error,
				Description: tokenhttp.Redact(refusal.Description, assertion),
				RetryAfter:  answer.RetryAfter, Retryable: tokenhttp.RetryableStatus(answer.Status),
			}
			text := fmt.Sprintf("%v %+v %#v", refused, refused, refused)
			for i := 0; i+12 <= len(assertion); i++ {
				window := assertion[i : i+12]
				if strings.Contains(text, window) || strings.Contains(text, inJSON[6*i:6*i+72]) || strings.Contains(text, strings.ReplaceAll(inJSON[6*i:6*i+72], `\u00`, "%")) {
					t.Fatalf("the error shows %q: %s", window, text)
				}
			}
			if !strings.HasPrefix(refused.Error(), "gcp: sts:token: invalid_grant (503): The token ") || !strings.HasSuffix(refused.Error(), " is bad.") || !refused.Temporary() {
				t.Errorf("Error = %q, want the rest of the cloud's words", refused)
			}
		})
	}
}
