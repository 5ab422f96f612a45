//go:build unix

package broker_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

const (
	// killedDir is the environment variable that makes the test binary the process to kill. It
	// holds the broker's directory.
	killedDir = "BROKER_TEST_KILLED_DIR"
	// tick is the step of the process's clock after each renewal of its files.
	tick = 30 * time.Second
	// the number of copies of the credential in a file, so that a torn write is noticed
	copies = 200
)

// D01
//
// D03: a process is killed again and again while it renews a step's files. A reader never sees
// a torn, expired or missing file, and the next start removes all files.
func TestKilledBrokers(t *testing.T) {
	if dir := os.Getenv(killedDir); dir != "" {
		renewForever(t, dir)
		return
	}
	kills := 50
	if os.Getenv("OIDCTOKEN_TEST_FULL") != "" {
		kills = 500
	}
	google := newCloud("gcp")
	config := brokerConfig(t, google)
	var reads, temporary int
	for range kills {
		p := startRenewing(t, config.Dir)
		p.readUntilKilled(t)
		reads += int(p.reads.Load())
		left, err := filepath.Glob(config.Dir + "/step-*/.oidctoken-*.tmp")
		if err != nil {
			t.Fatal(err)
		}
		temporary += len(left)

		b, err := broker.New(config)
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
		if diff := cmp.Diff([]string{"steps"}, list(t, filepath.Dir(config.Dir))); diff != "" {
			t.Errorf("what the next start leaves (-want +got):\n%s", diff)
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("%d kills, %d reads; %d temporary files were there after a kill", kills, reads, temporary)
}

// list returns the names of all files and directories below dir.
func list(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if path != dir {
			names = append(names, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// brief is a cloud whose credentials live for two ticks and contain their expiry.
type brief struct {
	*cloud
}

func (c brief) Exchange(ctx context.Context, r exchange.Request) (*exchange.Credential, error) {
	if _, err := r.Subject(ctx, c.Audience()); err != nil {
		return nil, err
	}
	expires := c.now().Add(2 * tick)
	value := fmt.Sprintf("access-%d-%d", c.count.Add(1), expires.Unix())
	return exchange.NewCredential(expires, map[string]string{"CLOUDSDK_AUTH_ACCESS_TOKEN": value}), nil
}

// renewForever runs in the process that is killed. It prints its step's directory, and its
// clock after each renewal of the files.
func renewForever(t *testing.T, dir string) {
	var seconds atomic.Int64
	seconds.Store(time.Now().Unix())
	now := func() time.Time { return time.Unix(seconds.Load(), 0) }
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
		URL:     "https://oidc.example.com",
		Keys:    oidctoken.StaticKeys{oidctokentest.NewKey(t, "ES256")},
		Profile: oidctoken.Profile{Algorithms: []string{"ES256"}, Lifetime: 10 * tick},
		Now:     now,
	})
	if err != nil {
		t.Fatal(err)
	}
	google := newCloud("gcp")
	google.now = now
	key := broker.ConnectorKey{Account: "acme", ID: "gcp_prod"}
	renewed := make(chan time.Time, 1)
	b := start(t, broker.Config{
		Issuer: issuer,
		Connectors: broker.ConnectorMap{
			key:                            {Exchanger: brief{google}},
			{Account: "acme", ID: "vault"}: {Audiences: []string{"https://vault.example.com"}},
		},
		Dir: dir,
		Now: now,
		Audit: func(_ context.Context, e broker.Event) {
			if e.Kind == broker.Delivered && e.File == "access" {
				renewed <- e.Expires
			}
		},
	})
	step := newStep(t, b, scope("payments", "ledger"))
	if err := step.Deliver(t.Context(), "account.gcp_prod"); err != nil {
		t.Fatal(err)
	}
	if _, err := step.WriteFile(t.Context(), "jwt", `<+secrets.getJWT("account.vault")>`); err != nil {
		t.Fatal(err)
	}
	path, err := step.WriteFile(t.Context(), "access", strings.Repeat(`<+secrets.getGCPAccessToken("account.gcp_prod")>`+"\n", copies))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(filepath.Dir(path))
	for {
		for expires := range renewed {
			if expires.Equal(now().Add(2 * tick)) {
				break
			}
		}
		if _, err := fmt.Println(seconds.Load()); err != nil {
			t.Fatal(err) // no process would be left to kill this one
		}
		seconds.Add(int64(tick.Seconds()))
		b.Purge(key)
	}
}

// renewing is a process that runs renewForever.
type renewing struct {
	command  *exec.Cmd
	lines    *bufio.Scanner
	step     string       // the step's directory
	time     atomic.Int64 // the last printed time; the files are at least as new
	isKilled atomic.Bool
	reads    atomic.Int64
}

// startRenewing starts a process and waits until its files exist.
func startRenewing(t *testing.T, dir string) *renewing {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &renewing{command: exec.CommandContext(t.Context(), exe, "-test.run=^"+t.Name()+"$")}
	p.command.Env = append(os.Environ(), killedDir+"="+dir)
	p.command.Stderr = os.Stderr
	stdout, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(stdout)
	p.step = p.line(t)
	p.tick(t)
	return p
}

// line returns the next line that the process prints.
func (p *renewing) line(t *testing.T) string {
	t.Helper()
	if !p.lines.Scan() {
		t.Fatalf("the process ended: %v", p.lines.Err())
	}
	return p.lines.Text()
}

// tick waits until the files have been renewed.
func (p *renewing) tick(t *testing.T) {
	t.Helper()
	line := p.line(t)
	now, err := strconv.ParseInt(line, 10, 64)
	if err != nil {
		t.Fatalf("the process printed %q", line)
	}
	p.time.Store(now)
}

// readUntilKilled reads the files in two goroutines until the process is killed. The moment of
// the kill depends on the scheduler, the disk and chance.
func (p *renewing) readUntilKilled(t *testing.T) {
	t.Helper()
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for isKilled := false; !isKilled; { // once more after the kill
				isKilled = p.isKilled.Load()
				if err := p.read(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range rand.IntN(6) {
		p.tick(t)
	}
	for range rand.IntN(100) {
		if err := p.read(); err != nil {
			t.Error(err)
			break
		}
	}
	err := p.command.Process.Kill()
	p.isKilled.Store(true)
	readers.Wait()
	waitErr := p.command.Wait()
	var exit *exec.ExitError
	if err != nil || !errors.As(waitErr, &exit) || exit.Exited() {
		t.Errorf("kill: %v, wait: %v", err, waitErr)
	}
}

var wholeJWT = regexp.MustCompile(`\A[\w-]+\.[\w-]+\.[\w-]{86}\z`)

// read reads the files once.
func (p *renewing) read() error {
	p.reads.Add(1)
	now := p.time.Load() // read before the file is opened
	b, err := os.ReadFile(filepath.Join(p.step, "access"))
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(b), "\n")
	if string(b) != strings.Repeat(first+"\n", copies) {
		return fmt.Errorf("the file is torn: %q", b)
	}
	var n, expires int64
	if _, err := fmt.Sscanf(first, "access-%d-%d", &n, &expires); err != nil {
		return fmt.Errorf("the file holds %q: %w", first, err)
	}
	if expires <= now {
		return fmt.Errorf("credential %d expired at %d, and it is %d", n, expires, now)
	}
	jwt, err := os.ReadFile(filepath.Join(p.step, "jwt"))
	if err != nil {
		return err
	}
	if !wholeJWT.Match(jwt) {
		return fmt.Errorf("the JWT is torn: %d bytes", len(jwt))
	}
	return nil
}
