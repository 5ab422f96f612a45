package azurekeys_test

import (
	"crypto"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/azurekeys"
)

// K03: a new version is not lost while the service does not list it yet,
// whatever fails meanwhile.
func TestVersionsOfALaggingService(t *testing.T) {
	s := start(t)
	p := newProvisioner(t, s, vaultURL, false)
	created := []keyring.Version{must(p.Create(t.Context(), "ES256"))}
	v := s.keys[vaultURL+"/keys/tokens-es256"][0]
	s.with(func() { s.hidden[v.id] = true })
	for range 2 {
		s.with(func() {
			s.fault = func(op string, w http.ResponseWriter, r *http.Request) bool {
				return op == "GetKey" && failing(503, "ServiceUnavailable", "")(op, w, r)
			}
		})
		_, err := p.Versions(t.Context())
		want := signer.Error{Service: "azurekeys", Op: "GetKey", Kind: signer.Unavailable, Code: "ServiceUnavailable"}
		if diff := cmp.Diff(want, parts(t, err)); diff != "" {
			t.Errorf("Versions while the service is away (-want +got):\n%s", diff)
		}
		s.with(func() { s.fault, s.unknown = nil, map[string]bool{v.id: true} })
		if diff := cmp.Diff(labels(created), listed(t, p)); diff != "" {
			t.Errorf("Versions of what is not found yet (-want +got):\n%s", diff)
		}
	}
	s.with(func() { s.unknown = nil })
	if diff := cmp.Diff(labels(created), listed(t, p)); diff != "" {
		t.Errorf("Versions of what is found (-want +got):\n%s", diff)
	}
	// The service has listed the version once, so a later 404 means that it is
	// gone.
	s.with(func() { s.keys[vaultURL+"/keys/tokens-es256"] = nil })
	if got := listed(t, p); got != nil {
		t.Errorf("Versions of what was deleted: %v", got)
	}
}

// A new version that another replica has disabled is not taken for an unlisted
// one.
func TestVersionsOfARetiredOne(t *testing.T) {
	s := start(t)
	p := newProvisioner(t, s, vaultURL, false)
	must(p.Create(t.Context(), "ES256"))
	v := s.keys[vaultURL+"/keys/tokens-es256"][0]
	s.with(func() { s.hidden[v.id], v.enabled = true, false })
	if got := listed(t, p); got != nil {
		t.Errorf("Versions of what is disabled: %v", got)
	}
}

// inMemory answers without a network, for tests whose time is not the clock's.
type inMemory struct{ *standIn }

func (s inMemory) Do(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Host = r.URL.Host
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	answer := w.Result()
	answer.Request = r
	return answer, nil
}

// The service has five minutes to list a new version. After that, the version
// counts as deleted.
func TestVersionsOfOneThatNeverAppears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &standIn{keys: map[string][]*version{}, tokens: map[string]string{}, calls: map[string]int{}}
		client := must(azkeys.NewClient(vaultURL, s, &azkeys.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: inMemory{s}}}))
		p := must(azurekeys.NewProvisioner(azurekeys.ProvisionerConfig{Client: client, Keys: vaultURL + "/keys/tokens"}))
		created := []keyring.Version{must(p.Create(t.Context(), "ES256"))}
		s.with(func() { clear(s.keys) })
		time.Sleep(5*time.Minute - time.Second)
		if diff := cmp.Diff(labels(created), listed(t, p)); diff != "" {
			t.Errorf("Versions in time (-want +got):\n%s", diff)
		}
		time.Sleep(time.Second)
		if got := listed(t, p); got != nil {
			t.Errorf("Versions after that: %v", got)
		}
	})
}

// D08: a service that echoes the request instead of a name puts it into no
// error.
func TestEchoedNames(t *testing.T) {
	secret := []byte("a digest of thirty-two bytes ...")
	encoded := base64.RawURLEncoding.EncodeToString(secret)
	for _, kid := range []string{string(secret), encoded, "https://" + encoded + ".vault.azure.net/keys/tokens", vaultURL + "/" + encoded} {
		s := start(t)
		remote := newSigner(t, s, s.add(vaultURL, "tokens", "EC", "P-256", "sign"))
		s.edit = func(_ string, answer map[string]any) { answer["kid"] = kid }
		_, err := remote.Sign(t.Context(), secret, crypto.SHA256)
		want := signer.Error{Service: "azurekeys", Op: "Sign", Kind: signer.Malformed}
		if diff := cmp.Diff(want, parts(t, err)); diff != "" {
			t.Errorf("Sign (-want +got):\n%s", diff)
		}
		if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, encoded) || strings.Contains(text, string(secret)) {
			t.Errorf("the error shows what was sent: %s", text)
		}
	}
}
