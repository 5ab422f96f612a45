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
	"github.com/oidctoken/oidctoken/internal/lease"
	"github.com/oidctoken/oidctoken/internal/mask"
)

// ErrClosed means that the step or its broker was closed.
var ErrClosed = errors.New("broker: the step is closed")

// brokerClosedError is an ErrClosed whose text names the broker.
type brokerClosedError struct{}

func (brokerClosedError) Error() string        { return "broker: the broker is closed" }
func (brokerClosedError) Is(target error) bool { return target == ErrClosed }

var (
	errExpired = errors.New("broker: the token or credential has already expired")

	errChanging   = errors.New("each lookup of the connector returned another Exchanger; set Connector.Version, or return the same Exchanger")
	errUnmaskable = errors.New("its credential has a secret that is too short to mask")
)

// StepConfig describes a step.
type StepConfig struct {
	// Scope describes where the step runs. Account is required. Audience, Profile and Connector
	// must be empty, because the broker sets them for each token. The host must not change what
	// the Scope points to while the step lives.
	Scope oidctoken.Scope

	// Variables and AuthorVariables are the variables that expressions may read, as in
	// [expr.Env]. So are Delimiters and ForeignRoots, which determine how the step's texts are
	// read. A value of Variables may come from a user, so it is never scanned for expressions.
	// A value of AuthorVariables comes from the author of the pipeline, so expressions in it
	// are resolved. Neither can name a connector outside the step's own Scope. Optional.
	Variables       map[string]func(path string) (string, bool)
	AuthorVariables map[string]func(path string) (string, bool)
	Delimiters      expr.Delimiters
	ForeignRoots    []string

	// Strict makes an error of every expression that would stay unresolved. Optional.
	Strict bool
}

// Step gives tokens, credentials and files to one running step. It is safe for concurrent use.
// The host ends it with Close. After that, only Mask and Environ still work.
//
// Concurrent callers that need the same token, credential or file share one request for it.
// Callers of other steps share it too, if everything in the request is the same. Each caller
// may stop waiting.
type Step struct {
	broker *Broker
	config StepConfig
	nonce  string // random, different for each step
	masks  mask.Set

	run   func(func(context.Context))       // runs a function in the background, until the step ends
	onEnd func(func()) (cancel func() bool) // calls a function when the step ends
	stop  context.CancelFunc
	tasks sync.WaitGroup

	delivering chan struct{} // a semaphore for one delivery

	mu        sync.Mutex
	closed    bool
	dir       string                       // created with the first file
	own       *atomicfile.LockedDir        // dir, opened before the step could put links into it
	delivered map[string]Ref               // the delivered connector of each cloud
	bundles   map[string]map[string]string // variables, by fileName
	environ   map[string]string
	origins   map[string]origin    // for each variable in environ
	files     map[string]*keptFile // by path
	endpoint  *endpoint            // nil until a connector is delivered
	served    []Ref                // the connectors that the endpoint serves
}

// NewStep returns a step with that configuration. It mints nothing, writes nothing and does not
// call the issuer's policy. The caller must close the step. NewStep fails with a
// *[oidctoken.ConfigError] if a field of c is wrong, and with ErrClosed after Broker.Close.
func (b *Broker) NewStep(c StepConfig) (*Step, error) {
	if c.Scope.Account.ID == "" {
		return nil, configError("StepConfig.Scope.Account", "is required")
	}
	if c.Scope.Audience != "" || c.Scope.Profile != nil || c.Scope.Connector != nil {
		return nil, configError("StepConfig.Scope", "has an Audience, a Profile or a Connector, which only connectors may set")
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

// Format prints a fixed text for every verb, because some verbs follow pointers.
func (s *Step) Format(f fmt.State, _ rune) { io.WriteString(f, "step [REDACTED]") }

func (s *Step) now() time.Time { return s.broker.config.Now() }

// passed reports whether t has passed by either clock of a Time.
func (s *Step) passed(t time.Time) bool { return lease.Passed(s.now(), t) }

// warn logs an error. It masks the step's secrets in the error.
func (s *Step) warn(ctx context.Context, message string, err error, attrs ...slog.Attr) {
	attrs = append(attrs, slog.String("error", s.masks.Text(err.Error())))
	s.broker.config.Logger.LogAttrs(ctx, slog.LevelWarn, message, attrs...)
}

// during returns a ctx that also ends when the step ends. The caller calls done.
func (s *Step) during(ctx context.Context) (_ context.Context, done func()) {
	ctx, end := context.WithCancel(ctx)
	forget := s.onEnd(end)
	return ctx, func() {
		forget()
		end()
	}
}

// begin makes Close wait until end is called. Code that writes to the step's directory calls
// begin first, so that nothing is written after Close has removed the directory.
func (s *Step) begin() (end func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.whenClosed(); err != nil {
		return nil, err
	}
	s.tasks.Add(1)
	return s.tasks.Done, nil
}

// ended returns err, or ErrClosed if the step or its broker was closed. Otherwise the caller
// would take the step's end for the end of its own ctx.
func (s *Step) ended(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if closed := s.whenClosed(); closed != nil {
		return closed
	}
	return err
}

// whenClosed returns an ErrClosed if the step or its broker was closed, and nil otherwise. The
// caller holds s.mu.
func (s *Step) whenClosed() error {
	switch {
	case s.closed:
		return ErrClosed
	case s.broker.closed.Load():
		return brokerClosedError{}
	}
	return nil
}

// Environ returns the variables of all deliveries as "name=value", sorted by name.
// ACTIONS_ID_TOKEN_REQUEST_TOKEN is a secret, which gives access to the step's endpoint. If the
// step already has a NO_PROXY or no_proxy, use NoProxy to combine them. The caller may change
// the slice.
func (s *Step) Environ() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var env []string
	for _, name := range slices.Sorted(maps.Keys(s.environ)) {
		env = append(env, name+"="+s.environ[name])
	}
	return env
}

// Mask returns a writer that copies its input to w and replaces every secret of the step by
// "***", in all forms in which logs show it. It holds back text that may be the beginning of a
// secret. Close writes that text and does not close w. The writer is not safe for concurrent
// use. It may be used after the step is closed.
func (s *Step) Mask(w io.Writer) io.WriteCloser { return s.masks.Writer(w) }

// Close ends the step's endpoint and the renewal of its files, and removes its directory with
// all its contents. It cancels the calls in progress and waits for those that write. Tokens and
// credentials of the step stay valid at their relying parties until they expire. Close may be
// called more than once.
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
