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
	// checkInterval is the longest time between two checks of a file. A check looks at the
	// file's content, at the clock, and at whether the step may still have the file.
	checkInterval     = time.Minute
	checksPerLifetime = 8 // checks of a file in the rest of its lifetime
	retryDelay        = 10 * time.Second
)

// keptFile is a file or a directory that the broker keeps fresh while the step lives. It is
// written again when its tokens or credentials are renewed, and when it has vanished. It is
// removed when they have expired or when the step may no longer have it, so that no reader sees
// an expired token. Each file has its own goroutine, so that a slow cloud delays no other file.
type keptFile struct {
	path   string // relative to the step's Dir
	source string // identifies the content; each path has one source
	render func(ctx context.Context, u *usage) (string, error)
	isDir  bool
	quiet  bool // the file is part of a delivery and has no event of its own

	tried chan struct{}      // closed after the first try
	wake  chan struct{}      // requests a check; has room for one request
	ask   chan chan struct{} // requests a check, which closes the sent channel
	done  chan struct{}      // closed when the file is no longer kept
	mu    sync.Mutex
	err   error // why the file does not exist; nil if it exists

	// Used only by the file's goroutine.
	text   string
	there  bool // the broker wrote the file and has not removed it since
	usage  usage
	failed bool
}

// keepDir keeps an empty directory in place.
func (s *Step) keepDir(ctx context.Context, path string) error {
	return s.keep(ctx, &keptFile{path: path, isDir: true, quiet: true, render: func(context.Context, *usage) (string, error) { return "", nil }})
}

// keepFixed keeps a file with a constant text in place.
func (s *Step) keepFixed(ctx context.Context, path, text string) error {
	return s.keep(ctx, &keptFile{path: path, quiet: true, render: func(context.Context, *usage) (string, error) { return text, nil }})
}

// keep writes a file and keeps it fresh until the step is closed. If the first try fails, the
// file is not kept. Callers with the same source share the first try, and each may stop
// waiting. If a kept file has vanished, keep waits until it has been written again.
func (s *Step) keep(ctx context.Context, f *keptFile) error {
	f.tried, f.wake, f.ask, f.done = make(chan struct{}), make(chan struct{}, 1), make(chan chan struct{}), make(chan struct{})
	s.mu.Lock()
	if err := s.whenClosed(); err != nil {
		s.mu.Unlock()
		return err
	}
	if kept := s.files[f.path]; kept != nil {
		f, kept = kept, f
		if f.source != kept.source {
			s.mu.Unlock()
			return fmt.Errorf("broker: the file %s was already written with another text", f.path)
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
	if f.failure() == nil && s.has(f.path) {
		return nil
	}
	// The last check may have missed the file although it can be restored.
	checked := make(chan struct{})
	select {
	case f.ask <- checked:
	case <-f.done: // the first try failed, or the step is closed
		return s.ended(f.failure())
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

// failure returns the reason why f does not exist, or nil if it exists.
func (f *keptFile) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// keepFresh writes f, and rewrites it when necessary, until ctx ends.
func (s *Step) keepFresh(ctx context.Context, f *keptFile) {
	defer close(f.done)
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
			s.warn(ctx, "failed to renew a step's file", err, slog.String("file", filepath.Base(f.path)))
		}
		if asked != nil {
			close(asked)
		}
	}
}

// untilCheck returns the time until the next check of f. The check comes no later than the
// expiry, because f is then removed.
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

// fixed reports whether nothing in f expires. Then the text is rendered only once.
func (f *keptFile) fixed() bool { return f.usage.expires.IsZero() }

// refresh checks f and writes it again if its content has changed or the file has vanished. If
// that fails, the existing file stays until it expires.
func (s *Step) refresh(ctx context.Context, f *keptFile) error {
	err := s.removeExpired(f) // first, because the new content may take long
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
		err = ErrClosed // the caller would take a cancellation for the end of its own ctx
	}
	if f.there && s.has(f.path) {
		f.report(nil)
	} else {
		f.report(err)
	}
	return err
}

// checkFiles requests a check of each of the step's files.
func (s *Step) checkFiles() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		select {
		case f.wake <- struct{}{}:
		default: // a check is already requested
		}
	}
}

// revokes reports whether err means that the step may no longer have the connector: the
// connector does not exist, is wrong, or denies the step.
func revokes(err error) bool {
	_, connector := errors.AsType[*ConnectorError](err)
	_, scope := errors.AsType[*oidctoken.ScopeError](err)
	if errors.Is(err, oidctoken.ErrNoKey) { // a key may be added later
		return false
	}
	return connector || scope || errors.Is(err, oidctoken.ErrDenied) || errors.Is(err, ErrNoConnector)
}

// report sets the result for callers of keep.
func (f *keptFile) report(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// removeExpired removes f if its content has expired.
func (s *Step) removeExpired(f *keptFile) error {
	if f.usage.expires.IsZero() || !s.passed(f.usage.expires) {
		return nil
	}
	return s.remove(f, errExpired)
}

// remove removes f. Callers of keep receive why.
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

// write renders f and writes it. It stops waiting when the existing content expires.
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

// restore writes f with its last text, if the file has vanished.
func (s *Step) restore(ctx context.Context, f *keptFile) error {
	if !f.there || s.has(f.path) {
		return nil
	}
	return s.writeText(ctx, f, f.text, f.usage)
}

// writeText writes text to f. It creates missing directories.
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

// auditFile reports the delivery of a written file, once for each token or credential in it.
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

// WriteFile resolves text and writes it to the file with that slash-separated path below Dir,
// mode 0600, without adding a newline. It returns the file's absolute path. The broker replaces
// the file atomically before a token in it expires. If no new token is available by then, the
// broker removes the file, and writes it again with the next token. A file that has vanished is
// restored within a minute, or by another call of WriteFile before that call returns.
//
// The name must not be Dir itself or in .oidctoken, which belongs to the broker. A file has one
// text: WriteFile may be called again with the same text, and fails with another. A fault in
// text is an *[expr.Error], as from Expand. Then no file is written, and the name stays free.
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

// privateDir contains the files for a step's connectors, below the step's Dir.
const privateDir = ".oidctoken"
