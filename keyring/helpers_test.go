package keyring_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/keyring"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const issuerURL = "https://tokens.example.com"

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newWrappingKey() keyring.WrappingKey {
	key := make([]byte, 32)
	rand.Read(key)
	return must(keyring.ParseWrappingKey(base64.StdEncoding.EncodeToString(key)))
}

func newWrapper() keyring.Wrapper { return must(keyring.NewWrapper(newWrappingKey())) }

// newRing makes a ring that the test closes; what c leaves empty of the required
// fields is filled in.
func newRing(t testing.TB, c keyring.Config) *keyring.Ring {
	t.Helper()
	if c.Store == nil {
		c.Store = new(keyring.MemoryStore)
	}
	if c.Wrapper == nil && c.Provisioner == nil {
		c.Wrapper = newWrapper()
	}
	if c.Algorithms == nil {
		c.Algorithms = []string{"ES256"}
	}
	ring, err := keyring.New(t.Context(), c)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(ring.Close)
	return ring
}

func newIssuer(t testing.TB, keys oidctoken.KeySource, now func() time.Time) *oidctoken.Issuer {
	t.Helper()
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{URL: issuerURL, Keys: keys, Now: now, MaxLifetime: maxLifetime(keys)})
	if err != nil {
		t.Fatalf("NewIssuer: %v", err)
	}
	return issuer
}

func maxLifetime(keys oidctoken.KeySource) time.Duration {
	if l, ok := keys.(oidctoken.KeySourceLimits); ok {
		_, longest := l.Limits()
		return longest
	}
	return time.Hour
}

func scope(alg string, lifetime time.Duration) oidctoken.Scope {
	return oidctoken.Scope{
		Audience: "https://example.com", Account: oidctoken.Entity{ID: "acme"},
		Profile: &oidctoken.Profile{Algorithms: []string{alg}, Lifetime: lifetime},
	}
}

// mintWith mints or ends the test.
func mintWith(t testing.TB, issuer *oidctoken.Issuer, alg string) *oidctoken.Token {
	t.Helper()
	token, err := issuer.Mint(t.Context(), scope(alg, time.Hour))
	if err != nil {
		t.Fatalf("Mint: %v", err)
	}
	return token
}

// signing returns the kid that signs now.
func signing(t testing.TB, ring *keyring.Ring, now func() time.Time) string {
	t.Helper()
	return mintWith(t, newIssuer(t, ring, now), "ES256").KeyID()
}

// kids returns the keys that ring publishes.
func kids(ring *keyring.Ring) (ids []string) {
	for _, k := range must(ring.Keys(context.Background())) {
		ids = append(ids, k.ID)
	}
	return ids
}

// history is a store that records its documents with their times.
type history struct {
	keyring.MemoryStore
	mu        sync.Mutex
	documents [][]byte
	times     []time.Time
}

func (h *history) CompareAndSwap(ctx context.Context, old, replacement []byte) error {
	err := h.MemoryStore.CompareAndSwap(ctx, old, replacement)
	if err == nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.documents = append(h.documents, slices.Clone(replacement))
		h.times = append(h.times, time.Now())
	}
	return err
}

// at returns the document that the store had at that time.
func (h *history) at(when time.Time) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, t := range slices.Backward(h.times) {
		if !t.After(when) {
			return slices.Clone(h.documents[i])
		}
	}
	return nil
}

func (h *history) all() [][]byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.documents)
}

// recorder keeps the events that Audit received.
type recorder struct {
	mu     sync.Mutex
	events []keyring.Event
}

func (r *recorder) audit(_ context.Context, e keyring.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) kinds() (kinds []keyring.EventKind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

func (r *recorder) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = nil
}

// isFull reports whether the tests may take minutes.
func isFull() bool { return os.Getenv("OIDCTOKEN_TEST_FULL") != "" }
