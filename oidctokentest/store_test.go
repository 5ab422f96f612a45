package oidctokentest_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

func TestStoreOfFile(t *testing.T) {
	dir := onePer((*testing.T).TempDir)
	oidctokentest.TestStore(t, func(t *testing.T) keyring.Store {
		store, err := keyring.NewFileStore(filepath.Join(dir(t), "keyring.json"))
		if err != nil {
			t.Fatal(err)
		}
		return store
	})
}

func TestStoreOfMemory(t *testing.T) {
	oidctokentest.TestStore(t, onePer(func(*testing.T) keyring.Store { return new(keyring.MemoryStore) }))
}

// onePer makes one value for each test.
func onePer[T any](make1 func(*testing.T) T) func(*testing.T) T {
	var mu sync.Mutex
	made := make(map[*testing.T]T)
	return func(t *testing.T) T {
		mu.Lock()
		defer mu.Unlock()
		if _, ok := made[t]; !ok {
			made[t] = make1(t)
		}
		return made[t]
	}
}

// flawedStores break the contract, each in one way.
var flawedStores = map[string]func() keyring.Store{
	"Empty/absent": func() keyring.Store {
		return flawedStore{load: func(b []byte) []byte { return append([]byte{}, b...) }}
	},
	"Swap/forgetful":   func() keyring.Store { return flawedStore{store: func([]byte) []byte { return nil }} },
	"Conflict/blind":   func() keyring.Store { return flawedStore{blind: true} },
	"Bytes/trimming":   func() keyring.Store { return flawedStore{store: bytes.TrimSpace} },
	"Ownership/shared": func() keyring.Store { return flawedStore{shared: true} },
	"Context/stubborn": func() keyring.Store { return flawedStore{stubborn: true} },
	"Concurrency/racy": func() keyring.Store { return flawedStore{racy: true} },
}

type content struct {
	mu       sync.Mutex
	document []byte
}

// flawedStore is a MemoryStore with a flaw.
type flawedStore struct {
	load, store                   func([]byte) []byte
	blind, shared, stubborn, racy bool
	*content
}

func (s flawedStore) Load(ctx context.Context) ([]byte, error) {
	if ctx.Err() != nil && !s.stubborn {
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.load != nil:
		return s.load(s.document), nil
	case s.shared:
		return s.document, nil
	}
	return bytes.Clone(s.document), nil
}

func (s flawedStore) CompareAndSwap(ctx context.Context, old, replacement []byte) error {
	if ctx.Err() != nil && !s.stubborn {
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	isSame := (s.document == nil) == (old == nil) && bytes.Equal(s.document, old)
	if !isSame && !s.blind {
		return keyring.ErrConflict
	}
	if s.racy { // between the comparison and the change
		s.mu.Unlock()
		for range 100 {
			runtime.Gosched()
		}
		s.mu.Lock()
	}
	s.document = bytes.Clone(replacement)
	if s.store != nil {
		s.document = s.store(replacement)
	}
	return nil
}

// A store that breaks the contract fails, in the subtest for that.
func TestStoreNotices(t *testing.T) {
	if name := os.Getenv("OIDCTOKEN_FLAWED_STORE"); name != "" {
		oidctokentest.TestStore(t, onePer(func(*testing.T) keyring.Store {
			s := flawedStores[name]().(flawedStore)
			s.content = new(content)
			return s
		}))
		return
	}
	for name := range flawedStores {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStoreNotices$", "-test.v")
			cmd.Env = append(os.Environ(), "OIDCTOKEN_FLAWED_STORE="+name)
			out, err := cmd.CombinedOutput()
			subtest, _, _ := strings.Cut(name, "/")
			if want := "--- FAIL: TestStoreNotices/" + subtest; err == nil || !strings.Contains(string(out), want) {
				t.Errorf("no %q: %v\n%s", want, err, out)
			}
		})
	}
}
