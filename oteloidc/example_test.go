package oteloidc_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/oteloidc"
)

// show prints the exported data, without metrics that are zero.
func show(o *observed) {
	series := o.counts("")
	for _, name := range slices.Sorted(maps.Keys(series)) {
		if series[name] != 0 {
			fmt.Println(name, series[name])
		}
	}
}

// A process has one Telemetry. Without providers it uses the global ones.
func ExampleNew() {
	reader := sdkmetric.NewManualReader() // a Prometheus or OTLP exporter, elsewhere
	telemetry, err := oteloidc.New(oteloidc.Config{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))})
	fmt.Println(telemetry != nil, err)
	telemetry, err = oteloidc.New(oteloidc.Config{})
	fmt.Println(telemetry != nil, err)
	// Output:
	// true <nil>
	// true <nil>
}

// The issuer's tokens and refusals are counted, and the audit log receives
// them, too.
func ExampleTelemetry_Mint() {
	telemetry := newTelemetry()
	audit := func(_ context.Context, e oidctoken.Event) { fmt.Println("audit:", e.Scope.Account.ID, e.Err) }
	issuer := newIssuer(oidctoken.Config{Audit: telemetry.Mint(audit)})

	s := oidctoken.Scope{Audience: "https://vault.example.com", Account: oidctoken.Entity{ID: "acme"}, Stage: oidctoken.CI{ID: "build"}}
	_, err := issuer.Mint(context.Background(), s)
	fmt.Println(err)
	s.Untrusted = true
	_, err = issuer.Mint(context.Background(), s)
	fmt.Println(errors.Is(err, oidctoken.ErrDenied))
	show(telemetry)
	// Output:
	// audit: acme <nil>
	// <nil>
	// audit: acme oidctoken: mint: denied by policy: the execution is untrusted
	// true
	// mint.duration{outcome=denied} 1
	// mint.duration{outcome=ok} 1
	// mints{outcome=denied,stage.type=CI} 1
	// mints{outcome=ok,stage.type=CI} 1
}

// A cloud refuses a step's token, and a rule refuses the step.
func ExampleTelemetry_Broker() {
	telemetry, google := newTelemetry(), &cloud{name: "gcp"}
	refusal := error(&exchange.Error{Provider: "gcp", Op: "sts:token", Status: 400, Code: "invalid_grant"})
	google.fail.Store(&refusal)
	b, err := broker.New(broker.Config{
		Issuer: newIssuer(oidctoken.Config{Audit: telemetry.Mint(nil)}),
		Connectors: broker.ConnectorMap{
			{Account: "acme", ID: "gcp_prod"}: {Exchanger: google},
			{Account: "acme", ID: "vault"}:    {Audiences: []string{"https://vault.example.com"}, Rules: broker.Rules{StageTypes: []string{"Deployment"}}},
		},
		Audit: telemetry.Broker(nil),
	})
	check(err)
	step, err := b.NewStep(broker.StepConfig{Scope: oidctoken.Scope{Account: oidctoken.Entity{ID: "acme"}, Stage: oidctoken.CI{ID: "build"}}})
	check(err)
	for _, text := range []string{`<+secrets.getGCPAccessToken("account.gcp_prod")>`, `<+secrets.getJWT("account.vault")>`} {
		_, err := step.Expand(context.Background(), text)
		fmt.Println(err != nil)
	}
	check(step.Close())
	b.Close()
	show(telemetry)
	fmt.Println(telemetry.spanTexts()[0])
	// Output:
	// true
	// true
	// broker.refusals{rule=StageTypes} 1
	// exchange.duration{cloud=gcp,exchange.kind=exchanged,outcome=refused} 1
	// mint.duration{outcome=ok} 1
	// mints{outcome=ok,stage.type=CI} 1
	// exchange client Error(refused) cloud=gcp exchange.code=invalid_grant exchange.kind=exchanged exchange.operation=sts:token http.response.status_code=400 outcome=refused
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// A ring has keys from the start.
func ExampleTelemetry_Ring() {
	secret := make([]byte, 32)
	rand.Read(secret)
	key, err := keyring.ParseWrappingKey(base64.StdEncoding.EncodeToString(secret))
	check(err)
	wrapper, err := keyring.NewWrapper(key)
	check(err)

	telemetry := newTelemetry()
	ring, err := keyring.New(context.Background(), keyring.Config{
		Store: new(keyring.MemoryStore), Wrapper: wrapper, Algorithms: []string{"ES256"},
		Audit: telemetry.Ring(nil),
	})
	check(err)
	defer ring.Close()
	show(telemetry)
	// Output:
	// keyring.transitions{algorithm=ES256,keyring.transition=activated} 1
	// keyring.transitions{algorithm=ES256,keyring.transition=created} 2
	// keyring.transitions{algorithm=ES256,keyring.transition=published} 1
}

// The signer of a key management service is measured between the issuer and the
// service.
func ExampleTelemetry_Signer() {
	telemetry := newTelemetry()
	service := newSigner() // in a host: of package awskms
	issuer := newIssuer(oidctoken.Config{Keys: oidctoken.StaticKeys{{Signer: telemetry.Signer(service, "awskms")}}})
	_, err := issuer.Mint(context.Background(), oidctoken.Scope{Audience: "https://vault.example.com", Account: oidctoken.Entity{ID: "acme"}})
	fmt.Println(err)
	show(telemetry)
	// Output:
	// <nil>
	// signer.duration{algorithm=ES256,outcome=ok,signer=awskms} 1
}

// The caches of a broker are read when metrics are collected. A step requests
// one token twice.
func ExampleTelemetry_Cache() {
	telemetry := newTelemetry()
	b, err := broker.New(broker.Config{
		Issuer:     newIssuer(oidctoken.Config{}),
		Connectors: broker.ConnectorMap{{Account: "acme", ID: "vault"}: {Audiences: []string{"https://vault.example.com"}}},
	})
	check(err)
	defer b.Close()
	tokens, err := telemetry.Cache("tokens", func() oteloidc.CacheStats {
		s := b.Stats().Tokens
		return oteloidc.CacheStats{Entries: s.Entries, Hits: s.Hits, Misses: s.Misses}
	})
	check(err)
	defer tokens.Unregister()
	credentials, err := telemetry.Cache("credentials", func() oteloidc.CacheStats { return oteloidc.CacheStats(b.Stats().Credentials) })
	check(err)
	defer credentials.Unregister()

	step, err := b.NewStep(broker.StepConfig{Scope: oidctoken.Scope{Account: oidctoken.Entity{ID: "acme"}}})
	check(err)
	_, err = step.Expand(context.Background(), jwtOf("account.vault")+jwtOf("account.vault"))
	check(err)
	check(step.Close())
	show(telemetry)
	// Output:
	// cache.entries{cache=tokens} 1
	// cache.lookups{cache=tokens,cache.result=hit} 1
	// cache.lookups{cache=tokens,cache.result=miss} 1
}
