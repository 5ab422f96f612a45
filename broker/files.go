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
	checkInterval     = time.Minute
	checksPerLifetime = 8 // at a file in what is left of its life
	retryDelay        = 10 * time.Second
)

// keptFile is a file, or a directory, that is kept while the step lives: it is
// written again when its tokens and credentials are renewed, and when it has
// vanished. It is removed when they have expired, or when the step may no longer
// have it, so that no reader sees an expired token. Each file has a goroutine of its
// own, so that a cloud that hangs delays no other file.
type keptFile struct {
	path   string // relative to the step's Dir
	source string // what it is made from: a path has one source
	render func(ctx context.Context, u *usage) (string, error)
	isDir  bool
	quiet  bool // it is a part of a delivery, and has no event of its own

	tried chan struct{}      // closed after the first try
	wake  chan struct{}      // of one: look now
	ask   chan chan struct{} // look now, and close the channel
	mu    sync.Mutex
	err   error // why the file is not there; nil while it is

	// Of the file's goroutine.
	text   string
	there  bool // it was written, and not removed by us since
	usage  usage
	failed bool
}

// keepDir keeps an empty directory.
func (s *Step) keepDir(ctx context.Context, path string) error {
	return s.keep(ctx, &keptFile{path: path, isDir: true, quiet: true, render: func(context.Context, *usage) (string, error) { return "", nil }})
}

// keepFixed keeps a file whose text does not change.
func (s *Step) keepFixed(ctx context.Context, path, text string) error {
	return s.keep(ctx, &keptFile{path: path, quiet: true, render: func(context.Context, *usage) (string, error) { return text, nil }})
}

// keep writes a file, and keeps it fresh until the step is closed. What could
// not be written at all is not kept. Callers with the same source share the
// first try, and each may leave. If a kept file has vanished, keep waits until it
// was written again.
func (s *Step) keep(ctx context.Context, f *keptFile) error {
	f.tried, f.wake, f.ask = make(chan struct{}), make(chan struct{}, 1), make(chan chan struct{})
	s.mu.Lock()
	if err := s.whenClosed(); err != nil {
		s.mu.Unlock()
		return err
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

	ctx, done := s.during(ctx)
	defer done()
	select {
	case <-f.tried:
	case <-ctx.Done():
		return s.ended(ctx.Err())
	}
	if err := f.failure(); err != nil || s.has(f.path) {
		return err
	}
	checked := make(chan struct{})
	select {
	case f.ask <- checked:
	case <-ctx.Done():
		return s.ended(ctx.Err())
	}
	select {
	case <-checked:
	case <-ctx.Done():
		return s.ended(ctx.Err())
	}
	return f.failure()
}

// failure returns why f is not there; nil if it is.
func (f *keptFile) failure() error {
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
	if err != nil {
		return
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(s.untilCheck(f))
		var asked chan struct{}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-f.wake:
		case asked = <-f.ask:
		}
		if err := s.refresh(ctx, f); err != nil && ctx.Err() == nil {
			s.warn(ctx, "a step's file could not be renewed", err, slog.String("file", filepath.Base(f.path)))
		}
		if asked != nil {
			close(asked)
		}
	}
}

// untilLook is how long f is left alone: not beyond its end, at which it is
// removed.
func (s *Step) untilCheck(f *keptFile) time.Duration {
	next := checkInterval
	left := f.usage.expires.Sub(s.now())
	if !f.fixed() {
		next = min(next, max(left/checksPerLifetime, time.Second))
	}
	if f.failed {
		next = retryDelay
	}
	if f.there && left > 0 {
		next = min(next, left)
	}
	return next
}

// fixed reports whether nothing in f expires. Its text is then rendered once.
func (f *keptFile) fixed() bool { return f.usage.expires.IsZero() }

// refresh looks at f and writes it anew if what it was made from is another
// now, or if the file has vanished. If that fails, what is there serves until it
// expires.
func (s *Step) refresh(ctx context.Context, f *keptFile) error {
	err := s.removeExpired(f) // also while the new one is waited for
	if err == nil {
		err = s.write(ctx, f)
	}
	if revokes(err) {
		err = errors.Join(err, s.remove(f, err))
	} else if err != nil {
		err = errors.Join(err, s.removeExpired(f), s.restore(ctx, f))
	}
	f.failed = err != nil
	if err != nil && ctx.Err() != nil {
		err = ErrClosed // rather than a cancellation, which the caller would take for its own
	}
	if f.there && s.has(f.path) {
		f.report(nil)
	} else {
		f.report(err)
	}
	return err
}

// look has all of the step's files looked at.
func (s *Step) checkFiles() {
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
func revokes(err error) bool {
	_, connector := errors.AsType[*ConnectorError](err)
	_, scope := errors.AsType[*oidctoken.ScopeError](err)
	if errors.Is(err, oidctoken.ErrNoKey) { // which may come back
		return false
	}
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
	if err := s.root().Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("broker: %w", err)
	}
	f.there = false
	f.report(why)
	return nil
}

// write renders f and writes it, unless that takes until what is there expires.
func (s *Step) write(ctx context.Context, f *keptFile) error {
	if f.there && f.fixed() {
		return s.restore(ctx, f)
	}
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
	if f.there && text == f.text && s.has(f.path) {
		f.usage = u
		return nil
	}
	return s.writeText(ctx, f, text, u)
}

// restore writes f again as it was, if it has vanished.
func (s *Step) restore(ctx context.Context, f *keptFile) error {
	if !f.there || s.has(f.path) {
		return nil
	}
	return s.writeText(ctx, f, f.text, f.usage)
}

// put writes text to f, below directories that may have vanished with it.
func (s *Step) writeText(ctx context.Context, f *keptFile, text string, u usage) error {
	_, root, err := s.open()
	if err != nil {
		return err
	}
	dir := filepath.Dir(f.path)
	if f.isDir {
		dir = f.path
	}
	err = root.MkdirAll(dir, 0o700)
	if err == nil && !f.isDir {
		err = atomicfile.WriteIn(root, f.path, []byte(text))
	}
	if err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	f.text, f.there, f.usage = text, true, u
	if !f.quiet {
		s.auditFile(ctx, f)
	}
	return nil
}

// auditFile tells of a file that was written, for each of the connectors that it
// has something of.
func (s *Step) auditFile(ctx context.Context, f *keptFile) {
	deliveries := f.usage.deliveries
	if len(deliveries) == 0 {
		deliveries = []Event{{Kind: Delivered}}
	}
	for _, e := range deliveries {
		e.File = filepath.ToSlash(f.path)
		s.audit(ctx, e)
	}
}

// WriteFile resolves text and writes it to the file of that slash-separated
// path below Dir, mode 0600, without adding a newline. The file is written
// anew, at once and whole, before a token in it expires; it is removed if no
// new one is to be had by then, and comes back with the next. It returns the
// file's absolute path. A file that has vanished comes back within a minute, and
// when WriteFile is called again, before it returns.
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
	dir, err := s.Dir()
	if err != nil {
		return "", err
	}
	local := filepath.FromSlash(name)
	if err := s.keep(ctx, &keptFile{path: local, source: source, render: render}); err != nil {
		return "", err
	}
	return filepath.Join(dir, local), nil
}

// privateDir holds what a step's connectors need, below the step's Dir.
const privateDir = ".oidctoken"
