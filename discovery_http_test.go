package oidctoken_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
)

// writer is a ResponseWriter that is used again, like the writer of a server.
type writer struct {
	header http.Header
	status int
	bytes  int
}

func (w *writer) Header() http.Header { return w.header }

func (w *writer) WriteHeader(status int) { w.status = status }

func (w *writer) Write(b []byte) (int, error) { w.bytes += len(b); return len(b), nil }

func (w *writer) WriteString(s string) (int, error) { w.bytes += len(s); return len(s), nil }

func TestServeHTTPAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	issuer := newIssuer(t, oidctoken.Config{Keys: allAlgorithms()})
	for _, path := range []string{discovery, jwks} {
		etag := get(issuer, "GET", path).Header.Get("Etag")
		for _, tt := range []struct{ method, match string }{{"GET", ""}, {"HEAD", ""}, {"GET", etag}, {"GET", `"x", W/` + etag}} {
			r := httptest.NewRequest(tt.method, path, nil)
			r.Header.Set("If-None-Match", tt.match)
			w := &writer{header: http.Header{}}
			got := testing.AllocsPerRun(100, func() {
				clear(w.header)
				w.bytes, w.status = 0, 200
				issuer.ServeHTTP(w, r)
			})
			if served := w.bytes > 0; served != (tt.method == "GET" && tt.match == "") || (w.status == 304) != (tt.match != "") {
				t.Errorf("%s %s: status %d, %d bytes", tt.method, path, w.status, w.bytes)
			}
			if got != 0 {
				t.Errorf("%s %s allocates %v times, want 0", tt.method, path, got)
			}
		}
	}
}

func BenchmarkServeHTTP(b *testing.B) {
	issuer := newIssuer(b, oidctoken.Config{Keys: allAlgorithms()})
	for name, path := range map[string]string{"discovery": discovery, "jwks": jwks} {
		b.Run(name, func(b *testing.B) {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			w := &writer{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				issuer.ServeHTTP(w, r)
			}
		})
	}
}

// P03, P08
func TestDiscoveryMethods(t *testing.T) {
	for _, url := range []string{issuerURL, issuerURL + "/{account_id}"} {
		issuer := newIssuer(t, oidctoken.Config{URL: url})
		for _, path := range []string{discovery, jwks} {
			target := strings.Replace(url, "{account_id}", "acme", 1) + path
			full := get(issuer, "GET", target)
			head := get(issuer, "HEAD", target)
			if diff := cmp.Diff(full.Header, head.Header); diff != "" || full.StatusCode != 200 || head.StatusCode != 200 {
				t.Errorf("%s: %s, %s (-GET +HEAD):\n%s", target, full.Status, head.Status, diff)
			}
			text := body(t, full)
			if got := full.Header.Get("Content-Length"); got != fmt.Sprint(len(text)) || body(t, head) != "" {
				t.Errorf("%s: Content-Length is %s, the body has %d bytes", target, got, len(text))
			}
			want := http.Header{
				"Content-Type": {"application/json"}, "Cache-Control": {"public, max-age=3600"}, "X-Content-Type-Options": {"nosniff"},
				"Content-Length": full.Header["Content-Length"], "Etag": full.Header["Etag"],
			}
			if diff := cmp.Diff(want, full.Header); diff != "" {
				t.Errorf("%s (-want +got):\n%s", target, diff)
			}
			for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get", "X"} {
				response := get(issuer, method, target)
				if response.StatusCode != 405 || response.Header.Get("Allow") != "GET, HEAD" || response.Header.Get("Etag") != "" {
					t.Errorf("%s %s: %s, %v", method, target, response.Status, response.Header)
				}
			}
		}
	}
}

// P08, P10: the issuer serves only the two documents, for all forms of paths.
func TestDiscoveryPaths(t *testing.T) {
	for url, paths := range map[string][]string{
		issuerURL: {
			"/", "/.well-known", "/.well-known/", "/.well-known/x", discovery + "/", discovery + "x", jwks + "/x",
			"//.well-known/jwks.json", "/.well-known//jwks.json", "/x/.." + jwks, "/." + jwks, "/.well-known/../.well-known/jwks.json",
			"/%2e" + jwks, "/%2ewell-known/jwks.json", "/.well-known%2fjwks.json", "/.well-known/jwks%2Ejson", "/.WELL-KNOWN/jwks.json",
			"/.well-known/jwks.json%00", "/.well-known/jwks.json;x", "/x" + jwks, "/acme" + jwks,
			"/.well-known/oauth-authorization-server", "/.well-known/webfinger",
		},
		issuerURL + "/oidc": {
			jwks, discovery, "/oidc", "/oidc/", "/oidcx" + jwks, "/oidc/x" + jwks, "/oidc/oidc" + jwks, "/OIDC" + jwks,
			"/oidc/.." + jwks, "/.well-known/oauth-authorization-server/oidc",
		},
		issuerURL + "/t/{account_id}/v1": {
			jwks, "/t" + jwks, "/t//v1" + jwks, "/t/acme" + jwks, "/t/acme/v2" + jwks, "/t/acme/v1/v1" + jwks, "/t/acme/x/v1" + jwks,
			"/t/{account_id}/v1" + jwks, "/t/$a/v1" + jwks, "/t/a$b/v1" + jwks, "/t/%24a/v1" + jwks, "/t/.../x" + jwks, "/t/a~b/v1" + jwks, "/t/a:b/v1" + jwks, "/t/../v1" + jwks, "/t/./v1" + jwks,
			"/t/a%2Fb/v1" + jwks, "/t/%61cme/v1" + jwks, "/t/a%22b/v1" + jwks, "/t/%D0%B0/v1" + jwks, "/t/a%0Ab/v1" + jwks, "/t/a b/v1" + jwks,
			"/t/" + strings.Repeat("a", 129) + "/v1" + jwks,
		},
	} {
		issuer := newIssuer(t, oidctoken.Config{URL: url})
		for _, path := range paths {
			for _, method := range []string{"GET", "POST"} {
				response := get(issuer, method, "http://tokens.example.com"+strings.ReplaceAll(path, " ", "%20"))
				if response.StatusCode != 404 || body(t, response) != "not found\n" || response.Header.Get("X-Content-Type-Options") != "nosniff" {
					t.Errorf("%s %s of %s: %s", method, path, url, response.Status)
				}
			}
		}
	}
}

// A query has no effect, even if it contains a slash.
func TestDiscoveryIgnoresQuery(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	if diff := cmp.Diff(body(t, get(issuer, "GET", jwks)), body(t, get(issuer, "GET", jwks+"?kid=x/..&issuer=https://attacker.example"))); diff != "" {
		t.Errorf("JWK Set (-without +with a query):\n%s", diff)
	}
}

// P03: conditional requests, by RFC 9110, section 13.1.2.
func TestNotModified(t *testing.T) {
	for _, url := range []string{issuerURL, issuerURL + "/{account_id}"} {
		issuer := newIssuer(t, oidctoken.Config{URL: url})
		for _, path := range []string{discovery, jwks} {
			target := strings.Replace(url, "{account_id}", "acme", 1) + path
			etag := get(issuer, "GET", target).Header.Get("Etag")
			for _, tt := range []struct {
				fields []string
				want   int
			}{
				{[]string{etag}, 304},
				{[]string{"W/" + etag}, 304},
				{[]string{"*"}, 304},
				{[]string{`"x", ` + etag + `,"y"`}, 304},
				{[]string{`"x"`, "\t" + etag + " "}, 304},
				{[]string{`"x"`}, 200},
				{[]string{strings.Trim(etag, `"`)}, 200},
				{[]string{"w/" + etag}, 200},
				{[]string{""}, 200},
				{[]string{`"*"`}, 200},
			} {
				var header []string
				for _, f := range tt.fields {
					header = append(header, "If-None-Match", f)
				}
				for _, method := range []string{"GET", "HEAD"} {
					response := get(issuer, method, target, header...)
					if response.StatusCode != tt.want {
						t.Errorf("%s %s with %q: %s, want %d", method, target, tt.fields, response.Status, tt.want)
					}
					if response.Header.Get("Etag") != etag || response.Header.Get("Cache-Control") == "" {
						t.Errorf("%s %s with %q: header %v", method, target, tt.fields, response.Header)
					}
					if text := body(t, response); tt.want == 304 && (text != "" || response.Header.Get("Content-Length") != "") {
						t.Errorf("%s %s with %q: a 304 has the body %q", method, target, tt.fields, text)
					}
				}
			}
		}
	}
}

// The entity tags of two documents differ, and those of two accounts differ.
func TestEntityTags(t *testing.T) {
	tags := map[string]string{}
	now := noon
	issuer := newIssuer(t, oidctoken.Config{
		URL: issuerURL + "/{account_id}", Now: func() time.Time { return now },
		Keys: oidctoken.StaticKeys{{Signer: memory(edKey()), Expires: noon.Add(time.Hour)}, {Signer: memory(rsaKey())}},
	})
	for _, at := range []time.Time{noon, noon.Add(time.Hour)} {
		now = at
		for _, path := range []string{"/acme" + discovery, "/other" + discovery, "/acme" + jwks} {
			tag := get(issuer, "GET", path).Header.Get("Etag")
			if other, there := tags[tag]; there {
				t.Errorf("%s of %v and %s have the same tag", path, at, other)
			}
			tags[tag] = path + " of " + at.String()
		}
	}
}

// The documents may be cached until a key is removed, but at most for an hour.
func TestCacheControl(t *testing.T) {
	for left, want := range map[time.Duration]string{
		time.Nanosecond:   "public, max-age=0",
		time.Minute - 1:   "public, max-age=0",
		time.Minute:       "public, max-age=60",
		5*time.Minute - 1: "public, max-age=60",
		5 * time.Minute:   "public, max-age=300",
		10 * time.Minute:  "public, max-age=600",
		30 * time.Minute:  "public, max-age=1800",
		time.Hour - 1:     "public, max-age=1800",
		time.Hour:         "public, max-age=3600",
		1000 * time.Hour:  "public, max-age=3600",
	} {
		issuer := newIssuer(t, oidctoken.Config{Keys: oidctoken.StaticKeys{
			{Signer: memory(edKey()), Expires: noon.Add(left)}, {Signer: memory(rsaKey())},
			{Signer: memory(p256Key()), Expires: noon.Add(2000 * time.Hour)}, {Signer: memory(p384Key()), Expires: noon.Add(-time.Hour)},
		}})
		for _, path := range []string{discovery, jwks} {
			if got := get(issuer, "GET", path).Header.Get("Cache-Control"); got != want {
				t.Errorf("%s, %v before a key is removed: %q, want %q", path, left, got, want)
			}
		}
	}
}

// P08: a real server gets unusual requests from a client.
func TestDiscoveryServer(t *testing.T) {
	server := httptest.NewServer(newIssuer(t, oidctoken.Config{}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	for request, want := range map[string]string{
		"GET /.well-known/jwks.json HTTP/1.1\r\nHost: attacker.example\r\nConnection: close\r\n\r\n":                                         "200 OK",
		"GET /.well-known/jwks.json HTTP/1.0\r\n\r\n":                                                                                        "200 OK",
		"HEAD /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":                                                       "200 OK",
		"GET http://attacker.example/.well-known/jwks.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":                                 "200 OK",
		"GET /../.well-known/jwks.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":                                                     "404 Not Found",
		"GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello":                              "200 OK",
		"POST /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello":                             "405 Method Not Allowed",
		"GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\nIf-None-Match: *\r\n\r\n":                                    "304 Not Modified",
		"GET /.well-known/openid-configuration HTTP/1.1\r\nHost: attacker.example\r\nConnection: close\r\nForwarded: host=a.example\r\n\r\n": "200 OK",
	} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		method, _, _ := strings.Cut(request, " ")
		response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
		if err != nil {
			t.Fatalf("%q: %v", request, err)
		}
		text := must(io.ReadAll(response.Body))
		if response.Status != want || strings.Contains(string(text), "attacker") || response.Header.Get("Location") != "" {
			t.Errorf("%q: %s, %s; want %s", request, response.Status, text, want)
		}
	}
}
