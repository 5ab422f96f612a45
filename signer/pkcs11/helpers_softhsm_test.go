//go:build cgo

package pkcs11_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	cryptoki "github.com/miekg/pkcs11"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/needs"
	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/oidctokentest"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/pkcs11"
)

// softHSM is a SoftHSM of the test's own, with one token. The library reads its
// configuration when it is initialized.
type softHSM struct {
	t                     *testing.T
	dir, library, utility string
	module                *pkcs11.Module
	token                 *pkcs11.Token
}

func newSoftHSM(t *testing.T) *softHSM {
	t.Helper()
	h := &softHSM{t: t, dir: t.TempDir()}
	h.utility = needs.Program(t, "softhsm2-util")
	h.library = needs.Program(t, "libsofthsm2.so", "/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/*/softhsm/libsofthsm2.so",
		"/usr/lib64/softhsm/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so", "/opt/homebrew/lib/softhsm/libsofthsm2.so")
	conf := fmt.Sprintf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", h.tokens())
	if err := errors.Join(os.Mkdir(h.tokens(), 0o700), os.WriteFile(h.conf(), []byte(conf), 0o600)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", h.conf())
	h.run(h.utility, "--init-token", "--free", "--label", "ci", "--pin", pin, "--so-pin", "5678")
	h.module = must(pkcs11.OpenModule(t.Context(), h.library))
	h.token = must(pkcs11.Open(t.Context(), pkcs11.Config{Module: h.module, Label: "ci", PIN: withPIN(pin)}))
	t.Cleanup(func() {
		if err := errors.Join(h.token.Close(), h.module.Close()); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *softHSM) tokens() string { return filepath.Join(h.dir, "tokens") }
func (h *softHSM) conf() string   { return filepath.Join(h.dir, "softhsm2.conf") }

func (h *softHSM) run(name string, args ...string) {
	h.t.Helper()
	if output, err := exec.CommandContext(h.t.Context(), name, args...).CombinedOutput(); err != nil {
		h.t.Fatalf("%s: %v\n%s", name, err, output)
	}
}

func (h *softHSM) rename(from, to string) {
	h.t.Helper()
	if err := os.Rename(from, to); err != nil {
		h.t.Fatal(err)
	}
}

// key returns the signer of a new key.
func (h *softHSM) key(alg string) *pkcs11.Signer {
	h.t.Helper()
	v, err := newProvisioner(h.t, h.token, "test").Create(h.t.Context(), alg)
	if err != nil {
		h.t.Fatal(err)
	}
	return must(pkcs11.New(h.t.Context(), h.token, v.ID, nil))
}

// T06
func TestSoftHSM(t *testing.T) {
	h := newSoftHSM(t)
	for alg, algorithms := range map[string][]string{
		"RS256": {"RS256", "RS384", "RS512"}, "ES256": {"ES256"}, "ES384": {"ES384"}, "ES512": {"ES512"}, "EdDSA": {"EdDSA"},
	} {
		t.Run(alg, func(t *testing.T) {
			s := h.key(alg)
			oidctokentest.TestSigner(t, func(*testing.T) oidctoken.Signer { return s }, algorithms...)
		})
	}
}

func TestSoftHSMProvisioner(t *testing.T) {
	h := newSoftHSM(t)
	testProvisioner(t, h.token)
	testRing(t, keyring.Config{Provisioner: newProvisioner(t, h.token, "ring")})
}

// Keys that an operator has made, with the commands of README.md.
func TestSoftHSMOperatorKeys(t *testing.T) {
	h := newSoftHSM(t)
	tool := needs.Program(t, "pkcs11-tool")
	for _, args := range [][]string{
		{"--keypairgen", "--key-type", "rsa:2048", "--id", "01", "--label", "issuer-rs256", "--sensitive"},
		{"--keypairgen", "--key-type", "EC:prime256v1", "--id", "02", "--label", "issuer-es256", "--sensitive"},
		{"--keygen", "--key-type", "AES:32", "--id", "03", "--label", "keyring", "--sensitive"},
	} {
		h.run(tool, append([]string{"--module", h.library, "--token-label", "ci", "--login", "--pin", pin}, args...)...)
	}
	for alg, id := range map[string]string{"RS256": "01", "ES256": "02"} {
		issuer := newIssuer(t, oidctoken.StaticKeys{{Signer: must(pkcs11.New(t.Context(), h.token, id, nil))}})
		verify(t, issuer, must(issuer.Mint(t.Context(), scope(alg))), alg)
	}
	w := newWrapper(t, h.token, "03")
	testWrapper(t, w)
	testRing(t, keyring.Config{Wrapper: w})
}

// Sessions are closed and the user is logged out under load: no call fails, and
// no token is wrong.
// T07
func TestSoftHSMUnderLoad(t *testing.T) {
	h := newSoftHSM(t)
	issuer := newIssuer(t, oidctoken.StaticKeys{{Signer: h.key("RS256")}, {Signer: h.key("ES256")}})
	// Another part of the process has the library, too.
	other := cryptoki.New(h.library)
	slot := must(other.GetSlotList(true))[0]
	var minted atomic.Int32
	// SoftHSM 2.6 crashes when it frees a session that it is signing with, so
	// that happens between the calls.
	var calling sync.RWMutex
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 100 {
				if n%20 == 5*i {
					calling.Lock()
					if i%2 == 0 {
						if err := other.CloseAllSessions(slot); err != nil {
							t.Errorf("C_CloseAllSessions: %v", err)
						}
					} else {
						logout(t, other, slot)
					}
					calling.Unlock()
				}
				alg := []string{"RS256", "ES256"}[n%2]
				calling.RLock()
				token, err := issuer.Mint(t.Context(), scope(alg))
				calling.RUnlock()
				if err != nil {
					t.Errorf("Mint: %v", err)
					continue
				}
				verify(t, issuer, token, alg)
				minted.Add(1)
			}
		})
	}
	wg.Wait()
	t.Logf("%d tokens", minted.Load())
}

// logout ends the login of the process with another session.
func logout(t *testing.T, ctx *cryptoki.Ctx, slot uint) {
	session, err := ctx.OpenSession(slot, cryptoki.CKF_SERIAL_SESSION)
	if err != nil {
		t.Errorf("C_OpenSession: %v", err)
		return
	}
	// The login may be over already.
	for _, err := range []error{ctx.Logout(session), ctx.CloseSession(session)} {
		switch {
		case err == nil, errors.Is(err, cryptoki.Error(cryptoki.CKR_USER_NOT_LOGGED_IN)):
		default:
			t.Error(err)
		}
	}
}

// A token that is removed fails in every operation, and makes the same tokens
// as before soon after it was inserted again. Nothing is restarted.
func TestSoftHSMAway(t *testing.T) {
	for _, test := range []struct {
		name       string
		away, back func(h *softHSM)
		kind       signer.Kind
	}{
		{
			"token renamed",
			func(h *softHSM) { h.rename(h.tokens(), h.tokens()+".away") },
			func(h *softHSM) { h.rename(h.tokens()+".away", h.tokens()) },
			signer.Unavailable,
		},
		{
			"configuration moved",
			func(h *softHSM) {
				h.rename(h.conf(), h.conf()+".away")
				h.rename(h.tokens(), h.tokens()+".away")
			},
			func(h *softHSM) {
				h.rename(h.tokens()+".away", h.tokens())
				h.rename(h.conf()+".away", h.conf())
			},
			signer.Unavailable,
		},
		{
			"initialized and restored",
			func(h *softHSM) {
				h.run("cp", "-a", h.tokens(), h.tokens()+".backup")
				h.run(h.utility, "--init-token", "--token", "ci", "--label", "ci", "--pin", pin, "--so-pin", "5678")
			},
			func(h *softHSM) {
				h.rename(h.tokens(), h.tokens()+".new")
				h.rename(h.tokens()+".backup", h.tokens())
			},
			signer.Gone,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newSoftHSM(t)
			issuer := newIssuer(t, oidctoken.StaticKeys{{Signer: h.key("RS256")}})
			mint := func() error {
				token, err := issuer.Mint(t.Context(), scope("RS256"))
				if err == nil {
					verify(t, issuer, token, "RS256")
				}
				return err
			}
			for range 2 {
				if err := mint(); err != nil {
					t.Fatal(err)
				}
				test.away(h)
				for range 10 {
					fails(t, mint(), test.kind, "")
				}
				test.back(h)
				began := time.Now()
				synced(t, mint)
				t.Logf("minting again after %v", time.Since(began).Round(time.Millisecond))
				// Remove the leftover of the first run.
				os.RemoveAll(h.tokens() + ".new")
			}
		})
	}
}
