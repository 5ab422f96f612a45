//go:build unix

package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"

	_ "modernc.org/sqlite"

	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/keyring/sqlstore"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// A platform that runs in one process and keeps its data in SQLite.
func Example() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", ":memory:") // a file, elsewhere
	check(err)
	defer db.Close()
	db.SetMaxOpenConns(1) // every connection to :memory: has another database
	check(sqlstore.Migrate(ctx, db, sqlstore.SQLite))
	store, err := sqlstore.New(db, sqlstore.SQLite, "tokens")
	check(err)

	key, err := keyring.ParseWrappingKey(newKey()) // from a file or the environment, elsewhere
	check(err)
	wrapper, err := keyring.NewWrapper(key)
	check(err)
	ring, err := keyring.New(ctx, keyring.Config{Store: store, Wrapper: wrapper})
	check(err)
	defer ring.Close()
	keys, err := ring.Keys(ctx)
	check(err)
	fmt.Println(len(keys), "keys")
	// Output: 4 keys
}

func ExampleMigrate() {
	db, err := sql.Open("sqlite", ":memory:")
	check(err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	for range 2 { // whenever a process starts
		check(sqlstore.Migrate(context.Background(), db, sqlstore.SQLite))
	}
	var n int
	check(db.QueryRow(`SELECT count(*) FROM oidctoken_keyring`).Scan(&n))
	fmt.Println(n, "rows")
	// Output: 0 rows
}

func ExampleNew() {
	db, err := sql.Open("sqlite", ":memory:")
	check(err)
	defer db.Close()
	_, err = sqlstore.New(db, sqlstore.SQLite, "a name")
	fmt.Println(err)
	// Output: sqlstore: the name "a name" is not 1 to 64 bytes of A-Z a-z 0-9 . - _
}
