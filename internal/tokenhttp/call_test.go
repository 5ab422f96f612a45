package tokenhttp_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// X06, D06: a Call hides what any of its requests held: not only the last one's.
func TestCallHidesEarlierSecrets(t *testing.T) {
	first, second, bearer, received := newAssertion(), newAssertion(), newAssertion(), newAssertion()
	for _, tt := range []struct{ name, answer string }{
		{"status", "HTTP/1.1 4x0 %s\r\n\r\n"},
		{"status code", "HTTP/1.1 %s\r\n\r\n"},
		{"version", "HTTP/%s 200 OK\r\n\r\n"},
		{"no HTTP", "%s\r\n\r\n"},
		{"header line", "HTTP/1.1 200 OK\r\n%s\r\n\r\n"},
		{"header name", "HTTP/1.1 200 OK\r\n%s x: y\r\n\r\n"},
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n"},
		{"coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n"},
		{"codings", "HTTP/1.1 200 OK\r\nTransfer-Encoding: a\r\nTransfer-Encoding: %s\r\n\r\n"},
		{"trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length, %s\r\n\r\n"},
		{"location", "HTTP/1.1 302 Found\r\nLocation: ://%s\r\n\r\n"},
		{"type", "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n\r\n"},
	} {
		for name, encode := range map[string]func(string) string{
			"plain": func(s string) string { return s }, "percent": percent, "octal": func(s string) string { return eachByte(s, `\%03o`) },
			"lines": func(s string) string { return pieces(s, 8, "\t") },
		} {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				call := new(tokenhttp.Client).Call()
				good := rawServer(t, answer("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{}"))
				call.Hide(first)
				r := post(good+"?key="+first[:40], first)
				r.Bearer = bearer
				if _, err := call.Post(t.Context(), r); err != nil {
					t.Fatal(err)
				}
				call.Hide(second, received)
				echo := fmt.Sprintf(tt.answer, encode(first+second)+encode(bearer)+encode(received))
				bad := rawServer(t, func(c net.Conn) { readRequest(c); io.WriteString(c, echo); c.Close() })
				_, err := call.Post(t.Context(), post(bad, second))
				if err == nil {
					t.Fatal("Post succeeded")
				}
				for _, secret := range []string{first, second, bearer, received} {
					checkNoSecret(t, err, secret)
				}
				if e := asFailed(t, err); e.Kind == 0 || len(err.Error()) > 600 {
					t.Errorf("Post = %v, of %d bytes", err, len(err.Error()))
				}
			})
		}
	}
}

// Nor do the words of a RoundTripper, which quote nothing.
func TestCallHidesInTransportError(t *testing.T) {
	first, second := newAssertion(), newAssertion()
	client := tokenhttp.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) { return nil, errors.New("gate closed for " + first) })}
	call := client.Call()
	call.Hide(first)
	_, err := call.Post(t.Context(), post("https://sts.example/", second))
	if got, want := fmt.Sprint(err), "sts.example: gate closed for [redacted]"; got != want {
		t.Errorf("Post = %q, want %q", got, want)
	}
}

// A query of an address and a bearer are hidden after the request, too.
func TestCallHidesQueryAndBearer(t *testing.T) {
	call := new(tokenhttp.Client).Call()
	r := post(rawServer(t, answer("HTTP/1.1 503 Busy\r\n\r\n"))+"?key=0123456789abcdef", newAssertion())
	r.Bearer = "bearer-0123456789"
	if _, err := call.Post(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if got, want := call.Redact("key=0123456789abcdef, bearer-0123456789, key"), "[redacted], [redacted], key"; got != want {
		t.Errorf("Redact = %q, want %q", got, want)
	}
}

// A code that continues in the description must not show the beginning of a
// secret.
func TestCallCode(t *testing.T) {
	call := new(tokenhttp.Client).Call()
	secret := newAssertion()
	call.Hide(secret)
	for _, tt := range []struct{ code, want string }{
		{"invalid_grant", "invalid_grant"},
		{"", ""},
		{secret[:5], secret[:5]},
		{secret[:6], ""},
		{"x" + secret[20:26] + "x", ""},
		{secret[:60], ""},
		{strings.ToUpper(hexDigits(secret[:20])), ""},
	} {
		if got := call.Code(tt.code); got != tt.want {
			t.Errorf("Code(%q) = %q, want %q", tt.code, got, tt.want)
		}
	}
}

// D08: a Call does not print its secrets.
func TestCallDoesNotPrint(t *testing.T) {
	call := new(tokenhttp.Client).Call()
	secret := newAssertion()
	call.Hide(secret)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if w := shown(fmt.Sprintf(verb, call), secret); w != "" {
			t.Errorf("%s shows %q", verb, w)
		}
	}
}

// X06: a redacted text has no window of any secret of a call, whichever part of
// a secret is echoed, in any encoding.
func TestCallRedactProperty(t *testing.T) {
	encodings := []func(string) string{
		func(s string) string { return s }, percent, unicodeEscapes, hexDigits, jsonString,
		func(s string) string { return eachByte(s, `\%03o`) }, func(s string) string { return eachByte(s, "&#%03d;") },
		func(s string) string { return eachByte(s, `\u{%02x}`) },
		func(s string) string { return pieces(s, 7, "\n") },
	}
	rapid.Check(t, func(t *rapid.T) {
		call := new(tokenhttp.Client).Call()
		var secrets []string
		for range rapid.IntRange(1, 5).Draw(t, "secrets") {
			secrets = append(secrets, rapid.StringMatching(`[A-Za-z0-9_-]{20,80}\.[A-Za-z0-9_-]{20,80}`).Draw(t, "secret"))
			call.Hide(secrets[len(secrets)-1])
		}
		var text strings.Builder
		for range rapid.IntRange(1, 8).Draw(t, "pieces") {
			s := rapid.SampledFrom(secrets).Draw(t, "echo")
			from := rapid.IntRange(0, len(s)-1).Draw(t, "from")
			to := rapid.IntRange(from, len(s)).Draw(t, "to")
			text.WriteString(rapid.SampledFrom(encodings).Draw(t, "encoding")(s[from:to]))
			text.WriteString(rapid.SampledFrom([]string{"", " ", ": ", "<br>", `", "`}).Draw(t, "between"))
		}
		got := call.Redact(text.String())
		checkPrintable(t, got, 512)
		for _, s := range secrets {
			if w := shown(got, s); w != "" {
				t.Fatalf("Redact(%q) = %q shows %q", text.String(), got, w)
			}
		}
	})
}
