package gcpkms_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/gcpkms"
)

func newProvisioner(t *testing.T, s *standin) *gcpkms.Provisioner {
	t.Helper()
	return provisioner(t, s, gcpkms.ProvisionerConfig{KeyRing: ringOf, Prefix: "ci"})
}

// provisioner needs no network, so that it can be used in a bubble.
func provisioner(t *testing.T, s *standin, config gcpkms.ProvisionerConfig) *gcpkms.Provisioner {
	t.Helper()
	p, err := gcpkms.NewProvisioner(connect(t, "https://cloudkms.example.com", inProcess{s}), config, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ids(versions []keyring.Version) []string {
	names := []string{}
	for _, v := range versions {
		names = append(names, v.Algorithm+" "+strings.TrimPrefix(v.ID, ringOf+"/cryptoKeys/"))
	}
	return names
}

// The version of Create is listed and signs. After Retire it is not listed.
func TestProvisioner(t *testing.T) {
	s := newStandin()
	p := newProvisioner(t, s)
	if got := must(p.Versions(t.Context())); len(got) != 0 {
		t.Errorf("Versions before Create = %v", ids(got))
	}
	var made []keyring.Version
	for _, alg := range []string{"ES256", "EdDSA", "ES256", "ES384", "ES256"} {
		v, err := p.Create(t.Context(), alg)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, v)
	}
	want := []string{"ES256 ci-es256/cryptoKeyVersions/1", "ES256 ci-es256/cryptoKeyVersions/2", "ES256 ci-es256/cryptoKeyVersions/3",
		"ES384 ci-es384/cryptoKeyVersions/1", "EdDSA ci-eddsa/cryptoKeyVersions/1"}
	if diff := cmp.Diff(want, ids(must(p.Versions(t.Context())))); diff != "" {
		t.Errorf("Versions after Create (-want +got):\n%s", diff)
	}
	// Other replicas list the same, and a version that cannot sign is not there.
	s.set(func() { s.version(ringOf+"/cryptoKeys/ci-es384", made[3].ID).state = "DISABLED" })
	if err := p.Retire(t.Context(), made[2].ID); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(slices.Delete(slices.Clone(want), 1, 2)[:2], ids(must(newProvisioner(t, s).Versions(t.Context())))[:2]); diff != "" {
		t.Errorf("Versions after Retire (-want +got):\n%s", diff)
	}
	if got := must(p.Versions(t.Context())); len(got) != 3 {
		t.Errorf("Versions = %v, want those that are ENABLED", ids(got))
	}
	if k := s.keys[ringOf+"/cryptoKeys/ci-es256"]; len(k.versions) != 3 || k.level != "SOFTWARE" {
		t.Errorf("the key has %d versions at protection level %s", len(k.versions), k.level)
	}
}

// Keys are made by the configuration. An existing key that differs is refused
// before a version of it is made.
func TestProvisionerConfig(t *testing.T) {
	s := newStandin()
	if _, err := provisioner(t, s, gcpkms.ProvisionerConfig{KeyRing: ringOf, Prefix: "ci", RSABits: 3072, ProtectionLevel: "HSM"}).Create(t.Context(), "RS256"); err != nil {
		t.Fatal(err)
	}
	k := s.keys[ringOf+"/cryptoKeys/ci-rs256"]
	if k.algorithm != "RSA_SIGN_PKCS1_3072_SHA256" || k.level != "HSM" {
		t.Errorf("the key is for %s at level %s", k.algorithm, k.level)
	}
	for _, config := range []gcpkms.ProvisionerConfig{
		{KeyRing: ringOf, Prefix: "ci", ProtectionLevel: "HSM"},
		{KeyRing: ringOf, Prefix: "ci", RSABits: 3072},
	} {
		_, err := provisioner(t, s, config).Create(t.Context(), "RS256")
		if diff := cmp.Diff(failed{"GetCryptoKey", signer.Refused, ""}, failureOf(err)); diff != "" {
			t.Errorf("Create with %+v: %v (-want +got):\n%s", config, err, diff)
		}
		if got := must(provisioner(t, s, config).Versions(t.Context())); len(got) != 1 {
			t.Errorf("Versions with %+v = %v, want the one that is there", config, ids(got))
		}
	}
	for _, alg := range []string{"RS384", "ES512", "HS256", "none", ""} {
		_, err := newProvisioner(t, s).Create(t.Context(), alg)
		if failureOf(err).Kind != signer.Refused {
			t.Errorf("Create(%q): %v, want a refusal", alg, err)
		}
	}
	if len(k.versions) != 1 {
		t.Errorf("%d versions were made, want 1", len(k.versions))
	}
}

func TestNewProvisionerRefuses(t *testing.T) {
	service := connect(t, "https://cloudkms.example.com", inProcess{newStandin()})
	for _, tt := range []struct {
		field  string
		config gcpkms.ProvisionerConfig
	}{
		{"KeyRing", gcpkms.ProvisionerConfig{Prefix: "ci"}},
		{"KeyRing", gcpkms.ProvisionerConfig{KeyRing: ringOf + "/cryptoKeys/k", Prefix: "ci"}},
		{"Prefix", gcpkms.ProvisionerConfig{KeyRing: ringOf}},
		{"Prefix", gcpkms.ProvisionerConfig{KeyRing: ringOf, Prefix: "a/b"}},
		{"Prefix", gcpkms.ProvisionerConfig{KeyRing: ringOf, Prefix: "a.b"}},
		{"Prefix", gcpkms.ProvisionerConfig{KeyRing: ringOf, Prefix: strings.Repeat("a", 51)}},
		{"RSABits", gcpkms.ProvisionerConfig{KeyRing: ringOf, Prefix: "ci", RSABits: 1024}},
		{"ProtectionLevel", gcpkms.ProvisionerConfig{KeyRing: ringOf, Prefix: "ci", ProtectionLevel: "EXTERNAL"}},
	} {
		_, err := gcpkms.NewProvisioner(service, tt.config, nil)
		if failureOf(err).Kind != signer.Refused || !strings.Contains(err.Error(), tt.field+": ") {
			t.Errorf("NewProvisioner(%+v): %v, want one that names %s", tt.config, err, tt.field)
		}
	}
	if _, err := gcpkms.NewProvisioner(nil, gcpkms.ProvisionerConfig{KeyRing: ringOf, Prefix: "ci"}, nil); failureOf(err).Kind != signer.Refused {
		t.Errorf("NewProvisioner without a service: %v", err)
	}
}

// Retire succeeds for a version that is gone, and otherwise only if it has
// scheduled the destruction.
func TestRetire(t *testing.T) {
	for _, tt := range []struct {
		name, id, state string
		fault           *fault
		want            failed
	}{
		{name: "enabled", state: "ENABLED"},
		{name: "disabled", state: "DISABLED"},
		{name: "scheduled", state: "DESTROY_SCHEDULED"},
		{name: "destroyed", state: "DESTROYED"},
		{name: "never there", id: "ci-es256/cryptoKeyVersions/9", state: "ENABLED"},
		{name: "no such key", id: "ci-es384/cryptoKeyVersions/1", state: "ENABLED"},
		{name: "being generated", state: "PENDING_GENERATION", want: failed{"DestroyCryptoKeyVersion", signer.Unavailable, "FAILED_PRECONDITION"}},
		{name: "another's key", id: "other/cryptoKeyVersions/1", state: "ENABLED", want: failed{"DestroyCryptoKeyVersion", signer.Refused, ""}},
		{name: "a key, no version", id: "ci-es256", state: "ENABLED", want: failed{"DestroyCryptoKeyVersion", signer.Refused, ""}},
		{name: "away", state: "ENABLED", fault: &fault{code: 503, status: "UNAVAILABLE"}, want: failed{"DestroyCryptoKeyVersion", signer.Unavailable, "UNAVAILABLE"}},
		{name: "forbidden", state: "ENABLED", fault: &fault{code: 403, status: "PERMISSION_DENIED"}, want: failed{"DestroyCryptoKeyVersion", signer.Refused, "PERMISSION_DENIED"}},
		{name: "a policy", state: "ENABLED", fault: &fault{code: 400, status: "FAILED_PRECONDITION", message: "disable it first"}, want: failed{"DestroyCryptoKeyVersion", signer.Refused, "FAILED_PRECONDITION"}},
		{name: "another server's 404", state: "ENABLED", fault: &fault{code: 404}, want: failed{"DestroyCryptoKeyVersion", signer.Refused, "404"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStandin()
			v := s.add("ci-es256", "EC_SIGN_P256_SHA256")
			v.state, v.pending = tt.state, 9
			s.add("other", "EC_SIGN_P256_SHA256")
			s.fault = func(op string, w http.ResponseWriter, r *http.Request) bool {
				if tt.fault != nil && op == "DestroyCryptoKeyVersion" {
					tt.fault.write(w)
				}
				return tt.fault != nil && op == "DestroyCryptoKeyVersion"
			}
			id := v.name
			if tt.id != "" {
				id = ringOf + "/cryptoKeys/" + tt.id
			}
			err := newProvisioner(t, s).Retire(t.Context(), id)
			if diff := cmp.Diff(tt.want, failureOf(err)); diff != "" || (tt.want == failed{}) != (err == nil) {
				t.Errorf("Retire: %v (-want +got):\n%s", err, diff)
			}
			if tt.want != (failed{}) && v.state != tt.state {
				t.Errorf("the version is %s after Retire has failed", v.state)
			}
			if err == nil && tt.id == "" && v.state == "ENABLED" {
				t.Error("the version is ENABLED after Retire")
			}
		})
	}
}

// Answers to the provisioner's calls are checked, too.
func TestProvisionerChecksAnswer(t *testing.T) {
	wrongVersion := func(a map[string]any) { a["name"] = ringOf + "/cryptoKeys/other/cryptoKeyVersions/1" }
	for _, tt := range []struct {
		op     string
		tamper func(answer map[string]any)
		want   failed
	}{
		{"CreateCryptoKeyVersion", wrongVersion, failed{"CreateCryptoKeyVersion", signer.Malformed, ""}},
		{"CreateCryptoKeyVersion", func(a map[string]any) { delete(a, "name") }, failed{"CreateCryptoKeyVersion", signer.Malformed, ""}},
		{"CreateCryptoKeyVersion", func(a map[string]any) { delete(a, "state") }, failed{"GetCryptoKeyVersion", signer.Gone, ""}},
		{"GetCryptoKeyVersion", wrongVersion, failed{"GetCryptoKeyVersion", signer.Malformed, ""}},
		{"GetCryptoKey", func(a map[string]any) { a["name"] = ringOf + "/cryptoKeys/other" }, failed{"GetCryptoKey", signer.Malformed, ""}},
		{"GetCryptoKey", func(a map[string]any) { delete(a, "versionTemplate") }, failed{"GetCryptoKey", signer.Refused, ""}},
		{"GetCryptoKey", func(a map[string]any) { a["purpose"] = "ENCRYPT_DECRYPT" }, failed{"GetCryptoKey", signer.Refused, ""}},
		{"ListCryptoKeyVersions", func(a map[string]any) { a["cryptoKeyVersions"] = []any{nil} }, failed{"ListCryptoKeyVersions", signer.Malformed, ""}},
		{"ListCryptoKeyVersions", func(a map[string]any) { a["cryptoKeyVersions"] = []any{map[string]any{"name": "x"}} }, failed{"ListCryptoKeyVersions", signer.Malformed, ""}},
		{"ListCryptoKeyVersions", func(a map[string]any) { a["nextPageToken"] = "0" }, failed{"ListCryptoKeyVersions", signer.Malformed, ""}},
	} {
		s := newStandin()
		s.pending = 1
		s.add("ci-es256", "EC_SIGN_P256_SHA256")
		s.tamper = func(op string, answer map[string]any) {
			if op == tt.op {
				tt.tamper(answer)
			}
		}
		_, err := newProvisioner(t, s).Create(t.Context(), "ES256")
		if diff := cmp.Diff(tt.want, failureOf(err)); diff != "" {
			t.Errorf("%s: Create: %v (-want +got):\n%s", tt.op, err, diff)
		}
	}
	s := newStandin()
	v := s.add("ci-es256", "EC_SIGN_P256_SHA256")
	s.tamper = func(_ string, answer map[string]any) { answer["state"] = "ENABLED" }
	if err := newProvisioner(t, s).Retire(t.Context(), v.name); failureOf(err).Kind != signer.Malformed {
		t.Errorf("Retire of a version that stays ENABLED: %v", err)
	}
}

// Versions leaves out a version in another state, and one of another algorithm
// than its key's name, although the service lists them.
func TestVersionsLeavesOut(t *testing.T) {
	s := newStandin()
	k := s.add("ci-es256", "EC_SIGN_P256_SHA256").key
	listed := map[string]map[string]any{
		"2": {"state": "DISABLED"},
		"3": {"state": "PENDING_GENERATION"},
		"4": {"algorithm": "EC_SIGN_P384_SHA384"},
		"5": {"algorithm": "RSA_SIGN_RAW_PKCS1_2048"},
		"6": {"state": nil},
	}
	for range listed {
		k.add(0) // it has a public key, although the list has another state
	}
	s.tamper = func(op string, answer map[string]any) {
		page, _ := answer["cryptoKeyVersions"].([]any)
		for _, v := range page {
			v := v.(map[string]any)
			maps.Copy(v, listed[strings.TrimPrefix(v["name"].(string), k.name+"/cryptoKeyVersions/")])
		}
	}
	got, err := newProvisioner(t, s).Versions(t.Context())
	if diff := cmp.Diff([]string{"ES256 ci-es256/cryptoKeyVersions/1"}, ids(got)); diff != "" || err != nil {
		t.Errorf("Versions: %v (-want +got):\n%s", err, diff)
	}
}

// A listing that fails is no empty one: the ring would make keys that it has.
func TestVersionsFails(t *testing.T) {
	for _, op := range []string{"ListCryptoKeyVersions", "GetPublicKey"} {
		for _, f := range []fault{{code: 503, status: "UNAVAILABLE"}, {code: 403, status: "PERMISSION_DENIED"}} {
			s := newStandin()
			s.add("ci-es256", "EC_SIGN_P256_SHA256")
			s.fault = func(got string, w http.ResponseWriter, r *http.Request) bool {
				if got == op {
					f.write(w)
				}
				return got == op
			}
			got, err := newProvisioner(t, s).Versions(t.Context())
			if failureOf(err).Code != f.status || got != nil {
				t.Errorf("%s answers %d: Versions = %v, %v", op, f.code, ids(got), err)
			}
		}
	}
	// A version that ends between the listing and its public key is left out.
	s := newStandin()
	v := s.add("ci-es256", "EC_SIGN_P256_SHA256")
	s.fault = func(op string, w http.ResponseWriter, r *http.Request) bool {
		if op == "GetPublicKey" {
			s.set(func() { v.state = "DISABLED" })
		}
		return false
	}
	if got, err := newProvisioner(t, s).Versions(t.Context()); len(got) != 0 || err != nil {
		t.Errorf("Versions = %v, %v; want none", ids(got), err)
	}
	// A key that changes between the two calls is not used.
	s.fault = func(op string, w http.ResponseWriter, r *http.Request) bool {
		if op == "GetPublicKey" {
			s.set(func() {
				v.state, v.key.algorithm, v.private = "ENABLED", "EC_SIGN_P384_SHA384", generate("EC_SIGN_P384_SHA384")
			})
		}
		return false
	}
	s.set(func() { v.state = "ENABLED" })
	if got, err := newProvisioner(t, s).Versions(t.Context()); failureOf(err) != (failed{"GetPublicKey", signer.Malformed, ""}) || got != nil {
		t.Errorf("Versions = %v, %v; want a malformed answer", ids(got), err)
	}
	// A 404 of a foreign server does not end a version.
	s = newStandin()
	s.add("ci-es256", "EC_SIGN_P256_SHA256")
	s.fault = func(op string, w http.ResponseWriter, r *http.Request) bool {
		if op == "GetPublicKey" {
			http.NotFound(w, r)
		}
		return op == "GetPublicKey"
	}
	if got, err := newProvisioner(t, s).Versions(t.Context()); failureOf(err) != (failed{"GetPublicKey", signer.Refused, "404"}) || got != nil {
		t.Errorf("Versions = %v, %v; want a refusal", ids(got), err)
	}
	// A foreign server's 404 does not mean that a version is gone.
	s.fault = func(op string, w http.ResponseWriter, r *http.Request) bool {
		http.Error(w, "not found", http.StatusNotFound)
		return true
	}
	if got, err := newProvisioner(t, s).Versions(t.Context()); failureOf(err).Code != "404" {
		t.Errorf("Versions of another server = %v, %v", ids(got), err)
	}
}
