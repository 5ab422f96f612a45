package tokenhttp_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// failed holds the parts of an error of Post that a caller can read.
type failed struct {
	Kind      tokenhttp.Kind
	Status    int
	Temporary bool
}

func asFailed(t *testing.T, err error) failed {
	t.Helper()
	var e *tokenhttp.Error
	if !errors.As(err, &e) {
		t.Fatalf("Post = %v, want an *Error", err)
	}
	if e.Reason == "" || len(e.Reason) > 512 || e.Host == "" {
		t.Errorf("Post: host %q, reason %q: neither may be empty, nor the reason be long", e.Host, e.Reason)
	}
	return failed{e.Kind, e.Status, e.Temporary()}
}

// X05: no redirect is followed, and a second host receives nothing.
func TestRedirect(t *testing.T) {
	var hits atomic.Int32
	second := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hits.Add(1)
		w.Header().Set("Content-Type", "application/json")
	}))
	defer second.Close()
	own := &http.Transport{}
	defer own.CloseIdleConnections()
	for _, client := range []*tokenhttp.Client{{}, {Transport: own}} {
		for _, status := range []int{300, 301, 302, 303, 304, 305, 307, 308, 399} {
			t.Run(fmt.Sprintf("%d, own transport %t", status, client.Transport != nil), func(t *testing.T) {
				assertion := newAssertion()
				first := rawServer(t, answer(fmt.Sprintf("HTTP/1.1 %d Elsewhere\r\nLocation: %s/?%s\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
					status, second.URL, assertion)))
				_, err := client.Post(t.Context(), post(first, assertion))
				if diff := cmp.Diff(failed{tokenhttp.Redirect, status, false}, asFailed(t, err)); diff != "" {
					t.Errorf("Post (-want +got):\n%s", diff)
				}
				checkNoSecret(t, err, assertion)
			})
		}
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("the second host got %d requests, want 0", n)
	}
}

type following struct{ client *http.Client }

func (f following) RoundTrip(r *http.Request) (*http.Response, error) { return f.client.Do(r) }

// X05: a RoundTripper that follows redirects itself is detected.
func TestRedirectFollowedByTransport(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			http.Redirect(w, r, "/second", http.StatusFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
	}))
	defer server.Close()
	client := tokenhttp.Client{Transport: following{server.Client()}}
	// http.Client refuses requests with RequestURI only; these have no RequestURI.
	_, err := client.Post(t.Context(), post(server.URL+"/token", newAssertion()))
	if diff := cmp.Diff(failed{tokenhttp.Redirect, 200, false}, asFailed(t, err)); diff != "" {
		t.Errorf("Post (-want +got):\n%s", diff)
	}
}

// X06, X07, X08: for any answer, the error is typed, comes before the deadline,
// costs at most 1 MiB and shows nothing of the assertion.
func TestHostileAnswer(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	bomb := gzipBomb(t)
	flood := strings.Repeat("X-Flood: 0123456789\r\n", 200_000)
	mebibyte := bytes.Repeat([]byte("x"), 1<<20)
	assertion := newAssertion()
	for _, tt := range []struct {
		name  string
		serve func(c net.Conn)
		want  failed
	}{
		{"256 MiB, chunked", endless(head+"Transfer-Encoding: chunked\r\n\r\n", append([]byte("100000\r\n"), append(mebibyte, "\r\n"...)...), 256), failed{tokenhttp.TooLarge, 200, false}},
		{"256 MiB, until close", endless(head+"\r\n", mebibyte, 256), failed{tokenhttp.TooLarge, 200, false}},
		{"256 MiB, announced", answer(head + "Content-Length: 268435456\r\n\r\n{}"), failed{tokenhttp.TooLarge, 200, false}},
		{"one byte over the limit", answer(head + "\r\n" + strings.Repeat("x", 256<<10+1)), failed{tokenhttp.TooLarge, 200, false}},
		{"one byte over the limit of a refusal", answer("HTTP/1.1 400 Bad Request\r\n\r\n" + strings.Repeat("x", 64<<10+1)), failed{tokenhttp.TooLarge, 400, false}},
		{"large refusal that passes", answer("HTTP/1.1 503 Busy\r\n\r\n" + strings.Repeat("x", 64<<10+1)), failed{tokenhttp.TooLarge, 503, true}},
		{"gzip bomb", answer(head + "Content-Encoding: gzip\r\n\r\n" + bomb), failed{tokenhttp.Encoding, 200, false}},
		{"gzip bomb in a refusal", answer("HTTP/1.1 400 Bad Request\r\nContent-Encoding: gzip\r\n\r\n" + bomb), failed{tokenhttp.Encoding, 400, false}},
		{"two encodings", answer(head + "Content-Encoding: identity\r\nContent-Encoding: br\r\n\r\n{}"), failed{tokenhttp.Encoding, 200, false}},
		{"200k headers", answer(head + flood + "\r\n{}"), failed{tokenhttp.Malformed, 0, false}},
		{"one long header", answer(head + "X: " + strings.Repeat("x", 4<<20) + "\r\n\r\n{}"), failed{tokenhttp.Malformed, 0, false}},
		{"1xx for ever", endless("", bytes.Repeat([]byte("HTTP/1.1 102 Processing\r\n\r\n"), 1000), 1<<20), failed{tokenhttp.Malformed, 0, false}},
		{"wrong content type", answer("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + assertion), failed{tokenhttp.ContentType, 200, false}},
		{"no content type", answer("HTTP/1.1 200 OK\r\n\r\n{}"), failed{tokenhttp.ContentType, 200, false}},
		{"two content types", answer(head + "Content-Type: text/html\r\n\r\n{}"), failed{tokenhttp.ContentType, 200, false}},
		{"no body at all", answer("HTTP/1.1 204 No Content\r\n\r\n"), failed{tokenhttp.ContentType, 204, false}},
		{"101", answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), failed{tokenhttp.Malformed, 101, false}},
		{"status 999", answer("HTTP/1.1 999 Odd\r\n\r\n"), failed{tokenhttp.Malformed, 999, false}},
		{"reset", reset, failed{tokenhttp.Network, 0, true}},
		{"closed without an answer", answer(""), failed{tokenhttp.Network, 0, true}},
		{"half a head", answer(head[:30]), failed{tokenhttp.Network, 0, true}},
		{"half a body", answer(head + "Content-Length: 100\r\n\r\n{\"access_token\":"), failed{tokenhttp.Network, 200, true}},
		{"half a chunk", answer(head + "Transfer-Encoding: chunked\r\n\r\nff\r\n{\"access_token\":"), failed{tokenhttp.Network, 200, true}},
		{"not HTTP, echoed", answer(assertion + "\r\n\r\n"), failed{tokenhttp.Malformed, 0, false}},
		{"not a header, echoed", answer(head + assertion + "\r\n\r\n"), failed{tokenhttp.Malformed, 0, false}},
		{"not a header, echoed percent-encoded", answer(head + percent(assertion) + "\r\n\r\n"), failed{tokenhttp.Malformed, 0, false}},
		{"not a version, echoed", answer("HTTP/" + assertion + " 200 OK\r\n\r\n"), failed{tokenhttp.Malformed, 0, false}},
		{"not a status, echoed", answer("HTTP/1.1 " + assertion + "\r\n\r\n"), failed{tokenhttp.Malformed, 0, false}},
		{"not a length, echoed", answer(head + "Content-Length: " + assertion + "\r\n\r\n"), failed{tokenhttp.Malformed, 0, false}},
		{"not a coding, echoed", answer(head + "Transfer-Encoding: " + assertion + "\r\n\r\n"), failed{tokenhttp.Malformed, 0, false}},
		{"not a chunk, echoed", answer(head + "Transfer-Encoding: chunked\r\n\r\n" + assertion + "\r\n"), failed{tokenhttp.Malformed, 200, false}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := tokenhttp.Client{Timeout: 5 * time.Second}
			url := rawServer(t, tt.serve)
			start, before := time.Now(), totalAlloc()
			resp, err := client.Post(t.Context(), post(url, assertion))
			used, elapsed := totalAlloc()-before, time.Since(start)
			if resp != nil {
				t.Errorf("Post returned an answer beside %v", err)
			}
			if diff := cmp.Diff(tt.want, asFailed(t, err)); diff != "" {
				t.Errorf("Post = %v (-want +got):\n%s", err, diff)
			}
			checkNoSecret(t, err, assertion)
			if limit := client.Timeout + 250*time.Millisecond; elapsed > limit {
				t.Errorf("Post took %v, want at most %v", elapsed, limit)
			}
			if used > 1<<20 {
				t.Errorf("Post and the server allocated %d KiB, want at most 1 MiB", used>>10)
			}
		})
	}
}

// X07: Post returns when its own deadline has passed, also if the server or the
// transport hangs.
func TestTimeout(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	silent := func(c net.Conn) { io.Copy(io.Discard, c) }
	after := func(text string) func(c net.Conn) { // the request, so that it does not come unasked
		return func(c net.Conn) {
			if readRequest(c) {
				io.WriteString(c, text)
				silent(c)
			}
		}
	}
	for _, tt := range []struct {
		name   string
		scheme string
		serve  func(c net.Conn)
	}{
		{"reads nothing, answers nothing", "http", func(net.Conn) {}},
		{"answers nothing", "http", silent},
		{"half a head, then nothing", "http", after(head)},
		{"half a body, then nothing", "http", after(head + "\r\n{")},
		{"a byte of the head now and then", "http", func(c net.Conn) { readRequest(c); trickle(c, head+"X: ") }},
		{"a byte of the body now and then", "http", func(c net.Conn) { readRequest(c); trickle(c, head+"\r\n") }},
		{"a TLS handshake that never ends", "https", silent},
		{"a TLS handshake that trickles", "https", func(c net.Conn) { trickle(c, "\x16\x03\x03\x40\x00\x02\x00\x3f\xfc") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assertion := newAssertion()
			client := tokenhttp.Client{Timeout: 200 * time.Millisecond}
			url := tt.scheme + strings.TrimPrefix(rawServer(t, tt.serve), "http")
			start := time.Now()
			_, err := client.Post(t.Context(), post(url, assertion))
			if elapsed, limit := time.Since(start), client.Timeout+250*time.Millisecond; elapsed > limit {
				t.Errorf("Post took %v, want at most %v", elapsed, limit)
			}
			if diff := cmp.Diff(failed{tokenhttp.Timeout, 0, true}, asFailed(t, err)); diff != "" {
				t.Errorf("Post (-want +got):\n%s", diff)
			}
			checkNoSecret(t, err, assertion)
		})
	}
}

// gzipBomb returns 256 MiB of zeros, compressed: 256 members of RFC 1952.
func gzipBomb(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return strings.Repeat(b.String(), 256)
}

// endless writes head and then chunk n times, or until the client leaves.
func endless(head string, chunk []byte, n int) func(c net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		if !readRequest(c) {
			return
		}
		_, err := io.WriteString(c, head)
		for i := 0; i < n && err == nil; i++ {
			_, err = c.Write(chunk)
		}
	}
}

// trickle writes head and then a byte at a time, until the client leaves.
func trickle(c net.Conn, head string) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	_, err := io.WriteString(c, head)
	for err == nil {
		<-tick.C
		_, err = c.Write([]byte("x"))
	}
}

func reset(c net.Conn) {
	readRequest(c)
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

func totalAlloc() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
