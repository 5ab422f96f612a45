package gcp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/gcp"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
	"github.com/oidctoken/oidctoken/internal/needs"
)

func headers(h map[string]string) func() map[string]string {
	return func() map[string]string { return h }
}

// credentialFiles has settings of a file, the arguments of gcloud for the same
// settings, and the file.
var credentialFiles = []struct {
	name   string
	config gcp.Config
	source gcp.Source
	flags  []string
	want   string
}{
	{
		"file", gcp.Config{}, gcp.FileSource{Path: "/run/step/jwt"},
		[]string{"--credential-source-file=/run/step/jwt"},
		`{"universe_domain": "googleapis.com", "type": "external_account",
		  "audience": "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/ci/providers/acme",
		  "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": "https://sts.googleapis.com/v1/token",
		  "credential_source": {"file": "/run/step/jwt"}, "token_info_url": "https://sts.googleapis.com/v1/introspect"}`,
	},
	{
		"file, impersonated", gcp.Config{ServiceAccount: serviceAccount}, gcp.FileSource{Path: "/run/step/jwt"},
		[]string{"--credential-source-file=/run/step/jwt", "--service-account=" + serviceAccount},
		`{"universe_domain": "googleapis.com", "type": "external_account",
		  "audience": "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/ci/providers/acme",
		  "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": "https://sts.googleapis.com/v1/token",
		  "credential_source": {"file": "/run/step/jwt"},
		  "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/deployer@acme.iam.gserviceaccount.com:generateAccessToken"}`,
	},
	{
		"JSON file, impersonated for 15 minutes", gcp.Config{ServiceAccount: serviceAccount, Lifetime: 15 * time.Minute},
		gcp.FileSource{Path: "/run/step/token.json", FieldName: "id_token"},
		[]string{"--credential-source-file=/run/step/token.json", "--credential-source-type=json", "--credential-source-field-name=id_token",
			"--service-account=" + serviceAccount, "--service-account-token-lifetime-seconds=900"},
		`{"universe_domain": "googleapis.com", "type": "external_account",
		  "audience": "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/ci/providers/acme",
		  "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": "https://sts.googleapis.com/v1/token",
		  "credential_source": {"file": "/run/step/token.json", "format": {"type": "json", "subject_token_field_name": "id_token"}},
		  "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/deployer@acme.iam.gserviceaccount.com:generateAccessToken",
		  "service_account_impersonation": {"token_lifetime_seconds": 900}}`,
	},
	{
		"lifetime in direct mode", gcp.Config{Lifetime: time.Hour}, gcp.FileSource{Path: "/run/step/jwt"},
		[]string{"--credential-source-file=/run/step/jwt"},
		`{"universe_domain": "googleapis.com", "type": "external_account",
		  "audience": "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/ci/providers/acme",
		  "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": "https://sts.googleapis.com/v1/token",
		  "credential_source": {"file": "/run/step/jwt"}, "token_info_url": "https://sts.googleapis.com/v1/introspect"}`,
	},
	{
		"URL", gcp.Config{}, gcp.URLSource{URL: "http://127.0.0.1:8080/token?a=b&c=d"},
		[]string{"--credential-source-url=http://127.0.0.1:8080/token?a=b&c=d"},
		`{"universe_domain": "googleapis.com", "type": "external_account",
		  "audience": "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/ci/providers/acme",
		  "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": "https://sts.googleapis.com/v1/token",
		  "credential_source": {"url": "http://127.0.0.1:8080/token?a=b&c=d"}, "token_info_url": "https://sts.googleapis.com/v1/introspect"}`,
	},
	{
		"URL with headers, JSON", gcp.Config{},
		gcp.URLSource{URL: "http://127.0.0.1:8080/token", Headers: headers(map[string]string{"Authorization": "Bearer <x&y>", "Accept": "application/json"}), FieldName: "value"},
		[]string{"--credential-source-url=http://127.0.0.1:8080/token", "--credential-source-headers=Authorization=Bearer <x&y>,Accept=application/json",
			"--credential-source-type=json", "--credential-source-field-name=value"},
		`{"universe_domain": "googleapis.com", "type": "external_account",
		  "audience": "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/ci/providers/acme",
		  "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": "https://sts.googleapis.com/v1/token",
		  "credential_source": {"url": "http://127.0.0.1:8080/token", "headers": {"Authorization": "Bearer <x&y>", "Accept": "application/json"},
		    "format": {"type": "json", "subject_token_field_name": "value"}},
		  "token_info_url": "https://sts.googleapis.com/v1/introspect"}`,
	},
	{
		"executable", gcp.Config{}, gcp.ExecutableSource{Command: "/usr/bin/agent token --for gcp"},
		[]string{"--executable-command=/usr/bin/agent token --for gcp"},
		`{"universe_domain": "googleapis.com", "type": "external_account",
		  "audience": "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/ci/providers/acme",
		  "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": "https://sts.googleapis.com/v1/token",
		  "credential_source": {"executable": {"command": "/usr/bin/agent token --for gcp", "timeout_millis": 30000}},
		  "token_info_url": "https://sts.googleapis.com/v1/introspect"}`,
	},
	{
		"executable with everything", gcp.Config{ServiceAccount: serviceAccount},
		gcp.ExecutableSource{Command: "/usr/bin/agent", Timeout: 7500 * time.Millisecond, OutputFile: "/run/step/answer.json"},
		[]string{"--executable-command=/usr/bin/agent", "--executable-timeout-millis=7500", "--executable-output-file=/run/step/answer.json",
			"--service-account=" + serviceAccount},
		`{"universe_domain": "googleapis.com", "type": "external_account",
		  "audience": "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/ci/providers/acme",
		  "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": "https://sts.googleapis.com/v1/token",
		  "credential_source": {"executable": {"command": "/usr/bin/agent", "timeout_millis": 7500, "output_file": "/run/step/answer.json"}},
		  "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/deployer@acme.iam.gserviceaccount.com:generateAccessToken"}`,
	},
}

func credentialFile(t *testing.T, c gcp.Config, s gcp.Source) []byte {
	t.Helper()
	c.Provider = provider
	e, err := gcp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.CredentialFile(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decode(t *testing.T, b []byte) (v map[string]any) {
	t.Helper()
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return v
}

// X12
func TestCredentialFile(t *testing.T) {
	for _, tt := range credentialFiles {
		t.Run(tt.name, func(t *testing.T) {
			got := decode(t, credentialFile(t, tt.config, tt.source))
			if diff := cmp.Diff(decode(t, []byte(tt.want)), got); diff != "" {
				t.Errorf("CredentialFile (-want +got):\n%s", diff)
			}
		})
	}
}

// X12: gcloud's own generator writes the same for the same settings.
func TestCredentialFileIsGcloudsOwn(t *testing.T) {
	gcloud := needs.Program(t, "gcloud")
	for _, tt := range credentialFiles {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			output := filepath.Join(dir, "file.json")
			args := append([]string{"iam", "workload-identity-pools", "create-cred-config", provider, "--output-file=" + output}, tt.flags...)
			cmd := exec.CommandContext(t.Context(), gcloud, args...)
			cmd.Env = append(os.Environ(), "CLOUDSDK_CONFIG="+filepath.Join(dir, "config"), "CLOUDSDK_CORE_DISABLE_PROMPTS=1")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("gcloud: %v\n%s", err, out)
			}
			theirs, err := os.ReadFile(output)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(decode(t, theirs), decode(t, credentialFile(t, tt.config, tt.source))); diff != "" {
				t.Errorf("CredentialFile (-gcloud's +ours):\n%s", diff)
			}
		})
	}
}

func TestCredentialFileEndpoints(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config gcp.Config
		want   map[string]any // endpoints only
	}{
		{"direct", gcp.Config{TokenURL: "http://127.0.0.1:8080/v1/token"},
			map[string]any{"token_url": "http://127.0.0.1:8080/v1/token", "token_info_url": "http://127.0.0.1:8080/v1/introspect"}},
		{"own introspection", gcp.Config{TokenURL: "http://127.0.0.1:8080/v1/token", TokenInfoURL: "http://127.0.0.1:8081/introspect"},
			map[string]any{"token_url": "http://127.0.0.1:8080/v1/token", "token_info_url": "http://127.0.0.1:8081/introspect"}},
		{"impersonated", gcp.Config{TokenURL: "http://127.0.0.1:8080/v1/token", ImpersonationURL: "http://127.0.0.1:8082/", ServiceAccount: serviceAccount},
			map[string]any{"token_url": "http://127.0.0.1:8080/v1/token",
				"service_account_impersonation_url": "http://127.0.0.1:8082/v1/projects/-/serviceAccounts/" + serviceAccount + ":generateAccessToken"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := make(map[string]any)
			for name, value := range decode(t, credentialFile(t, tt.config, gcp.FileSource{Path: "/jwt"})) {
				if strings.HasSuffix(name, "_url") {
					got[name] = value
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("CredentialFile (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCredentialFileRefuses(t *testing.T) {
	const (
		notAbsolute = "is not an absolute path"
		notText     = "has a control character, or is not UTF-8"
		notHeader   = "has a name or a value that no header can have"
		notCommand  = "does not begin with an absolute path, or has a control character"
		notTimeout  = "is not between 5 s and 2 min, in whole milliseconds"
	)
	good := func(h map[string]string) gcp.Source {
		return gcp.URLSource{URL: "https://a.example", Headers: headers(h)}
	}
	for _, tt := range []struct {
		name   string
		config gcp.Config
		source gcp.Source
		want   oidctoken.ConfigError
	}{
		{"nothing", gcp.Config{}, nil, oidctoken.ConfigError{Package: "gcp", Field: "Source", Reason: "is required"}},
		{"delegates", gcp.Config{ServiceAccount: serviceAccount, Delegates: []string{"a@b"}}, gcp.FileSource{Path: "/jwt"},
			oidctoken.ConfigError{Package: "gcp", Field: "Delegates", Reason: "cannot be named in a credential file"}},
		{"no path", gcp.Config{}, gcp.FileSource{}, oidctoken.ConfigError{Package: "gcp", Field: "FileSource.Path", Reason: "is required"}},
		{"relative path", gcp.Config{}, gcp.FileSource{Path: "jwt"}, oidctoken.ConfigError{Package: "gcp", Field: "FileSource.Path", Reason: notAbsolute}},
		{"path with line break", gcp.Config{}, gcp.FileSource{Path: "/jwt\n"}, oidctoken.ConfigError{Package: "gcp", Field: "FileSource.Path", Reason: notText}},
		{"path with NUL", gcp.Config{}, gcp.FileSource{Path: "/jwt\x00"}, oidctoken.ConfigError{Package: "gcp", Field: "FileSource.Path", Reason: notText}},
		{"path is not UTF-8", gcp.Config{}, gcp.FileSource{Path: "/jwt\xff"}, oidctoken.ConfigError{Package: "gcp", Field: "FileSource.Path", Reason: notText}},
		{"field", gcp.Config{}, gcp.FileSource{Path: "/jwt", FieldName: "a\n"}, oidctoken.ConfigError{Package: "gcp", Field: "FileSource.FieldName", Reason: notText}},
		{"no URL", gcp.Config{}, gcp.URLSource{}, oidctoken.ConfigError{Package: "gcp", Field: "URLSource.URL", Reason: "is not https"}},
		{"plain http", gcp.Config{}, gcp.URLSource{URL: "http://a.example/"}, oidctoken.ConfigError{Package: "gcp", Field: "URLSource.URL", Reason: "is plain http to a host that is not loopback"}},
		{"user", gcp.Config{}, gcp.URLSource{URL: "https://u:p@a.example/"}, oidctoken.ConfigError{Package: "gcp", Field: "URLSource.URL", Reason: "holds user information"}},
		{"field of URL", gcp.Config{}, gcp.URLSource{URL: "https://a.example/", FieldName: "\x7f"}, oidctoken.ConfigError{Package: "gcp", Field: "URLSource.FieldName", Reason: notText}},
		{"header name", gcp.Config{}, good(map[string]string{"A B": "x"}), oidctoken.ConfigError{Package: "gcp", Field: "URLSource.Headers", Reason: notHeader}},
		{"empty header name", gcp.Config{}, good(map[string]string{"": "x"}), oidctoken.ConfigError{Package: "gcp", Field: "URLSource.Headers", Reason: notHeader}},
		{"header value", gcp.Config{}, good(map[string]string{"A": "x\r\nB: y"}), oidctoken.ConfigError{Package: "gcp", Field: "URLSource.Headers", Reason: notHeader}},
		{"no command", gcp.Config{}, gcp.ExecutableSource{}, oidctoken.ConfigError{Package: "gcp", Field: "ExecutableSource.Command", Reason: notCommand}},
		{"relative command", gcp.Config{}, gcp.ExecutableSource{Command: "agent /x"}, oidctoken.ConfigError{Package: "gcp", Field: "ExecutableSource.Command", Reason: notCommand}},
		{"two commands", gcp.Config{}, gcp.ExecutableSource{Command: "/agent x\n/other"}, oidctoken.ConfigError{Package: "gcp", Field: "ExecutableSource.Command", Reason: notCommand}},
		{"short timeout", gcp.Config{}, gcp.ExecutableSource{Command: "/agent", Timeout: 4999 * time.Millisecond}, oidctoken.ConfigError{Package: "gcp", Field: "ExecutableSource.Timeout", Reason: notTimeout}},
		{"long timeout", gcp.Config{}, gcp.ExecutableSource{Command: "/agent", Timeout: 120001 * time.Millisecond}, oidctoken.ConfigError{Package: "gcp", Field: "ExecutableSource.Timeout", Reason: notTimeout}},
		{"part of a millisecond", gcp.Config{}, gcp.ExecutableSource{Command: "/agent", Timeout: 5*time.Second + 1}, oidctoken.ConfigError{Package: "gcp", Field: "ExecutableSource.Timeout", Reason: notTimeout}},
		{"relative output", gcp.Config{}, gcp.ExecutableSource{Command: "/agent", OutputFile: "x"}, oidctoken.ConfigError{Package: "gcp", Field: "ExecutableSource.OutputFile", Reason: notAbsolute}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.config.Provider = provider
			e, err := gcp.New(tt.config)
			if err != nil {
				t.Fatal(err)
			}
			b, err := e.CredentialFile(tt.source)
			var got *oidctoken.ConfigError
			errors.As(err, &got)
			if diff := cmp.Diff(&tt.want, got); diff != "" || b != nil {
				t.Errorf("CredentialFile = %q (-want +got):\n%s", b, diff)
			}
		})
	}
}

// D08
func TestURLSourcePrints(t *testing.T) {
	const secret = "Bearer 0123456789abcdef"
	s := gcp.URLSource{URL: "http://127.0.0.1:8080/", Headers: headers(map[string]string{"Authorization": secret})}
	cloudtest.NoLeak(t, s, secret)
	cloudtest.NoLeak(t, struct{ source gcp.Source }{s}, secret)
}

func TestBundle(t *testing.T) {
	e, err := gcp.New(gcp.Config{Provider: provider, ServiceAccount: serviceAccount})
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.Bundle("/run/50%", "/run/step/jwt")
	if err != nil {
		t.Fatal(err)
	}
	want := &exchange.Bundle{
		Files: map[string][]byte{
			"credentials.json": credentialFile(t, gcp.Config{ServiceAccount: serviceAccount}, gcp.FileSource{Path: "/run/step/jwt"}),
			"boto":             []byte("[Credentials]\ngs_external_account_file = /run/50%%/credentials.json\n[GSUtil]\nstate_dir = /run/50%%/gsutil\n"),
		},
		Dirs: []string{"gcloud", "gsutil", "kube"},
		Env: map[string]string{
			"BOTO_CONFIG":                            "/run/50%/boto",
			"CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": "/run/50%/credentials.json",
			"GOOGLE_APPLICATION_CREDENTIALS":         "/run/50%/credentials.json",
			"CLOUDSDK_CONFIG":                        "/run/50%/gcloud",
			"KUBECONFIG":                             "/run/50%/kube/config",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Bundle (-want +got):\n%s", diff)
	}
}

func TestEndpointBundle(t *testing.T) {
	e, err := gcp.New(gcp.Config{Provider: provider})
	if err != nil {
		t.Fatal(err)
	}
	endpoint := exchange.Endpoint{TokenURL: "http://127.0.0.1:99/token?audience=a", Authorization: func() string { return "Bearer 0123" }}
	got, err := e.EndpointBundle("/run/step", endpoint)
	if err != nil {
		t.Fatal(err)
	}
	want, err := e.Bundle("/run/step", "/run/step/jwt")
	if err != nil {
		t.Fatal(err)
	}
	want.Files["credentials.json"] = credentialFile(t, gcp.Config{}, gcp.URLSource{
		URL:       endpoint.TokenURL,
		Headers:   func() map[string]string { return map[string]string{"Authorization": "Bearer 0123"} },
		FieldName: "value",
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("EndpointBundle (-want +got):\n%s", diff)
	}
	_, err = e.EndpointBundle("/run/step", exchange.Endpoint{TokenURL: endpoint.TokenURL})
	var refused *oidctoken.ConfigError
	errors.As(err, &refused)
	if diff := cmp.Diff(&oidctoken.ConfigError{Package: "gcp", Field: "Endpoint", Reason: "has no Authorization"}, refused); diff != "" {
		t.Errorf("without a secret (-want +got):\n%s", diff)
	}
}

func TestBundleRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, dir, tokenFile string
		config               gcp.Config
		want                 oidctoken.ConfigError
	}{
		{"no dir", "", "/jwt", gcp.Config{}, oidctoken.ConfigError{Package: "gcp", Field: "dir", Reason: "is required"}},
		{"relative dir", "step", "/jwt", gcp.Config{}, oidctoken.ConfigError{Package: "gcp", Field: "dir", Reason: "is not an absolute path"}},
		{"dir with line break", "/step\n", "/jwt", gcp.Config{}, oidctoken.ConfigError{Package: "gcp", Field: "dir", Reason: "has a control character, or is not UTF-8"}},
		{"relative file", "/step", "jwt", gcp.Config{}, oidctoken.ConfigError{Package: "gcp", Field: "FileSource.Path", Reason: "is not an absolute path"}},
		{"delegates", "/step", "/jwt", gcp.Config{ServiceAccount: serviceAccount, Delegates: []string{"a@b"}},
			oidctoken.ConfigError{Package: "gcp", Field: "Delegates", Reason: "cannot be named in a credential file"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.config.Provider = provider
			e, err := gcp.New(tt.config)
			if err != nil {
				t.Fatal(err)
			}
			b, err := e.Bundle(tt.dir, tt.tokenFile)
			var got *oidctoken.ConfigError
			errors.As(err, &got)
			if diff := cmp.Diff(&tt.want, got); diff != "" || b != nil {
				t.Errorf("Bundle = %v (-want +got):\n%s", b, diff)
			}
		})
	}
}

// The bytes are gcloud's, too, and nothing is escaped for HTML.
func TestCredentialFileForm(t *testing.T) {
	got := string(credentialFile(t, gcp.Config{}, gcp.FileSource{Path: "/a&b<c>/jwt"}))
	want := fmt.Sprintf(`{
  "universe_domain": "googleapis.com",
  "type": "external_account",
  "audience": "//iam.googleapis.com/%s",
  "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
  "token_url": "https://sts.googleapis.com/v1/token",
  "credential_source": {
    "file": "/a&b<c>/jwt"
  },
  "token_info_url": "https://sts.googleapis.com/v1/introspect"
}`, provider)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("CredentialFile (-want +got):\n%s", diff)
	}
}
