package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/expr"
	"github.com/oidctoken/oidctoken/internal/atomicfile"
	"github.com/oidctoken/oidctoken/internal/mask"
)

// ErrClosed means that the step, or its broker, was closed.
var ErrClosed = errors.New("broker: the step is closed")

// brokerClosedError is an ErrClosed, and says that the broker was closed.
type brokerClosedError struct{}

func (brokerClosedError) Error() string        { return "broker: the broker is closed" }
func (brokerClosedError) Is(target error) bool { return target == ErrClosed }

var (
	errExpired = errors.New("broker: what was fetched has expired")

	errChanging   = errors.New("each lookup of the connector returned another Exchanger; set Connector.Version, or return the same Exchanger")
	errUnmaskable = errors.New("its credential has a secret that is too short to be masked")
)

// StepConfig describes a step to a broker.
type StepConfig struct {
	// Scope is where the step runs. The broker fills in Audience, Profile and
	// Connector, token by token, and so they are empty here. Account is
	// required. What it points to is not changed while the step lives.
	Scope oidctoken.Scope

	// Variables and AuthorVariables are what expressions may read, and Strict,
	// Delimiters and ForeignRoots are how the step's texts are read, as in
	// [expr.Env]. A value of Variables may come from a user: it is never scanned
	// for expressions. A value of AuthorVariables was written by the pipeline's
	// author, and expressions in it are resolved. Either names a connector only in
	// the step's own Scope. Optional.
	Variables       map[string]func(path string) (string, bool)
	AuthorVariables map[string]func(path string) (string, bool)
	Delimiters      expr.Delimiters
	ForeignRoots    []string

	// Strict makes an error of every expression that would stay text. Optional.
	Strict bool
}

// Step gives one running step what it asked for. It is safe for concurrent
// use. Close ends it: after that only Mask and Environ still serve.
//
// Callers of one token, credential or file share one request for it, also
// callers of other steps for which all is the same. Each may leave it.
type Step struct {
	broker *Broker
	config StepConfig
	nonce  string // that no other step has
	masks  mask.Set

	run   func(func(context.Context))       // in the background, until the step ends
	onEnd func(func()) (cancel func() bool) // once the step ends
	stop  context.CancelFunc
	tasks sync.WaitGroup

	delivering chan struct{} // of one

	mu        sync.Mutex
	closed    bool
	dir       string                       // made when the first file is
	own       *atomicfile.LockedDir        // dir, from before the step could put links into it
	delivered map[string]Ref               // by cloud
	bundles   map[string]map[string]string // variables by fileName
	environ   map[string]string
	origins   map[string]origin    // of variables of environ
	files     map[string]*keptFile // by path
	endpoint  *endpoint            // nil until a connector is given
	served    []Ref                // that the endpoint serves
}

// NewStep returns a step of that configuration. Nothing is minted, checked with
// policy or written yet. The caller closes the step in the end. NewStep fails with
// ErrClosed after Broker.Close.
func (b *Broker) NewStep(c StepConfig) (*Step, error) {
	if c.Scope.Account.ID == "" {
		return nil, errors.New("broker: StepConfig.Scope.Account is required")
	}
	if c.Scope.Audience != "" || c.Scope.Profile != nil || c.Scope.Connector != nil {
		return nil, errors.New("broker: StepConfig.Scope has an Audience, a Profile or a Connector, which are the connectors' to give")
	}
	s := &Step{
		broker: b,
		config: c,
		nonce:  rand.Text(),

		delivering: make(chan struct{}, 1),

		delivered: make(map[string]Ref),
		bundles:   make(map[string]map[string]string),
		environ:   make(map[string]string),
		origins:   make(map[string]origin),
		files:     make(map[string]*keptFile),
	}
	ctx, stop := context.WithCancel(context.Background())
	s.run = func(f func(context.Context)) { s.tasks.Go(func() { f(ctx) }) }
	s.onEnd = func(f func()) func() bool { return context.AfterFunc(ctx, f) }
	s.stop = stop
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed.Load() {
		stop()
		return nil, brokerClosedError{}
	}
	b.steps[s] = struct{}{}
	return s, nil
}

// Format shows nothing of what the step was given, for any verb: some show what
// a pointer leads to.
func (s *Step) Format(f fmt.State, _ rune) { io.WriteString(f, "step [REDACTED]") }

func (s *Step) now() time.Time { return s.broker.config.Now() }

// passed says whether t has passed by either of the clocks that a Time may
// hold: the monotonic one stands still while a machine sleeps, and the other
// can be set back.
func (s *Step) passed(t time.Time) bool {
	now := s.now()
	return !now.Before(t) || !now.Round(0).Before(t.Round(0))
}

// warn logs an error with what it may quote of the step's secrets masked.
func (s *Step) warn(ctx context.Context, message string, err error, attrs ...slog.Attr) {
	attrs = append(attrs, slog.String("error", s.masks.Text(err.Error())))
	s.broker.config.Logger.LogAttrs(ctx, slog.LevelWarn, message, attrs...)
}

// during is ctx, ended by the step's end, too. The caller calls done.
func (s *Step) during(ctx context.Context) (_ context.Context, done func()) {
	ctx, end := context.WithCancel(ctx)
	forget := s.onEnd(end)
	return ctx, func() {
		forget()
		end()
	}
}

// begin makes Close wait until end is called. Whoever writes below the step's
// directory does so in between, so that nothing is written there once it was
// removed.
func (s *Step) begin() (end func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.whenClosed(); err != nil {
		return nil, err
	}
	s.tasks.Add(1)
	return s.tasks.Done, nil
}

// ended returns err, or ErrClosed if the step or its broker was closed: a caller
// would take that for the end of its own ctx.
func (s *Step) ended(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if closed := s.whenClosed(); closed != nil {
		return closed
	}
	return err
}

// whenClosed returns an ErrClosed if the step or its broker was closed. The caller
// holds s.mu.
func (s *Step) whenClosed() error {
	switch {
	case s.closed:
		return ErrClosed
	case s.broker.closed.Load():
		return brokerClosedError{}
	}
	return nil
}

// Environ returns the variables of what was delivered, as "name=value", sorted
// by name. One is a secret: ACTIONS_ID_TOKEN_REQUEST_TOKEN, which opens the
// step's endpoint. NoProxy joins NO_PROXY and no_proxy with those that the step
// has already. The caller may change the slice.
func (s *Step) Environ() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var env []string
	for _, name := range slices.Sorted(maps.Keys(s.environ)) {
		env = append(env, name+"="+s.environ[name])
	}
	return env
}

// Mask returns a writer that passes what is written on to w, with "***" for
// every secret that the step was given so far, in the forms that logs show
// them in. It holds back what may be the beginning of a secret: Close writes
// the rest, and leaves w open. The writer is for one goroutine at a time, and
// outlives the step.
func (s *Step) Mask(w io.Writer) io.WriteCloser { return s.masks.Writer(w) }

// Close ends the step's endpoint and what keeps its files fresh, and removes its directory, with
// all that the step has put there. It ends the calls that are under way, and
// waits for those that write. What the step was given stays valid at its relying parties
// until it expires. To close it again is no error.
func (s *Step) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.tasks.Wait()
	s.broker.mu.Lock()
	delete(s.broker.steps, s)
	s.broker.mu.Unlock()
	s.mu.Lock()
	dir, own := s.dir, s.own
	s.mu.Unlock()
	if dir == "" {
		return nil
	}
	if err := own.Remove(dir); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	return nil
}
