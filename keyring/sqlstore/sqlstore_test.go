//go:build unix

package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/keyring/sqlstore"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

func TestStore(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		var mu sync.Mutex
		names := make(map[*testing.T]string)
		oidctokentest.TestStore(t, func(t *testing.T) keyring.Store {
			mu.Lock()
			defer mu.Unlock()
			if names[t] == "" {
				names[t] = fmt.Sprintf("store-%d", len(names))
			}
			store, closeStore, err := b.open(t.Context(), names[t])
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := closeStore(); err != nil {
					t.Error(err)
				}
			})
			return store
		})
	})
}

// Several processes may migrate at once, and again later. The stored document
// stays.
func TestMigrate(t *testing.T) {
	eachDatabase(t, func(t *testing.T, b backend) {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				store, closeStore, err := b.open(t.Context(), "ring")
				if err != nil {
					t.Errorf("migration %d: %v", i, err)
					return
				}
				defer closeStore()
				if _, err := store.Load(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		store, closeStore, err := b.open(t.Context(), "ring")
		if err != nil {
			t.Fatal(err)
		}
		defer closeStore()
		if err := store.CompareAndSwap(t.Context(), nil, []byte("first")); err != nil {
			t.Fatal(err)
		}
		// Of several processes that make a ring at once, exactly one succeeds.
		var made atomic.Int32
		for i := range 8 {
			wg.Go(func() {
				s, closeStore, err := b.open(t.Context(), "race")
				if err != nil {
					t.Error(err)
					return
				}
				defer closeStore()
				if s.CompareAndSwap(t.Context(), nil, fmt.Appendf(nil, "by %d", i)) == nil {
					made.Add(1)
				}
			})
		}
		wg.Wait()
		if n := made.Load(); n != 1 {
			t.Errorf("%d of 8 stored the first document, want 1", n)
		}
		again, closeAgain, err := b.open(t.Context(), "ring")
		if err != nil {
			t.Fatal(err)
		}
		defer closeAgain()
		if document, err := again.Load(t.Context()); string(document) != "first" {
			t.Errorf("after another migration: %q, %v", document, err)
		}
	})
}

// SQLite may report a lock at once, whatever busy_timeout is, while another
// connection turns the write-ahead log on. In this test busy_timeout is 0.
func TestLocked(t *testing.T) {
	path := "file:" + filepath.Join(t.TempDir(), "keyring.db")
	holder, err := sql.Open("sqlite", path+"?_txlock=exclusive")
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	b := backend{"sqlite", path + "?_pragma=busy_timeout(0)"}
	for _, tt := range []struct {
		name string
		do   func(keyring.Store) error
	}{
		{"migrate", func(keyring.Store) error {
			_, closeStore, err := b.open(t.Context(), "ring")
			if err == nil {
				defer closeStore()
			}
			return err
		}},
		{"load", func(s keyring.Store) error { _, err := s.Load(t.Context()); return err }},
		{"insert", func(s keyring.Store) error { return s.CompareAndSwap(t.Context(), nil, []byte("1")) }},
		{"update", func(s keyring.Store) error { return s.CompareAndSwap(t.Context(), []byte("1"), []byte("2")) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store, closeStore, err := b.open(t.Context(), "ring")
			if err != nil {
				t.Fatal(err)
			}
			defer closeStore()
			tx, err := holder.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(`CREATE TABLE IF NOT EXISTS other (n integer)`); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := store.Load(ctx); err == nil {
				t.Error("a call whose context has ended succeeded")
			}
			done := make(chan error, 1)
			go func() { done <- tt.do(store) }()
			time.AfterFunc(50*time.Millisecond, func() { tx.Rollback() })
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNew(t *testing.T) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, tt := range []struct {
		db      *sql.DB
		dialect sqlstore.Dialect
		name    string
		want    string // in the error; "" for none
	}{
		{db, sqlstore.SQLite, "tokens", ""},
		{db, sqlstore.SQLite, strings.Repeat("a", 64), ""},
		{nil, sqlstore.SQLite, "tokens", "database is nil"},
		{db, "oracle", "tokens", `"oracle" is not a dialect: use "postgresql", "mysql" or "sqlite"`},
		{db, "postgres", "tokens", `use "postgresql", "mysql" or "sqlite"`},
		{db, "", "tokens", `"" is not a dialect: use "postgresql"`},
		{db, sqlstore.SQLite, "", "not 1 to 64 bytes"},
		{db, sqlstore.SQLite, strings.Repeat("a", 65), "not 1 to 64 bytes"},
		{db, sqlstore.SQLite, "a'b", "not 1 to 64 bytes"},
	} {
		_, err := sqlstore.New(tt.db, tt.dialect, tt.name)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("New(%q, %q): %v, want %q", tt.dialect, tt.name, err, tt.want)
		}
	}
	if err := sqlstore.Migrate(t.Context(), db, "oracle"); err == nil || !strings.Contains(err.Error(), `use "postgresql", "mysql" or "sqlite"`) {
		t.Errorf("Migrate of an unknown dialect: %v", err)
	}
	store, err := sqlstore.New(db, sqlstore.SQLite, "tokens")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Load(t.Context()); err == nil {
		t.Error("Load without a table succeeds")
	}
}
