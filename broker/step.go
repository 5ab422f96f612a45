package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/atomicfile"
	"github.com/oidctoken/oidctoken/internal/mask"
)

var (
	errClosed  = errors.New("broker: the step is closed")
	errExpired = errors.New("broker: what was fetched has expired already")
)

// StepConfig describes a step to a broker.
type StepConfig struct {
	// Scope is where the step runs. The broker fills in Audience, Profile and
	// Connector, token by token, and so they are empty here. Account is
	// required.
	Scope oidctoken.Scope

	// Variables are what expressions may read, as in [expr.Env]. Optional.
	Variables map[string]func(path string) (string, bool)

	// Strict makes an error of every expression that would pass through.
	Strict bool
}

// Step gives one running step what it asked for. It is safe for concurrent
// use. Close ends it.
type Step struct {
	broker *Broker
	config StepConfig
	masks  mask.Set

	run   func(func(context.Context)) // until the step ends, which renewals outlive their callers for
	stop  context.CancelFunc
	tasks sync.WaitGroup

	mu          sync.Mutex
	closed      bool
	dir         string // made when the first file is
	tokens      map[tokenKey]*lease[string]
	credentials map[credentialKey]*lease[*exchange.Credential]
	delivered   map[string]string // by cloud: the connector
	environ     map[string]string
	keeper      *keeper
}

type tokenKey struct {
	ref      Ref
	audience string
}

type credentialKey struct {
	ref    Ref
	scopes string
}

// NewStep returns a step of that configuration. Nothing is minted yet.
func (b *Broker) NewStep(c StepConfig) (*Step, error) {
	if c.Scope.Audience != "" || c.Scope.Profile != nil || c.Scope.Connector != nil {
		return nil, errors.New("broker: StepConfig.Scope has an Audience, a Profile or a Connector, which are the connectors' to give")
	}
	s := &Step{
		broker:      b,
		config:      c,
		tokens:      make(map[tokenKey]*lease[string]),
		credentials: make(map[credentialKey]*lease[*exchange.Credential]),
		delivered:   make(map[string]string),
		environ:     make(map[string]string),
	}
	ctx, stop := context.WithCancel(context.Background())
	s.run, s.stop = func(f func(context.Context)) { s.tasks.Go(func() { f(ctx) }) }, stop
	s.keeper = newKeeper(s)
	return s, nil
}

func (s *Step) now() time.Time { return s.broker.config.Now() }

// spawn runs f until the step is closed at the latest.
func (s *Step) spawn(f func(context.Context)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	s.run(f)
	return nil
}

// grant is a connector that the step may use, for one audience.
type grant struct {
	ref       Ref
	audience  string
	connector *Connector
	scope     oidctoken.Scope
}

// grant resolves a reference in the step's scope; the empty audience is the
// connector's default.
func (s *Step) grant(ctx context.Context, ref, audience string) (*grant, error) {
	r, err := ParseRef(ref)
	if err != nil {
		return nil, err
	}
	home, err := r.home(&s.config.Scope)
	if err != nil {
		return nil, fmt.Errorf("broker: connector %s: %w", r, err)
	}
	c, err := s.broker.config.Connectors.Connector(ctx, home)
	if err != nil {
		return nil, fmt.Errorf("broker: connector %s: %w", r, err)
	}
	g := &grant{ref: r, connector: c, scope: s.config.Scope}
	if g.audience, err = c.audience(audience); err != nil {
		return nil, fmt.Errorf("broker: connector %s: %w", r, err)
	}
	g.scope.Audience = g.audience
	g.scope.Profile = c.profile()
	g.scope.Connector = &oidctoken.Connector{ID: r.ID, UID: c.UID, Name: c.Name, Scope: r.Level}
	return g, nil
}

// token is the lease of the JWT for a grant: one per connector and audience,
// however often it is asked for.
func (s *Step) token(g *grant) *lease[string] {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := tokenKey{g.ref, g.audience}
	l := s.tokens[key]
	if l == nil {
		l = &lease[string]{step: s, fetch: func(ctx context.Context) (string, time.Time, error) {
			t, err := s.mint(ctx, g.scope)
			if err != nil {
				return "", time.Time{}, err
			}
			return t.JWT(), t.Expires(), nil
		}}
		s.tokens[key] = l
	}
	return l
}

// mint mints a token that the step's output will not show.
func (s *Step) mint(ctx context.Context, scope oidctoken.Scope) (*oidctoken.Token, error) {
	t, err := s.broker.config.Issuer.Mint(ctx, scope)
	if err != nil {
		return nil, err
	}
	s.masks.Add(t.JWT())
	return t, nil
}

// credential is the lease of the cloud credential for a grant. The scopes are
// separated by spaces; none means the connector's own.
func (s *Step) credential(g *grant, scopes string) *lease[*exchange.Credential] {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := credentialKey{g.ref, scopes}
	l := s.credentials[key]
	if l == nil {
		l = &lease[*exchange.Credential]{step: s, fetch: func(ctx context.Context) (*exchange.Credential, time.Time, error) {
			c, err := s.exchange(ctx, g, scopes)
			if err != nil {
				return nil, time.Time{}, err
			}
			return c, c.Expires(), nil
		}}
		s.credentials[key] = l
	}
	return l
}

// exchange trades a token at g's cloud for a credential that the step's output
// will not show.
func (s *Step) exchange(ctx context.Context, g *grant, scopes string) (*exchange.Credential, error) {
	var asked []string // nil: the connector's own
	if scopes != "" {
		asked = strings.Fields(scopes)
	}
	c, err := g.connector.Exchanger.Exchange(ctx, exchange.Request{
		Subject: func(ctx context.Context, audience string) (string, error) {
			scope := g.scope
			scope.Audience = audience
			t, err := s.mint(ctx, scope)
			if err != nil {
				return "", err
			}
			return t.JWT(), nil
		},
		Scopes: asked,
	})
	if err != nil {
		return nil, fmt.Errorf("broker: connector %s: %w", g.ref, err)
	}
	for _, value := range c.Env() {
		s.masks.Add(value)
	}
	return c, nil
}

// Deliver gives the step all that the tools of a connector's cloud need: it
// writes the files and adds the variables to Environ. Of one cloud, a step can
// be given one connector.
func (s *Step) Deliver(ctx context.Context, ref string) error {
	g, err := s.grant(ctx, ref, "")
	if err != nil {
		return err
	}
	if err := s.claimCloud(g); err != nil {
		return err
	}
	bundle, err := s.bundle(ctx, g)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(s.environ, bundle.Env)
	return nil
}

// claimCloud refuses a second connector of a cloud.
func (s *Step) claimCloud(g *grant) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cloud := g.connector.cloud()
	if other, ok := s.delivered[cloud]; ok && other != g.ref.String() {
		return fmt.Errorf("broker: connector %s: %s was delivered already, and a step can have one connector of a cloud", g.ref, other)
	}
	s.delivered[cloud] = g.ref.String()
	return nil
}

// Environ returns the variables of what was delivered, as "name=value", sorted
// by name. They hold paths, and no secret. The slice is the caller's.
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
// the rest, and leaves w open.
func (s *Step) Mask(w io.Writer) io.WriteCloser { return s.masks.Writer(w) }

// Dir returns the step's private directory, mode 0700, and makes it if need
// be. Close removes it with all that is in it.
func (s *Step) Dir() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return "", errClosed
	case s.dir != "":
		return s.dir, nil
	case s.broker.config.Dir == "":
		return "", errors.New("broker: Config.Dir is needed for files")
	}
	dir, err := os.MkdirTemp(s.broker.config.Dir, stepDirPrefix)
	if err != nil {
		return "", fmt.Errorf("broker: %w", err)
	}
	// MkdirTemp asks for 0700, and a umask can only take from that.
	if err := os.Chmod(dir, 0o700); err != nil {
		return "", fmt.Errorf("broker: %w", err)
	}
	s.dir = dir
	return dir, nil
}

// subdir makes a private directory in the step's.
func (s *Step) subdir(name string) (string, error) {
	dir, err := s.Dir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, name)
	if err := atomicfile.MkdirPrivate(dir); err != nil {
		return "", fmt.Errorf("broker: %w", err)
	}
	return dir, nil
}

// Close ends what keeps the step's files fresh and removes its directory. What
// the step was given stays valid at its relying parties until it expires.
func (s *Step) Close() error {
	s.mu.Lock()
	s.closed = true
	dir := s.dir
	s.mu.Unlock()
	s.stop()
	s.tasks.Wait()
	if dir == "" {
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	return nil
}
