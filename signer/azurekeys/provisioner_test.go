package azurekeys_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/oidctokentest"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/azurekeys"
)

func newProvisioner(t *testing.T, s *standIn, vault string, hsm bool) keyring.Provisioner {
	t.Helper()
	return must(azurekeys.NewProvisioner(azurekeys.ProvisionerConfig{
		Client: s.client(vault, s), Keys: vault + "/keys/tokens", HSM: hsm, Guard: patient(),
	}))
}

// labels returns the versions' algorithms and identifiers.
func labels(versions []keyring.Version) []string {
	var all []string
	for _, v := range versions {
		all = append(all, v.Algorithm+" "+v.ID)
	}
	slices.Sort(all)
	return all
}

func listed(t *testing.T, p keyring.Provisioner) []string {
	t.Helper()
	versions, err := p.Versions(t.Context())
	if err != nil {
		t.Fatalf("Versions: %v", err)
	}
	return labels(versions)
}

// The version of Create signs, and every replica lists it at once, until
// Retire. T06
func TestProvisioner(t *testing.T) {
	for _, tt := range []struct {
		name, vault string
		hsm         bool
		empty404    bool // of the stand-in
		algorithms  []string
	}{
		{"Key Vault", vaultURL, false, false, []string{"RS256", "RS384", "RS512", "ES256", "ES256", "ES256", "ES384", "ES512"}},
		{"Managed HSM", hsmURL, true, true, []string{"RS256", "ES256", "ES256", "ES512"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t)
			s.empty404 = tt.empty404
			one, two := newProvisioner(t, s, tt.vault, tt.hsm), newProvisioner(t, s, tt.vault, tt.hsm)
			if got := listed(t, one); got != nil {
				t.Errorf("Versions of nothing: %v", got)
			}
			var created []keyring.Version
			for _, alg := range tt.algorithms {
				v, err := one.Create(t.Context(), alg)
				if err != nil {
					t.Fatalf("Create: %v", err)
				}
				if prefix := tt.vault + "/keys/tokens-" + strings.ToLower(alg) + "/"; !strings.HasPrefix(v.ID, prefix) || v.Algorithm != alg {
					t.Errorf("Create: %s %s, want %s...", v.Algorithm, v.ID, prefix)
				}
				created = append(created, v)
			}
			want := labels(created)
			for _, p := range []keyring.Provisioner{one, two, one} {
				if diff := cmp.Diff(want, listed(t, p)); diff != "" {
					t.Errorf("Versions (-want +got):\n%s", diff)
				}
			}
			if n := s.count("GetKey"); n != len(created) {
				t.Errorf("%d public keys were fetched, want each once by the replica that had not created them", n)
			}
			for i, v := range created {
				if !tt.hsm && (i == 0 || v.Algorithm != created[i-1].Algorithm) {
					oidctokentest.TestSigner(t, func(*testing.T) oidctoken.Signer { return v.Signer }, v.Algorithm)
				}
				mint(t, v.Signer)
				if err := two.Retire(t.Context(), v.ID); err != nil {
					t.Errorf("Retire: %v", err)
				}
				if err := one.Retire(t.Context(), v.ID); err != nil {
					t.Errorf("Retire again: %v", err)
				}
			}
			if got := append(listed(t, one), listed(t, two)...); got != nil {
				t.Errorf("Versions after Retire: %v", got)
			}
		})
	}
}

// Versions contains a new version that the service does not list yet. It does
// not contain a version that another replica retired, or one that must not sign
// now.
func TestVersionsFollowTheService(t *testing.T) {
	s := start(t)
	p := newProvisioner(t, s, vaultURL, false)
	var created []keyring.Version
	for range 4 {
		created = append(created, must(p.Create(t.Context(), "ES256")))
	}
	versions := s.keys[vaultURL+"/keys/tokens-es256"]
	s.hidden[versions[0].id] = true
	if diff := cmp.Diff(labels(created), listed(t, p)); diff != "" {
		t.Errorf("Versions with one that is not listed (-want +got):\n%s", diff)
	}
	versions[0].enabled = false
	versions[1].exp = time.Now().Unix() - 1
	versions[2].nbf = time.Now().Unix() + 3600
	if diff := cmp.Diff(labels(created[3:]), listed(t, p)); diff != "" {
		t.Errorf("Versions that may not be used (-want +got):\n%s", diff)
	}
	versions[1].exp, versions[2].nbf = 0, 0
	if diff := cmp.Diff(labels(created[1:]), listed(t, p)); diff != "" {
		t.Errorf("Versions after that (-want +got):\n%s", diff)
	}
	// Two calls for the unlisted version, and one more for each of the two that
	// could not sign for a time: nothing is remembered of a version that is gone.
	if n := s.count("GetKey"); n != 4 {
		t.Errorf("%d public keys were fetched, want 4", n)
	}
	s.keys[vaultURL+"/keys/tokens-es256"] = nil // another program deleted the key
	if got := listed(t, p); got != nil {
		t.Errorf("Versions of a deleted key: %v", got)
	}
}

// A ring over the service rotates, retires the versions that it no longer
// publishes, and survives a restart. No document holds a private key.
func TestRingOverProvisioner(t *testing.T) {
	s := start(t)
	store := new(keyring.MemoryStore)
	var days atomic.Int64
	now := func() time.Time { return time.Now().AddDate(0, 0, int(days.Load())) }
	config := keyring.Config{
		Store: store, Provisioner: newProvisioner(t, s, vaultURL, false), Algorithms: []string{"RS256", "ES256"},
		PollInterval: time.Hour, Now: now,
	}
	ring := must(keyring.New(t.Context(), config))
	defer ring.Close()
	issuer := must(oidctoken.NewIssuer(oidctoken.Config{URL: "https://ci.example.com", Keys: ring, Now: now}))
	for range 25 {
		days.Add(4)
		if err := ring.Refresh(t.Context()); err != nil {
			t.Fatalf("Refresh: %v", err)
		}
		verified(t, issuer, "RS256")
		verified(t, issuer, "ES256")
	}
	enabled, disabled := 0, 0
	for _, versions := range s.keys {
		for _, v := range versions {
			if v.enabled {
				enabled++
			} else {
				disabled++
			}
		}
	}
	if keys := must(ring.Keys(t.Context())); enabled != len(keys) || disabled < 4 {
		t.Errorf("%d versions are enabled and %d are not, for %d keys after 100 days", enabled, disabled, len(keys))
	}
	if document := string(must(store.Load(t.Context()))); strings.Contains(document, `"private"`) {
		t.Errorf("the document has a private key: %s", document)
	}
	config.Provisioner = newProvisioner(t, s, vaultURL, false)
	again := must(keyring.New(t.Context(), config))
	defer again.Close()
	verified(t, must(oidctoken.NewIssuer(oidctoken.Config{URL: "https://ci.example.com", Keys: again, Now: now})), "RS256")
}

// The service's answers to a Provisioner are checked.
func TestProvisionerChecksAnswers(t *testing.T) {
	first := func(answer map[string]any) map[string]any { return answer["value"].([]any)[0].(map[string]any) }
	jwk := func(answer map[string]any) map[string]any { return answer["key"].(map[string]any) }
	other := vaultURL + "/keys/others/" + strings.Repeat("b", 32)
	for _, tt := range []struct {
		name, op string
		edit     func(answer map[string]any)
		want     signer.Kind
	}{
		{"a link to another host", "ListKeyPropertiesVersions", func(a map[string]any) { a["nextLink"] = "https://eve.vault.azure.net/keys/tokens-es256/versions" }, signer.Malformed},
		{"a link without TLS", "ListKeyPropertiesVersions", func(a map[string]any) { a["nextLink"] = "http://ci.vault.azure.net/keys/tokens-es256/versions" }, signer.Malformed},
		{"a link that is not a URL", "ListKeyPropertiesVersions", func(a map[string]any) { a["nextLink"] = "://" }, signer.Malformed},
		{"a version of another key", "ListKeyPropertiesVersions", func(a map[string]any) { first(a)["kid"] = other }, signer.Malformed},
		{"a key without version", "ListKeyPropertiesVersions", func(a map[string]any) { first(a)["kid"] = vaultURL + "/keys/tokens-es256" }, signer.Malformed},
		{"no kid", "ListKeyPropertiesVersions", func(a map[string]any) { delete(first(a), "kid") }, signer.Malformed},
		{"no attributes", "ListKeyPropertiesVersions", func(a map[string]any) { delete(first(a), "attributes") }, signer.Malformed},
		{"null", "ListKeyPropertiesVersions", func(a map[string]any) { a["value"] = []any{nil} }, signer.Malformed},
		{"no list", "ListKeyPropertiesVersions", func(a map[string]any) { a["value"] = "x" }, signer.Malformed},
		{"a key of another kind", "GetKey", func(a map[string]any) {
			n := random(256)
			n[0], n[255] = 0xc0, 0xff
			jwk(a)["kty"], jwk(a)["n"], jwk(a)["e"] = "RSA", binary(n), binary{1, 0, 1}
		}, signer.Refused},
		{"not for signatures", "GetKey", func(a map[string]any) { jwk(a)["key_ops"] = []string{"verify"} }, signer.Refused},
		{"another key was made", "CreateKey", func(a map[string]any) { jwk(a)["kid"] = other }, signer.Malformed},
		{"a made key without kid", "CreateKey", func(a map[string]any) { delete(jwk(a), "kid") }, signer.Malformed},
		{"a made key without version", "CreateKey", func(a map[string]any) { jwk(a)["kid"] = vaultURL + "/keys/tokens-es256" }, signer.Malformed},
		{"no made key", "CreateKey", func(a map[string]any) { clear(a) }, signer.Malformed},
		{"a made key of another curve", "CreateKey", func(a map[string]any) { jwk(a)["crv"] = "P-384" }, signer.Malformed},
		{"another version is disabled", "UpdateKey", func(a map[string]any) { jwk(a)["kid"] = other }, signer.Malformed},
		{"still enabled", "UpdateKey", func(a map[string]any) { a["attributes"] = map[string]any{"enabled": true} }, signer.Malformed},
		{"no attributes after an update", "UpdateKey", func(a map[string]any) { delete(a, "attributes") }, signer.Malformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t)
			v := s.add(vaultURL, "tokens-es256", "EC", "P-256", "sign")
			s.edit = func(op string, answer map[string]any) {
				if op == tt.op && len(answer) > 0 && fmt.Sprint(answer["value"]) != "[]" {
					tt.edit(answer)
				}
			}
			p := newProvisioner(t, s, vaultURL, false)
			var err error
			switch tt.op {
			case "CreateKey":
				_, err = p.Create(t.Context(), "ES256")
			case "UpdateKey":
				err = p.Retire(t.Context(), v.kid())
			default:
				_, err = p.Versions(t.Context())
			}
			want := signer.Error{Service: "azurekeys", Op: tt.op, Kind: tt.want}
			if diff := cmp.Diff(want, parts(t, err)); diff != "" {
				t.Errorf("error %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// A failure of the service is a failure of the Provisioner, except that a
// missing version is retired.
func TestProvisionerErrors(t *testing.T) {
	s := start(t)
	p := newProvisioner(t, s, vaultURL, false)
	id := vaultURL + "/keys/tokens-es256/" + strings.Repeat("b", 32)
	if err := p.Retire(t.Context(), id); err != nil {
		t.Errorf("Retire of a version that was never there: %v", err)
	}
	for _, tt := range []struct {
		fault  func(string, http.ResponseWriter, *http.Request) bool
		kind   signer.Kind
		code   string
		retire signer.Kind // 0: it succeeds
	}{
		{failing(403, "Forbidden", "ForbiddenByRbac"), signer.Refused, "ForbiddenByRbac", signer.Refused},
		{failing(403, "Forbidden", "KeyDisabled"), signer.Gone, "KeyDisabled", 0},
		{failing(409, "Conflict", "ObjectIsDeletedButRecoverable"), signer.Refused, "ObjectIsDeletedButRecoverable", signer.Refused},
		{answering(404, "", "", "<html>"), signer.Malformed, "", signer.Malformed},
		{failing(503, "ServiceUnavailable", ""), signer.Unavailable, "ServiceUnavailable", signer.Unavailable},
	} {
		s.fault = tt.fault
		_, err := p.Create(t.Context(), "ES256")
		want := signer.Error{Service: "azurekeys", Op: "CreateKey", Kind: tt.kind, Code: tt.code}
		if diff := cmp.Diff(want, parts(t, err)); diff != "" {
			t.Errorf("Create: %v (-want +got):\n%s", err, diff)
		}
		err = p.Retire(t.Context(), id)
		if tt.retire == 0 && err != nil || tt.retire != 0 && parts(t, err).Kind != tt.retire {
			t.Errorf("Retire after %s: %v, want %v", tt.code, err, tt.retire)
		}
		if _, err = p.Versions(t.Context()); tt.kind != signer.Gone && parts(t, err).Kind != tt.kind {
			t.Errorf("Versions: %v, want %v", err, tt.kind)
		}
	}
}

// A Provisioner refuses impossible requests without a call.
func TestProvisionerRefuses(t *testing.T) {
	s := start(t)
	client := s.client(vaultURL, s)
	keys := vaultURL + "/keys/tokens"
	for field, c := range map[string]azurekeys.ProvisionerConfig{
		"Client":   {Keys: keys},
		"Keys: \"": {Client: client},
		"Keys:":    {Client: client, Keys: keys + "/" + strings.Repeat("b", 32)},
		"Keys: i":  {Client: client, Keys: vaultURL + "/keys/" + strings.Repeat("a", 122)},
		"RSABits":  {Client: client, Keys: keys, RSABits: 1024},
	} {
		_, err := azurekeys.NewProvisioner(c)
		if got := parts(t, err); got.Kind != signer.Refused || !strings.Contains(err.Error(), "refused: config."+field) {
			t.Errorf("NewProvisioner: %v, want one that names %s", err, field)
		}
	}
	p := newProvisioner(t, s, vaultURL, false)
	for _, alg := range []string{"EdDSA", "PS256", "ES256K", "", "rs256"} {
		_, err := p.Create(t.Context(), alg)
		if parts(t, err).Kind != signer.Refused {
			t.Errorf("Create(%q): %v", alg, err)
		}
	}
	version := "/" + strings.Repeat("b", 32)
	for _, id := range []string{"", "x", keys + version, keys + "-es256", keys + "-eddsa" + version, vaultURL + "/keys/others-es256" + version, hsmURL + "/keys/tokens-es256" + version} {
		if err := p.Retire(t.Context(), id); parts(t, err).Kind != signer.Refused {
			t.Errorf("Retire(%q): %v", id, err)
		}
	}
	if len(s.calls) != 0 {
		t.Errorf("the service was called: %v", s.calls)
	}
	if got, want := fmt.Sprintf("%+v", p), "azurekeys.Provisioner("+keys+"-*)"; got != want {
		t.Errorf("%%+v: %s, want %s", got, want)
	}
}
