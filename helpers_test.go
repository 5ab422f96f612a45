package oidctoken_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/jose"
)

// recorder keeps the events of Audit.
type recorder struct{ events []oidctoken.Event }

func (r *recorder) audit(_ context.Context, e oidctoken.Event) { r.events = append(r.events, e) }

// only returns the event since the last call, which must be one.
func (r *recorder) only(t *testing.T) oidctoken.Event {
	t.Helper()
	defer func() { r.events = nil }()
	if len(r.events) != 1 {
		t.Fatalf("Audit was called %d times, want once", len(r.events))
	}
	return r.events[0]
}

// keysFunc is a KeySource made of a func.
type keysFunc func(context.Context) ([]oidctoken.Key, error)

func (f keysFunc) Keys(ctx context.Context) ([]oidctoken.Key, error) { return f(ctx) }

const issuerURL = "https://tokens.example.com"

// noon is the time of every issuer in these tests whose Config.Now is nil.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// backdate is the default of Config.BackdateIssuedAt.
const backdate = 5 * time.Second

func clockAt(t time.Time) func() time.Time { return func() time.Time { return t } }

// The keys are made once per run, since it takes long to make RSA keys.
var (
	rsaKey   = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	p256Key  = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	p384Key  = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	p521Key  = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)) })
	edKey    = sync.OnceValue(func() crypto.Signer { return newEd25519() })
	otherEd  = sync.OnceValue(func() crypto.Signer { return newEd25519() })
	otherRSA = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
)

// keyFor holds a key for each algorithm.
var keyFor = map[string]func() crypto.Signer{
	"RS256": rsaKey, "RS384": rsaKey, "RS512": rsaKey,
	"ES256": p256Key, "ES384": p384Key, "ES512": p521Key,
	"EdDSA": edKey,
}

func newEd25519() crypto.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return must(key, err)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func ptr[T any](v T) *T { return &v }

// memory returns the Signer of a key in memory.
func memory(key crypto.Signer) oidctoken.Signer { return must(oidctoken.NewSigner(key)) }

// newIssuer returns an issuer. It fills in the clock and the required fields that c does
// not set.
func newIssuer(t testing.TB, c oidctoken.Config) *oidctoken.Issuer {
	t.Helper()
	if c.URL == "" {
		c.URL = issuerURL
	}
	if c.Keys == nil {
		c.Keys = oidctoken.StaticKeys{{Signer: memory(edKey())}}
		if c.Profile.Algorithms == nil {
			c.Profile.Algorithms = []string{"EdDSA"}
		}
	}
	if c.Now == nil {
		c.Now = clockAt(noon)
	}
	issuer, err := oidctoken.NewIssuer(c)
	if err != nil {
		t.Fatalf("NewIssuer: %v", err)
	}
	return issuer
}

// minimal returns the smallest valid scope.
func minimal() oidctoken.Scope {
	return oidctoken.Scope{Audience: "sts.example.com", Account: oidctoken.Entity{ID: "acme"}}
}

// mint mints a token. It ends the test if that fails.
func mint(t testing.TB, issuer *oidctoken.Issuer, s oidctoken.Scope) *oidctoken.Token {
	t.Helper()
	token, err := issuer.Mint(t.Context(), s)
	if err != nil {
		t.Fatalf("Mint: %v", err)
	}
	return token
}

// subjectOf returns the "sub" of a token for s.
func subjectOf(ctx context.Context, issuer *oidctoken.Issuer, s oidctoken.Scope) (string, error) {
	claims, err := issuer.Preview(ctx, s)
	if err != nil {
		return "", err
	}
	subject, known := claims.Get("sub")
	if !known {
		return "", errors.New("a token without sub")
	}
	return subject, nil
}

// parts splits a JWT and decodes its parts strictly. It also returns the signing input.
func parts(t testing.TB, jwt string) (header, payload, signature []byte, input string) {
	t.Helper()
	fields := strings.Split(jwt, ".")
	if len(fields) != 3 {
		t.Fatalf("the token has %d parts, want 3", len(fields))
	}
	var decoded [3][]byte
	for i, f := range fields {
		var err error
		if decoded[i], err = base64.RawURLEncoding.Strict().DecodeString(f); err != nil {
			t.Fatalf("part %d: %v", i, err)
		}
	}
	return decoded[0], decoded[1], decoded[2], fields[0] + "." + fields[1]
}

// payloadOf decodes a token's payload and keeps numbers as they are written.
func payloadOf(t testing.TB, token *oidctoken.Token) map[string]any {
	t.Helper()
	_, payload, _, _ := parts(t, token.JWT())
	return object(t, payload)
}

// datesOf returns a token's "iat", "nbf" and "exp".
func datesOf(t testing.TB, token *oidctoken.Token) (iat, nbf, exp int64) {
	t.Helper()
	_, payload, _, _ := parts(t, token.JWT())
	var dates struct{ Iat, Nbf, Exp int64 }
	if err := json.Unmarshal(payload, &dates); err != nil { // fails unless all are integers
		t.Fatal(err)
	}
	return dates.Iat, dates.Nbf, dates.Exp
}

// lifetimeOf returns "exp" - "iat".
func lifetimeOf(t testing.TB, token *oidctoken.Token) time.Duration {
	iat, _, exp := datesOf(t, token)
	return time.Duration(exp-iat) * time.Second
}

// object decodes a JSON object.
func object(t testing.TB, document []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		t.Fatalf("decode %s: %v", document, err)
	}
	return m
}

// members returns the names of an object's members in their order.
func members(t testing.TB, document []byte) (names []string) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(document))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name.(string))
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// scopeError returns the *ScopeError that err wraps, or nil.
func scopeError(err error) *oidctoken.ScopeError {
	var e *oidctoken.ScopeError
	errors.As(err, &e)
	return e
}

// signerFunc is a Signer made of a func.
type signerFunc struct {
	public crypto.PublicKey
	sign   func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error)
}

func (s signerFunc) Public() crypto.PublicKey { return s.public }

func (s signerFunc) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.sign(ctx, digest, opts)
}

// configError returns the *ConfigError that err wraps, or nil.
func configError(err error) *oidctoken.ConfigError {
	var e *oidctoken.ConfigError
	errors.As(err, &e)
	return e
}

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func publicBytes(key crypto.Signer) []byte { return key.Public().(ed25519.PublicKey) }

func thumbprintOf(t testing.TB, key crypto.PublicKey) string {
	t.Helper()
	thumbprint, err := jose.Thumbprint(key)
	if err != nil {
		t.Fatal(err)
	}
	return thumbprint
}

// full returns a scope with all parts except a stage.
func full() oidctoken.Scope {
	return oidctoken.Scope{
		Audience:     "https://sts.example.com/full",
		Account:      oidctoken.Entity{ID: "acme", UID: "acc-0001", Name: "never a claim"},
		Organization: oidctoken.Entity{ID: "payments", UID: "org-0002", Name: "never a claim"},
		Project:      oidctoken.Entity{ID: "ledger", UID: "prj-0003", Name: "never a claim"},
		Pipeline:     &oidctoken.Pipeline{ID: "release", UID: "pl-0004", Ref: "refs/heads/main", SHA: "0a1b2c"},
		Execution:    &oidctoken.Execution{ID: "x-0005", Sequence: "42", Attempt: "1", ParentID: "x-0001", RootID: "x-0000", IsRollback: ptr(false), Matrix: "os=linux,zone=eu"},
		Trigger: &oidctoken.Trigger{
			Type: "WEBHOOK", ID: "on push", ByID: "usr-0006",
			ByName: `Zoë "Z" O'Neil \ team`, ByEmail: "zoe@example.com",
		},
		Source: &oidctoken.Source{
			Repository: "acme/ledger", RepositoryID: "r-0007", Ref: "refs/pull/7/merge", RefType: "branch",
			SHA: "3d4e5f", BaseRef: "main", HeadRef: "fix/überlauf", IsFork: ptr(false), RefProtected: ptr(true), RepositoryVisibility: "private",
		},
		Runner:           &oidctoken.Runner{Environment: "self-hosted", ID: "runner-8"},
		Template:         &oidctoken.Template{ID: "golden", Version: "v1.2", Level: oidctoken.OrganizationLevel, SHA: "6a7b8c"},
		PipelineTemplate: &oidctoken.Template{ID: "golden_pipeline", Version: "v7", Level: oidctoken.AccountLevel, SHA: "9d0e1f"},
		Connector:        &oidctoken.Connector{ID: "cloud_prod", UID: "con-0009", Name: "Cloud (prod)", Level: oidctoken.AccountLevel},
		Step: &oidctoken.Step{
			ID: "migrate", Type: "Liquibase", ExecutionID: "se-0010",
			Database: &oidctoken.Database{SchemaID: "ledger_schema", InstanceID: "ledger_eu"},
		},
	}
}

func service() *oidctoken.Entity {
	return &oidctoken.Entity{ID: "checkout", UID: "svc-0012", Name: "Checkout"}
}

func artifact() *oidctoken.Artifact {
	return &oidctoken.Artifact{ID: "image", Type: "Docker", Name: "acme/ledger", Digest: "sha256:00ff", Tag: "1.4.0"}
}

func environment() *oidctoken.Environment {
	return &oidctoken.Environment{ID: "prod", UID: "env-0011", Type: oidctoken.Production, GroupID: "all prod", Protected: ptr(true)}
}

// stages returns a full stage of each type.
func stages() map[string]oidctoken.Stage {
	return map[string]oidctoken.Stage{
		"none": nil,
		"ci":   oidctoken.CI{ID: "build", ExecutionID: "st-1", Artifact: artifact()},
		"deployment": oidctoken.Deployment{
			ID: "deploy", ExecutionID: "st-2",
			Service:        service(),
			Environment:    environment(),
			Infrastructure: &oidctoken.Infrastructure{ID: "k8s_eu", Type: "KubernetesDirect"},
			Artifact:       artifact(),
		},
		"custom":        oidctoken.Custom{ID: "custom", ExecutionID: "st-3", Service: service(), Environment: environment()},
		"approval":      oidctoken.Approval{ID: "consent", ExecutionID: "st-4"},
		"iacm":          oidctoken.IACM{ID: "infra", ExecutionID: "st-5", Workspace: &oidctoken.Workspace{ID: "network", Phase: "plan"}},
		"securitytests": oidctoken.SecurityTests{ID: "scan", ExecutionID: "st-6", Artifact: artifact()},
		"featureflag":   oidctoken.FeatureFlag{ID: "flags", ExecutionID: "st-7"},
		"pipeline":      oidctoken.PipelineStage{ID: "child", ExecutionID: "st-8"},
		"open": oidctoken.OpenStage{
			Kind: "Release_Train", ID: "train", ExecutionID: "st-9",
			Service:        service(),
			Environment:    environment(),
			Infrastructure: &oidctoken.Infrastructure{ID: "k8s_eu", Type: "KubernetesDirect"},
			Artifact:       artifact(),
			Workspace:      &oidctoken.Workspace{ID: "network", Phase: "plan"},
		},
	}
}

// inStage returns the full scope in a stage of that name.
func inStage(name string) oidctoken.Scope {
	s := full()
	s.Stage = stages()[name]
	return s
}

// issuerFor returns an issuer with one key, which has that algorithm.
func issuerFor(t testing.TB, alg string) *oidctoken.Issuer {
	return newIssuer(t, oidctoken.Config{
		Keys:    oidctoken.StaticKeys{{Signer: memory(keyFor[alg]()), Algorithm: alg}},
		Profile: oidctoken.Profile{Algorithms: []string{alg}},
	})
}
