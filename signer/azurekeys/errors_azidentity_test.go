package azurekeys_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/azurekeys"
)

// entra serves Entra's discovery documents, and answers token requests with
// token.
func entra(token http.HandlerFunc) http.HandlerFunc {
	base := "https://" + loginHost + "/" + tenant
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
			json.NewEncoder(w).Encode(map[string]string{
				"issuer": base + "/v2.0", "authorization_endpoint": base + "/oauth2/v2.0/authorize", "token_endpoint": base + "/oauth2/v2.0/token",
			})
		case r.Method == http.MethodPost && r.URL.Path == "/"+tenant+"/oauth2/v2.0/token":
			token(w, r)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}
}

// The errors of azidentity are classified, although its package is not linked:
// a refusal, a busy Entra, and an unreachable one.
func TestAzidentity(t *testing.T) {
	const secret = "a secret of the application"
	for _, tt := range []struct {
		name  string
		token http.HandlerFunc
		want  signer.Error // the zero value means no error
	}{
		{"granted", nil, signer.Error{}},
		{"refused", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.","error_codes":[7000215]}`)
		}, signer.Error{Kind: signer.Refused, Code: "AADSTS7000215"}},
		{"busy", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, `{"error":"temporarily_unavailable"}`)
		}, signer.Error{Kind: signer.Unavailable, RetryAfter: 3 * time.Second}},
		{"cut off", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, signer.Error{Kind: signer.Unavailable}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t)
			v := s.add(vaultURL, "tokens", "EC", "P-256", "sign")
			asked := 0
			s.login = entra(func(w http.ResponseWriter, r *http.Request) {
				asked++
				if tt.token != nil {
					tt.token(w, r)
					return
				}
				scope, _, _ := strings.Cut(r.FormValue("scope"), "/.default")
				s.mu.Lock()
				defer s.mu.Unlock()
				s.tokens["granted"] = scope
				io.WriteString(w, `{"token_type":"Bearer","expires_in":3599,"access_token":"granted"}`)
			})
			client := azurekeys.HTTPClient(s.transport())
			t.Cleanup(client.CloseIdleConnections)
			credential := must(azidentity.NewClientSecretCredential(tenant, "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", secret, &azidentity.ClientSecretCredentialOptions{
				ClientOptions:            azcore.ClientOptions{Transport: client, Retry: policy.RetryOptions{MaxRetries: -1}},
				DisableInstanceDiscovery: true,
			}))
			_, err := azurekeys.New(t.Context(), s.client(vaultURL, credential), v.kid(), nil)
			if asked != 1 {
				t.Errorf("Entra was asked %d times", asked)
			}
			if tt.token == nil {
				if err != nil {
					t.Errorf("New: %v", err)
				}
				return
			}
			tt.want.Service, tt.want.Op = "azurekeys", "GetKey"
			if diff := cmp.Diff(tt.want, parts(t, err)); diff != "" || strings.Contains(err.Error(), secret) {
				t.Errorf("New: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}
