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
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/atomicfile"
)

// lookAgain is how long a file is left without a look at the clock: a timer
// does not run while a machine sleeps, and a clock can be set.
const lookAgain = time.Minute

// keptFile is a file that is kept fresh: it is written again when what it was
// made from has to be renewed, and removed when that has expired, so that no
// reader sees an expired token. One goroutine does so for each file, so that a
// cloud that hangs holds up no other file.
type keptFile struct {
	path   string // relative to the step's Dir
	source string // what it is made from: a path has one source
	render func(ctx context.Context, u *usage) (string, error)

	tried chan struct{} // closed after the first try
	mu    sync.Mutex
	err   error // why the file is not there; nil while it is

	// Of the file's goroutine.
	text  string
	there bool
	usage usage
}

// keep writes a file, and keeps it fresh until the step is closed. What could
// not be written at all is not kept. Callers with the same source share the
// first try, and each may leave.
func (s *Step) keep(ctx context.Context, f *keptFile) error {
	f.tried = make(chan struct{})
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errClosed
	}
	if kept := s.files[f.path]; kept != nil {
		f, kept = kept, f
		if f.source != kept.source {
			s.mu.Unlock()
			return fmt.Errorf("broker: the file %s was written already, with another text", f.path)
		}
	} else {
		s.files[f.path] = f
		s.run(func(ctx context.Context) { s.keepFresh(ctx, f) })
	}
	s.mu.Unlock()

	select {
	case <-f.tried:
	case <-ctx.Done():
		return ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// keepFresh writes f, and again whenever it is due, until ctx ends.
func (s *Step) keepFresh(ctx context.Context, f *keptFile) {
	err := s.refresh(ctx, f)
	if err != nil {
		s.mu.Lock()
		delete(s.files, f.path)
		s.mu.Unlock()
	}
	close(f.tried)
	if err != nil || f.usage.renew.IsZero() {
		return // nothing in it will expire
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(min(f.usage.renew.Sub(s.now()), lookAgain))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if !s.passed(f.usage.renew) && !s.passed(f.usage.expires) {
			continue
		}
		if err := s.refresh(ctx, f); err != nil && ctx.Err() == nil {
			s.warn(ctx, "a step's file could not be renewed", err, slog.String("file", filepath.Base(f.path)))
		}
	}
}

// refresh writes f anew. If that fails, what is there serves until it expires.
func (s *Step) refresh(ctx context.Context, f *keptFile) error {
	err := s.removeExpired(f) // also while the new one is waited for
	if err == nil {
		err = s.write(ctx, f)
	}
	if err != nil {
		if removed := s.removeExpired(f); removed != nil {
			err = errors.Join(err, removed)
		}
		f.usage.renew = s.now().Add(retryDelay)
		if f.there && f.usage.expires.Before(f.usage.renew) && !s.passed(f.usage.expires) { // else it cannot be removed
			f.usage.renew = f.usage.expires
		}
	}
	if err != nil && ctx.Err() != nil {
		err = errClosed // rather than a cancellation, which the caller would take for its own
	}
	if f.there {
		f.report(nil)
	} else {
		f.report(err)
	}
	return err
}

// report sets what callers of keep are told.
func (f *keptFile) report(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// removeExpired removes f if what is in it has expired.
func (s *Step) removeExpired(f *keptFile) error {
	if !f.there || f.usage.expires.IsZero() || !s.passed(f.usage.expires) {
		return nil
	}
	if err := s.root.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("broker: %w", err)
	}
	f.there = false
	f.report(errExpired)
	return nil
}

// write renders f and writes it, unless that takes until what is there expires.
func (s *Step) write(ctx context.Context, f *keptFile) error {
	if f.there {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.usage.expires.Sub(s.now()))
		defer cancel()
	}
	var u usage
	text, err := f.render(ctx, &u)
	if err != nil {
		return err
	}
	if !f.there || text != f.text {
		if err := atomicfile.WriteIn(s.root, f.path, []byte(text)); err != nil {
			return fmt.Errorf("broker: %w", err)
		}
	}
	f.text, f.there, f.usage = text, true, u
	return nil
}

// WriteFile resolves text and writes it to the file of that slash-separated
// path below Dir, mode 0600, without adding a newline. The file is written
// anew, at once and whole, before a token in it expires; it is removed if no
// new one is to be had by then, and comes back with the next. It returns the
// file's absolute path.
//
// The name is neither Dir itself nor in .oidctoken, which is the broker's. A
// file has one text: to write it again with the same is no error, with another
// it is. What text is refused for is an *[expr.Error], as from Expand; then
// there is no file, and the name is free.
func (s *Step) WriteFile(ctx context.Context, name, text string) (path string, err error) {
	first, _, _ := strings.Cut(name, "/")
	if !fs.ValidPath(name) || name == "." || strings.EqualFold(first, privateDir) {
		return "", fmt.Errorf("broker: the file name %.64q is not a plain relative path outside %s", name, privateDir)
	}
	end, err := s.begin()
	if err != nil {
		return "", err
	}
	defer end()
	parent, base := filepath.Split(filepath.FromSlash(name))
	dir, err := s.subdir(parent)
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, base)
	err = s.keep(ctx, &keptFile{path: filepath.Join(parent, base), source: text, render: func(ctx context.Context, u *usage) (string, error) {
		return s.expand(ctx, text, u)
	}})
	if err != nil {
		return "", err
	}
	return path, nil
}

// privateDir holds what a step's connectors need, below the step's Dir.
const privateDir = ".oidctoken"

// fileName is a name that tells connectors, and their audiences, apart, also
// where file names that differ in case are one.
func fileName(g *grant) string {
	sum := sha256.Sum256([]byte(g.ref.String() + " " + g.audience))
	return strings.ReplaceAll(g.ref.String(), ".", "-") + "-" + hex.EncodeToString(sum[:8])
}

// tokenFile returns the path of a file that holds the grant's JWT and is kept
// fresh.
func (s *Step) tokenFile(ctx context.Context, g *grant) (string, error) {
	end, err := s.begin()
	if err != nil {
		return "", err
	}
	defer end()
	dir, err := s.subdir(privateDir)
	if err != nil {
		return "", err
	}
	name := fileName(g) + ".jwt"
	path := filepath.Join(dir, name)
	err = s.keep(ctx, &keptFile{path: filepath.Join(privateDir, name), source: "the token of " + g.ref.String() + " for " + g.audience, render: func(ctx context.Context, u *usage) (string, error) {
		return jwt(ctx, call{step: s, grant: g, usage: u})
	}})
	return path, err
}

// fileSourced is the grant's Exchanger, if its cloud's tools can be given files.
func (g *grant) fileSourced() (exchange.FileSourced, error) {
	ex, ok := g.connector.Exchanger.(exchange.FileSourced)
	if !ok {
		return nil, fmt.Errorf("broker: connector %s: it has no files to deliver: use <+secrets.getJWT(...)>", g.ref)
	}
	return ex, nil
}

// bundle writes what the tools of the grant's cloud need, and returns it.
func (s *Step) bundle(ctx context.Context, g *grant) (*exchange.Bundle, error) {
	ex, err := g.fileSourced()
	if err != nil {
		return nil, err
	}
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	token, err := s.tokenFile(ctx, g)
	if err != nil {
		return nil, err
	}
	dir, err := s.subdir(filepath.Join(privateDir, fileName(g)))
	if err != nil {
		return nil, err
	}
	var bundle *exchange.Bundle
	if named, ok := ex.(exchange.SessionBundler); ok {
		bundle, err = named.SessionBundle(dir, token, s.sessionName(g))
	} else {
		bundle, err = ex.Bundle(dir, token)
	}
	if err != nil {
		return nil, fmt.Errorf("broker: connector %s: %w", g.ref, err)
	}
	within := filepath.Join(privateDir, fileName(g))
	for _, name := range bundle.Dirs {
		if err := s.root.MkdirAll(filepath.Join(within, filepath.FromSlash(name)), 0o700); err != nil {
			return nil, fmt.Errorf("broker: %w", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(bundle.Files)) {
		path := filepath.Join(within, filepath.FromSlash(name))
		if err := s.root.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, fmt.Errorf("broker: %w", err)
		}
		if err := atomicfile.WriteIn(s.root, path, bundle.Files[name]); err != nil {
			return nil, fmt.Errorf("broker: %w", err)
		}
	}
	return bundle, nil
}
