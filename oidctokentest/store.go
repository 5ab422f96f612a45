package oidctokentest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/oidctoken/oidctoken/keyring"
)

// TestStore tests whether a Store keeps the contract of [keyring.Store], in
// subtests of t, and names each defect.
//
// newStore is called once per subtest and returns a store that is empty. Called
// with the same t again, it returns another Store of the same content, as
// another process would have it; a store that lives in one process returns the
// same again. Run it with -race.
func TestStore(t *testing.T, newStore func(t *testing.T) keyring.Store) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(storeTest)
	}{
		{"Empty", storeTest.empty},
		{"Swap", storeTest.swap},
		{"Conflict", storeTest.conflict},
		{"Bytes", storeTest.bytes},
		{"Ownership", storeTest.ownership},
		{"Concurrency", storeTest.concurrency},
		{"Context", storeTest.context},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(storeTest{t, newStore(t), newStore(t)}) })
	}
}

type storeTest struct {
	*testing.T
	store, other keyring.Store // of one content
}

// load requires the document to be want.
func (s storeTest) load(from keyring.Store, want []byte) {
	s.Helper()
	got, err := from.Load(s.Context())
	switch {
	case err != nil:
		s.Fatalf("Load: %v", err)
	case got == nil && want != nil:
		s.Fatalf("Load returned nil, want %d bytes", len(want))
	case got != nil && want == nil:
		s.Fatalf("Load returned %d bytes that are not nil, although nothing has been stored", len(got))
	case !bytes.Equal(got, want):
		s.Fatalf("Load returned %s, want %s", abridged(got), abridged(want))
	}
}

func abridged(b []byte) string { return fmt.Sprintf("%d bytes %.64q", len(b), b) }

func (s storeTest) succeeds(in keyring.Store, old, replacement []byte) {
	s.Helper()
	if err := in.CompareAndSwap(s.Context(), old, replacement); err != nil {
		s.Fatalf("CompareAndSwap from %s: %v", abridged(old), err)
	}
}

func (s storeTest) conflicts(in keyring.Store, old, replacement []byte) {
	s.Helper()
	if err := in.CompareAndSwap(s.Context(), old, replacement); !errors.Is(err, keyring.ErrConflict) {
		s.Fatalf("CompareAndSwap from %s, which is not what is stored: %v, want an error that is ErrConflict", abridged(old), err)
	}
}

func (s storeTest) empty() {
	s.load(s.store, nil)
	s.conflicts(s.store, []byte("a"), []byte("b"))
	s.conflicts(s.store, []byte{}, []byte("b"))
	s.load(s.store, nil)
	s.load(s.other, nil)
}

func (s storeTest) swap() {
	var before []byte
	for i := range 4 {
		after := []byte("document " + strconv.Itoa(i))
		in, other := s.store, s.other
		if i%2 == 1 {
			in, other = other, in
		}
		s.succeeds(in, before, after)
		s.load(in, after)
		s.load(other, after)
		before = after
	}
}

func (s storeTest) conflict() {
	s.succeeds(s.store, nil, []byte("first"))
	for name, old := range map[string][]byte{
		"nothing": nil, "no bytes": {}, "a beginning": []byte("firs"), "more": []byte("first "), "other case": []byte("First"), "other bytes": []byte("other"),
	} {
		s.Run(name, func(t *testing.T) {
			inner := storeTest{t, s.store, s.other}
			inner.conflicts(s.store, old, []byte("second"))
			inner.conflicts(s.other, old, []byte("second"))
			inner.load(s.store, []byte("first"))
		})
	}
	s.succeeds(s.other, []byte("first"), []byte("second"))
	s.conflicts(s.store, []byte("first"), []byte("third"))
	s.load(s.store, []byte("second"))
}

// bytes stores values that a database may convert as text, or cut.
func (s storeTest) bytes() {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	var before []byte
	for _, document := range [][]byte{
		every, []byte("ends in spaces  "), []byte("ends in a line\n"), []byte(`\x00 \\ ' " %s $1 ? ;--`), {0xff, 0xfe, 0}, {},
		bytes.Repeat([]byte("0123456789abcdef"), 256<<10/16),
	} {
		s.succeeds(s.store, before, document)
		s.load(s.other, document)
		before = document
	}
}

func (s storeTest) ownership() {
	old, replacement := []byte("first"), []byte("second")
	s.succeeds(s.store, nil, old)
	s.succeeds(s.store, old, replacement)
	clear(old)
	clear(replacement)
	s.load(s.store, []byte("second"))
	got, err := s.store.Load(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	clear(got)
	s.load(s.store, []byte("second"))
}

// concurrency counts up in the store: an update that is lost leaves the sum too
// low. Errors other than a conflict are as good as one, if nothing was stored.
func (s storeTest) concurrency() {
	const writers, each = 8, 10
	s.succeeds(s.store, nil, []byte("0"))
	var wg sync.WaitGroup
	for i := range writers {
		in := s.store
		if i%2 == 1 {
			in = s.other
		}
		wg.Go(func() {
			for done := 0; done < each; {
				before, err := in.Load(s.Context())
				if err != nil {
					s.Errorf("concurrent Load: %v", err)
					return
				}
				n, err := strconv.Atoi(string(before))
				if err != nil {
					s.Errorf("concurrent Load returned %s, which nobody stored", abridged(before))
					return
				}
				switch err := in.CompareAndSwap(s.Context(), before, []byte(strconv.Itoa(n+1))); {
				case err == nil:
					done++
				case !errors.Is(err, keyring.ErrConflict):
					s.Errorf("concurrent CompareAndSwap: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	s.load(s.store, []byte(strconv.Itoa(writers*each)))
}

func (s storeTest) context() {
	s.succeeds(s.store, nil, []byte("first"))
	cancelled, cancel := context.WithCancel(s.Context())
	cancel()
	if _, err := s.store.Load(cancelled); !errors.Is(err, context.Canceled) {
		s.Errorf("Load returned the error %v after ctx ended, want one that is %v", err, context.Canceled)
	}
	if err := s.store.CompareAndSwap(cancelled, []byte("first"), []byte("second")); !errors.Is(err, context.Canceled) {
		s.Errorf("CompareAndSwap returned the error %v after ctx ended, want one that is %v", err, context.Canceled)
	}
	s.load(s.store, []byte("first"))
	s.succeeds(s.store, []byte("first"), []byte("third"))
}
