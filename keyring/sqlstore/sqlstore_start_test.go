//go:build unix

package sqlstore_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/keyring/sqlstore"
)

// connect returns the store of a database that is not migrated here.
func connect(t *testing.T, kind, dsn string) (*sql.DB, *sqlstore.Store) {
	t.Helper()
	db, err := sql.Open(drivers[kind], dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	store, err := sqlstore.New(db, sqlstore.Dialect(kind), "tokens")
	if err != nil {
		t.Fatal(err)
	}
	return db, store
}

func newWrapper(t *testing.T) keyring.Wrapper {
	t.Helper()
	key, err := keyring.ParseWrappingKey(newKey())
	if err != nil {
		t.Fatal(err)
	}
	wrapper, err := keyring.NewWrapper(key)
	if err != nil {
		t.Fatal(err)
	}
	return wrapper
}

// A forgotten migration has its own error, which tells what to do and is not
// temporary. An unavailable database has another error.
func TestNotMigrated(t *testing.T) {
	eachDatabase(t, func(t *testing.T, b backend) {
		db, store := connect(t, b.kind, b.dsn)
		_, loadErr := store.Load(t.Context())
		_, newErr := keyring.New(t.Context(), keyring.Config{Store: store, Wrapper: newWrapper(t), Algorithms: algorithms})
		for name, err := range map[string]error{
			"Load":                       loadErr,
			"CompareAndSwap from none":   store.CompareAndSwap(t.Context(), nil, []byte("x")),
			"CompareAndSwap of document": store.CompareAndSwap(t.Context(), []byte("x"), []byte("y")),
			"keyring.New":                newErr,
		} {
			if !errors.Is(err, keyring.ErrNotMigrated) || errors.Is(err, keyring.ErrStore) || !strings.Contains(err.Error(), "sqlstore.Migrate") {
				t.Errorf("%s without a table: %v, want %v that names Migrate", name, err, keyring.ErrNotMigrated)
			}
		}
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := store.Load(cancelled); !errors.Is(err, context.Canceled) || errors.Is(err, keyring.ErrNotMigrated) {
			t.Errorf("Load after ctx ended: %v", err)
		}
		if err := sqlstore.Migrate(t.Context(), db, sqlstore.Dialect(b.kind)); err != nil {
			t.Fatal(err)
		}
		if document, err := store.Load(t.Context()); document != nil || err != nil {
			t.Errorf("Load after Migrate: %q, %v", document, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Load(t.Context()); err == nil || errors.Is(err, keyring.ErrNotMigrated) {
			t.Errorf("Load from a database that is closed: %v", err)
		}
	})
}

// A ring does not start with a database that it may read and not write: it would
// fail when the next key is due.
func TestReadOnly(t *testing.T) {
	eachDatabase(t, func(t *testing.T, b backend) {
		db, store := connect(t, b.kind, b.dsn)
		if err := sqlstore.Migrate(t.Context(), db, sqlstore.Dialect(b.kind)); err != nil {
			t.Fatal(err)
		}
		c := keyring.Config{Store: store, Wrapper: newWrapper(t), Algorithms: algorithms}
		start := func() error {
			ring, err := keyring.New(t.Context(), c)
			if err == nil {
				ring.Close()
			}
			return err
		}
		if err := start(); err != nil {
			t.Fatal(err)
		}
		before, err := store.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for name, dsn := range readOnly(t, db, b) {
			_, c.Store = connect(t, b.kind, dsn)
			if document, err := c.Store.Load(t.Context()); !bytes.Equal(document, before) || err != nil {
				t.Fatalf("%s: Load: %d bytes, %v", name, len(document), err)
			}
			if err := start(); !errors.Is(err, keyring.ErrStore) || !strings.Contains(err.Error(), "can be read and not written") {
				t.Errorf("%s: New: %v, want %v and why", name, err, keyring.ErrStore)
			}
		}
		if after, err := store.Load(t.Context()); !bytes.Equal(after, before) || err != nil {
			t.Errorf("the document has changed: %v", err)
		}
		c.Store = store
		if err := start(); err != nil {
			t.Errorf("New with a store that can be written: %v", err)
		}
	})
}

// readOnly returns other ways to open the database of b, which can only read.
func readOnly(t *testing.T, db *sql.DB, b backend) map[string]string {
	t.Helper()
	run := func(statements ...string) {
		for _, s := range statements {
			if _, err := db.ExecContext(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	switch b.kind {
	case "postgresql":
		run("CREATE ROLE reader LOGIN", "GRANT SELECT ON oidctoken_keyring TO reader")
		return map[string]string{
			"a user who may read": strings.Replace(b.dsn, "user=ring", "user=reader", 1),
			"a standby":           b.dsn + " default_transaction_read_only=on",
		}
	case "mysql":
		run("CREATE USER reader@localhost", "GRANT SELECT ON ring.* TO reader@localhost")
		return map[string]string{"a user who may read": strings.Replace(b.dsn, "root@", "reader@", 1)}
	}
	return map[string]string{
		"a file that may be read": b.dsn + "&mode=ro",
		"a connection that reads": b.dsn + "&_pragma=query_only(1)",
	}
}

// The document of another ring is refused in every store, also where its row or
// file has the name of this one.
func TestOtherRing(t *testing.T) {
	wrapper := newWrapper(t)
	eachBackend(t, func(t *testing.T, b backend) {
		store, closeStore, err := b.open(t.Context(), "tokens")
		if err != nil {
			t.Fatal(err)
		}
		defer closeStore()
		for _, tt := range []struct {
			name string
			want error
		}{{"staging", nil}, {"production", keyring.ErrOtherRing}, {"", keyring.ErrOtherRing}, {"staging", nil}} {
			ring, err := keyring.New(t.Context(), keyring.Config{Name: tt.name, Store: store, Wrapper: wrapper, Algorithms: algorithms})
			if err == nil {
				ring.Close()
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("New of the ring %q: %v, want %v", tt.name, err, tt.want)
			}
		}
	})
}
