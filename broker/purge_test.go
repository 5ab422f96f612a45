package broker_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

// store is a host's Connectors that can change while steps run.
type store struct {
	mu         sync.Mutex
	connectors broker.ConnectorMap
}

func (s *store) Connector(ctx context.Context, key broker.ConnectorKey) (*broker.Connector, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connectors.Connector(ctx, key)
}

// set replaces a connector. Nil removes it.
func (s *store) set(key broker.ConnectorKey, c *broker.Connector) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connectors[key] = c
}

// errDamaged stands for a *broker.ConnectorError.
var errDamaged = errors.New("damaged")

// If a connector is revoked during its exchange, the step gets no credential.
func TestRevokedWhileWaiting(t *testing.T) {
	config, g := gatedConfig(t, newCloud("gcp"))
	connectors := &store{connectors: config.Connectors.(broker.ConnectorMap)}
	config.Connectors = connectors
	for _, purge := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			g.open = make(chan struct{})
			connectors.set(gcpProd, &broker.Connector{Exchanger: g})
			b := start(t, config)
			step := newStep(t, b, scope("payments", "ledger"))
			failed := make(chan error, 1)
			go func() {
				text, err := step.Expand(t.Context(), access)
				if text != "" {
					t.Errorf("got %q", text)
				}
				failed <- err
			}()
			synctest.Wait()
			connectors.set(gcpProd, nil)
			if purge {
				b.Purge(gcpProd)
			}
			close(g.open)
			if err := <-failed; !errors.Is(err, broker.ErrNoConnector) {
				t.Errorf("got %v, want %v", err, broker.ErrNoConnector)
			}
		})
	}
}

// If a connector is revoked while its token is being signed, the step does not get the token.
func TestRevokedWhileSigning(t *testing.T) {
	config := brokerConfig(t, newCloud("gcp"))
	connectors := &store{connectors: config.Connectors.(broker.ConnectorMap)}
	config.Connectors = connectors
	vault := broker.ConnectorKey{Account: "acme", ID: "vault"}
	key := oidctokentest.NewKey(t, "ES256")
	key.Signer = revoking{key.Signer, func() { connectors.set(vault, nil) }}
	var err error
	config.Issuer, err = oidctoken.NewIssuer(oidctoken.Config{
		URL: "https://ci.example.com", Keys: oidctoken.StaticKeys{key}, Profile: oidctoken.Profile{Algorithms: []string{"ES256"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	step := newStep(t, start(t, config), scope("payments", "ledger"))
	if got, err := step.Expand(t.Context(), `<+secrets.getJWT("account.vault")>`); !errors.Is(err, broker.ErrNoConnector) || got != "" {
		t.Errorf("got %q, %v", got, err)
	}
}

// revoking is a signer that calls a function while it signs.
type revoking struct {
	oidctoken.Signer
	happen func()
}

func (r revoking) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	r.happen()
	return r.Signer.Sign(ctx, digest, opts)
}

// A request without an audience is for the step's only connector. It is not for the last one
// that was not revoked.
func TestEndpointAfterRevocation(t *testing.T) {
	config := endpointConfig(t, new(audits))
	connectors := &store{connectors: config.Connectors.(broker.ConnectorMap)}
	config.Connectors = connectors
	env := deliver(t, newStep(t, start(t, config), scope("payments", "ledger")), "account.vault", "account.also")
	connectors.set(broker.ConnectorKey{Account: "acme", ID: "also"}, nil)
	if got := ask(t, env, "GET", env["OIDCTOKEN_URL"], ""); got.Status != 400 || got.Value != "" {
		t.Errorf("got %+v", got)
	}
	if got := ask(t, env, "GET", env["OIDCTOKEN_URL"]+"?audience=https://also.example.com", ""); got.Status != 403 || got.Value != "" {
		t.Errorf("got %+v", got)
	}
	if got := ask(t, env, "GET", env["OIDCTOKEN_URL"]+"?audience=https://vault.example.com", ""); got.Status != 200 {
		t.Errorf("got %+v", got)
	}
}

// hanging is a store of connectors that does not respond.
type hanging struct{}

func (hanging) Connector(ctx context.Context, _ broker.ConnectorKey) (*broker.Connector, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Close ends calls that wait for the host's own store.
func TestCloseEndsLookups(t *testing.T) {
	config := brokerConfig(t, newCloud("gcp"))
	config.Connectors = hanging{}
	synctest.Test(t, func(t *testing.T) {
		step := newStep(t, start(t, config), scope("payments", "ledger"))
		failed := make(chan error, 2)
		go func() { failed <- step.Deliver(context.Background(), "account.vault") }()
		go func() {
			_, err := step.Expand(context.Background(), access)
			failed <- err
		}()
		synctest.Wait()
		if err := step.Close(); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := <-failed; !errors.Is(err, broker.ErrClosed) {
				t.Errorf("got %v, want %v", err, broker.ErrClosed)
			}
		}
	})
}

var gcpProd = broker.ConnectorKey{Account: "acme", ID: "gcp_prod"}

// After Purge of a connector, texts and files get new credentials. If the connector was
// revoked, or its rules no longer admit the step, its files are removed: at once with Purge,
// and otherwise within a minute.
func TestPurge(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*broker.Connector) *broker.Connector
		purge  bool
		after  time.Duration
		want   error // nil means that the step gets another credential
	}{
		{"purged", func(c *broker.Connector) *broker.Connector { return c }, true, 0, nil},
		{"removed and purged", func(*broker.Connector) *broker.Connector { return nil }, true, 0, broker.ErrNoConnector},
		{"removed", func(*broker.Connector) *broker.Connector { return nil }, false, time.Minute, broker.ErrNoConnector},
		{"damaged", func(c *broker.Connector) *broker.Connector {
			return &broker.Connector{Exchanger: c.Exchanger, Rules: broker.Rules{Projects: []string{"ledger"}}}
		}, true, 0, errDamaged},
		{"rules", func(c *broker.Connector) *broker.Connector {
			return &broker.Connector{Exchanger: c.Exchanger, Rules: broker.Rules{StageTypes: []string{"Deployment"}}}
		}, false, time.Minute, oidctoken.ErrDenied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			google := newCloud("gcp")
			config := brokerConfig(t, google)
			connectors := &store{connectors: config.Connectors.(broker.ConnectorMap)}
			config.Connectors = connectors
			synctest.Test(t, func(t *testing.T) {
				b := start(t, config)
				step := newStep(t, b, scope("payments", "ledger"))
				path, err := step.WriteFile(t.Context(), "access", access)
				if err != nil {
					t.Fatal(err)
				}
				jwt := expand(t, step, `<+secrets.getJWTFile("account.gcp_prod")>`)
				connectors.set(gcpProd, tt.change(connectors.connectors[gcpProd]))
				if tt.purge {
					b.Purge(gcpProd)
				}
				time.Sleep(tt.after)
				synctest.Wait()
				text, err := step.Expand(t.Context(), access)
				var damaged *broker.ConnectorError
				if !errors.Is(err, tt.want) && !(tt.want == errDamaged && errors.As(err, &damaged)) {
					t.Fatalf("a text: got %q, %v; want %v", text, err, tt.want)
				}
				if tt.want == nil {
					if got := read(t, path); got != text || serial(got) != "2" {
						t.Errorf("the file holds %q, and a text %q", got, text)
					}
					read(t, jwt)
					return
				}
				for _, file := range []string{path, jwt} {
					if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
						t.Errorf("a file of a connector that the step may not have is still there: %v", err)
					}
				}
				// The file is restored with the connector.
				connectors.set(gcpProd, &broker.Connector{Exchanger: google})
				time.Sleep(time.Minute)
				synctest.Wait()
				read(t, path)
				read(t, jwt)
			})
		})
	}
}

// rotating is a KeySource with one key at a time.
type rotating struct {
	keys atomic.Pointer[[]oidctoken.Key]
}

func (r *rotating) Keys(context.Context) ([]oidctoken.Key, error) { return *r.keys.Load(), nil }

// After a key is revoked, its tokens, the credentials from them and their files are dropped
// within a minute.
func TestRevokedKey(t *testing.T) {
	google := newCloud("gcp")
	config := brokerConfig(t, google)
	var keys rotating
	first := []oidctoken.Key{oidctokentest.NewKey(t, "ES256")}
	keys.keys.Store(&first)
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
		URL: "https://ci.example.com", Keys: &keys, Profile: oidctoken.Profile{Algorithms: []string{"ES256"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	config.Issuer = issuer
	synctest.Test(t, func(t *testing.T) {
		step := newStep(t, start(t, config), scope("payments", "ledger"))
		const jwt = `<+secrets.getJWT("account.vault")>`
		path, err := step.WriteFile(t.Context(), "jwt", jwt)
		if err != nil {
			t.Fatal(err)
		}
		token, credential := expand(t, step, jwt), expand(t, step, access)
		second := []oidctoken.Key{oidctokentest.NewKey(t, "ES256")}
		keys.keys.Store(&second)
		if expand(t, step, jwt) == token {
			t.Error("a token of a revoked key is served")
		}
		if expand(t, step, access) == credential {
			t.Error("a credential that was traded for it is served")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if read(t, path) == token {
			t.Error("it stands in a file")
		}
	})
}

// X14 X16: many steps share one exchange for each project, and no step gets the credential of
// another project.
func TestCrowdOfSteps(t *testing.T) {
	const projects, steps = 50, 20
	google := newCloud("gcp")
	b := newBroker(t, google)
	var group sync.WaitGroup
	got := make([][]string, projects)
	for i := range projects {
		got[i] = make([]string, steps)
		for j := range steps {
			step := newStep(t, b, scope("payments", fmt.Sprintf("project_%d", i)))
			group.Go(func() {
				ctx := t.Context()
				if j%10 == 9 {
					var leave context.CancelFunc
					ctx, leave = context.WithCancel(ctx)
					leave()
				}
				text, err := step.Expand(ctx, access)
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				got[i][j] = text
			})
		}
	}
	group.Wait()
	if n := google.count.Load(); n != projects {
		t.Errorf("%d exchanges for %d projects", n, projects)
	}
	for i, texts := range got {
		texts = slices.Compact(slices.DeleteFunc(texts, func(s string) bool { return s == "" }))
		if len(texts) != 1 || !strings.Contains(texts[0], fmt.Sprintf(":project/project_%d-", i)) {
			t.Errorf("project %d got %q", i, texts)
		}
	}
}

// Every event of a step is audited once, with its place and its reason.
func TestAudit(t *testing.T) {
	google := newCloud("gcp")
	google.lifetime = 10 * time.Minute
	audited := new(audits)
	config := brokerConfig(t, google)
	config.Audit = audited.add
	synctest.Test(t, func(t *testing.T) {
		step := newStep(t, start(t, config), scope("payments", "ledger"))
		if _, err := step.WriteFile(t.Context(), "access", access); err != nil {
			t.Fatal(err)
		}
		if _, err := step.Expand(t.Context(), `<+secrets.getJWT("theirs")>`); err == nil {
			t.Error("another project's connector is found")
		}
		time.Sleep(8 * time.Minute)
		synctest.Wait()
		audited.mu.Lock()
		defer audited.mu.Unlock()
		var got []string
		for _, e := range audited.events {
			got = append(got, fmt.Sprintf("%s %s %s %s err=%v", e.Kind, e.Connector, e.Cloud, e.File, e.Err != nil))
			if e.Scope.Project.ID != "ledger" || e.Scope.Connector != nil || e.Scope.Audience != "" || e.Time.IsZero() {
				t.Errorf("%s: the scope is %+v", e.Kind, e.Scope)
			}
			if (e.Kind == broker.Exchanged || e.Kind == broker.Refreshed) && (e.Audience != google.Audience() || e.Expires.IsZero()) {
				t.Errorf("%s: %+v", e.Kind, e)
			}
		}
		want := []string{
			"exchanged account.gcp_prod gcp  err=false",
			"delivered account.gcp_prod gcp access err=false",
			"refused theirs   err=true",
			"refreshed account.gcp_prod gcp  err=false",
			"delivered account.gcp_prod gcp access err=false",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}
