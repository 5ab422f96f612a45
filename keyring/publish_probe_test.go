package keyring_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/keyring"
)

// documents are the public documents of an issuer, changed by a test.
type documents struct {
	discovery map[string]any
	keys      []map[string]any
}

func servedBy(t testing.TB, issuer http.Handler) (d documents) {
	t.Helper()
	get := func(path string, v any) {
		w := httptest.NewRecorder()
		issuer.ServeHTTP(w, httptest.NewRequest("GET", issuerURL+path, nil))
		if err := json.Unmarshal(w.Body.Bytes(), v); err != nil {
			t.Fatal(err)
		}
	}
	get("/.well-known/openid-configuration", &d.discovery)
	var set struct{ Keys []map[string]any }
	get("/.well-known/jwks.json", &set)
	d.keys = set.Keys
	return d
}

func (d documents) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := any(d.discovery)
	if strings.HasSuffix(r.URL.Path, "jwks.json") {
		v = map[string]any{"keys": d.keys}
	}
	w.Write(must(json.Marshal(v)))
}

// P06: a document that shows the kid and anything else that a verifier would
// stumble over does not let the key become active.
func TestProbeCompares(t *testing.T) {
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			ring := newRing(t, keyring.Config{Algorithms: []string{alg}})
			issuer := must(oidctoken.NewIssuer(oidctoken.Config{URL: issuerURL, Keys: ring, Profile: oidctoken.Profile{Algorithms: []string{alg}}}))
			kid, other := kids(ring)[0], kids(ring)[1]
			for name, tt := range map[string]struct {
				change func(d *documents, k map[string]any)
				want   string // in the error; "" for none
			}{
				"nothing":       {func(*documents, map[string]any) {}, ""},
				"a member more": {func(d *documents, k map[string]any) { k["x-more"], d.discovery["x-more"] = 1, 1 }, ""},
				"a key more": {func(d *documents, _ map[string]any) {
					d.keys = append(d.keys, map[string]any{"kty": "new", "kid": "x"})
				}, ""},
				"the key of another":  {func(d *documents, k map[string]any) { replaceKey(k, find(d.keys, other)) }, "has another public key under the kid"},
				"its material cut":    {func(_ *documents, k map[string]any) { k[material(k)] = k[material(k)].(string)[:8] }, "has a"},
				"no material":         {func(_ *documents, k map[string]any) { delete(k, material(k)) }, "has a key " + kid + " that is not valid"},
				"a private member":    {func(_ *documents, k map[string]any) { k["d"] = "AQAB" }, "has a key " + kid + " that is not"},
				"kty":                 {func(_ *documents, k map[string]any) { k["kty"] = "oct" }, "has a key " + kid + " that is not valid"},
				"no kty":              {func(_ *documents, k map[string]any) { delete(k, "kty") }, "has a key " + kid + " that is not valid"},
				"alg of another type": {func(_ *documents, k map[string]any) { k["alg"] = "HS256" }, `has the alg "HS256"`},
				"alg of another size": {func(_ *documents, k map[string]any) {
					k["alg"] = map[string]string{"ES256": "ES384", "RS256": "RS512", "EdDSA": "ES512"}[alg]
				}, "has the alg"},
				"alg of another size, listed": {func(d *documents, k map[string]any) {
					k["alg"] = map[string]string{"ES256": "ES384", "RS256": "ES256", "EdDSA": "ES512"}[alg]
					d.discovery["id_token_signing_alg_values_supported"] = []any{k["alg"]}
				}, ", which is a "},
				"alg in lower case": {func(_ *documents, k map[string]any) { k["alg"] = strings.ToLower(alg) }, "has the alg"},
				"no alg":            {func(_ *documents, k map[string]any) { delete(k, "alg") }, `has the alg ""`},
				"alg under Alg":     {func(_ *documents, k map[string]any) { k["Alg"] = k["alg"]; delete(k, "alg") }, `has the alg ""`},
				"alg not listed": {func(d *documents, _ map[string]any) {
					d.discovery["id_token_signing_alg_values_supported"] = []string{"PS256"}
				}, `lists ["PS256"]`},
				"no list of algs":      {func(d *documents, _ map[string]any) { delete(d.discovery, "id_token_signing_alg_values_supported") }, "lists []"},
				"use":                  {func(_ *documents, k map[string]any) { k["use"] = "enc" }, `has the use "enc"`},
				"use in upper case":    {func(_ *documents, k map[string]any) { k["use"] = "SIG" }, `has the use "SIG"`},
				"no use":               {func(_ *documents, k map[string]any) { delete(k, "use") }, `has the use ""`},
				"the kid twice":        {func(d *documents, k map[string]any) { d.keys = append(d.keys, k) }, "has 2 keys with the kid"},
				"kid under Kid":        {func(_ *documents, k map[string]any) { k["Kid"] = k["kid"]; delete(k, "kid") }, "does not have the key"},
				"kid in another case":  {func(_ *documents, k map[string]any) { k["kid"] = strings.ToUpper(kid) }, "does not have the key"},
				"issuer":               {func(d *documents, _ map[string]any) { d.discovery["issuer"] = "https://other.example.com" }, "is of the issuer"},
				"issuer with a slash":  {func(d *documents, _ map[string]any) { d.discovery["issuer"] = issuerURL + "/" }, "is of the issuer"},
				"issuer is a list":     {func(d *documents, _ map[string]any) { d.discovery["issuer"] = []string{issuerURL} }, "is of the issuer"},
				"issuer under Issuer":  {func(d *documents, _ map[string]any) { d.discovery["Issuer"] = issuerURL; delete(d.discovery, "issuer") }, `is of the issuer ""`},
				"issuer in both cases": {func(d *documents, _ map[string]any) { d.discovery["Issuer"] = issuerURL }, "a member twice"},
				"http": {func(d *documents, _ map[string]any) {
					d.discovery["jwks_uri"] = "http://tokens.example.com/.well-known/jwks.json"
				}, "plain http"},
				"HTTP": {func(d *documents, _ map[string]any) {
					d.discovery["jwks_uri"] = "HTTP://tokens.example.com/.well-known/jwks.json"
				}, "plain http"},
				"HTTPS": {func(d *documents, _ map[string]any) {
					d.discovery["jwks_uri"] = "HTTPS://tokens.example.com/.well-known/jwks.json"
				}, ""},
				"http to this machine": {func(d *documents, _ map[string]any) {
					d.discovery["jwks_uri"] = "http://127.0.0.1/.well-known/jwks.json"
				}, "is not https"},
				"another scheme": {func(d *documents, _ map[string]any) { d.discovery["jwks_uri"] = "file:///.well-known/jwks.json" }, "is not https"},
				"user information": {func(d *documents, _ map[string]any) {
					d.discovery["jwks_uri"] = "https://u:p@tokens.example.com/.well-known/jwks.json"
				}, "user information"},
				"no jwks_uri": {func(d *documents, _ map[string]any) { delete(d.discovery, "jwks_uri") }, "jwks_uri"},
				"another https host": {func(d *documents, _ map[string]any) {
					d.discovery["jwks_uri"] = "https://keys.example.com/.well-known/jwks.json"
				}, ""},
			} {
				t.Run(name, func(t *testing.T) {
					d := servedBy(t, issuer)
					tt.change(&d, find(d.keys, kid))
					err := keyring.Probe{Issuer: issuerURL, Transport: handlerTransport{d}}.Check(t.Context(), kid)
					if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
						t.Errorf("Check: %v, want %q", err, tt.want)
					}
				})
			}
		})
	}
}

func find(keys []map[string]any, kid string) map[string]any {
	for _, k := range keys {
		if k["kid"] == kid {
			return k
		}
	}
	return nil
}

// material returns the name of the JWK member that makes the key.
func material(k map[string]any) string {
	if k["kty"] == "RSA" {
		return "n"
	}
	return "x"
}

func replaceKey(k, by map[string]any) {
	for name, v := range by {
		if name != "kid" {
			k[name] = v
		}
	}
}

// An address that is not https is refused before anything is sent, except on
// this machine.
func TestProbeIssuer(t *testing.T) {
	for issuer, want := range map[string]string{
		"":                           "Probe.Issuer",
		"http://ci.example.com":      "plain http",
		"https://u:p@ci.example.com": "user information",
		"https://ci.example.com#x":   "fragment",
		"http://127.0.0.1.example":   "plain http",
	} {
		var asked bool
		refuse := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true })
		err := keyring.Probe{Issuer: issuer, Transport: handlerTransport{refuse}}.Check(t.Context(), "kid")
		if err == nil || !strings.Contains(err.Error(), want) || asked {
			t.Errorf("Check of %q: %v, asked %v; want %q", issuer, err, asked, want)
		}
	}
	// An issuer on loopback may use http, as in a test.
	ring := newRing(t, keyring.Config{})
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()
	mux.Handle("/", must(oidctoken.NewIssuer(oidctoken.Config{URL: server.URL, Keys: ring, Profile: oidctoken.Profile{Algorithms: []string{"ES256"}}})))
	if err := (keyring.Probe{Issuer: server.URL}).Check(t.Context(), kids(ring)[0]); err != nil {
		t.Errorf("Check on loopback: %v", err)
	}
}

// isPlain reports whether an error's text is one printable line of at most 1
// KiB.
func isPlain(text string) bool {
	return len(text) <= 1<<10 && utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

const hostile = "\x1b[2J\x1b]0;title\a\r\n\x00\u202e\u2028\x7f\xff"

// X06: for any answer, the error's text is short and has no control characters,
// and the error wraps its cause.
func TestProbeErrors(t *testing.T) {
	long := strings.Repeat(hostile, 3<<20/len(hostile))
	kid := strings.Repeat("k", 43)
	discovery := func(issuer, jwks string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			json.NewEncoder(w).Encode(map[string]any{"issuer": issuer, "jwks_uri": jwks, "id_token_signing_alg_values_supported": []string{hostile}})
		}
	}
	set := func(keys string) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/.well-known/openid-configuration", discovery(issuerURL, issuerURL+"/.well-known/jwks.json"))
		mux.HandleFunc("/.well-known/jwks.json", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, keys) })
		return mux
	}
	short := long[:100<<10] // fits into a document
	text := string(must(json.Marshal(short)))
	for name, transport := range map[string]http.RoundTripper{
		"an error":          failing{errors.New(long)},
		"a status":          raw("HTTP/1.1 500 " + short[:3000] + "\r\n\r\n"),
		"a status line":     raw(long),
		"a header":          raw("HTTP/1.1 200 OK\r\n" + short[:3000]),
		"a body":            handlerTransport{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, long) })},
		"an issuer":         handlerTransport{discovery(short, "")},
		"an address":        handlerTransport{discovery(issuerURL, "https://tokens.example.com/"+short)},
		"an address's host": handlerTransport{discovery(issuerURL, "https://"+short)},
		"a long address":    handlerTransport{discovery(issuerURL, "https://tokens.example.com/"+strings.Repeat("a", 100<<10))},
		"a name":            handlerTransport{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "{%s:1}", text) })},
		"a kid":             handlerTransport{set(`{"keys":[{"kid":` + text + `}]}`)},
		"a kty":             handlerTransport{set(`{"keys":[{"kid":"` + kid + `","kty":` + text + `}]}`)},
		"a curve":           handlerTransport{set(`{"keys":[{"kid":"` + kid + `","kty":"EC","crv":` + text + `}]}`)},
		"a use":             handlerTransport{set(rfcKey(`"use":` + text))},
		"an alg":            handlerTransport{set(rfcKey(`"use":"sig","alg":` + text))},
		"algs":              handlerTransport{set(rfcKey(`"use":"sig","alg":"EdDSA"`))},
	} {
		t.Run(name, func(t *testing.T) {
			for _, id := range []string{kid, rfcThumbprint} {
				if err := (keyring.Probe{Issuer: issuerURL, Transport: transport}).Check(t.Context(), id); err == nil || !isPlain(err.Error()) {
					t.Errorf("Check: %d bytes, %.2000q", len(fmt.Sprint(err)), fmt.Sprint(err))
				}
			}
		})
	}
	// The caller's own words, too.
	for _, p := range []keyring.Probe{{Issuer: "https://" + long}, {Issuer: issuerURL, Transport: handlerTransport{set(`{"keys":[]}`)}}} {
		if err := p.Check(t.Context(), long); err == nil || !isPlain(err.Error()) {
			t.Errorf("Check: %.2000q", fmt.Sprint(err))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (keyring.Probe{Issuer: issuerURL, Transport: failing{context.Canceled}}).Check(ctx, kid); !errors.Is(err, context.Canceled) {
		t.Errorf("Check with a context that has ended: %v", err)
	}
	// A document of exactly the limit is read.
	full := `{"keys":[]}`
	for n, want := range map[int]string{256 << 10: "does not have the key", 256<<10 + 1: "more than"} {
		err := keyring.Probe{Issuer: issuerURL, Transport: handlerTransport{set(full + strings.Repeat(" ", n-len(full)))}}.Check(t.Context(), kid)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Check of %d bytes: %v, want %q", n, err, want)
		}
	}
}

// The key of RFC 8037, appendix A.2, and its thumbprint of A.3.
const rfcThumbprint = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"

func rfcKey(more string) string {
	return `{"keys":[{"kid":"` + rfcThumbprint + `","kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",` + more + `}]}`
}

type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

// raw is a server that answers with these bytes.
type raw string

func (a raw) RoundTrip(r *http.Request) (*http.Response, error) {
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		if _, err := http.ReadRequest(bufio.NewReader(server)); err == nil {
			_, _ = io.WriteString(server, string(a)) // the client may have left
		}
	}()
	transport := &http.Transport{
		DialTLSContext:    func(context.Context, string, string) (net.Conn, error) { return client, nil },
		DisableKeepAlives: true,
	}
	return transport.RoundTrip(r)
}

// X06: the texts and documents of an issuer are bounded where PublicDocuments reads
// them.
func TestPublicDocumentsErrors(t *testing.T) {
	serve := func(status int, body []byte) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "public, max-age=60")
			w.WriteHeader(status)
			for part := range slices.Chunk(body, 1000) {
				w.Write(part)
			}
		})
	}
	long := bytes.Repeat([]byte(hostile), 3<<20/len(hostile))
	for name, h := range map[string]http.Handler{
		"a refusal":         serve(500, long),
		"a document":        serve(200, long),
		"one byte too many": serve(200, make([]byte, 256<<10+1)),
		"a header": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "public, max-age="+string(long))
		}),
	} {
		dir := t.TempDir()
		_, err := keyring.PublicDocuments(t.Context(), h, issuerURL, dir)
		if err == nil || !isPlain(err.Error()) {
			t.Errorf("%s: %.2000q", name, fmt.Sprint(err))
		}
	}
	if _, err := keyring.PublicDocuments(t.Context(), serve(200, make([]byte, 256<<10)), issuerURL, t.TempDir()); err != nil {
		t.Errorf("a document of 256 KiB: %v", err)
	}
}

// PublicDocuments keeps no bytes beyond its limit.
func TestPublicDocumentsMemory(t *testing.T) {
	part := make([]byte, 1<<20)
	endless := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 64 {
			w.Write(part)
		}
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := keyring.PublicDocuments(t.Context(), endless, issuerURL, t.TempDir())
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; err == nil || n > 4<<20 {
		t.Errorf("an answer of 64 MiB took %d bytes: %v", n, err)
	}
}

// FuzzProbe gives a Probe what an address may serve: no answer but the key's own
// is accepted, and no error is long.
func FuzzProbe(f *testing.F) {
	good := rfcKey(`"use":"sig","alg":"EdDSA"`)
	f.Add([]byte(`{"issuer":"`+issuerURL+`","jwks_uri":"`+issuerURL+`/.well-known/jwks.json","id_token_signing_alg_values_supported":["EdDSA"]}`), []byte(good))
	f.Add([]byte(`{}`), []byte(`{"keys":[{}]}`))
	f.Fuzz(func(t *testing.T, discovery, set []byte) {
		mux := http.NewServeMux()
		mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) { w.Write(discovery) })
		mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.Write(set) })
		err := keyring.Probe{Issuer: issuerURL, Transport: handlerTransport{mux}}.Check(t.Context(), rfcThumbprint)
		if err == nil && (!bytes.Contains(discovery, []byte("tokens.example.com")) || !json.Valid(set)) {
			t.Errorf("Check accepts %q, %q", discovery, set)
		}
		if err != nil && !isPlain(err.Error()) {
			t.Errorf("Check: %.2000q", err)
		}
	})
}

// The error of a host's own Published is bounded where the ring keeps it.
func TestPublishedErrors(t *testing.T) {
	ring := newRing(t, keyring.Config{Published: func(context.Context, string) error {
		return fmt.Errorf("%w: %s", errAway, strings.Repeat(hostile, 100<<10))
	}})
	err := ring.Err()
	if text := fmt.Sprint(err); !errors.Is(err, keyring.ErrNotPublished) || !errors.Is(err, errAway) || len(text) > 1200 || strings.Contains(text, "\x1b") {
		t.Errorf("Err: %.2000q", text)
	}
}
