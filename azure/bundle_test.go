package azure_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/azure"
	"github.com/oidctoken/oidctoken/exchange"
)

func TestBundle(t *testing.T) {
	env := func(authority string, more ...string) map[string]string {
		m := map[string]string{
			"AZURE_CLIENT_ID": client, "AZURE_TENANT_ID": tenant, "AZURE_FEDERATED_TOKEN_FILE": "/run/step/jwt",
			"AZURE_AUTHORITY_HOST": authority, "AZURE_CONFIG_DIR": "/run/step/azure",
			"ARM_USE_OIDC": "true", "ARM_OIDC_TOKEN_FILE_PATH": "/run/step/jwt", "ARM_CLIENT_ID": client, "ARM_TENANT_ID": tenant,
		}
		for _, environment := range more {
			m["ARM_ENVIRONMENT"] = environment
		}
		return m
	}
	for _, tt := range []struct {
		authority string
		want      map[string]string
	}{
		{"", env("https://login.microsoftonline.com")},
		{"https://login.microsoftonline.us/", env("https://login.microsoftonline.us", "usgovernment")},
		{"https://login.partner.microsoftonline.cn", env("https://login.partner.microsoftonline.cn", "china")},
		{"https://127.0.0.1:8443", env("https://127.0.0.1:8443")},
	} {
		t.Run(tt.authority, func(t *testing.T) {
			e := newExchanger(t, http.NotFoundHandler(), azure.Config{AuthorityHost: tt.authority})
			got, err := e.Bundle("/run/step", "/run/step/jwt")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&exchange.Bundle{Dirs: []string{"azure"}, Env: tt.want}, got); diff != "" {
				t.Errorf("Bundle (-want +got):\n%s", diff)
			}
		})
	}
}

// Two steps share no directory: the Azure CLI would show one the other's login.
func TestBundleOfTwoSteps(t *testing.T) {
	e := newExchanger(t, http.NotFoundHandler(), azure.Config{})
	dirs := make(map[string]bool)
	for _, dir := range []string{"/run/a", "/run/b"} {
		b, err := e.Bundle(dir, dir+"/jwt")
		if err != nil {
			t.Fatal(err)
		}
		dirs[b.Env["AZURE_CONFIG_DIR"]] = true
	}
	if len(dirs) != 2 {
		t.Errorf("AZURE_CONFIG_DIR is %v, want two", dirs)
	}
}

// D05
func TestBundleRefuses(t *testing.T) {
	const notText = "has a control character, or is not UTF-8"
	for _, tt := range []struct {
		name, dir, file string
		want            oidctoken.ConfigError
	}{
		{"no dir", "", "/jwt", oidctoken.ConfigError{Package: "azure", Field: "dir", Reason: "is required"}},
		{"relative dir", "step", "/jwt", oidctoken.ConfigError{Package: "azure", Field: "dir", Reason: "is not an absolute path"}},
		{"dir with line break", "/a\nb", "/jwt", oidctoken.ConfigError{Package: "azure", Field: "dir", Reason: notText}},
		{"no file", "/step", "", oidctoken.ConfigError{Package: "azure", Field: "tokenFile", Reason: "is required"}},
		{"relative file", "/step", "jwt", oidctoken.ConfigError{Package: "azure", Field: "tokenFile", Reason: "is not an absolute path"}},
		{"file with NUL", "/step", "/a\x00", oidctoken.ConfigError{Package: "azure", Field: "tokenFile", Reason: notText}},
		{"file that is not UTF-8", "/step", "/a\xff", oidctoken.ConfigError{Package: "azure", Field: "tokenFile", Reason: notText}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := newExchanger(t, http.NotFoundHandler(), azure.Config{}).Bundle(tt.dir, tt.file)
			var got *oidctoken.ConfigError
			errors.As(err, &got)
			if diff := cmp.Diff(&tt.want, got); diff != "" || b != nil {
				t.Errorf("Bundle = %v (-want +got):\n%s", b, diff)
			}
		})
	}
}
