package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/atomicfile"
)

const (
	// lookAgain is how long a file is left without a look at what is in it, at
	// the clock and at whether the step may still have it.
	lookAgain  = time.Minute
	looks      = 8 // at a file in what is left of its life
	retryDelay = 10 * time.Second
)

// keptFile is a file that is kept fresh: it is written again when what it was
// made from is renewed, and removed when that has expired, or when the step may
// have it no longer, so that no reader sees an expired token. One goroutine does
// so for each file, so that a cloud that hangs holds up no other file.
type keptFile struct {
	path   string // relative to the step's Dir
	source string // what it is made from: a path has one source
	render func(ctx context.Context, u *usage) (string, error)

	tried chan struct{} // closed after the first try
	wake  chan struct{} // of one: look now
	mu    sync.Mutex
	err   error // why the file is not there; nil while it is

	// Of the file's goroutine.
	text   string
	there  bool
	usage  usage
	failed bool
}

// keep writes a file, and keeps it fresh until the step is closed. What could
// not be written at all is not kept. Callers with the same source share the
// first try, and each may leave.
func (s *Step) keep(ctx context.Context, f *keptFile) error {
	f.tried, f.wake = make(chan struct{}), make(chan struct{}, 1)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
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

// keepFresh writes f, and again whenever it has to be, until ctx ends.
func (s *Step) keepFresh(ctx context.Context, f *keptFile) {
	err := s.refresh(ctx, f)
	if err != nil {
		s.mu.Lock()
		delete(s.files, f.path)
		s.mu.Unlock()
	}
	close(f.tried)
	if err != nil || f.usage.expires.IsZero() {
		return // nothing in it will expire
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(s.untilLook(f))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-f.wake:
		}
		if err := s.refresh(ctx, f); err != nil && ctx.Err() == nil {
			s.warn(ctx, "a step's file could not be renewed", err, slog.String("file", filepath.Base(f.path)))
		}
	}
}

// untilLook is how long f is left alone: not beyond its end, at which it is
// removed.
func (s *Step) untilLook(f *keptFile) time.Duration {
	left := f.usage.expires.Sub(s.now())
	next := min(lookAgain, max(left/looks, time.Second))
	if f.failed {
		next = retryDelay
	}
	if f.there && left > 0 {
		next = min(next, left)
	}
	return next
}

// refresh looks at f and writes it anew if what it was made from is another
// now. If that fails, what is there serves until it expires.
func (s *Step) refresh(ctx context.Context, f *keptFile) error {
	err := s.removeExpired(f) // also while the new one is waited for
	if err == nil {
		err = s.write(ctx, f)
	}
	if ends(err) {
		err = errors.Join(err, s.remove(f, err))
	} else if err != nil {
		err = errors.Join(err, s.removeExpired(f))
	}
	f.failed = err != nil
	if err != nil && ctx.Err() != nil {
		err = ErrClosed // rather than a cancellation, which the caller would take for its own
	}
	if f.there {
		f.report(nil)
	} else {
		f.report(err)
	}
	return err
}

// look has all of the step's files looked at.
func (s *Step) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		select {
		case f.wake <- struct{}{}:
		default: // it will be
		}
	}
}

// ends says whether a refusal takes back what was given: the connector is gone,
// or not for this step, or not one any more.
func ends(err error) bool {
	_, connector := errors.AsType[*ConnectorError](err)
	_, scope := errors.AsType[*oidctoken.ScopeError](err)
	return connector || scope || errors.Is(err, oidctoken.ErrDenied) || errors.Is(err, ErrNoConnector)
}

// report sets what callers of keep are told.
func (f *keptFile) report(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// removeExpired removes f if what is in it has expired.
func (s *Step) removeExpired(f *keptFile) error {
	if f.usage.expires.IsZero() || !s.passed(f.usage.expires) {
		return nil
	}
	return s.remove(f, errExpired)
}

// remove removes f, and tells callers of keep why.
func (s *Step) remove(f *keptFile, why error) error {
	if !f.there {
		return nil
	}
	if err := s.root.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("broker: %w", err)
	}
	f.there = false
	f.report(why)
	return nil
}

// write renders f and writes it, unless that takes until what is there expires.
func (s *Step) write(ctx context.Context, f *keptFile) error {
	if f.there && !f.usage.expires.IsZero() {
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
		s.audit(ctx, Event{Kind: Delivered, File: filepath.ToSlash(f.path), Expires: u.expires})
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
	return s.writeFile(ctx, name, text, func(ctx context.Context, u *usage) (string, error) {
		return s.expand(ctx, text, u)
	})
}

func (s *Step) writeFile(ctx context.Context, name, source string, render func(context.Context, *usage) (string, error)) (path string, err error) {
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
	if err := s.keep(ctx, &keptFile{path: filepath.Join(parent, base), source: source, render: render}); err != nil {
		return "", err
	}
	return filepath.Join(dir, base), nil
}

// privateDir holds what a step's connectors need, below the step's Dir.
const privateDir = ".oidctoken"
