package keyring_test

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/keyring"
)

// newNamed makes a ring in an empty store and returns its document.
func newNamed(t testing.TB, c keyring.Config) []byte {
	t.Helper()
	c.Store = new(keyring.MemoryStore)
	newRing(t, c).Close()
	return must(c.Store.Load(t.Context()))
}

// A document of another ring under the same wrapping key is refused when a
// replica starts, in every store, and does not change.
func TestName(t *testing.T) {
	for kind, protected := range map[string]keyring.Config{
		"a wrapper":                   {Wrapper: newWrapper()},
		"a provisioner":               {Provisioner: newService()},
		"a wrapper and a provisioner": {Wrapper: newWrapper(), Provisioner: newService()},
	} {
		for _, tt := range []struct {
			stored, configured string
			adopt              bool
			want               error
		}{
			{"", "", false, nil},
			{"production", "production", false, nil},
			{"production", "production", true, nil},
			{"staging", "production", false, keyring.ErrOtherRing},
			{"staging", "production", true, keyring.ErrOtherRing},
			{"Production", "production", false, keyring.ErrOtherRing},
			{"production-eu", "production", false, keyring.ErrOtherRing},
			{"staging", "", false, keyring.ErrOtherRing},
			{"", "production", false, keyring.ErrOtherRing},
			{"", "production", true, nil},
		} {
			c := protected
			c.Name = tt.stored
			document := newNamed(t, c)
			file := must(keyring.NewFileStore(filepath.Join(t.TempDir(), "keyring.json")))
			for _, store := range []keyring.Store{new(keyring.MemoryStore), file} {
				if err := store.CompareAndSwap(t.Context(), nil, document); err != nil {
					t.Fatal(err)
				}
				c.Store, c.Algorithms = store, []string{"ES256"}
				c.Name, c.InsecureAdoptUnnamed = tt.configured, tt.adopt
				ring, err := keyring.New(t.Context(), c)
				if err == nil {
					ring.Close()
				}
				if !errors.Is(err, tt.want) {
					t.Errorf("%s, %T: the ring %q starts as %q: %v, want %v", kind, store, tt.stored, tt.configured, err, tt.want)
				}
				after := must(store.Load(t.Context()))
				if tt.want != nil && !bytes.Equal(after, document) {
					t.Errorf("%s, %T: the document that was refused has changed", kind, store)
				}
				if got := parse(t, after).Name; tt.want == nil && got != tt.configured {
					t.Errorf("%s, %T: the document names %q, want %q", kind, store, got, tt.configured)
				}
				if tt.want != nil && !strings.Contains(err.Error(), "Config.Name is \""+tt.configured+"\"") {
					t.Errorf("%s: the error does not say what to do: %v", kind, err)
				}
			}
		}
	}
}

func TestNameConfig(t *testing.T) {
	for name, want := range map[string]string{
		"production": "", "6_vXHzo9Qeu9fXvj-AabCQ": "", "a.b-c_d$1": "", strings.Repeat("a", 128): "",
		strings.Repeat("a", 129): "Name", "a b": "Name", "a/b": "Name", "ä": "Name", "a\n": "Name", "..": "Name",
	} {
		ring, err := keyring.New(t.Context(), keyring.Config{Store: new(keyring.MemoryStore), Wrapper: newWrapper(), Algorithms: []string{"ES256"}, Name: name})
		if err == nil {
			ring.Close()
		}
		var got *oidctoken.ConfigError
		if errors.As(err, &got); (want == "") != (err == nil) || want != "" && (got == nil || got.Field != want) {
			t.Errorf("New with the name %q: %v, want an error of %q", name, err, want)
		}
	}
	_, err := keyring.New(t.Context(), keyring.Config{Store: new(keyring.MemoryStore), Wrapper: newWrapper(), InsecureAdoptUnnamed: true})
	var got *oidctoken.ConfigError
	if !errors.As(err, &got) || got.Field != "InsecureAdoptUnnamed" {
		t.Errorf("New that adopts without a name: %v", err)
	}
}

// unnamed returns a ring that was stored before rings had names, under exampleKey.
func unnamed(t testing.TB) (keyring.Store, func() time.Time) {
	store := new(keyring.MemoryStore)
	if err := store.CompareAndSwap(t.Context(), nil, must(os.ReadFile("testdata/unnamed.json"))); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC)
	return store, func() time.Time { return now }
}

// A ring from before rings had names works without a name, and can get one
// while its replicas run.
func TestNameIsAdopted(t *testing.T) {
	store, now := unnamed(t)
	wrapper := must(keyring.NewWrapper(must(keyring.ParseWrappingKey(exampleKey))))
	c := keyring.Config{Store: store, Wrapper: wrapper, Now: now, PollInterval: time.Hour}
	running := newRing(t, c)
	want := []string{"gr5Hwx_1QUeDJuaVWuNpMQV4oFWliIAJ0U8NyEoLkIc", "6esaLS4pKegPX0K_bLBBIBt7avS3-feyrwNTQytMbEQ"}
	if diff := cmp.Diff(want, kids(running)); diff != "" {
		t.Fatalf("keys of an unnamed ring (-want +got):\n%s", diff)
	}
	if d := parse(t, must(store.Load(t.Context()))); d.Name != "" {
		t.Errorf("a ring without a name was given the name %q", d.Name)
	}
	before := parse(t, must(store.Load(t.Context())))

	var events recorder
	named := c
	named.Name, named.InsecureAdoptUnnamed, named.Audit = "tokens", true, events.audit
	first := newRing(t, named)
	if diff := cmp.Diff([]keyring.EventKind{keyring.Named, keyring.Activated}, events.kinds()); diff != "" {
		t.Errorf("Audit (-want +got):\n%s", diff)
	}
	after := parse(t, must(store.Load(t.Context())))
	if after.Name != "tokens" || after.Ring != before.Ring || after.DataKey == before.DataKey {
		t.Errorf("the document was of %q, %q and is of %q, %q; its data key is new: %v", before.Ring, before.Name, after.Ring, after.Name, after.DataKey != before.DataKey)
	}
	// A replica that runs without the name continues, and keeps the name in the
	// document.
	if err := running.Refresh(t.Context()); err != nil {
		t.Errorf("Refresh of a replica that runs without a name: %v", err)
	}
	if err := running.Revoke(t.Context(), want[1]); err != nil {
		t.Errorf("Revoke: %v", err)
	}
	if err := first.Refresh(t.Context()); err != nil || slices.Contains(kids(first), want[1]) {
		t.Errorf("Refresh after another replica revoked: %v, keys %v", err, kids(first))
	}
	if d := parse(t, must(store.Load(t.Context()))); d.Name != "tokens" {
		t.Errorf("the document lost its name to %q", d.Name)
	}
	// One that starts needs the name, and no permission to adopt.
	if _, err := keyring.New(t.Context(), c); !errors.Is(err, keyring.ErrOtherRing) {
		t.Errorf("New without the name: %v, want %v", err, keyring.ErrOtherRing)
	}
	named.InsecureAdoptUnnamed = false
	newRing(t, named)
	// It cannot be renamed by adopting it under another name.
	named.Name, named.InsecureAdoptUnnamed = "other", true
	if _, err := keyring.New(t.Context(), named); !errors.Is(err, keyring.ErrOtherRing) {
		t.Errorf("New with another name: %v, want %v", err, keyring.ErrOtherRing)
	}
}

// A running replica does not take the document of another ring that has the same
// name or no name.
func TestNameOfRunningRing(t *testing.T) {
	wrapper := newWrapper()
	for _, name := range []string{"", "tokens", "other"} {
		other := newNamed(t, keyring.Config{Wrapper: wrapper, Name: name})
		for _, configured := range []string{"", "tokens"} {
			put := &fixed{document: newNamed(t, keyring.Config{Wrapper: wrapper, Name: configured})}
			ring := newRing(t, keyring.Config{Store: put, Wrapper: wrapper, Name: configured})
			keys := kids(ring)
			put.started()
			put.put(other)
			if err := ring.Refresh(t.Context()); !errors.Is(err, keyring.ErrOtherRing) || put.swaps > 0 {
				t.Errorf("the ring %q finds the document of another ring %q: %v, want %v; %d swaps", configured, name, err, keyring.ErrOtherRing, put.swaps)
			}
			if diff := cmp.Diff(keys, kids(ring)); diff != "" {
				t.Errorf("keys (-before +after):\n%s", diff)
			}
		}
	}
}

// openWrapper is a Wrapper that remembers data keys and their contexts.
type openWrapper struct {
	keyring.Wrapper
	mu       sync.Mutex
	secrets  [][]byte
	contexts []string
}

func (w *openWrapper) Wrap(ctx context.Context, plaintext, bound []byte) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.secrets, w.contexts = append(w.secrets, slices.Clone(plaintext)), append(w.contexts, string(bound))
	return w.Wrapper.Wrap(ctx, plaintext, bound)
}

// The name is bound to the data key: the data key of one ring cannot authenticate a
// document of another ring under the same wrapping key. The context of an unnamed
// ring is the one of earlier versions.
func TestNameIsBound(t *testing.T) {
	w := &openWrapper{Wrapper: newWrapper()}
	document := newNamed(t, keyring.Config{Wrapper: w, Name: "staging"})
	forged := bytes.Replace(document, []byte(`"name":"staging"`), []byte(`"name":"production"`), 1)
	i := bytes.Index(forged, []byte(`"tag":`))
	forged = append(forged[:i:i], `"tag":null}`...)
	mac := hmac.New(sha256.New, must(hkdf.Key(sha256.New, w.secrets[0], nil, "oidctoken keyring tag", 32)))
	mac.Write(forged)
	forged = append(forged[:i:i], `"tag":"`+base64.StdEncoding.EncodeToString(mac.Sum(nil))+`"}`...)
	for name, want := range map[string]error{"production": keyring.ErrWrapper, "staging": keyring.ErrOtherRing} {
		put := &fixed{document: forged}
		if _, err := keyring.New(t.Context(), keyring.Config{Store: put, Wrapper: w.Wrapper, Name: name}); !errors.Is(err, want) || put.swaps > 0 {
			t.Errorf("New as %q of a document that another ring's replica forged: %v, want %v", name, err, want)
		}
	}
	ring := parse(t, document).Ring
	other := parse(t, newNamed(t, keyring.Config{Wrapper: w})).Ring
	if diff := cmp.Diff([]string{"oidctoken keyring " + ring + " staging", "oidctoken keyring " + other}, w.contexts); diff != "" {
		t.Errorf("contexts (-want +got):\n%s", diff)
	}
}

// A name that the wrapper keeps from being bound is bound later.
func TestNameWithoutWrapper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, wrapper := new(keyring.MemoryStore), &flakyWrapper{Wrapper: newWrapper()}
		newRing(t, keyring.Config{Store: store, Wrapper: wrapper}).Close()
		lost := &wrapless{flakyWrapper: wrapper}
		ring := newRing(t, keyring.Config{Store: store, Wrapper: lost, Name: "tokens", InsecureAdoptUnnamed: true})
		defer ring.Close()
		if err := ring.Err(); !errors.Is(err, keyring.ErrWrapper) {
			t.Errorf("Err: %v, want %v", err, keyring.ErrWrapper)
		}
		lost.works.Store(true)
		time.Sleep(2 * time.Minute)
		if err := ring.Err(); err != nil || parse(t, must(store.Load(t.Context()))).Name != "tokens" {
			t.Errorf("once the wrapper works: %v", err)
		}
	})
}

// wrapless can only unwrap until it works.
type wrapless struct {
	*flakyWrapper
	works atomic.Bool
}

func (w *wrapless) Wrap(ctx context.Context, plaintext, bound []byte) ([]byte, error) {
	if !w.works.Load() {
		return nil, errAway
	}
	return w.flakyWrapper.Wrap(ctx, plaintext, bound)
}
