package main_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// claims decodes a JWT that the runner minted.
func claims(t *testing.T, jwt string) map[string]any {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", jwt)
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// A connector that is delivered gives a step the files and variables that
// Google's tools read, in directories of the step's own.
func TestGoogleConnector(t *testing.T) {
	file, out := step(t, `for name in CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE GOOGLE_APPLICATION_CREDENTIALS CLOUDSDK_CONFIG KUBECONFIG; do
  eval "value=\$$name"
  case $value in "$STEP_DIR/.oidctoken/"*) echo "$name";; *) echo "$name is $value";; esac
done
[ "$CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE" = "$GOOGLE_APPLICATION_CREDENTIALS" ] || echo another file
[ -d "$CLOUDSDK_CONFIG" ] && [ -d "$(dirname "$KUBECONFIG")" ] || echo no directories
cp "$GOOGLE_APPLICATION_CREDENTIALS" "$OUT/adc"
cp "$(sed 's/.*"file": *"\([^"]*\)".*/\1/' "$OUT/adc" | grep "^$STEP_DIR/")" "$OUT/jwt"`, "connectors: [account.gcp_prod]")
	r := run(t, file)
	want := "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE\nGOOGLE_APPLICATION_CREDENTIALS\nCLOUDSDK_CONFIG\nKUBECONFIG\n"
	if r.code != 0 || r.stdout != want {
		t.Fatalf("%+v", r)
	}
	var adc struct{ Type, Audience string }
	if err := json.Unmarshal([]byte(read(t, out, "adc")), &adc); err != nil || adc.Type != "external_account" || adc.Audience != "//iam.googleapis.com/"+provider {
		t.Errorf("the key file is %+v, %v", adc, err)
	}
	jwt := read(t, out, "jwt")
	got := claims(t, jwt)
	want2 := map[string]any{"aud": "https://iam.googleapis.com/" + provider, "connector_id": "gcp_prod", "connector_scope": "account", "project_id": "ledger", "step_id": "list"}
	for name := range got {
		if want2[name] == nil {
			delete(got, name)
		}
	}
	if diff := cmp.Diff(want2, got); diff != "" || jwt != strings.TrimSpace(jwt) {
		t.Errorf("the JWT's claims (-want +got):\n%s", diff)
	}
}

// -set changes a connector's address, and the step gets the access token of
// that address.
func TestSet(t *testing.T) {
	const principal = "principal://iam.googleapis.com/" + pool + "/subject/account/acme:org/payments:project/ledger"
	for name, serviceAccount := range map[string]string{"federated": "", "impersonated": account} {
		t.Run(name, func(t *testing.T) {
			address := freeAddress(t)
			g, flags := google(t, "http://"+address)
			flags = append(flags, "-set", "issuer.listen="+address, "-set", "connectors[account.gcp_prod].gcp.serviceAccount="+serviceAccount,
				"-set", "stages[build].steps[list].env.FROM=the command line")
			file, out := step(t, `printf %s "$TOKEN" >"$OUT/token"; echo "from $FROM"`, `  TOKEN: <+secrets.getGCPAccessToken("account.gcp_prod")>`)
			if r := run(t, file, flags...); r.code != 0 || r.stdout != "from the command line\n" {
				t.Fatalf("%+v", r)
			}
			grant, known := g.Lookup(read(t, out, "token"))
			if !known || grant.Principal != principal || grant.ServiceAccount != serviceAccount {
				t.Errorf("the token is for %+v, %v; want %s, %q", grant, known, principal, serviceAccount)
			}
			if n := g.Requests("/v1/token"); n != 1 {
				t.Errorf("%d exchanges, want 1", n)
			}
		})
	}
}

// A refused token or credential ends the run before the step's command starts,
// with the reason on one line.
func TestRefused(t *testing.T) {
	_, flags := google(t, "http://127.0.0.1:1")
	const at = "f.yaml:21: stages[build].steps[list].env.TOKEN: expr: line 1, column 3: secrets."
	jwt, access := `  TOKEN: <+secrets.getJWT("mine")>`, `  TOKEN: <+secrets.getGCPAccessToken("account.gcp_prod")>`
	for _, tt := range []struct {
		name, top, env string
		flags          []string
		want           string // beginning of the one line
	}{
		{"an issuer that the cloud does not trust", "", access, flags, at + "getGCPAccessToken: failed: broker: connector account.gcp_prod: gcp: sts:token: invalid_grant (400)"},
		{"an untrusted execution", "untrusted: true\n", jwt, nil, at + "getJWT: failed: "},
		{"an untrusted execution's exchange", "untrusted: true\n", access, nil, at + "getGCPAccessToken: failed: "},
		{"a fork", "source: {is_fork: true}\n", jwt, nil, at + "getJWT: failed: "},
		{"a connector of an untrusted execution", "untrusted: true\n", "connectors: [account.gcp_prod]", nil, "f.yaml:21: stages[build].steps[list].connectors[account.gcp_prod]: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file, out := step(t, `touch "$OUT/ran"`, tt.env)
			file += tt.top // at the end, so that lines stay
			r := run(t, file, tt.flags...)
			if reasons := r.reasons(); r.code != 3 || r.stdout != "" || len(reasons) != 1 || !strings.HasPrefix(reasons[0], tt.want) {
				t.Errorf("%+v, want the exit code 3 and %s", r, tt.want)
			}
			if _, err := os.Stat(filepath.Join(out, "ran")); !os.IsNotExist(err) {
				t.Errorf("the step ran: %v", err)
			}
		})
	}
}

// D06: another token of the step in a refusal's text is masked.
func TestRefusalWithToken(t *testing.T) {
	var signature string
	cloud := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		found, err := filepath.Glob(os.TempDir() + "/oidctoken-runner-*/step-*/.oidctoken/mine-*.jwt")
		if err != nil || len(found) != 1 {
			t.Errorf("%v, %v", found, err)
			return
		}
		jwt := read(t, found[0])
		signature = jwt[strings.LastIndexByte(jwt, '.')+1:]
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error": "invalid_grant", "error_description": "not %s"}`, signature)
	}))
	defer cloud.Close()
	file, _ := step(t, "true", `  FILE: <+secrets.getJWTFile("mine")>`, `  TOKEN: <+secrets.getGCPAccessToken("account.gcp_prod")>`)
	file += "issuer: {algorithms: [ES256]}\n" // whose signature fits into a description
	r := run(t, file, "-set", "connectors[account.gcp_prod].gcp.tokenURL="+cloud.URL)
	if r.code != 3 || !strings.Contains(r.stderr, ": not ***; ") || len(signature) < 80 || strings.Contains(r.stderr, signature[:12]) {
		t.Errorf("%+v", r)
	}
}
