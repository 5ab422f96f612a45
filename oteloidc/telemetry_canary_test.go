package oteloidc_test

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/keyring"
)

// exported returns all data that leaves the process, as JSON.
func (o *observed) exported(t *testing.T) string {
	t.Helper()
	var collected metricdata.ResourceMetrics
	if err := o.reader.Collect(t.Context(), &collected); err != nil {
		t.Fatal(err)
	}
	metrics := must(json.Marshal(collected))
	spans := must(json.Marshal(tracetest.SpanStubsFromReadOnlySpans(o.spans.Ended())))
	return string(metrics) + string(spans)
}

// echo is a cloud that repeats the request in every field of its refusal.
type echo struct {
	cloud
	mu   sync.Mutex
	jwts []string
}

func (e *echo) Exchange(ctx context.Context, r exchange.Request) (*exchange.Credential, error) {
	jwt, err := r.Subject(ctx, e.Audience())
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.jwts = append(e.jwts, jwt)
	if len(e.jwts) == 1 {
		return exchange.NewCredential(time.Now().Add(time.Hour), map[string]string{"CLOUDSDK_AUTH_ACCESS_TOKEN": canaryAccess}), nil
	}
	return nil, &exchange.Error{Provider: jwt, Op: jwt, Status: 400, Code: jwt, Description: canaryWords + jwt, Hint: jwt, Err: errors.New(jwt)}
}

const (
	canaryAccess = "c4n4ry-access-token-of-a-cloud"
	canaryWords  = "c4n4ry words of a cloud at https://sts.example.com/v1 "
)

// D06: of tokens, credentials, errors' texts and tenants, nothing is exported.
func TestNothingOfATenantIsExported(t *testing.T) {
	canaries := map[string]string{"access token": canaryAccess, "a cloud's words": canaryWords, "a signer's words": "c4n4ry signer", "a store's words": "c4n4ry store"}
	tell := func(what string) string {
		canaries[what] = "c4n4ry_" + strings.ReplaceAll(what, " ", "_")
		return canaries[what]
	}
	o, audited := newTelemetry(), 0
	entity := func(what string) oidctoken.Entity {
		return oidctoken.Entity{ID: tell(what), UID: tell(what + " uid"), Name: tell(what + " name")}
	}
	s := oidctoken.Scope{
		Account: entity("account"), Organization: entity("organization"), Project: entity("project"),
		Pipeline:  &oidctoken.Pipeline{ID: tell("pipeline"), UID: tell("pipeline uid")},
		Execution: &oidctoken.Execution{ID: tell("execution")},
		Trigger:   &oidctoken.Trigger{ByID: tell("user"), ByEmail: tell("address")},
		Source:    &oidctoken.Source{Repository: tell("repository"), Ref: tell("ref")},
		Stage:     oidctoken.Deployment{ID: tell("stage"), Environment: &oidctoken.Environment{ID: tell("environment")}},
		Step:      &oidctoken.Step{ID: tell("step")},
	}
	issuer := newIssuer(oidctoken.Config{
		Keys: oidctoken.StaticKeys{{Signer: o.Signer(newSigner(), "awskms")}},
		Audit: o.Mint(func(_ context.Context, e oidctoken.Event) {
			audited++
			canaries[fmt.Sprint("jti ", audited)], canaries["kid"] = e.ID, e.KeyID
		}),
	})
	google := &echo{cloud: cloud{name: "gcp"}}
	home := broker.ConnectorKey{Account: s.Account.ID, ID: tell("connector")}
	b := must(broker.New(broker.Config{
		Issuer:     issuer,
		Connectors: broker.ConnectorMap{home: {UID: tell("connector uid"), Name: tell("connector name"), Exchanger: google, Audiences: []string{"https://" + tell("audience")}}},
		Dir:        filepath.Join(t.TempDir(), "steps"),
		Audit:      o.Broker(nil),
	}))
	step := must(b.NewStep(broker.StepConfig{Scope: s}))
	ctx, parent := o.tracer.Tracer("").Start(t.Context(), "sampled") // so that there are exemplars
	ref := "account." + home.ID
	use := func(text string, want bool) {
		t.Helper()
		if _, err := step.Expand(ctx, text); (err == nil) != want {
			t.Errorf("Expand(%s): %v", text, err)
		}
	}
	use(`<+secrets.getGCPAccessToken("`+ref+`")>`, true)
	use(`<+secrets.getGCPAccessToken("`+ref+`", "`+tell("scope")+`")>`, false)
	use(jwtOf(ref), true)
	use(jwtOf(tell("reference")), false)
	use(`<+secrets.getJWT("`+ref+`", "`+tell("evil audience")+`")>`, false)
	must(step.WriteFile(ctx, tell("file"), jwtOf(ref)))
	failing := o.Signer(&signerFunc{newSigner(), func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) {
		return nil, errors.New(canaries["a signer's words"])
	}}, "awskms")
	if _, err := failing.Sign(ctx, make([]byte, 32), crypto.SHA256); err == nil {
		t.Error("the signer does not fail")
	}
	o.Ring(nil)(ctx, keyring.Event{Kind: keyring.Failed, KeyID: tell("key"), Err: fmt.Errorf("%w: %s", keyring.ErrStore, canaries["a store's words"])})
	if err := step.Close(); err != nil {
		t.Error(err)
	}
	b.Close()
	parent.End()
	for i, jwt := range google.jwts {
		for at := 0; at+12 <= len(jwt); at++ {
			canaries[fmt.Sprintf("byte %d of JWT %d", at, i)] = jwt[at : at+12]
		}
	}

	out := o.exported(t)
	for what, canary := range canaries {
		if strings.Contains(out, canary) {
			t.Errorf("%s is exported: %s", what, canary)
		}
	}
	for _, want := range []string{
		`"oidctoken.mints"`, `"oidctoken.exchange.duration"`, `"oidctoken.signer.duration"`, `"oidctoken.broker.refusals"`, `"oidctoken.deliveries"`, `"oidctoken.keyring.failures"`,
		`"oidctoken.exchange"`, `"oidctoken.sign"`, `"oidctoken.exchange.code"`, parent.SpanContext().TraceID().String(),
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is not exported", want)
		}
	}
	if audited < 3 || len(google.jwts) != 2 {
		t.Errorf("%d tokens were minted, and %d sent", audited, len(google.jwts))
	}
}
