//go:build unix

package keyring_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/needs"
)

// brief is a source whose JWK Set may be cached for two seconds, and which can
// change.
type brief struct {
	mu   sync.Mutex
	keys []oidctoken.Key
}

func (b *brief) Keys(context.Context) ([]oidctoken.Key, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.keys, nil
}

func (b *brief) set(keys []oidctoken.Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keys = keys
}

func (b *brief) Limits() (maxAge, maxLifetime time.Duration) { return 2 * time.Second, time.Hour }

// origin is an issuer that counts how it was asked.
type origin struct {
	issuer http.Handler
	mu     sync.Mutex
	full   int // requests answered with the document
	same   int // with 304
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	recorder := httptest.NewRecorder()
	o.issuer.ServeHTTP(recorder, r)
	o.mu.Lock()
	if recorder.Code == http.StatusNotModified {
		o.same++
	} else {
		o.full++
	}
	o.mu.Unlock()
	for name, values := range recorder.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(recorder.Code)
	w.Write(recorder.Body.Bytes())
}

func (o *origin) counts() (full, same int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.full, o.same
}

// P03: a caching proxy keeps the JWK Set for max-age and no longer, revalidates
// it by its ETag, and answers conditional requests itself (RFC 9111, sections
// 4.2 and 4.3).
func TestCachingProxy(t *testing.T) {
	nginx := needs.Program(t, "nginx", "/usr/sbin/nginx")
	source := &brief{keys: []oidctoken.Key{{ID: "first", Signer: newSigner("ES256")}}}
	o := &origin{issuer: newIssuer(t, source, nil)}
	server := httptest.NewServer(o)
	defer server.Close()
	address := startNginx(t, nginx, server.Listener.Addr().String()) + "/.well-known/jwks.json"

	status, header, body := fetch(t, address, "")
	etag := header.Get("Etag")
	if status != 200 || header.Get("Cache-Control") != "public, max-age=2" || etag == "" || !strings.Contains(body, "first") {
		t.Fatalf("the first answer: %d, %v, %s", status, header, body)
	}
	// The proxy answers for the origin. If the proxy was slow, it asks the origin
	// whether the document has changed, and nothing is transferred.
	for range 20 {
		if status, header, again := fetch(t, address, ""); status != 200 || header.Get("Etag") != etag || again != body {
			t.Fatalf("a cached answer: %d, %v, %s", status, header, again)
		}
		if status, header, again := fetch(t, address, etag); status != 304 || header.Get("Etag") != etag || again != "" {
			t.Fatalf("a conditional request: %d, %v, %s", status, header, again)
		}
	}
	if full, _ := o.counts(); full != 1 {
		t.Errorf("the origin sent the document %d times, want once", full)
	}
	// Once it is stale, it is revalidated.
	eventually(t, "the origin is asked again", func() bool {
		fetch(t, address, "")
		_, same := o.counts()
		return same > 0
	})
	// A new key arrives with the first request after max-age, under another tag.
	source.set([]oidctoken.Key{source.keys[0], {ID: "second", Signer: newSigner("ES256")}})
	eventually(t, "the new key is served", func() bool {
		status, header, body := fetch(t, address, etag)
		return status == 200 && header.Get("Etag") != etag && strings.Contains(body, "second")
	})
	if full, _ := o.counts(); full != 2 {
		t.Errorf("the origin sent the document %d times, want twice", full)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not in a minute: %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func fetch(t *testing.T, address, etag string) (int, http.Header, string) {
	t.Helper()
	r := must(http.NewRequestWithContext(t.Context(), "GET", address, nil))
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode, response.Header, string(must(io.ReadAll(response.Body)))
}

// startNginx starts a caching proxy in front of origin.
func startNginx(t *testing.T, nginx, origin string) string {
	dir := t.TempDir()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	address := listener.Addr().String()
	listener.Close()
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, `
daemon off;
master_process off;
pid %[1]s/pid;
error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	proxy_cache_path %[1]s/cache keys_zone=jwks:1m;
	server {
		listen %[2]s;
		location / {
			proxy_pass http://%[3]s;
			proxy_cache jwks;
			proxy_cache_revalidate on;
		}
	}
}
`, dir, address, origin), 0o600); err != nil {
		t.Fatal(err)
	}
	// The shell ends it with this process, too.
	cmd := exec.Command("sh", "-c", `"$@" & read -r _; kill -TERM $!; wait $!`, "sh", nginx, "-c", config, "-p", dir, "-e", "stderr")
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := input.Close(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // the test ended it
		http.DefaultClient.CloseIdleConnections()
		if t.Failed() {
			t.Logf("nginx: %.4000s", log.String())
		}
	})
	eventually(t, "nginx answers", func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
	return "http://" + address
}
