package tokenhttp_test

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

func TestMain(m *testing.M) {
	if target := os.Getenv(childTarget); target != "" {
		os.Exit(child(target))
	}
	goleak.VerifyTestMain(m)
}

// newAssertion returns a text that looks like a JWT and is not one.
func newAssertion() string {
	part := func(n int) string {
		b := make([]byte, n)
		rand.Read(b)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	return part(60) + "." + part(600) + "." + part(256)
}

func post(url, assertion string) tokenhttp.Request {
	return tokenhttp.Request{
		URL:         url,
		ContentType: "application/x-www-form-urlencoded",
		Body:        []byte("grant_type=client_credentials&client_assertion=" + assertion),
		Bearer:      assertion,
		Accept:      "application/json",
	}
}

// rawServer answers each connection with serve, which need not close it, and
// returns the server's URL. Connections end with the test.
func rawServer(t *testing.T, serve func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var (
		mu    sync.Mutex
		conns []net.Conn
		wg    sync.WaitGroup
	)
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed by the clean-up
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() { serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return "http://" + l.Addr().String() + "/token"
}

// answer serves a connection: it reads the request, writes text, and closes.
func answer(text string) func(c net.Conn) {
	data := []byte(text) // here, so that its memory is not counted as the client's
	return func(c net.Conn) {
		if readRequest(c) {
			c.Write(data) // the client may have left; the test asserts the client's view
		}
		c.Close()
	}
}

// readRequest reads a request with its body, so that closing the connection
// does not reset it.
func readRequest(c net.Conn) bool {
	r, err := http.ReadRequest(bufio.NewReader(c))
	return err == nil && r.ParseForm() == nil
}

// checkNoSecret fails the test if err, or any error that it wraps, shows 12
// bytes of the secret in a row in any way of printing it.
func checkNoSecret(t *testing.T, err error, secret string) {
	t.Helper()
	var texts []string
	var walk func(err error)
	walk = func(err error) {
		if err == nil {
			return
		}
		texts = append(texts, err.Error())
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			texts = append(texts, fmt.Sprintf(verb, err))
		}
		if b, jsonErr := json.Marshal(err); jsonErr == nil {
			texts = append(texts, string(b))
		}
		walk(errors.Unwrap(err))
		if many, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range many.Unwrap() {
				walk(e)
			}
		}
	}
	walk(err)
	if w := shown(strings.Join(texts, "\n"), secret); w != "" {
		t.Errorf("%#v shows %q of the secret", err, w)
	}
}

// shown returns a window of 12 bytes of the secret in text, raw or in one of
// the encodings that a server may echo, or "".
func shown(text, secret string) string {
	for _, form := range []struct {
		text string
		step int // bytes that one byte of the secret takes
	}{
		{secret, 1}, {percent(secret), 3}, {strings.ToLower(percent(secret)), 3}, {unicodeEscapes(secret), 6}, {hexDigits(secret), 2},
		{eachByte(secret, `\%03o`), 4}, {eachByte(secret, "&#%03d;"), 6}, {eachByte(secret, "&#x%02x;"), 6}, {eachByte(secret, `\u{%02x}`), 6},
	} {
		size := 12 * form.step
		windows := make(map[string]bool)
		for i := 0; i+size <= len(text); i++ {
			windows[text[i:i+size]] = true
		}
		for i := 0; i+size <= len(form.text); i += form.step {
			if w := form.text[i : i+size]; windows[w] {
				return w
			}
		}
	}
	for i := 0; i+12 <= len(secret); i++ { // of which single bytes are escaped
		if w := url.QueryEscape(secret[i : i+12]); len(w) > 12 && strings.Contains(text, w) {
			return w
		}
	}
	return ""
}

func percent(s string) string        { return eachByte(s, "%%%02X") }
func unicodeEscapes(s string) string { return eachByte(s, `\u%04x`) }
func hexDigits(s string) string      { return eachByte(s, "%02x") }

func eachByte(s, format string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, format, s[i])
	}
	return b.String()
}
