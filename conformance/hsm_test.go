package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/needs"
	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/oidctokentest"
	"github.com/oidctoken/oidctoken/signer/pkcs11"
)

// The ring creates keys that never leave a PKCS #11 token. Foreign verifiers
// accept their tokens, also after a key was revoked. T06 T07
func TestHSM(t *testing.T) {
	token := openHSM(t)
	provisioner, err := pkcs11.NewProvisioner(pkcs11.ProvisionerConfig{Token: token, Prefix: "conformance"})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.New(t.Context(), keyring.Config{Store: new(keyring.MemoryStore), Provisioner: provisioner})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ring.Close() })
	var url string
	issuer := oidctokentest.NewIssuer(t, func(c *oidctoken.Config) { url, c.Keys = c.URL, ring })
	var candidates []candidate
	add := func(name, subject, algorithm, jwt string) {
		candidates = append(candidates, candidate{
			Name: algorithm + " of a PKCS #11 token: " + name, Algorithm: algorithm,
			Issuer: url, Audience: audience, Token: jwt, subject: subject,
		})
	}
	for _, algorithm := range []string{"RS256", "ES256"} {
		revoked := mint(t, issuer.Issuer, algorithm, audience)
		if err := ring.Revoke(t.Context(), revoked.KeyID()); err != nil {
			t.Fatal(err)
		}
		good := mint(t, issuer.Issuer, algorithm, audience).JWT()
		add("good", "account/acme:org/payments:project/ledger", algorithm, good)
		add("signature changed", "", algorithm, withSignature(t, good))
		add("of a revoked key", "", algorithm, revoked.JWT())
	}
	all := append(goVerifiers(), nodeVerifiers()...)
	for _, v := range append(all, pythonVerifiers()...) {
		t.Run(v.name, func(t *testing.T) {
			_, verdicts := v.verify(t, candidates)
			if len(verdicts) != len(candidates) {
				t.Fatalf("%d verdicts on %d tokens", len(verdicts), len(candidates))
			}
			for i, c := range candidates {
				checkVerdict(t, c, verdicts[i])
			}
		})
	}
	row(t, "SoftHSM", strings.TrimSpace(output(t, "softhsm2-util", "--version")), "made an RSA and a P-256 key for a ring, and signed with them")
}

// openHSM returns a token of a SoftHSM of the test's own.
func openHSM(t *testing.T) *pkcs11.Token {
	t.Helper()
	utility := needs.Program(t, "softhsm2-util")
	library := needs.Program(t, "libsofthsm2.so", "/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/*/softhsm/libsofthsm2.so",
		"/usr/lib64/softhsm/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so", "/opt/homebrew/lib/softhsm/libsofthsm2.so")
	dir := t.TempDir()
	conf := filepath.Join(dir, "softhsm2.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "directories.tokendir = %s\nlog.level = ERROR\n", dir), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf) // read when the library is initialized
	module, err := pkcs11.OpenModule(t.Context(), library)
	if errors.Is(err, errors.ErrUnsupported) {
		needs.Missing(t, "cgo", err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { module.Close() })
	const pin = "1234" // of a token that lives as long as the test
	output, err := exec.CommandContext(t.Context(), utility, "--init-token", "--free", "--label", "ci", "--pin", pin, "--so-pin", "5678").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	token, err := pkcs11.Open(t.Context(), pkcs11.Config{
		Module: module, Label: "ci",
		PIN: func(context.Context) ([]byte, error) { return []byte(pin), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { token.Close() })
	return token
}
