package broker_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

// plain is a third-party exchanger: it implements only exchange.Exchanger.
type plain struct {
	env   map[string]string
	fail  error
	count atomic.Int64
}

func (*plain) Profile() oidctoken.Profile { return oidctoken.Profile{Algorithms: []string{"ES256"}} }
func (*plain) Audience() string           { return "https://plain.example.com" }

func (p *plain) Exchange(ctx context.Context, r exchange.Request) (*exchange.Credential, error) {
	n := p.count.Add(1)
	if _, err := r.Subject(ctx, p.Audience()); err != nil {
		return nil, err
	}
	if p.fail != nil {
		return nil, p.fail
	}
	env := maps.Clone(p.env)
	for name, value := range env {
		env[name] = strings.ReplaceAll(value, "{n}", fmt.Sprint(n))
	}
	return exchange.NewCredential(time.Now().Add(time.Hour), env, "PLAIN_ADDR"), nil
}

// plainEnv returns a secret and an address, which is not secret.
func plainEnv() map[string]string {
	return map[string]string{"PLAIN_TOKEN": "secret-of-exchange-{n}", "PLAIN_ADDR": "https://plain.example.com"}
}

type named struct {
	*plain
	cloud string
}

func (n named) Cloud() string { return n.cloud }

// filed has a bundle for a file. The bundle may be empty.
type filed struct {
	*plain
	bundle *exchange.Bundle
	err    error
}

func (f filed) Bundle(string, string) (*exchange.Bundle, error) { return f.bundle, f.err }

// namedFile is filed with a cloud name.
type namedFile struct {
	named
	exchange.FileSourced
}

// both has a bundle for a file and one for the endpoint.
type both struct {
	named
	exchange.FileSourced
	exchange.EndpointSourced
}

// pointed has a bundle for the endpoint.
type pointed struct {
	*plain
	bundle *exchange.Bundle
}

func (p pointed) EndpointBundle(_ string, e exchange.Endpoint) (*exchange.Bundle, error) {
	if p.bundle == nil {
		return &exchange.Bundle{Env: map[string]string{"PLAIN_URL": e.TokenURL}}, nil
	}
	return p.bundle, nil
}

// contained serves credentials, but has no bundle that points tools to them.
type contained struct{ *plain }

func (contained) ContainerCredentials(*exchange.Credential) ([]byte, error) { return []byte("{}"), nil }

func plainBroker(t *testing.T, connectors map[string]*broker.Connector, events *auditLog) *broker.Broker {
	t.Helper()
	m := make(broker.ConnectorMap)
	for id, c := range connectors {
		m[broker.ConnectorKey{Account: "acme", ID: id}] = c
	}
	return start(t, broker.Config{Issuer: oidctokentest.NewIssuer(t).Issuer, Connectors: m, Dir: t.TempDir() + "/steps", Audit: events.add})
}

// own returns the variables of a step that begin with PLAIN_.
func own(step *broker.Step) map[string]string {
	env := make(map[string]string)
	for _, v := range step.Environ() {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, "PLAIN_") {
			env[name] = value
		}
	}
	return env
}

// If an exchanger has nothing for tools, Deliver adds the variables of its credential, with
// each of the optional interfaces.
func TestDeliverCredential(t *testing.T) {
	want := map[string]string{"PLAIN_TOKEN": "secret-of-exchange-1", "PLAIN_ADDR": "https://plain.example.com"}
	empty := &exchange.Bundle{}
	for _, tt := range []struct {
		name      string
		connector func(*plain) *broker.Connector
	}{
		{"Exchanger alone", func(p *plain) *broker.Connector { return &broker.Connector{Exchanger: p} }},
		{"named cloud", func(p *plain) *broker.Connector { return &broker.Connector{Exchanger: named{p, "plain"}} }},
		{"no bundle", func(p *plain) *broker.Connector { return &broker.Connector{Exchanger: filed{plain: p}} }},
		{"empty bundle", func(p *plain) *broker.Connector { return &broker.Connector{Exchanger: filed{plain: p, bundle: empty}} }},
		{"bundle without variables", func(p *plain) *broker.Connector {
			return &broker.Connector{Exchanger: filed{plain: p, bundle: &exchange.Bundle{Dirs: []string{"a"}, Files: map[string][]byte{"b": nil}}}}
		}},
		{"empty bundle for the endpoint", func(p *plain) *broker.Connector { return &broker.Connector{Exchanger: pointed{p, empty}} }},
		{"empty bundle by endpoint", func(p *plain) *broker.Connector {
			return &broker.Connector{Exchanger: pointed{p, empty}, ByEndpoint: true}
		}},
		{"container credentials alone", func(p *plain) *broker.Connector { return &broker.Connector{Exchanger: contained{p}} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, events := &plain{env: plainEnv()}, new(auditLog)
			step := newStep(t, plainBroker(t, map[string]*broker.Connector{"plain": tt.connector(p)}, events), scope("payments", "ledger"))
			for range 2 { // a connector may be delivered again
				if err := step.Deliver(t.Context(), "account.plain"); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(want, own(step)); diff != "" {
				t.Errorf("variables (-want +got):\n%s", diff)
			}
			if n := p.count.Load(); n != 1 {
				t.Errorf("%d exchanges, want 1", n)
			}
			var out strings.Builder
			w := step.Mask(&out)
			if _, err := w.Write([]byte("secret-of-exchange-1 at https://plain.example.com")); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if want := "*** at https://plain.example.com"; out.String() != want {
				t.Errorf("output %q, want %q", out.String(), want)
			}
			last := events.events[len(events.events)-1]
			if last.Kind != broker.Delivered || last.Connector != "account.plain" || time.Until(last.Expires) < 59*time.Minute {
				t.Errorf("Audit received %v %s until %s, want a delivery until the credential expires", last.Kind, last.Connector, last.Expires)
			}
			if value := get(t, step, variable(step, "OIDCTOKEN_URL")); !strings.Contains(value, "eyJ") {
				t.Errorf("the endpoint's answer is %s, want a JWT", value)
			}
		})
	}
}

// An exchanger whose tools can use only the endpoint is delivered with the endpoint.
func TestDeliverEndpointAlone(t *testing.T) {
	p := &plain{env: plainEnv()}
	empty := filed{bundle: &exchange.Bundle{}}
	for name, c := range map[string]*broker.Connector{
		"endpoint alone":      {Exchanger: pointed{p, nil}},
		"by endpoint":         {Exchanger: pointed{p, nil}, ByEndpoint: true},
		"empty bundle beside": {Exchanger: both{named{p, "plain"}, empty, pointed{p, nil}}},
	} {
		step := newStep(t, plainBroker(t, map[string]*broker.Connector{"plain": c}, new(auditLog)), scope("payments", "ledger"))
		if err := step.Deliver(t.Context(), "account.plain"); err != nil {
			t.Fatal(err)
		}
		env := own(step)
		if len(env) != 1 || p.count.Load() != 0 {
			t.Errorf("%s: variables %v after %d exchanges, want PLAIN_URL after 0", name, env, p.count.Load())
		}
		if value := get(t, step, env["PLAIN_URL"]); !strings.Contains(value, "eyJ") {
			t.Errorf("PLAIN_URL answers %s, want a JWT", value)
		}
	}
}

// If an expression writes a file that points to the endpoint, the endpoint serves that
// connector.
func TestCredentialsFileOfEndpointAlone(t *testing.T) {
	for _, byEndpoint := range []bool{false, true} {
		var endpoint exchange.Endpoint
		ex := struct {
			named
			exchange.EndpointSourced
		}{named{&plain{}, "gcp"}, endpointBundle(func(dir string, e exchange.Endpoint) *exchange.Bundle {
			endpoint = e
			return &exchange.Bundle{Env: map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": dir + "/key"}}
		})}
		step := newStep(t, plainBroker(t, map[string]*broker.Connector{"plain": {Exchanger: ex, ByEndpoint: byEndpoint}}, new(auditLog)), scope("payments", "ledger"))
		if got := expand(t, step, `<+secrets.getGCPCredentialsFile("account.plain")>`); !strings.HasSuffix(got, "/key") {
			t.Errorf("ByEndpoint %v: %q, want the path of the key", byEndpoint, got)
		}
		if value := answerOf(t, endpoint.TokenURL, endpoint.Authorization()); !strings.Contains(value, "eyJ") {
			t.Errorf("ByEndpoint %v: the endpoint answers %s, want a JWT", byEndpoint, value)
		}
	}
}

type endpointBundle func(dir string, e exchange.Endpoint) *exchange.Bundle

func (f endpointBundle) EndpointBundle(dir string, e exchange.Endpoint) (*exchange.Bundle, error) {
	return f(dir, e), nil
}

// A refused delivery changes nothing.
func TestDeliverCredentialRefused(t *testing.T) {
	failed := errors.New("the cloud is away")
	for _, tt := range []struct {
		name string
		ex   exchange.Exchanger
		want string
	}{
		{"no variables", &plain{}, "there is nothing to deliver"},
		{"exchange fails", &plain{env: plainEnv(), fail: failed}, failed.Error()},
		{"bundle fails", filed{plain: &plain{env: plainEnv()}, err: failed}, failed.Error()},
		{"line break", &plain{env: map[string]string{"PLAIN_TOKEN": "a-secret-with-a\nbreak"}}, `"PLAIN_TOKEN" is not valid in an environment`},
		{"NUL", &plain{env: map[string]string{"PLAIN_TOKEN": "a-secret-with-a\x00NUL"}}, `"PLAIN_TOKEN" is not valid in an environment`},
		{"name with an equals sign", &plain{env: map[string]string{"PLAIN_A=B": "a-long-secret"}}, `"PLAIN_A=B" is not valid in an environment`},
		{"name with a NUL", &plain{env: map[string]string{"PLAIN_\x00": "a-long-secret"}}, "is not valid in an environment"},
		{"empty name", &plain{env: map[string]string{"": "a-long-secret"}}, "is not valid in an environment"},
		{"line break in a bundle", filed{plain: &plain{}, bundle: &exchange.Bundle{Env: map[string]string{"PLAIN_A": "a\nb"}}}, `"PLAIN_A" is not valid in an environment`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			step := newStep(t, plainBroker(t, map[string]*broker.Connector{"plain": {Exchanger: tt.ex}}, new(auditLog)), scope("payments", "ledger"))
			err := step.Deliver(t.Context(), "account.plain")
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "account.plain") {
				t.Errorf("Deliver: %v, want an error of account.plain with %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "a-secret") {
				t.Errorf("the error holds the value: %v", err)
			}
			if env := step.Environ(); len(env) != 0 {
				t.Errorf("the step has %d variables", len(env))
			}
		})
	}
}

// A variable with a credential does not replace a variable of another connector, and is not
// replaced by one. Otherwise a credential would be used for the wrong target.
func TestDeliverNeverReplaces(t *testing.T) {
	bundle := &exchange.Bundle{Env: map[string]string{"PLAIN_TOKEN": "/path"}}
	for _, tt := range []struct {
		name          string
		first, second exchange.Exchanger
		ok            bool
	}{
		{"two of one kind", &plain{env: plainEnv()}, &plain{env: plainEnv()}, false},
		{"two names", named{&plain{env: plainEnv()}, "one"}, named{&plain{env: plainEnv()}, "two"}, false},
		{"one name", named{&plain{env: plainEnv()}, "one"}, named{&plain{env: map[string]string{"PLAIN_OTHER": "another-secret"}}, "one"}, false},
		{"a file, then a credential", filed{plain: &plain{}, bundle: bundle}, named{&plain{env: plainEnv()}, "two"}, false},
		{"a credential, then a file", named{&plain{env: plainEnv()}, "one"}, filed{plain: &plain{}, bundle: bundle}, false},
		{"a credential, then a file of a named cloud", named{&plain{env: plainEnv()}, "one"}, namedFile{named{&plain{}, "two"}, filed{bundle: bundle}}, false},
		{"two files of named clouds", namedFile{named{&plain{}, "one"}, filed{bundle: bundle}}, namedFile{named{&plain{}, "two"}, filed{bundle: bundle}}, true},
		{"two files", filed{plain: &plain{}, bundle: bundle}, filed{plain: &plain{}, bundle: bundle}, false},
		{"different variables", &plain{env: plainEnv()}, &plain{env: map[string]string{"PLAIN_OTHER": "another-secret"}}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := plainBroker(t, map[string]*broker.Connector{"first": {Exchanger: tt.first}, "second": {Exchanger: tt.second}}, new(auditLog))
			step := newStep(t, b, scope("payments", "ledger"))
			if err := step.Deliver(t.Context(), "account.first"); err != nil {
				t.Fatal(err)
			}
			before := step.Environ()
			err := step.Deliver(t.Context(), "account.second")
			if (err == nil) != tt.ok {
				t.Errorf("Deliver: %v, want success: %v", err, tt.ok)
			}
			if !tt.ok && !slices.Equal(before, step.Environ()) {
				t.Error("a refused delivery changed the environment")
			}
			if err := step.Deliver(t.Context(), "account.first"); err != nil {
				t.Errorf("the first one again: %v", err)
			}
		})
	}
}

// A second delivery replaces the values of a renewed credential.
func TestDeliverCredentialAgain(t *testing.T) {
	issuer := oidctokentest.NewIssuer(t).Issuer
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p := &plain{env: plainEnv()}
		b, err := broker.New(broker.Config{
			Issuer: issuer, Dir: dir + "/steps",
			Connectors: broker.ConnectorMap{{Account: "acme", ID: "plain"}: {Exchanger: p}, {Account: "acme", ID: "vault"}: {Audiences: []string{"a"}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		step, err := b.NewStep(broker.StepConfig{Scope: scope("payments", "ledger")})
		if err != nil {
			t.Fatal(err)
		}
		defer step.Close()
		for _, want := range []string{"secret-of-exchange-1", "secret-of-exchange-2"} {
			env, err := step.Variables(t.Context(), "account.plain")
			if err != nil || env["PLAIN_TOKEN"] != want {
				t.Errorf("variables %v, %v; want %s", env, err, want)
			}
			time.Sleep(time.Hour)
		}
	})
}
