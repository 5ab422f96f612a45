package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/atomicfile"
)

// keeper keeps files fresh: each is written again when what it was made from
// has to be renewed, and removed when that has expired, so that no reader sees
// an expired token.
type keeper struct {
	step *Step
	wake chan struct{} // a file was added

	mu      sync.Mutex
	files   map[string]*keptFile // by path
	running bool
}

type keptFile struct {
	path   string
	render func(ctx context.Context, u *usage) (string, error)

	write sync.Mutex // of one writer at a time; guards the rest
	text  string     // as it stands in the file
	there bool
	usage usage
}

func newKeeper(s *Step) *keeper {
	return &keeper{step: s, wake: make(chan struct{}, 1), files: make(map[string]*keptFile)}
}

// keep writes a file, and keeps it fresh from then on. The file of a path is
// the first that was kept there.
func (k *keeper) keep(ctx context.Context, path string, render func(context.Context, *usage) (string, error)) error {
	k.mu.Lock()
	f := k.files[path]
	if f == nil {
		f = &keptFile{path: path, render: render}
		k.files[path] = f
	}
	k.mu.Unlock()
	if err := f.refresh(ctx, k.step.now()); err != nil {
		return err
	}
	k.mu.Lock()
	start := !k.running
	k.running = true
	k.mu.Unlock()
	if start {
		return k.step.spawn(k.run)
	}
	select {
	case k.wake <- struct{}{}:
	default: // it will look at all files anyhow
	}
	return nil
}

// run refreshes files until ctx ends.
func (k *keeper) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		case <-timer.C:
		}
		next := k.refreshDue(ctx)
		if next.IsZero() {
			timer.Stop()
			continue
		}
		timer.Reset(next.Sub(k.step.now()))
	}
}

// refreshDue refreshes the files whose time has come and returns when the next
// one's does; zero if no file has one.
func (k *keeper) refreshDue(ctx context.Context) (next time.Time) {
	k.mu.Lock()
	files := make([]*keptFile, 0, len(k.files))
	for _, f := range k.files {
		files = append(files, f)
	}
	k.mu.Unlock()
	for _, f := range files {
		if err := f.refresh(ctx, k.step.now()); err != nil && ctx.Err() == nil {
			k.step.broker.config.Logger.LogAttrs(ctx, slog.LevelWarn, "a step's file could not be renewed",
				slog.String("file", filepath.Base(f.path)), slog.Any("error", err))
		}
		if due := f.due(); !due.IsZero() && (next.IsZero() || due.Before(next)) {
			next = due
		}
	}
	return next
}

func (f *keptFile) due() time.Time {
	f.write.Lock()
	defer f.write.Unlock()
	return f.usage.renew
}

// refresh writes f if it is not there yet or has to be renewed by now.
func (f *keptFile) refresh(ctx context.Context, now time.Time) error {
	f.write.Lock()
	defer f.write.Unlock()
	if f.there && (f.usage.renew.IsZero() || now.Before(f.usage.renew)) {
		return nil
	}
	var u usage
	text, err := f.render(ctx, &u)
	if err == nil && !(f.there && text == f.text) {
		err = atomicfile.Write(f.path, []byte(text))
	}
	if err == nil {
		f.text, f.there, f.usage = text, true, u
		return nil
	}
	// What is there serves until it expires; then it goes.
	f.usage.renew = now.Add(retryDelay)
	if f.there && !now.Before(f.usage.expires) {
		if removeErr := os.Remove(f.path); removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) {
			return errors.Join(err, removeErr)
		}
		f.there = false
	} else if f.there && f.usage.expires.Before(f.usage.renew) {
		f.usage.renew = f.usage.expires
	}
	return err
}

// WriteFile resolves text and writes it to the file of that slash-separated
// path below Dir, mode 0600, without adding a newline. The file is written
// anew, at once and whole, before a token in it expires. It returns the file's
// absolute path.
func (s *Step) WriteFile(ctx context.Context, name, text string) (path string, err error) {
	if !fs.ValidPath(name) || name == "." {
		return "", fmt.Errorf("broker: the file name %.64q is not a plain relative path", name)
	}
	parent, base := filepath.Split(filepath.FromSlash(name))
	dir, err := s.subdir(parent)
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, base)
	return path, s.keeper.keep(ctx, path, func(ctx context.Context, u *usage) (string, error) {
		return s.expand(ctx, text, u)
	})
}

// privateDir holds what a step's connectors need, below the step's Dir.
const privateDir = ".oidctoken"

// fileName is a name that tells connectors, and their audiences, apart.
func fileName(g *grant) string {
	sum := sha256.Sum256([]byte(g.audience))
	return strings.ReplaceAll(g.ref.String(), ".", "-") + "-" + hex.EncodeToString(sum[:4])
}

// tokenFile returns the path of a file that holds the grant's JWT and is kept
// fresh.
func (s *Step) tokenFile(ctx context.Context, g *grant) (string, error) {
	dir, err := s.subdir(privateDir)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, fileName(g)+".jwt")
	return path, s.keeper.keep(ctx, path, func(ctx context.Context, u *usage) (string, error) {
		return jwt(ctx, call{step: s, grant: g, usage: u})
	})
}

// bundle writes what the tools of the grant's cloud need, and returns it.
func (s *Step) bundle(ctx context.Context, g *grant) (*exchange.Bundle, error) {
	ex, ok := g.connector.Exchanger.(exchange.FileSourced)
	if !ok {
		return nil, fmt.Errorf("broker: connector %s: it has no files to deliver: use <+secrets.getJWT(...)>", g.ref)
	}
	token, err := s.tokenFile(ctx, g)
	if err != nil {
		return nil, err
	}
	dir, err := s.subdir(filepath.Join(privateDir, fileName(g)))
	if err != nil {
		return nil, err
	}
	bundle, err := ex.Bundle(dir, token)
	if err != nil {
		return nil, fmt.Errorf("broker: connector %s: %w", g.ref, err)
	}
	for _, name := range bundle.Dirs {
		if err := atomicfile.MkdirPrivate(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			return nil, fmt.Errorf("broker: %w", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(bundle.Files)) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := atomicfile.MkdirPrivate(filepath.Dir(path)); err != nil {
			return nil, fmt.Errorf("broker: %w", err)
		}
		if err := atomicfile.Write(path, bundle.Files[name]); err != nil {
			return nil, fmt.Errorf("broker: %w", err)
		}
	}
	return bundle, nil
}
