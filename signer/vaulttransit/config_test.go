package vaulttransit_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/signer/vaulttransit"
)

// diffConfig compares the *ConfigError in err with want; nil means no error.
func diffConfig(want *oidctoken.ConfigError, err error) string {
	var got *oidctoken.ConfigError
	if err != nil && !errors.As(err, &got) {
		return "the error is not a *ConfigError: " + err.Error()
	}
	return cmp.Diff(want, got)
}

func TestNewClient(t *testing.T) {
	token := staticToken(vaultToken)
	const names = "is not a path of names of letters, digits, '-', '_' and '.'"
	address := func(reason string) *oidctoken.ConfigError {
		return &oidctoken.ConfigError{Package: "vaulttransit", Field: "Address", Reason: reason}
	}
	odd := address("has a query, or a path of other than plain names")
	mount := &oidctoken.ConfigError{Package: "vaulttransit", Field: "Mount", Reason: names + ", without a slash at its ends"}
	namespace := &oidctoken.ConfigError{Package: "vaulttransit", Field: "Namespace", Reason: names}
	for _, tt := range []struct {
		name   string
		config vaulttransit.Config
		want   *oidctoken.ConfigError
	}{
		{"https", vaulttransit.Config{Address: "https://vault.example.com:8200", Token: token}, nil},
		{"slash at the end", vaulttransit.Config{Address: "https://vault.example.com/", Token: token}, nil},
		{"path", vaulttransit.Config{Address: "https://example.com/vault/eu", Token: token}, nil},
		{"loopback", vaulttransit.Config{Address: "http://127.0.0.1:8200", Token: token}, nil},
		{"agent with a token of its own", vaulttransit.Config{Address: "http://localhost:8100"}, nil},
		{"everything", vaulttransit.Config{Address: "https://vault.example.com", Mount: "team-a/transit", Namespace: "admin/eu/", Token: token}, nil},
		{"no address", vaulttransit.Config{Token: token}, address("is required")},
		{"no token", vaulttransit.Config{Address: "https://vault.example.com"}, &oidctoken.ConfigError{Package: "vaulttransit", Field: "Token", Reason: "is required"}},
		{"plain http", vaulttransit.Config{Address: "http://vault.example.com", Token: token}, address("cannot be used: the URL is plain http to a host that is not loopback")},
		{"no scheme", vaulttransit.Config{Address: "vault.example.com", Token: token}, address("cannot be used: the URL is not https")},
		{"password", vaulttransit.Config{Address: "https://a:b@vault.example.com", Token: token}, address("cannot be used: the URL holds user information")},
		{"fragment", vaulttransit.Config{Address: "https://vault.example.com/#/ui", Token: token}, address("cannot be used: the URL has a fragment")},
		{"query", vaulttransit.Config{Address: "https://vault.example.com/?x=1", Token: token}, odd},
		{"empty query", vaulttransit.Config{Address: "https://vault.example.com/?", Token: token}, odd},
		{"path upwards", vaulttransit.Config{Address: "https://vault.example.com/a/../b", Token: token}, odd},
		{"path escaped", vaulttransit.Config{Address: "https://vault.example.com/a%2Fb", Token: token}, nil},
		{"path with a space", vaulttransit.Config{Address: "https://vault.example.com/a%20b", Token: token}, odd},
		{"mount upwards", vaulttransit.Config{Address: "https://vault.example.com", Mount: "../sys", Token: token}, mount},
		{"mount with a slash", vaulttransit.Config{Address: "https://vault.example.com", Mount: "transit/", Token: token}, mount},
		{"mount with a query", vaulttransit.Config{Address: "https://vault.example.com", Mount: "transit?x", Token: token}, mount},
		{"namespace with a newline", vaulttransit.Config{Address: "https://vault.example.com", Namespace: "a\r\nX-Vault-Token: b", Token: token}, namespace},
		{"namespace of slashes", vaulttransit.Config{Address: "https://vault.example.com", Namespace: "//", Token: token}, namespace},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, err := vaulttransit.NewClient(tt.config)
			if diff := diffConfig(tt.want, err); diff != "" {
				t.Errorf("NewClient (-want +got):\n%s", diff)
			}
			if (client == nil) != (err != nil) {
				t.Errorf("NewClient = %v, %v", client, err)
			}
		})
	}
}

func TestArguments(t *testing.T) {
	v := startVault(t)
	client := v.client()
	const name = "is not a name of letters, digits, '_', and '-' and '.' inside, of at most 255 bytes"
	noClient := &oidctoken.ConfigError{Package: "vaulttransit", Field: "client", Reason: "is nil"}
	for _, key := range []string{"", "..", ".a", "a.", "-a", "a-", "a/b", "a b", "a%2Fb", "a?b", "ä", strings.Repeat("a", 256)} {
		_, err := vaulttransit.New(t.Context(), client, key, 1, nil)
		if diff := diffConfig(&oidctoken.ConfigError{Package: "vaulttransit", Field: "key", Reason: name}, err); diff != "" {
			t.Errorf("New of key %q (-want +got):\n%s", key, diff)
		}
		_, err = vaulttransit.NewProvisioner(client, key, nil)
		if diff := diffConfig(&oidctoken.ConfigError{Package: "vaulttransit", Field: "prefix", Reason: name}, err); diff != "" {
			t.Errorf("NewProvisioner of prefix %q (-want +got):\n%s", key, diff)
		}
		_, err = vaulttransit.NewWrapper(t.Context(), client, key, nil)
		if diff := diffConfig(&oidctoken.ConfigError{Package: "vaulttransit", Field: "key", Reason: name}, err); diff != "" {
			t.Errorf("NewWrapper of key %q (-want +got):\n%s", key, diff)
		}
	}
	for _, version := range []int{0, -1} {
		_, err := vaulttransit.New(t.Context(), client, "ci", version, nil)
		want := &oidctoken.ConfigError{Package: "vaulttransit", Field: "version", Reason: "is not from 1 on: a signer has one version, never the latest"}
		if diff := diffConfig(want, err); diff != "" {
			t.Errorf("New of version %d (-want +got):\n%s", version, diff)
		}
	}
	_, err := vaulttransit.NewProvisioner(client, strings.Repeat("a", 201), nil)
	if diff := diffConfig(&oidctoken.ConfigError{Package: "vaulttransit", Field: "prefix", Reason: "is longer than 200 bytes"}, err); diff != "" {
		t.Errorf("NewProvisioner (-want +got):\n%s", diff)
	}
	_, err = vaulttransit.New(t.Context(), nil, "ci", 1, nil)
	if diff := diffConfig(noClient, err); diff != "" {
		t.Errorf("New (-want +got):\n%s", diff)
	}
	_, err = vaulttransit.NewProvisioner(nil, "ci", nil)
	if diff := diffConfig(noClient, err); diff != "" {
		t.Errorf("NewProvisioner (-want +got):\n%s", diff)
	}
	_, err = vaulttransit.NewWrapper(t.Context(), nil, "ci", nil)
	if diff := diffConfig(noClient, err); diff != "" {
		t.Errorf("NewWrapper (-want +got):\n%s", diff)
	}
	if n := v.count("GET", ""); n != 0 {
		t.Errorf("Vault was asked %d times with arguments that are wrong", n)
	}
}
