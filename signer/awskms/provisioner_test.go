package awskms_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/awskms"
)

// provisioner returns the Provisioner of another process, for the ring "ci".
func (s *standin) provisioner(t *testing.T) keyring.Provisioner {
	t.Helper()
	return must(awskms.NewProvisioner(s.client(t), awskms.ProvisionerConfig{Ring: "ci"}))
}

// versions returns the listed IDs, sorted.
func versions(t *testing.T, p keyring.Provisioner) []string {
	t.Helper()
	list, err := p.Versions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{}
	for _, v := range list {
		ids = append(ids, v.ID)
	}
	slices.Sort(ids)
	return ids
}

// A ring's keys are made, sign and are ended by KMS, for all replicas.
func TestRingWithProvisioner(t *testing.T) {
	s := newStandin(t)
	var now atomic.Int64
	now.Store(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Unix())
	config := keyring.Config{Store: new(keyring.MemoryStore), Now: func() time.Time { return time.Unix(now.Load(), 0) }}
	config.Provisioner = s.provisioner(t)
	first := must(keyring.New(t.Context(), config))
	defer first.Close()
	config.Provisioner = s.provisioner(t)
	second := must(keyring.New(t.Context(), config))
	defer second.Close()
	for _, alg := range []string{"RS256", "ES256"} {
		if a, b := verified(t, first, alg, config.Now), verified(t, second, alg, config.Now); a != b {
			t.Errorf("%s: the replicas sign with %s and %s", alg, a, b)
		}
	}
	if n, m := s.count("CreateKey"), len(must(first.Keys(t.Context()))); n != 4 || m != 4 {
		t.Errorf("%d keys were made and %d are published, want 4: one that signs and the next, for each algorithm", n, m)
	}

	seen := map[string]bool{}
	for range 12 {
		now.Add(10 * 24 * 60 * 60)
		for _, ring := range []*keyring.Ring{first, second} {
			if err := ring.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		seen[verified(t, second, "ES256", config.Now)] = true
	}
	if len(seen) != 5 {
		t.Errorf("%d keys signed in 120 days, want 5", len(seen))
	}
	if enabled := s.enabled(); len(enabled) != len(must(first.Keys(t.Context()))) || s.count("ScheduleKeyDeletion") != s.count("CreateKey")-len(enabled) {
		t.Errorf("%d of %d keys are enabled, %d are published, and %d were retired", len(enabled), s.count("CreateKey"),
			len(must(first.Keys(t.Context()))), s.count("ScheduleKeyDeletion"))
	}
	s.with(func() {
		for _, k := range s.keys {
			if k.state == "PendingDeletion" && k.window != 30 {
				t.Errorf("%s is destroyed after %d days, want 30", k.arn, k.window)
			}
		}
	})
}

// Each algorithm has its key, which signs.
func TestCreate(t *testing.T) {
	s := newStandin(t)
	p := must(awskms.NewProvisioner(s.client(t), awskms.ProvisionerConfig{Ring: "ci", RSABits: 3072, CreateKey: func(in *kms.CreateKeyInput) {
		in.Policy = aws.String("{}")
		in.Description = aws.String("ours")
		in.Tags = []types.Tag{{TagKey: aws.String("team"), TagValue: aws.String("platform")}, {TagKey: aws.String("oidctoken:ring"), TagValue: aws.String("x")}}
	}}))
	for alg, spec := range map[string]string{"RS256": "RSA_3072", "RS512": "RSA_3072", "ES256": "ECC_NIST_P256", "ES384": "ECC_NIST_P384",
		"ES512": "ECC_NIST_P521", "EdDSA": "ECC_NIST_EDWARDS25519"} {
		v, err := p.Create(t.Context(), alg)
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		issuer := must(oidctoken.NewIssuer(oidctoken.Config{URL: "https://ci.example.com",
			Keys: oidctoken.StaticKeys{{Signer: v.Signer, Algorithm: v.Algorithm}}}))
		if _, err := issuer.Mint(t.Context(), oidctoken.Scope{Audience: "a", Account: oidctoken.Entity{ID: "acme"},
			Profile: &oidctoken.Profile{Algorithms: []string{alg}}}); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		s.with(func() {
			k := s.keys[len(s.keys)-1]
			if k.arn != v.ID || v.Algorithm != alg || k.spec != spec || k.description != "oidctoken: "+alg+" key of the ring ci" {
				t.Errorf("%s: version %s of %s is the key %s, %s, %q", alg, v.ID, v.Algorithm, k.arn, k.spec, k.description)
			}
			if diff := cmp.Diff(map[string]string{"team": "platform", "oidctoken:ring": "ci"}, k.tags); diff != "" {
				t.Errorf("%s: tags (-want +got):\n%s", alg, diff)
			}
		})
	}
	if got := versions(t, s.provisioner(t)); !slices.Equal(got, s.enabled()) {
		t.Errorf("another process lists %v, want %v", got, s.enabled())
	}
	_, err := p.Create(t.Context(), "HS256")
	wantError(t, err, "CreateKey", signer.Refused, "")
}

// Versions has what Create returned at once, and not what Retire ended, although
// KMS needs its time to show either.
func TestEventualConsistency(t *testing.T) {
	s := newStandin(t)
	s.lag = map[string]int{"ListKeys": 3, "DescribeKey": 1, "GetPublicKey": 1}
	p := s.provisioner(t)
	made := must(p.Create(t.Context(), "ES256"))
	for range 4 {
		if diff := cmp.Diff([]string{made.ID}, versions(t, p)); diff != "" {
			t.Errorf("after Create (-want +got):\n%s", diff)
		}
	}
	s.change = func(op string, out map[string]any) {
		if op == "DescribeKey" {
			out["KeyMetadata"].(map[string]any)["KeyState"] = "Enabled"
		}
	}
	if err := p.Retire(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{}, versions(t, p)); diff != "" {
		t.Errorf("after Retire (-want +got):\n%s", diff)
	}
}

// Create returns only when the key can be used: a new tag affects rights later
// than the key exists.
func TestCreateWaitsForRights(t *testing.T) {
	s := newStandin(t)
	var asked atomic.Int32
	s.deny = func(op string, k *key) bool { return op == "GetPublicKey" && asked.Add(1) <= 2 }
	if v, err := s.provisioner(t).Create(t.Context(), "ES256"); err != nil || v.Signer == nil {
		t.Errorf("Create: %v, %v", v, err)
	}
}

// K03: a key whose Create failed half-way is used by the next process, and by
// the same one. No other key is made.
func TestCreateHalfway(t *testing.T) {
	s := newStandin(t)
	for range 3 {
		p := s.provisioner(t)
		ctx, cancel := context.WithCancel(t.Context())
		s.with(func() {
			s.deny = func(op string, _ *key) bool {
				if op == "GetPublicKey" {
					cancel() // rather than wait for a minute
				}
				return op == "GetPublicKey"
			}
		})
		_, err := keyring.New(ctx, keyring.Config{Store: new(keyring.MemoryStore), Provisioner: p, Algorithms: []string{"ES256"}})
		cancel()
		if !errors.Is(err, keyring.ErrProvisioner) {
			t.Fatalf("New: %v, want %v", err, keyring.ErrProvisioner)
		}
		if _, err := p.Versions(t.Context()); err == nil {
			t.Error("the key that may not be read is not missed")
		}
	}
	if n := s.count("CreateKey"); n != 1 {
		t.Errorf("%d keys were made, want 1", n)
	}
	s.with(func() { s.deny = nil })
	ring := must(keyring.New(t.Context(), keyring.Config{Store: new(keyring.MemoryStore), Provisioner: s.provisioner(t), Algorithms: []string{"ES256"}}))
	defer ring.Close()
	verified(t, ring, "ES256", nil)
	if n := s.count("CreateKey"); n != 2 {
		t.Errorf("%d keys were made, want 2: the one that was left, and the next", n)
	}
}

// K03: without the right to find its keys, a ring makes none, except for the
// first one of an empty account.
func TestDescribeDenied(t *testing.T) {
	s := newStandin(t)
	s.signingKey("ECC_NIST_P256")
	s.deny = func(op string, _ *key) bool { return op == "DescribeKey" }
	_, err := keyring.New(t.Context(), keyring.Config{Store: new(keyring.MemoryStore), Provisioner: s.provisioner(t)})
	wantError(t, err, "DescribeKey", signer.Refused, "AccessDeniedException")
	if n := s.count("CreateKey"); n != 0 {
		t.Errorf("%d keys were made", n)
	}

	// Some foreign keys may not be described.
	s.deny = func(op string, k *key) bool {
		return op == "DescribeKey" && k.description == "" && k.spec == "RSA_2048"
	}
	s.signingKey("RSA_2048")
	p := s.provisioner(t)
	made := must(p.Create(t.Context(), "ES256"))
	if diff := cmp.Diff([]string{made.ID}, versions(t, s.provisioner(t))); diff != "" {
		t.Errorf("Versions (-want +got):\n%s", diff)
	}
}

func TestCreateFails(t *testing.T) {
	for _, tt := range []struct {
		name   string
		want   signer.Kind
		code   string
		answer func(string, http.ResponseWriter, *http.Request) bool
	}{
		{"denied", signer.Refused, "AccessDeniedException", answers(400, errorBody("AccessDeniedException"))},
		{"too many keys", signer.Refused, "LimitExceededException", answers(400, errorBody("LimitExceededException"))},
		{"away", signer.Unavailable, "", answers(503, "")},
		{"nothing", signer.Malformed, "", answers(200, "{}")},
		{"no ARN", signer.Malformed, "", answers(200, `{"KeyMetadata":{"KeyId":"x"}}`)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStandin(t)
			s.answer = tt.answer
			_, err := s.provisioner(t).Create(t.Context(), "ES256")
			wantError(t, err, "CreateKey", tt.want, tt.code)
		})
	}
}

func TestProvisionerConfig(t *testing.T) {
	s := newStandin(t)
	client := s.client(t)
	for _, tt := range []struct {
		name   string
		client *kms.Client
		config awskms.ProvisionerConfig
		want   oidctoken.ConfigError
	}{
		{"no client", nil, awskms.ProvisionerConfig{Ring: "ci"}, oidctoken.ConfigError{Package: "awskms", Field: "client", Reason: "is required"}},
		{"no ring", client, awskms.ProvisionerConfig{}, oidctoken.ConfigError{Package: "awskms", Field: "Ring", Reason: "is required"}},
		{"two words", client, awskms.ProvisionerConfig{Ring: "c i"}, oidctoken.ConfigError{Package: "awskms", Field: "Ring", Reason: "is not 1 to 128 of A-Z a-z 0-9 . _ -"}},
		{"long", client, awskms.ProvisionerConfig{Ring: strings.Repeat("x", 129)}, oidctoken.ConfigError{Package: "awskms", Field: "Ring", Reason: "is not 1 to 128 of A-Z a-z 0-9 . _ -"}},
		{"weak", client, awskms.ProvisionerConfig{Ring: "ci", RSABits: 1024}, oidctoken.ConfigError{Package: "awskms", Field: "RSABits", Reason: "is not 2048, 3072 or 4096"}},
		{"at once", client, awskms.ProvisionerConfig{Ring: "ci", PendingWindowInDays: 6}, oidctoken.ConfigError{Package: "awskms", Field: "PendingWindowInDays", Reason: "is not 7 to 30"}},
		{"never", client, awskms.ProvisionerConfig{Ring: "ci", PendingWindowInDays: 31}, oidctoken.ConfigError{Package: "awskms", Field: "PendingWindowInDays", Reason: "is not 7 to 30"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := awskms.NewProvisioner(tt.client, tt.config)
			var got *oidctoken.ConfigError
			if !errors.As(err, &got) {
				t.Fatalf("NewProvisioner: %v, want a *ConfigError", err)
			}
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("NewProvisioner (-want +got):\n%s", diff)
			}
		})
	}
}
