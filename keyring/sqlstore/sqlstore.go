// Package sqlstore keeps a key ring's document in a database that the platform
// already runs: PostgreSQL, MySQL, MariaDB, SQLite, or CockroachDB by its
// PostgreSQL protocol. It works through database/sql and links no driver; the
// caller imports one.
//
//	db, err := sql.Open("pgx", "postgres:///platform")
//	...
//	err = sqlstore.Migrate(ctx, db, sqlstore.PostgreSQL)
//	...
//	store, err := sqlstore.New(db, sqlstore.PostgreSQL, "tokens")
//
// It needs SELECT, INSERT and UPDATE on one table, and never holds a
// transaction or a lock from one call to the next:
//
//	PostgreSQL, CockroachDB
//	  CREATE TABLE oidctoken_keyring (name varchar(64) PRIMARY KEY, document bytea NOT NULL)
//	MySQL, MariaDB
//	  CREATE TABLE oidctoken_keyring (name varchar(64) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY, document mediumblob NOT NULL)
//	SQLite
//	  CREATE TABLE oidctoken_keyring (name text PRIMARY KEY, document blob NOT NULL)
//
// With SQLite, let writers wait for each other: busy_timeout, in the form that
// the driver wants. SQLite does not wait in every case: a connection that turns
// the write-ahead log on, or repairs it, may find the database locked at once.
// This package then tries again, for 5 seconds at most. With MySQL and MariaDB, the server's max_allowed_packet must
// take twice the document: 1 MiB is enough. A read replica of the database must
// not lag by more than the ring's PollInterval.
package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken/keyring"
)

// Dialect is the kind of a database.
type Dialect string

// The dialects.
const (
	PostgreSQL Dialect = "postgresql" // and CockroachDB
	MySQL      Dialect = "mysql"      // and MariaDB
	SQLite     Dialect = "sqlite"
)

// statements holds the SQL statements of a dialect.
type statements struct {
	migrations []string // each is done once, in order, and may be done twice
	load       string   // name
	insert     string   // name, replacement
	update     string   // replacement, name, old
	missing    string   // true if the table is not there
}

func (d Dialect) statements() (statements, bool) {
	s := statements{
		load:   `SELECT document FROM oidctoken_keyring WHERE name = ?`,
		insert: `INSERT INTO oidctoken_keyring (name, document) VALUES (?, ?) ON CONFLICT DO NOTHING`,
		update: `UPDATE oidctoken_keyring SET document = ? WHERE name = ? AND document = ?`,
	}
	switch d {
	case PostgreSQL:
		s.migrations = []string{`CREATE TABLE IF NOT EXISTS oidctoken_keyring (name varchar(64) PRIMARY KEY, document bytea NOT NULL)`}
		s.missing = `SELECT to_regclass('oidctoken_keyring') IS NULL`
		s.load = `SELECT document FROM oidctoken_keyring WHERE name = $1`
		s.insert = `INSERT INTO oidctoken_keyring (name, document) VALUES ($1, $2) ON CONFLICT DO NOTHING`
		s.update = `UPDATE oidctoken_keyring SET document = $1 WHERE name = $2 AND document = $3`
	case MySQL:
		s.migrations = []string{`CREATE TABLE IF NOT EXISTS oidctoken_keyring (name varchar(64) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY, document mediumblob NOT NULL)`}
		s.missing = `SELECT count(*) = 0 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'oidctoken_keyring'`
		s.insert = `INSERT IGNORE INTO oidctoken_keyring (name, document) VALUES (?, ?)`
	case SQLite:
		s.migrations = []string{`CREATE TABLE IF NOT EXISTS oidctoken_keyring (name text PRIMARY KEY, document blob NOT NULL)`}
		s.missing = `SELECT count(*) = 0 FROM sqlite_master WHERE name = 'oidctoken_keyring'`
	default:
		return statements{}, false
	}
	return s, true
}

func unknown(d Dialect) error {
	return fmt.Errorf("%.20q is not a dialect: use %q, %q or %q", string(d), string(PostgreSQL), string(MySQL), string(SQLite))
}

// Migrate makes the table, or updates the table of an earlier version of this
// package. Any number of processes may call it, at once and at every start. A
// host that makes the table by other means need not call it.
func Migrate(ctx context.Context, db *sql.DB, d Dialect) error {
	s, ok := d.statements()
	if !ok {
		return fmt.Errorf("sqlstore: migrate: %w", unknown(d))
	}
	for i, statement := range s.migrations {
		migrate := func() error {
			_, err := db.ExecContext(ctx, statement)
			return err
		}
		err := unlocked(ctx, migrate)
		if err != nil && d == PostgreSQL && ctx.Err() == nil {
			// IF NOT EXISTS does not prevent a collision of two sessions in the
			// catalogue; the second time, the table exists.
			err = migrate()
		}
		if err != nil {
			return fmt.Errorf("sqlstore: migrate: step %d: %w", i+1, err)
		}
	}
	return nil
}

// Store is a row of the table. It implements [keyring.Store] and is safe for
// concurrent use.
type Store struct {
	db         *sql.DB
	name       string
	statements statements
}

// New returns the store of that name, one for each ring: 1 to 64 bytes of A-Z
// a-z 0-9 . - _. The caller opens db, and closes it after the rings.
func New(db *sql.DB, d Dialect, name string) (*Store, error) {
	s, ok := d.statements()
	switch {
	case db == nil:
		return nil, errors.New("sqlstore: the database is nil")
	case !ok:
		return nil, fmt.Errorf("sqlstore: %w", unknown(d))
	case name == "" || len(name) > 64 || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") != "":
		return nil, fmt.Errorf("sqlstore: the name %.64q is not 1 to 64 bytes of A-Z a-z 0-9 . - _", name)
	}
	return &Store{db, name, s}, nil
}

// Load implements [keyring.Store]. It fails with [keyring.ErrNotMigrated] if the
// table is not there.
func (s *Store) Load(ctx context.Context) ([]byte, error) {
	var document []byte
	err := unlocked(ctx, func() error {
		return s.db.QueryRowContext(ctx, s.statements.load, s.name).Scan(&document)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, s.failed(ctx, "load", err)
	case document == nil: // drivers differ about an empty one
		document = []byte{}
	}
	return document, nil
}

// CompareAndSwap implements [keyring.Store]. It is one statement, which every
// database makes atomic at every level of isolation. It fails with
// [keyring.ErrNotMigrated] if the table is not there.
func (s *Store) CompareAndSwap(ctx context.Context, old, replacement []byte) error {
	if bytes.Equal(old, replacement) && old != nil {
		return fmt.Errorf("sqlstore: swap %s: the replacement equals the old document", s.name)
	}
	statement, args := s.statements.update, []any{replacement, s.name, old}
	if old == nil {
		statement, args = s.statements.insert, []any{s.name, replacement}
	}
	var result sql.Result
	err := unlocked(ctx, func() (err error) {
		result, err = s.db.ExecContext(ctx, statement, args...)
		return err
	})
	if err != nil {
		return s.failed(ctx, "swap", err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return fmt.Errorf("sqlstore: swap %s: %w", s.name, err)
	}
	if n == 0 {
		return keyring.ErrConflict
	}
	return nil
}

// failed returns the error for a failure, which is ErrNotMigrated if the table
// is missing. Drivers have no common error for that, so failed queries the
// database.
func (s *Store) failed(ctx context.Context, op string, err error) error {
	var missing bool
	if ctx.Err() == nil && s.db.QueryRowContext(ctx, s.statements.missing).Scan(&missing) == nil && missing {
		return fmt.Errorf("sqlstore: %s %s: %w oidctoken_keyring, or this user may not use it: call sqlstore.Migrate before keyring.New: %w", op, s.name, keyring.ErrNotMigrated, err)
	}
	return fmt.Errorf("sqlstore: %s %s: %w", op, s.name, err)
}

// unlocked retries a statement while the database is locked, for 5 seconds at
// most. Only SQLite reports this, with the same text in every driver
// (sqlite3_errstr of SQLITE_BUSY). A statement that fails with it has changed
// nothing (sqlite.org/rescode.html#busy).
func unlocked(ctx context.Context, do func() error) error {
	err := do()
	for wait := time.Millisecond; err != nil && strings.Contains(err.Error(), "database is locked") && wait < 4*time.Second; wait *= 2 {
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
		err = do()
	}
	return err
}
