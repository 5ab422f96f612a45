package vaulttransit_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/vaulttransit"
)

// D08: nothing prints the token.
func TestPrint(t *testing.T) {
	v := startVault(t)
	v.addKey("ci", "ecdsa-p256")
	v.addKey("wrap", "aes256-gcm96")
	client := v.client()
	for want, value := range map[string]any{
		"vaulttransit.Client(" + v.URL + ", transit)": client,
		"vaulttransit.Signer(transit/ci, version 1)":  newSigner(t, v, "ci", 1),
		"vaulttransit.Provisioner(transit/ring-)":     must(vaulttransit.NewProvisioner(client, "ring", nil)),
		"vaulttransit.Wrapper(transit/wrap)":          newWrapper(t, v),
		"Address:" + v.URL + " Mount:transit":         v.config(),
	} {
		text := printed(value)
		if strings.Contains(text, "secret-token") {
			t.Errorf("%T prints the token: %s", value, text)
		}
		if !strings.Contains(text, want) {
			t.Errorf("%T prints %s, want %s", value, text, want)
		}
	}
}

// D08: an error repeats neither the token nor the digest or the data key,
// whatever Vault, or a proxy in its place, echoes.
func TestErrorsKeepSecrets(t *testing.T) {
	digest := sha256.Sum256([]byte("x"))
	input := base64.StdEncoding.EncodeToString(digest[:])
	for _, echo := range []string{"%token%", "Bearer %token%", "%token% and %body%", `x\u0068vs.CAESIJ %body%`} {
		v := startVault(t)
		v.addKey("ci", "ecdsa-p256")
		v.addKey("wrap", "aes256-gcm96")
		s := newSigner(t, v, "ci", 1)
		w := must(vaulttransit.NewWrapper(t.Context(), v.client(), "wrap", nil))
		v.answer(func(w http.ResponseWriter, r received) bool {
			refuse(w, 403, strings.NewReplacer("%token%", r.Header.Get("X-Vault-Token"), "%body%", r.Body).Replace(echo))
			return true
		})
		_, errSign := signOnce(t.Context(), s)
		secret := []byte("0123456789abcdef0123456789abcdef")
		_, errWrap := w.Wrap(t.Context(), secret, []byte("ring"))
		for _, err := range []error{errSign, errWrap} {
			if diff := diffFailure(failure{Op: opOf(err), Code: "403", Kind: signer.Refused}, "", err); diff != "" {
				t.Fatal(diff)
			}
			text := printed(err)
			for _, secret := range []string{"this-is-a-secret", input, base64.StdEncoding.EncodeToString(secret)[8:]} {
				if strings.Contains(text, secret) {
					t.Errorf("the error repeats %q: %s", secret, text)
				}
			}
		}
	}
}

func opOf(err error) string {
	var failure *signer.Error
	if errors.As(err, &failure) {
		return failure.Op
	}
	return ""
}

// D08: a server that does not speak HTTP echoes the request.
func TestEcho(t *testing.T) {
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "Token: "+r.Header.Get("X-Vault-Token")+"\r\n\r\n")
	}))
	defer echo.Close()
	client := must(vaulttransit.NewClient(vaulttransit.Config{Address: echo.URL, Token: staticToken(vaultToken)}))
	_, err := vaulttransit.New(t.Context(), client, "ci", 1, nil)
	if diff := diffFailure(failure{Op: "read key", Kind: signer.Malformed}, "malformed HTTP", err); diff != "" {
		t.Errorf("New (-want +got):\n%s", diff)
	}
	if strings.Contains(printed(err), "secret-token") {
		t.Errorf("the error repeats the token: %v", err)
	}
}

// Token is called for every request. A token that cannot be sent is refused.
func TestToken(t *testing.T) {
	v := startVault(t)
	v.addKey("ci", "ecdsa-p256")
	errLogin := errors.New("no login")
	token, err := "hvs.old", error(nil)
	config := v.config()
	config.Token = func(context.Context) (string, error) { return token, err }
	client := must(vaulttransit.NewClient(config))
	newSigner := func() error {
		_, err := vaulttransit.New(t.Context(), client, "ci", 1, nil)
		return err
	}
	if diff := diffFailure(failure{Op: "read key", Code: "403", Kind: signer.Refused}, "permission denied", newSigner()); diff != "" {
		t.Errorf("New with an old token (-want +got):\n%s", diff)
	}
	token = vaultToken
	if err := newSigner(); err != nil {
		t.Errorf("New with a new token: %v", err)
	}
	asked := v.count("GET", "")
	for _, token = range []string{"", "hvs.a\r\nX-Vault-Namespace: b", "hvs. a", strings.Repeat("a", 16<<10+1)} {
		if diff := diffFailure(failure{Op: "read key", Kind: signer.Refused}, "Token returned a token that cannot be sent", newSigner()); diff != "" {
			t.Errorf("New with the token %.20q (-want +got):\n%s", token, diff)
		}
	}
	err = errLogin
	got := newSigner()
	if diff := diffFailure(failure{Op: "read key", Kind: signer.Unavailable}, "no token: no login", got); diff != "" || !errors.Is(got, errLogin) {
		t.Errorf("New without a token = %v (-want +got):\n%s", got, diff)
	}
	if n := v.count("GET", "") - asked; n != 0 {
		t.Errorf("%d requests were sent without a token", n)
	}
}

// A Vault Agent adds its own token.
func TestAgent(t *testing.T) {
	v := startVault(t)
	v.addKey("ci", "ecdsa-p256")
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header["X-Vault-Token"] != nil {
			t.Error("the request has a token")
		}
		r.Header.Set("X-Vault-Token", vaultToken)
		v.ServeHTTP(w, r)
	}))
	defer agent.Close()
	client := must(vaulttransit.NewClient(vaulttransit.Config{Address: agent.URL + "/"}))
	if _, err := vaulttransit.New(t.Context(), client, "ci", 1, nil); err != nil {
		t.Error(err)
	}
}

// A Transport with other roots reaches a Vault of a private authority.
func TestTransport(t *testing.T) {
	v := newVault()
	v.Server.Close()
	v.Server = httptest.NewTLSServer(v)
	defer v.Close()
	v.addKey("ci", "ed25519")
	config := v.config()
	config.Transport = v.Client().Transport
	if _, err := vaulttransit.New(t.Context(), must(vaulttransit.NewClient(config)), "ci", 1, nil); err != nil {
		t.Error(err)
	}
}
