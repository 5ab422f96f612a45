package keyring_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken/keyring"
)

// document is a stored document as others than its package may read it.
type document struct {
	Version    int
	Ring       string
	Name       string
	Generation uint64
	DataKey    string `json:"data_key"`
	Keys       []key
}

type key struct {
	Kid, Alg, Private                             string
	Created, Published, Activate, Retire, Revoked int64
}

func parse(t testing.TB, b []byte) (d document) {
	t.Helper()
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatalf("%v: %.200s", err, b)
	}
	return d
}

// fixed is a store whose document a test sets. It stores each replacement and
// counts the swaps.
type fixed struct {
	mu       sync.Mutex
	document []byte
	swaps    int
}

func (f *fixed) put(document []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.document = document
}

func (f *fixed) Load(context.Context) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.document, nil
}

func (f *fixed) CompareAndSwap(_ context.Context, _, replacement []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.swaps++
	f.document = slices.Clone(replacement)
	return nil
}

// started returns the document after a ring has started with f, and counts from 0.
func (f *fixed) started() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.swaps = 0
	return f.document
}

// damages returns damaged copies of a document, with the error for each.
func damages(b []byte) map[string]struct {
	document []byte
	want     error
} {
	replace := func(old, replacement string) []byte {
		if !bytes.Contains(b, []byte(old)) {
			panic("the document has no " + old)
		}
		return bytes.Replace(b, []byte(old), []byte(replacement), 1)
	}
	flipped := slices.Clone(b)
	i := len(flipped) - 20 // in the tag
	if flipped[i]++; b[i] == 'z' || b[i] == 'Z' || b[i] == '9' || b[i] == '/' || b[i] == '+' {
		flipped[i] = 'A'
	}
	return map[string]struct {
		document []byte
		want     error
	}{
		"empty":                  {[]byte{}, keyring.ErrCorrupt},
		"truncated by a byte":    {b[:len(b)-1], keyring.ErrCorrupt},
		"truncated to a half":    {b[:len(b)/2], keyring.ErrCorrupt},
		"with more behind it":    {append(slices.Clone(b), '\n'), keyring.ErrCorrupt},
		"rubbish":                {[]byte("<html>"), keyring.ErrCorrupt},
		"another object":         {[]byte("{}"), keyring.ErrCorrupt},
		"too large":              {bytes.Repeat([]byte(" "), 256<<10+1), keyring.ErrCorrupt},
		"a member twice":         {replace(`"max_age":`, `"max_age":60,"max_age":`), keyring.ErrCorrupt},
		"an unknown member":      {replace(`"max_age":`, `"maximum":1,"max_age":`), keyring.ErrCorrupt},
		"white space":            {replace(`"max_age":`, `"max_age": `), keyring.ErrCorrupt},
		"another generation":     {replace(`"generation":`, `"generation":9`), keyring.ErrTampered},
		"another time":           {replace(`"activate":`, `"activate":1`), keyring.ErrTampered},
		"another limit":          {replace(`"max_lifetime":3600`, `"max_lifetime":60`), keyring.ErrTampered},
		"another tag":            {flipped, keyring.ErrTampered},
		"a later version":        {replace(`"version":1`, `"version":2`), keyring.ErrNewer},
		"a later version's form": {[]byte(`{"version":7,"keys":{"no":"list"}}`), keyring.ErrNewer},
	}
}

// A document that is damaged, changed or of a later version is refused with the
// reason, at start and while the ring runs. The document stays as it is.
func TestRefusedDocument(t *testing.T) {
	wrapper := newWrapper()
	newDocument := func(t *testing.T) []byte {
		store := new(keyring.MemoryStore)
		newRing(t, keyring.Config{Store: store, Wrapper: wrapper}).Close()
		return must(store.Load(t.Context()))
	}
	for name := range damages(newDocument(t)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				original := newDocument(t)
				damage := damages(original)[name]
				testRefused(t, wrapper, original, damage.document, damage.want)
			})
		})
	}
}

func testRefused(t *testing.T, wrapper keyring.Wrapper, original, damaged []byte, want error) {
	put := &fixed{document: damaged}
	ring, err := keyring.New(t.Context(), keyring.Config{Store: put, Wrapper: wrapper, Algorithms: []string{"ES256"}})
	if ring != nil || !errors.Is(err, want) {
		t.Errorf("New: %v, want %v", err, want)
	}
	if err != nil && strings.Count(err.Error(), "keyring:") != 1 {
		t.Errorf("the error %q names the package more or less than once", err)
	}
	// A running ring answers as before.
	running := &fixed{document: original}
	var events recorder
	ring = newRing(t, keyring.Config{Store: running, Wrapper: wrapper, Audit: events.audit, PollInterval: time.Hour})
	defer ring.Close()
	keys := kids(ring)
	events.reset()
	running.started()
	running.put(damaged)
	if err := ring.Refresh(t.Context()); !errors.Is(err, want) || !errors.Is(ring.Err(), want) {
		t.Errorf("Refresh: %v, Err: %v; want %v", err, ring.Err(), want)
	}
	time.Sleep(100 * day) // it would like to change much
	if diff := cmp.Diff(keys, kids(ring)); diff != "" {
		t.Errorf("keys (-before +after):\n%s", diff)
	}
	ring.Close()
	if put.swaps+running.swaps > 0 {
		t.Error("the document was overwritten")
	}
	if diff := cmp.Diff([]keyring.EventKind{keyring.Failed, keyring.Activated}, events.kinds()); diff != "" {
		t.Errorf("Audit (-want +got):\n%s", diff)
	}
}

// A running ring refuses an earlier document, and an empty store.
func TestRollback(t *testing.T) {
	wrapper, store := newWrapper(), new(history)
	ring := newRing(t, keyring.Config{Store: store, Wrapper: wrapper})
	foreign := new(keyring.MemoryStore)
	other := newRing(t, keyring.Config{Store: foreign, Wrapper: wrapper})
	for range 3 { // its generation is later
		must(other.RotateNow(t.Context(), keyring.Rotation{Algorithm: "ES256", InsecureUnpublished: true}))
	}
	all := store.all()
	for name, old := range map[string][]byte{
		"the first document": all[0], "the last but one": all[len(all)-2],
		"none": nil, "another ring's": must(foreign.Load(t.Context())),
	} {
		t.Run(name, func(t *testing.T) {
			put := &fixed{document: all[len(all)-1]}
			ring = newRing(t, keyring.Config{Store: put, Wrapper: wrapper})
			keys, last := kids(ring), put.started()
			put.put(old)
			if err := ring.Refresh(t.Context()); !errors.Is(err, keyring.ErrOlder) {
				t.Errorf("Refresh: %v, want %v", err, keyring.ErrOlder)
			}
			if diff := cmp.Diff(keys, kids(ring)); diff != "" || put.swaps > 0 {
				t.Errorf("%d swaps; keys (-before +after):\n%s", put.swaps, diff)
			}
			put.put(last)
			if err := ring.Refresh(t.Context()); err != nil || ring.Err() != nil {
				t.Errorf("Refresh with the last document: %v", err)
			}
		})
	}
}

// A document without a tag under the wrapping key is not authentic, however
// well it is made.
func TestDowngrade(t *testing.T) {
	store := new(keyring.MemoryStore)
	newRing(t, keyring.Config{Store: store, Provisioner: newService()})
	_, err := keyring.New(t.Context(), keyring.Config{Store: store, Wrapper: newWrapper()})
	if !errors.Is(err, keyring.ErrTampered) {
		t.Errorf("New: %v, want %v", err, keyring.ErrTampered)
	}
}

// FuzzDocument gives a ring arbitrary documents. The ring refuses a document or
// uses it, and it never uses a key that is not in the original.
func FuzzDocument(f *testing.F) {
	wrapper, store := newWrapper(), new(keyring.MemoryStore)
	newRing(f, keyring.Config{Store: store, Wrapper: wrapper}).Close()
	original := must(store.Load(f.Context()))
	f.Add(original)
	for name, d := range damages(original) {
		if name != "too large" { // which would slow everything down
			f.Add(d.document)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		put := &fixed{document: b}
		ring, err := keyring.New(t.Context(), keyring.Config{Store: put, Wrapper: wrapper, Algorithms: []string{"ES256"}})
		if err == nil {
			ring.Close()
			if !bytes.Equal(b, original) {
				t.Errorf("a document was accepted that is not the original: %s", b)
			}
			return
		}
		if put.swaps > 0 && b != nil {
			t.Error("a refused document was overwritten")
		}
	})
}

// A refusal names the remedy, and the ring and the keys where that helps.
func TestRefusalsAdvise(t *testing.T) {
	one, two := newWrappingKey(), newWrappingKey()
	name := func(k keyring.WrappingKey) string {
		return strings.Trim(strings.TrimPrefix(fmt.Sprint(k), "keyring.WrappingKey"), "()")
	}
	wrapper, other := must(keyring.NewWrapper(one)), must(keyring.NewWrapper(two))
	for _, ringName := range []string{"", "tokens"} {
		document := newNamed(t, keyring.Config{Wrapper: wrapper, Name: ringName})
		d := parse(t, document)
		damage := func(what string) []byte { return damages(document)[what].document }
		another := strings.ToLower(d.Ring)
		foreign := bytes.Replace(document, []byte(d.Ring), []byte(another), 1)
		short := bytes.Replace(document, []byte(d.DataKey), []byte("AAAA"), 1)
		for what, tt := range map[string]struct {
			document []byte
			wrapper  keyring.Wrapper
			want     []string
		}{
			"a wrong tag":            {damage("another tag"), wrapper, []string{keyring.ErrTampered.Error(), "without the ring's data key", "who can write to the store", "restore"}},
			"a document cut short":   {damage("truncated by a byte"), wrapper, []string{"restore"}},
			"a later version":        {damage("a later version"), wrapper, []string{"run the version of the program"}},
			"another wrapping key":   {document, other, []string{d.Ring, ringName, "the key " + name(one) + " wrapped it", "this process has " + name(two), "give that key to NewWrapper"}},
			"other wrapping keys":    {document, must(keyring.NewWrapper(two, newWrappingKey())), []string{"this process has " + name(two) + ", "}},
			"another ring's context": {foreign, wrapper, []string{another, ringName, "the key " + name(one), "Config.Store", "Config.Name", "backup"}},
			"a data key cut short":   {short, wrapper, []string{d.Ring, "3 bytes", "restore"}},
		} {
			_, err := keyring.New(t.Context(), keyring.Config{Store: &fixed{document: tt.document}, Wrapper: tt.wrapper, Name: ringName})
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s of the ring %q: %v, want %q", what, ringName, err, want)
				}
			}
		}
	}
	// A running ring.
	store := new(history)
	newRing(t, keyring.Config{Store: store, Wrapper: wrapper})
	put := &fixed{document: store.all()[len(store.all())-1]}
	ring := newRing(t, keyring.Config{Store: put, Wrapper: wrapper})
	for _, old := range [][]byte{nil, store.all()[0]} {
		put.put(old)
		if err := ring.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "restart all replicas") {
			t.Errorf("Refresh with an older document: %v", err)
		}
	}
}

// retag gives a document the tag of a ring without a Wrapper. It needs no key.
func retag(document []byte) []byte {
	i := bytes.Index(document, []byte(`"tag":`))
	untagged := append(document[:i:i], `"tag":null}`...)
	sum := sha256.Sum256(untagged)
	return append(document[:i:i], `"tag":"`+base64.StdEncoding.EncodeToString(sum[:])+`"}`...)
}

// A forged document does not write to a terminal through an error.
func TestRefusalsArePlain(t *testing.T) {
	document := newNamed(t, keyring.Config{Wrapper: newWrapper(), Name: "tokens"})
	evil, long := string(must(json.Marshal(hostile))), strings.Repeat("x", 200<<10)
	for _, forged := range [][]byte{
		bytes.Replace(document, []byte(`"name":"tokens"`), []byte(`"name":`+evil), 1),
		bytes.Replace(document, []byte(`"name":"tokens"`), []byte(`"name":"`+long+`"`), 1),
		bytes.Replace(document, []byte(`"ring":"`), []byte(`"ring":"`+long), 1),
		bytes.Replace(document, []byte(`"ring":"`), []byte(`"ring":`+evil[:len(evil)-1]), 1),
	} {
		_, err := keyring.New(t.Context(), keyring.Config{Store: &fixed{document: forged}, Wrapper: newWrapper(), Name: "tokens"})
		if err == nil || !isPlain(err.Error()) {
			t.Errorf("New: %.2000q", fmt.Sprint(err))
		}
	}
	document = newNamed(t, keyring.Config{Provisioner: newService()})
	put := &fixed{document: retag(bytes.Replace(document, []byte(`"alg":"ES256"`), []byte(`"alg":"`+long+`"`), 1))}
	_, err := keyring.New(t.Context(), keyring.Config{Store: put, Provisioner: newService()})
	if text := fmt.Sprint(err); !errors.Is(err, keyring.ErrCorrupt) || len(text) > 1200 {
		t.Errorf("New of a document with a long algorithm: %.2000q", text)
	}
}
