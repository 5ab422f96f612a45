//go:build unix

package sqlstore_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/keyring"
)

const (
	childLog     = "SQLSTORE_CHILD_LOG" // set in a child process
	acceleration = 30000                // of the rings' clocks
	replicaCount = 8
)

// algorithms whose keys are made fast: it is not their making that is tested.
var algorithms = []string{"ES256", "EdDSA"}

// fastClock runs ahead from a start that all processes share.
func fastClock(start time.Time) func() time.Time {
	return func() time.Time { return start.Add(time.Since(start.Round(0)) * acceleration) }
}

// ringConfig rotates every 5.8 s, by the clock on the wall.
func ringConfig(store keyring.Store, wrapper keyring.Wrapper, start time.Time) keyring.Config {
	return keyring.Config{
		Store: store, Wrapper: wrapper, Algorithms: algorithms,
		Period: 48 * time.Hour, Propagation: 12 * time.Hour, Skew: time.Hour,
		PollInterval: 10 * time.Millisecond, Now: fastClock(start),
	}
}

// entry is a line of a replica's log.
type entry struct {
	Kind     string // load, swap, sign, fail
	ID       string `json:",omitempty"` // of the operation, which has two entries; the second has Result
	At       int64  // in ns, by the wall clock
	Old, New string `json:",omitempty"` // what documents are called in the history
	Document []byte `json:",omitempty"` // New's
	Result   string `json:",omitempty"` // ok, conflict or unknown; for a load, the document's name
	KeyID    string `json:",omitempty"`
	Time     int64  `json:",omitempty"` // by the ring's clock, in s: before a signature
	Until    int64  `json:",omitempty"` // and after it
}

// journal is a replica's log. When the process is killed, its last entry may be
// cut off.
type journal struct {
	mu sync.Mutex
	w  io.Writer
	id string
	n  int
}

func (j *journal) write(e entry) {
	e.At = time.Now().UnixNano()
	line, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.w.Write(append(line, '\n')); err != nil {
		panic(err)
	}
}

func (j *journal) next() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.n++
	return j.id + "/" + strconv.Itoa(j.n)
}

// name returns the name of a document in a history.
func name(document []byte) string {
	if document == nil {
		return "none"
	}
	sum := sha256.Sum256(document)
	return fmt.Sprintf("%x", sum[:6])
}

// recorded journals the operations of a store and their results.
type recorded struct {
	keyring.Store
	journal  *journal
	isMortal bool // one swap of four ends the process somewhere in its midst
}

func (r recorded) Load(ctx context.Context) ([]byte, error) {
	id := r.journal.next()
	r.journal.write(entry{Kind: "load", ID: id})
	document, err := r.Store.Load(ctx)
	if err == nil { // after an error, the document is unknown
		r.journal.write(entry{Kind: "load", ID: id, Result: name(document)})
	}
	return document, err
}

func (r recorded) CompareAndSwap(ctx context.Context, old, replacement []byte) error {
	e := entry{Kind: "swap", ID: r.journal.next(), Old: name(old), New: name(replacement), Document: replacement}
	r.journal.write(e)
	if r.isMortal && rand.IntN(4) == 0 {
		go func() {
			time.Sleep(rand.N(4 * time.Millisecond))
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}()
	}
	err := r.Store.CompareAndSwap(ctx, old, replacement)
	e.Document = nil
	switch {
	case err == nil:
		e.Result = "ok"
	case errors.Is(err, keyring.ErrConflict):
		e.Result = "conflict"
	default:
		return err // it may have been done: the entry stays alone
	}
	r.journal.write(e)
	return err
}

// replicate runs a replica until ctx ends: it rotates, and mints a token with
// each algorithm now and then.
func replicate(ctx context.Context, store recorded, wrapper keyring.Wrapper, start time.Time) {
	clock, j := fastClock(start), store.journal
	for ctx.Err() == nil {
		ring, err := keyring.New(ctx, ringConfig(store, wrapper, start))
		if err != nil {
			j.write(entry{Kind: "fail", Result: err.Error()})
			time.Sleep(time.Millisecond)
			continue
		}
		issuer, err := oidctoken.NewIssuer(oidctoken.Config{URL: "https://tokens.example.com", Keys: ring, Now: clock})
		if err != nil {
			panic(err)
		}
		for ctx.Err() == nil {
			for _, alg := range algorithms {
				now := clock().Unix()
				token, err := issuer.Mint(ctx, oidctoken.Scope{
					Audience: "https://example.com", Account: oidctoken.Entity{ID: "acme"},
					Profile: &oidctoken.Profile{Algorithms: []string{alg}, Lifetime: time.Hour},
				})
				switch {
				case err == nil:
					j.write(entry{Kind: "sign", KeyID: token.KeyID(), Time: now, Until: clock().Unix(), Result: alg})
				case ctx.Err() == nil:
					j.write(entry{Kind: "fail", Result: err.Error()})
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
		ring.Close()
	}
}

// child is the main function of a replica process.
func child() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1) // the parent process has ended
	}()
	env := func(n string) string { return os.Getenv("SQLSTORE_CHILD_" + n) }
	log, err := os.OpenFile(os.Getenv(childLog), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		panic(err)
	}
	start, err := strconv.ParseInt(env("START"), 10, 64)
	if err != nil {
		panic(err)
	}
	key, err := keyring.ParseWrappingKey(env("KEY"))
	if err != nil {
		panic(err)
	}
	wrapper, err := keyring.NewWrapper(key)
	if err != nil {
		panic(err)
	}
	j := &journal{w: log, id: env("ID")}
	b := backend{env("KIND"), env("DSN")}
	var store keyring.Store
	for store == nil { // a database may be busy
		if store, _, err = b.open(context.Background(), "ring"); err != nil {
			j.write(entry{Kind: "fail", Result: err.Error()})
		}
	}
	replicate(context.Background(), recorded{store, j, true}, wrapper, time.Unix(0, start))
}

// duration of a test with processes.
func duration() time.Duration {
	if os.Getenv("OIDCTOKEN_TEST_FULL") != "" {
		return 5 * time.Minute // over 100,000 operations of a PostgreSQL
	}
	return 13 * time.Second
}

// K03, K04, P06: processes that rotate one ring at once, and are killed at
// random, agree on one key per period and algorithm. They sign with published
// keys only and make no needless keys. The history of the store is
// linearizable.
func TestReplicas(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		dir := t.TempDir()
		key := newKey()
		start := time.Now()
		var n int
		launch := func() *exec.Cmd {
			n++
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childLog+"="+filepath.Join(dir, fmt.Sprint(n)), "SQLSTORE_CHILD_ID="+fmt.Sprint(n),
				"SQLSTORE_CHILD_START="+fmt.Sprint(start.UnixNano()), "SQLSTORE_CHILD_KEY="+key,
				"SQLSTORE_CHILD_KIND="+b.kind, "SQLSTORE_CHILD_DSN="+b.dsn)
			cmd.Stderr = os.Stderr
			// It ends with this process, too.
			if _, err := cmd.StdinPipe(); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			return cmd
		}
		kill := func(cmd *exec.Cmd) {
			_ = cmd.Process.Kill() // unless it is dead already
			var exit *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Errorf("a replica ended otherwise than by SIGKILL: %v", err)
			}
		}
		var running []*exec.Cmd
		for range replicaCount {
			running = append(running, launch())
		}
		for time.Since(start) < duration() {
			time.Sleep(rand.N(400 * time.Millisecond))
			i := rand.IntN(len(running))
			kill(running[i])
			running[i] = launch()
		}
		for _, cmd := range running {
			kill(cmd)
		}
		logs, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		var entries []entry
		for _, log := range logs {
			entries = append(entries, readJournal(t, log)...)
		}
		t.Logf("%d processes", n)
		checkHistory(t, entries, start)
	})
}

// The same in one process, in memory.
func TestReplicasInMemory(t *testing.T) {
	store := new(keyring.MemoryStore)
	key, err := keyring.ParseWrappingKey(newKey())
	if err != nil {
		t.Fatal(err)
	}
	wrapper, err := keyring.NewWrapper(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), duration())
	defer cancel()
	var wg sync.WaitGroup
	for i := range replicaCount {
		wg.Go(func() {
			log, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
			if err != nil {
				t.Error(err)
				return
			}
			defer log.Close()
			for j := 0; ctx.Err() == nil; j++ {
				// It ends from time to time, and starts again.
				one, end := context.WithTimeout(ctx, 200*time.Millisecond+rand.N(3*time.Second))
				replicate(one, recorded{store, &journal{w: log, id: fmt.Sprintf("%d.%d", i, j)}, false}, wrapper, start)
				end()
			}
		})
	}
	wg.Wait()
	var entries []entry
	for i := range replicaCount {
		entries = append(entries, readJournal(t, filepath.Join(dir, fmt.Sprint(i)))...)
	}
	checkHistory(t, entries, start)
}
