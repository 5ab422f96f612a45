package awskms_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/awskms"
)

// inMemory answers without a network, for tests whose time is not the clock's.
type inMemory struct{ *standin }

func (s inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Host = r.URL.Host
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result(), nil
}

// K03: a process that starts repeatedly without the right to describe the
// ring's own keys leaves no key behind, and a process that goes on makes no
// second key. A key that can be described stays, since the ring will find it.
func TestCreateHidden(t *testing.T) {
	for _, tt := range []struct {
		name   string
		denied []string
		state  string // of the key in the end
		words  string
	}{
		{"described", []string{"DescribeKey"}, "PendingDeletion", "the deletion of the key is scheduled"},
		{"described, nor deleted", []string{"DescribeKey", "ScheduleKeyDeletion"}, "Enabled", "kms:ScheduleKeyDeletion"},
		{"read", []string{"GetPublicKey"}, "Enabled", "kms:GetPublicKey"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &standin{Server: &httptest.Server{URL: "http://kms.test"}, calls: make(map[string]int)}
				s.signingKey("RSA_2048") // a foreign key, which may be described
				s.deny = func(op string, k *key) bool {
					return k != nil && k.description != "" && strings.Contains(fmt.Sprint(tt.denied), op)
				}
				p := must(awskms.NewProvisioner(s.connect(inMemory{s}), awskms.ProvisionerConfig{Ring: "ci"}))
				if got := versions(t, p); len(got) != 0 {
					t.Fatalf("Versions of nothing: %v", got)
				}
				_, err := p.Create(t.Context(), "ES256")
				if err == nil || !strings.Contains(err.Error(), tt.words) {
					t.Errorf("Create: %v, want %q in it", err, tt.words)
				}
				if tt.denied[0] == "DescribeKey" {
					wantError(t, err, "DescribeKey", signer.Unavailable, "")
				}
				if made := s.keys[1]; len(s.keys) != 2 || made.state != tt.state {
					t.Errorf("there are %d keys, the new one is %s, want 2 and %s", len(s.keys), made.state, tt.state)
				}
				if _, err := p.Versions(t.Context()); err == nil {
					t.Error("the key that was made is not missed")
				}
			})
		})
	}
}
