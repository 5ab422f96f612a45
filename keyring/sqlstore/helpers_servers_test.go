//go:build unix

package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/oidctoken/oidctoken/internal/needs"
	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/keyring/sqlstore"
)

// backend is the place of a test's documents. Other processes can open it, too.
type backend struct{ kind, dsn string }

var drivers = map[string]string{"postgresql": "pgx", "mysql": "mysql", "sqlite": "sqlite"}

// open returns the store of that name, and what closes it.
func (b backend) open(ctx context.Context, name string) (keyring.Store, func() error, error) {
	if b.kind == "file" {
		store, err := keyring.NewFileStore(filepath.Join(b.dsn, name+".json"))
		return store, func() error { return nil }, err
	}
	db, err := sql.Open(drivers[b.kind], b.dsn)
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(4)
	dialect := sqlstore.Dialect(b.kind)
	if err := sqlstore.Migrate(ctx, db, dialect); err != nil {
		db.Close()
		return nil, nil, err
	}
	store, err := sqlstore.New(db, dialect, name)
	return store, db.Close, err
}

// eachBackend runs a test on files, and on every database that the machine has.
func eachBackend(t *testing.T, test func(*testing.T, backend)) {
	t.Run("file", func(t *testing.T) { test(t, backend{"file", t.TempDir()}) })
	eachDatabase(t, test)
}

func eachDatabase(t *testing.T, test func(*testing.T, backend)) {
	for _, b := range []struct {
		kind  string
		start func(*testing.T) string
	}{
		{"sqlite", func(t *testing.T) string {
			return "file:" + filepath.Join(t.TempDir(), "keyring.db") + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)"
		}},
		{"postgresql", startPostgreSQL},
		{"mysql", startMariaDB},
	} {
		t.Run(b.kind, func(t *testing.T) { test(t, backend{b.kind, b.start(t)}) })
	}
}

// program finds a database's program. A link may hide where that finds its
// other parts.
func program(t *testing.T, name string, elsewhere string) string {
	t.Helper()
	path, err := filepath.EvalSymlinks(needs.Program(t, name, elsewhere))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// unprivileged is whom a database server runs as: it does not want to be root.
func unprivileged(t *testing.T) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() != 0 {
		return attr
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		t.Fatalf("%v, %v", err1, err2)
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr
}

// serverDir is private, of the server's user, and short enough for a socket.
func serverDir(t *testing.T, attr *syscall.SysProcAttr) string {
	dir, err := os.MkdirTemp("", "kr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if attr.Credential != nil {
		if err := os.Chown(dir, int(attr.Credential.Uid), int(attr.Credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// serve runs a server until the test ends, or this process does, however: the
// shell that starts it waits for the end of its input.
func serve(t *testing.T, attr *syscall.SysProcAttr, dir, sig, server string, args ...string) {
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", append([]string{"-c", `"$@" & read -r _; kill -` + sig + ` $!; wait $!`, "sh", server}, args...)...)
	cmd.SysProcAttr, cmd.Stdout, cmd.Stderr, cmd.Dir = attr, log, log, dir
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := input.Close(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // the test ended it
		log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s: %.4000s", server, text)
		}
	})
}

// run runs a program of a database to its end.
func run(t *testing.T, attr *syscall.SysProcAttr, dir, path string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.SysProcAttr, cmd.Dir = attr, dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "TMPDIR="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", path, err, out)
	}
}

// connected waits until a server answers.
func connected(t *testing.T, driver, dsn string) string {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	deadline := time.Now().Add(time.Minute)
	for {
		if err = db.PingContext(t.Context()); err == nil {
			return dsn
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer: %v", driver, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// startPostgreSQL starts a new cluster, on a socket in a private directory.
func startPostgreSQL(t *testing.T) string {
	server := program(t, "postgres", "/usr/lib/postgresql/*/bin/postgres")
	attr := unprivileged(t)
	dir := serverDir(t, attr)
	data := filepath.Join(dir, "data")
	run(t, attr, dir, filepath.Join(filepath.Dir(server), "initdb"), "-D", data, "-U", "ring", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
	serve(t, attr, dir, "INT", server, "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "max_connections=200")
	return connected(t, "pgx", "host="+dir+" user=ring dbname=postgres sslmode=disable")
}

// startMariaDB starts a new server, on a socket in a private directory.
func startMariaDB(t *testing.T) string {
	server := program(t, "mariadbd", "/usr/sbin/mariadbd")
	attr := unprivileged(t)
	dir := serverDir(t, attr)
	data, socket := filepath.Join(dir, "data"), filepath.Join(dir, "s")
	run(t, attr, dir, program(t, "mariadb-install-db", "/usr/bin/mariadb-install-db"), "--no-defaults", "--datadir="+data,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--tmpdir="+dir)
	serve(t, attr, dir, "TERM", server, "--no-defaults", "--datadir="+data, "--socket="+socket, "--skip-networking", "--tmpdir="+dir,
		"--innodb-flush-log-at-trx-commit=1", "--pid-file="+filepath.Join(dir, "pid"))
	db := connected(t, "mysql", fmt.Sprintf("root@unix(%s)/mysql", socket))
	admin, err := sql.Open("mysql", db)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE ring"); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("root@unix(%s)/ring", socket)
}
