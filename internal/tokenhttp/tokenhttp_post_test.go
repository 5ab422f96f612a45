package tokenhttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// X01: the request, with the secret in the body and the header only.
func TestPost(t *testing.T) {
	type sent struct {
		Method, URI, Body string
		Header            http.Header
	}
	var got sent
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("reading the request: %v", err)
		}
		got = sent{r.Method, r.RequestURI, string(body), r.Header}
		w.Header().Set("Content-Type", "Application/JSON; charset=utf-8")
		w.Header().Set("Content-Encoding", "identity")
		io.WriteString(w, `{"access_token":"x"}`)
	}))
	defer server.Close()
	own := &http.Transport{} // compresses and keeps connections, if it may
	defer own.CloseIdleConnections()
	for _, client := range []*tokenhttp.Client{{}, {Transport: own}} {
		resp, err := client.Post(t.Context(), tokenhttp.Request{
			URL: server.URL + "/v1/token?x=y", ContentType: "application/json", Body: []byte("{}"), Bearer: "b", Accept: "application/json",
		})
		if err != nil {
			t.Fatal(err)
		}
		want := sent{"POST", "/v1/token?x=y", "{}", http.Header{
			"Accept": {"application/json"}, "Accept-Encoding": {"identity"}, "Authorization": {"Bearer b"}, "Connection": {"close"},
			"Content-Length": {"2"}, "Content-Type": {"application/json"}, "User-Agent": {"oidctoken"},
		}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("request (-want +got):\n%s", diff)
		}
		if resp.Status != 200 || string(resp.Body) != `{"access_token":"x"}` || resp.RetryAfter != 0 {
			t.Errorf("Post = %d %q %v", resp.Status, resp.Body, resp.RetryAfter)
		}
	}
}

func TestPostRefusal(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "7")
		http.Error(w, "busy", http.StatusServiceUnavailable)
	}))
	defer server.Close()
	resp, err := new(tokenhttp.Client).Post(t.Context(), post(server.URL, newAssertion()))
	if err != nil {
		t.Fatal(err)
	}
	if resp.Status != 503 || string(resp.Body) != "busy\n" || resp.RetryAfter != 7*time.Second {
		t.Errorf("Post = %d %q %v, want 503, the body and 7s", resp.Status, resp.Body, resp.RetryAfter)
	}
}

// Values at the limits are accepted.
func TestPostAtLimit(t *testing.T) {
	for status, size := range map[int]int{200: 256 << 10, 400: 64 << 10} {
		url := rawServer(t, answer(fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Type: application/json\r\n\r\n%s", status, strings.Repeat("x", size))))
		resp, err := new(tokenhttp.Client).Post(t.Context(), post(url, newAssertion()))
		if err != nil {
			t.Fatal(err)
		}
		if len(resp.Body) != size {
			t.Errorf("status %d: %d bytes, want %d", status, len(resp.Body), size)
		}
	}
}

// The shared transport's limit of connections delays, and loses nothing.
func TestPostConcurrent(t *testing.T) {
	url := rawServer(t, answer("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"))
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if _, err := new(tokenhttp.Client).Post(t.Context(), post(url, newAssertion())); err != nil {
				t.Errorf("Post: %v", err)
			}
		})
	}
	wg.Wait()
}

// D06: net/http logs unexpected bytes on an idle connection. If a server sends
// the assertion there, it must not get into the host's log.
func TestUnsolicitedAnswerIsNotLogged(t *testing.T) {
	var logged bytes.Buffer
	defer log.SetOutput(log.Writer())
	log.SetOutput(&logged)
	assertion := newAssertion()
	url := rawServer(t, answer("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"+assertion))
	own := &http.Transport{}
	for _, client := range []*tokenhttp.Client{{}, {Transport: own}} {
		if _, err := client.Post(t.Context(), post(url, assertion)); err != nil {
			t.Fatal(err)
		}
	}
	own.CloseIdleConnections()
	if logged.Len() != 0 {
		t.Errorf("logged: %s", logged.String())
	}
}

// X13, X18: where secrets may be posted to.
func TestCheckURL(t *testing.T) {
	for _, tt := range []struct{ url, want string }{
		{"https://sts.googleapis.com/v1/token", ""},
		{"https://sts.googleapis.com:8443", ""},
		{"https://STS.example/v1?x=y", ""},
		{"https://10.0.0.1/", ""},
		{"https://[2001:db8::1]/", ""},
		{"http://127.0.0.1:8080/token", ""},
		{"http://127.9.8.7/", ""},
		{"http://[::1]:8080/", ""},
		{"http://localhost/", ""},
		{"http://LocalHost:1/", ""},
		{"", "the URL is not https"},
		{"sts.googleapis.com/v1/token", "the URL is not https"},
		{"ftp://127.0.0.1/", "the URL is not https"},
		{"https://", "the URL has no host"},
		{"https:sts.googleapis.com", "the URL has no host"},
		{"https://:443/", "the URL has no host"},
		{"https://user:hunter2@sts.googleapis.com/", "the URL holds user information"},
		{"http://127.0.0.1@evil.example/", "the URL holds user information"},
		{"https://sts.googleapis.com/#hunter2", "the URL has a fragment"},
		{"https://sts.googleapis.com/#", "the URL has a fragment"},
		{"https://sts.googleapis.com./", "the URL has a host that is neither a DNS name nor an address"},
		{"https://sts..googleapis.com/", "the URL has a host that is neither a DNS name nor an address"},
		{"https://st\u017f.example/", "the URL has a host that is neither a DNS name nor an address"},
		{"https://sts.googleapis.com%2eevil.example/", "the URL cannot be parsed"},
		{"https://a,b/", "the URL has a host that is neither a DNS name nor an address"},
		{"https://[fe80::1%25lo]/", "the URL has a host that is neither a DNS name nor an address"},
		{"http://sts.googleapis.com/", "the URL is plain http to a host that is not loopback"},
		{"http://localhost.evil.example/", "the URL is plain http to a host that is not loopback"},
		{"http://127.0.0.1.evil.example/", "the URL is plain http to a host that is not loopback"},
		{"http://127.1/", "the URL is plain http to a host that is not loopback"},
		{"http://2130706433/", "the URL is plain http to a host that is not loopback"},
		{"http://0.0.0.0/", "the URL is plain http to a host that is not loopback"},
		{"http://[::]/", "the URL is plain http to a host that is not loopback"},
		{"https://hunter2\x7f/", "the URL cannot be parsed"},
		{"https://sts.googleapis.com:hunter2/", "the URL cannot be parsed"},
	} {
		got := ""
		if err := tokenhttp.CheckURL(tt.url); err != nil {
			got = err.Error()
			var e *tokenhttp.Error
			if !errors.As(err, &e) || e.Kind != tokenhttp.Invalid || e.Temporary() {
				t.Errorf("CheckURL(%q) = %#v, want Kind Invalid, not temporary", tt.url, err)
			}
		}
		if got != tt.want {
			t.Errorf("CheckURL(%q) = %q, want %q", tt.url, got, tt.want)
		}
	}
}

// never is a RoundTripper that must not be called.
type never struct{ t *testing.T }

func (n never) RoundTrip(*http.Request) (*http.Response, error) {
	n.t.Error("a request was made")
	return nil, errors.New("never")
}

// X13: a bad request is refused before anything is sent.
func TestPostInvalid(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(r *tokenhttp.Request)
		want   string
	}{
		{"plain http", func(r *tokenhttp.Request) { r.URL = "http://sts.example/" }, "the URL is plain http to a host that is not loopback"},
		{"no accepted type", func(r *tokenhttp.Request) { r.Accept = "" }, "127.0.0.1: Accept or ContentType is not a media type"},
		{"header in the type", func(r *tokenhttp.Request) { r.ContentType = "text/xml\r\nX: y" }, "127.0.0.1: Accept or ContentType is not a media type"},
		{"header in the bearer", func(r *tokenhttp.Request) { r.Bearer = "hunter2\r\nX: y" }, "127.0.0.1: the bearer token is not one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := post("http://127.0.0.1/", newAssertion())
			tt.change(&r)
			client := tokenhttp.Client{Transport: never{t}}
			_, err := client.Post(t.Context(), r)
			var e *tokenhttp.Error
			if !errors.As(err, &e) || e.Kind != tokenhttp.Invalid || err.Error() != tt.want {
				t.Errorf("Post = %v, want %q", err, tt.want)
			}
		})
	}
}

type peer struct {
	net.Conn
	addr net.Addr
}

func (p peer) RemoteAddr() net.Addr { return p.addr }

// X13: the name "localhost" allows plain HTTP only where it is loopback.
func TestLocalhostElsewhere(t *testing.T) {
	loopback4, loopback6, elsewhere := net.IPv4(127, 0, 0, 1), net.IPv6loopback, net.IPv4(192, 0, 2, 1)
	for _, tt := range []struct {
		addr string
		peer net.Addr
		ok   bool
	}{
		{"localhost:80", &net.TCPAddr{IP: loopback4}, true},
		{"localhost:80", &net.TCPAddr{IP: loopback6}, true},
		{"localhost:80", &net.TCPAddr{IP: elsewhere}, false},
		{"LocalHost:80", &net.TCPAddr{IP: elsewhere}, false},
		{"localhost:80", &net.UnixAddr{}, false},
		{"sts.example:443", &net.TCPAddr{IP: elsewhere}, true},
		{"localhost", &net.TCPAddr{IP: loopback4}, false}, // no port: not an address
	} {
		if err := tokenhttp.CheckPeer(peer{addr: tt.peer}, tt.addr); (err == nil) != tt.ok {
			t.Errorf("%s at %v: %v, want ok %t", tt.addr, tt.peer, err, tt.ok)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// body blocks until released, even after the request's ctx has ended.
type body struct {
	release chan struct{}
	closed  chan struct{}
}

func (b body) Read([]byte) (int, error) {
	<-b.release
	return 0, nil // and this, for ever
}

func (b body) Close() error {
	close(b.closed)
	return nil
}

// X07: a RoundTripper or a body that ignores the request's ctx causes no delay,
// and its late result is closed.
func TestTransportIgnoresContext(t *testing.T) {
	for _, where := range []string{"in RoundTrip", "in the body"} {
		t.Run(where, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				b := body{release, make(chan struct{})}
				client := tokenhttp.Client{Timeout: 3 * time.Second, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
					if where == "in RoundTrip" {
						<-release
					}
					return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: -1, Body: b}, nil
				})}
				start := time.Now()
				_, err := client.Post(t.Context(), post("https://sts.example/", newAssertion()))
				if elapsed := time.Since(start); elapsed != client.Timeout {
					t.Errorf("Post took %v, want %v", elapsed, client.Timeout)
				}
				if diff := cmp.Diff(failed{tokenhttp.Timeout, 0, true}, asFailed(t, err)); diff != "" {
					t.Errorf("Post (-want +got):\n%s", diff)
				}
				if errors.Is(err, context.DeadlineExceeded) {
					t.Error("the caller's ctx seems to have ended, and has not")
				}
				close(release)
				<-b.closed // the bubble fails if this, or a goroutine of Post, blocks
			})
		})
	}
}

// X07: the caller's ctx ends a call, and its error is found.
func TestContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := roundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, fmt.Errorf("transport: %w", r.Context().Err())
		})
		client := tokenhttp.Client{Transport: waits}
		deadline, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		canceled, cancelNow := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancelNow)
		for _, ctx := range []context.Context{deadline, canceled} {
			_, err := client.Post(ctx, post("https://sts.example/", newAssertion()))
			if diff := cmp.Diff(failed{tokenhttp.Ended, 0, false}, asFailed(t, err)); diff != "" {
				t.Errorf("Post (-want +got):\n%s", diff)
			}
			if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
				t.Errorf("Post = %v, want %v", err, ctx.Err())
			}
		}
	})
}

// D08: requests and answers do not print.
func TestNoPrinting(t *testing.T) {
	request := post("https://sts.example/", "hunter2")
	response := tokenhttp.Response{Status: 200, Body: []byte("hunter2")}
	for _, v := range []any{request, &request, response, &response, []any{request, response}, struct{ A any }{&response}} {
		texts := []string{fmt.Sprint(v)}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			texts = append(texts, fmt.Sprintf(verb, v))
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var logged bytes.Buffer
		slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "v", v)
		texts = append(texts, string(b), logged.String())
		for _, text := range texts {
			for _, form := range []string{"hunter2", hexDigits("hunter2"), "104 117 110", "aHVudGVyMg"} {
				if strings.Contains(text, form) {
					t.Errorf("%T shows itself: %s", v, text)
				}
			}
		}
	}
	if got := fmt.Sprint(response); got != "answer 200 [REDACTED]" {
		t.Errorf("Response prints %q", got)
	}
}
