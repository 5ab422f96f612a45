package keyring_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/keyring"
)

// exampleKey replaces a key that is stored outside the program.
var exampleKey = base64.StdEncoding.EncodeToString([]byte("an example of a key of 32 bytes."))

func exampleRing(c keyring.Config) *keyring.Ring {
	wrapper := must(keyring.NewWrapper(must(keyring.ParseWrappingKey(exampleKey))))
	c.Wrapper = wrapper
	if c.Store == nil {
		c.Store = new(keyring.MemoryStore)
	}
	return must(keyring.New(context.Background(), c))
}

// A platform on one machine: the ring is in a file, and its private keys are
// encrypted with a key from the environment.
func Example() {
	dir := must(os.MkdirTemp("", "example"))
	defer os.RemoveAll(dir)
	os.Setenv("CI_WRAPPING_KEY", exampleKey) // the platform sets it when it starts the program

	key, err := keyring.ParseWrappingKey(os.Getenv("CI_WRAPPING_KEY"))
	check(err)
	wrapper, err := keyring.NewWrapper(key)
	check(err)
	store, err := keyring.NewFileStore(filepath.Join(dir, "keyring.json"))
	check(err)
	ring, err := keyring.New(context.Background(), keyring.Config{Store: store, Wrapper: wrapper})
	check(err)
	defer ring.Close()
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{URL: "https://ci.example.com/oidc", Keys: ring})
	check(err)
	http.NewServeMux().Handle("/oidc/", issuer)

	token, err := issuer.Mint(context.Background(), oidctoken.Scope{
		Audience: "https://vault.example.com",
		Account:  oidctoken.Entity{ID: "acme"},
		Pipeline: &oidctoken.Pipeline{ID: "release"},
	})
	check(err)
	fmt.Println(len(kids(ring)), "keys are published, and one of them signed:", len(token.KeyID()) == 43)
	// Output: 4 keys are published, and one of them signed: true
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func ExampleNew() {
	_, err := keyring.New(context.Background(), keyring.Config{Store: new(keyring.MemoryStore)})
	fmt.Println(err)
	// Output: keyring: Wrapper is required, unless there is a Provisioner
}

func ExampleNewFileStore() {
	dir := must(os.MkdirTemp("", "example"))
	defer os.RemoveAll(dir)
	store, err := keyring.NewFileStore(filepath.Join(dir, "keyring.json"))
	check(err)
	document, err := store.Load(context.Background())
	fmt.Println(document == nil, err)
	// Output: true <nil>
}

func ExampleParseWrappingKey() {
	_, err := keyring.ParseWrappingKey("c2hvcnQ=")
	fmt.Println(err)
	// Output: keyring: wrapping key: it is not 32 bytes in base64
}

func ExampleReadWrappingKey() {
	dir := must(os.MkdirTemp("", "example"))
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "key")
	check(os.WriteFile(path, []byte(exampleKey), 0o600))
	key, err := keyring.ReadWrappingKey(path)
	check(err)
	fmt.Println(key)
	// Output: keyring.WrappingKey(624fc146fece8734)
}

// To replace the wrapping key, give the new key and the old one: the wrapper
// encrypts with the new key and still decrypts with the old one.
func ExampleNewWrapper() {
	ctx := context.Background()
	old := must(keyring.ParseWrappingKey(exampleKey))
	key := must(keyring.ParseWrappingKey(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))))
	wrapped := must(must(keyring.NewWrapper(old)).Wrap(ctx, []byte("a data key"), []byte("ring")))

	wrapper, err := keyring.NewWrapper(key, old)
	check(err)
	plaintext, err := wrapper.Unwrap(ctx, wrapped, []byte("ring"))
	fmt.Printf("%s %v\n", plaintext, err)
	// Output: a data key <nil>
}

func ExampleRing_Revoke() {
	ring := exampleRing(keyring.Config{Algorithms: []string{"ES256"}})
	defer ring.Close()
	var tokens []string // that were minted and are still around
	stop := ring.Subscribe(func(kid string) { tokens = nil })
	defer stop()

	issuer := must(oidctoken.NewIssuer(oidctoken.Config{URL: "https://ci.example.com", Keys: ring, Profile: oidctoken.Profile{Algorithms: []string{"ES256"}}}))
	token := must(issuer.Mint(context.Background(), oidctoken.Scope{Audience: "a", Account: oidctoken.Entity{ID: "acme"}}))
	tokens = append(tokens, token.JWT())

	check(ring.Revoke(context.Background(), token.KeyID()))
	next := must(issuer.Mint(context.Background(), oidctoken.Scope{Audience: "a", Account: oidctoken.Entity{ID: "acme"}}))
	fmt.Println(len(tokens), next.KeyID() == token.KeyID())
	// Output: 0 false
}

func ExampleRing_Subscribe() {
	ring := exampleRing(keyring.Config{Algorithms: []string{"ES256"}})
	defer ring.Close()
	stop := ring.Subscribe(func(kid string) { fmt.Println("drop what this key has signed") })
	check(ring.Revoke(context.Background(), kids(ring)[0]))
	stop()
	check(ring.Revoke(context.Background(), kids(ring)[0]))
	// Output: drop what this key has signed
}

func ExampleRing_RotateNow() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ring := exampleRing(keyring.Config{Algorithms: []string{"ES256"}, Now: func() time.Time { return now }})
	defer ring.Close()
	at, err := ring.RotateNow(context.Background(), keyring.Rotation{Algorithm: "ES256"})
	fmt.Println(at, err) // verifiers do not have the next key before
	// Output: 2026-03-02 13:00:00 +0000 UTC <nil>
}

func ExampleRing_Keys() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ring := exampleRing(keyring.Config{Algorithms: []string{"ES256"}, Now: func() time.Time { return now }})
	defer ring.Close()
	keys, err := ring.Keys(context.Background())
	check(err)
	for _, k := range keys {
		fmt.Println(k.Algorithm, k.NotBefore.Format(time.DateOnly), k.NotAfter.Format(time.DateOnly), k.Expires.Format(time.DateOnly))
	}
	// Output:
	// ES256 2026-03-01 2026-03-31 2026-03-31
	// ES256 2026-03-31 2026-04-30 2026-04-30
}

func ExampleRing_Refresh() {
	store := new(keyring.MemoryStore)
	one, other := exampleRing(keyring.Config{Store: store, Algorithms: []string{"ES256"}}), exampleRing(keyring.Config{Store: store, Algorithms: []string{"ES256"}})
	defer one.Close()
	defer other.Close()
	kid := kids(one)[0]
	check(one.Revoke(context.Background(), kid))
	check(other.Refresh(context.Background())) // rather than wait for the next poll
	fmt.Println(kids(one)[0] == kids(other)[0], kids(other)[0] == kid)
	// Output: true false
}

// An alert distinguishes an outage, which may pass, from a fault that an operator
// must repair.
func ExampleRing_Err() {
	ring := exampleRing(keyring.Config{Algorithms: []string{"ES256"}})
	defer ring.Close()
	switch err := ring.Err(); {
	case err == nil:
		fmt.Println("nothing fails")
	case errors.Is(err, keyring.ErrStore):
		fmt.Println("warning:", err)
	default:
		fmt.Println("critical:", err)
	}
	// Output: nothing fails
}

// A readiness check keeps a replica in service while it can sign, also while its
// store is away.
func ExampleRing_Status() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	store := &flaky{Store: new(keyring.MemoryStore)}
	ring := exampleRing(keyring.Config{Store: store, Algorithms: []string{"ES256"}, Now: func() time.Time { return now }})
	defer ring.Close()
	ready := func(w http.ResponseWriter, _ *http.Request) {
		if !now.Before(ring.Status().SignsUntil) { // time.Now(), elsewhere
			http.Error(w, "no key can sign", http.StatusServiceUnavailable)
		}
	}
	status := ring.Status()
	for _, k := range status.Keys {
		fmt.Println(k.Algorithm, k.State, "->", k.Next, k.NextAt.Format(time.DateOnly))
	}
	store.set(true) // the store is away
	for _, days := range []int{1, 40, 59, 60} {
		now = status.LastPoll.AddDate(0, 0, days)
		_ = ring.Refresh(context.Background())
		w := httptest.NewRecorder()
		ready(w, httptest.NewRequest("GET", "/readyz", nil))
		fmt.Println("day", days, w.Code, ring.Status().Err)
	}
	// Output:
	// ES256 active -> retired 2026-03-31
	// ES256 published -> active 2026-03-31
	// day 1 200 the store is not available: it is away
	// day 40 200 the store is not available: it is away
	// day 59 200 the store is not available: it is away
	// day 60 503 the store is not available: it is away
}

func ExampleRing_Limits() {
	ring := exampleRing(keyring.Config{Algorithms: []string{"ES256"}, MaxAge: 10 * time.Minute})
	defer ring.Close()
	fmt.Println(ring.Limits())
	// Output: 10m0s 1h0m0s
}

// Static files for a bucket, and a key that waits until they have arrived.
func ExamplePublicDocuments() {
	dir := must(os.MkdirTemp("", "example"))
	defer os.RemoveAll(dir)
	const identifier = "https://storage.example.com/ci"
	ring := exampleRing(keyring.Config{Algorithms: []string{"ES256"}, Published: keyring.Probe{
		Issuer:    identifier,
		Transport: http.NewFileTransport(bucket(dir)), // the network, elsewhere
	}.Check})
	defer ring.Close()
	issuer := must(oidctoken.NewIssuer(oidctoken.Config{URL: identifier, Keys: ring}))
	fmt.Println("waits:", ring.Err() != nil)

	maxAge, err := keyring.PublicDocuments(context.Background(), issuer, identifier, dir)
	check(err)
	check(ring.Refresh(context.Background()))
	fmt.Println("Cache-Control: max-age =", maxAge)
	fmt.Println("waits:", ring.Err() != nil)
	// Output:
	// waits: true
	// Cache-Control: max-age = 1h0m0s
	// waits: false
}

// bucket serves a directory below /ci.
func bucket(dir string) http.FileSystem { return below{http.Dir(dir)} }

type below struct{ http.FileSystem }

func (b below) Open(name string) (http.File, error) {
	return b.FileSystem.Open(strings.TrimPrefix(name, "/ci"))
}

func ExampleProbe_Check() {
	ring := exampleRing(keyring.Config{Algorithms: []string{"ES256"}})
	defer ring.Close()
	issuer := must(oidctoken.NewIssuer(oidctoken.Config{URL: "https://ci.example.com", Keys: ring}))
	probe := keyring.Probe{Issuer: "https://ci.example.com", Transport: handlerTransport{issuer}}
	fmt.Println(probe.Check(context.Background(), kids(ring)[0]))
	fmt.Println(probe.Check(context.Background(), "other"))
	// Output:
	// <nil>
	// keyring: probe: https://ci.example.com/.well-known/jwks.json does not have the key other
}

// To move to another issuer identifier, run two issuers on one ring. Both are
// served while each cloud is changed, and a pipeline gets its tokens from the
// issuer that its cloud trusts.
func Example_migration() {
	ring := exampleRing(keyring.Config{Algorithms: []string{"ES256"}})
	defer ring.Close()
	profile := oidctoken.Profile{Algorithms: []string{"ES256"}}
	from := must(oidctoken.NewIssuer(oidctoken.Config{URL: "https://ci.example.com", Keys: ring, Profile: profile}))
	to := must(oidctoken.NewIssuer(oidctoken.Config{URL: "https://tokens.example.com/ci", Keys: ring, Profile: profile}))

	mux := http.NewServeMux()
	mux.Handle("ci.example.com/", from)
	mux.Handle("tokens.example.com/ci/", to)
	mux.Handle("ci.example.com/api/", http.NotFoundHandler()) // other handlers of the host

	for _, identifier := range []string{"https://ci.example.com", "https://tokens.example.com/ci"} {
		fmt.Println(keyring.Probe{Issuer: identifier, Transport: handlerTransport{mux}}.Check(context.Background(), kids(ring)[0]))
	}
	hasMoved := map[string]bool{"vault.example.com": true} // the relying parties that trust the new one
	for _, audience := range []string{"vault.example.com", "sts.example.com"} {
		issuer := from
		if hasMoved[audience] {
			issuer = to
		}
		claims := must(issuer.Preview(context.Background(), oidctoken.Scope{Audience: audience, Account: oidctoken.Entity{ID: "acme"}}))
		iss, _ := claims.Get("iss")
		fmt.Println(audience, iss)
	}
	// Output:
	// <nil>
	// <nil>
	// vault.example.com https://tokens.example.com/ci
	// sts.example.com https://ci.example.com
}
