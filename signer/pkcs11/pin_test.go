package pkcs11_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	cryptoki "github.com/miekg/pkcs11"

	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/pkcs11"
)

// A login that may have cost a try is made once in the life of a Module,
// whatever its error and however often a Token is opened. A login that has cost
// none is repeated.
func TestLoginTries(t *testing.T) {
	for _, test := range []struct {
		code        uint
		first       signer.Kind
		tries       int // of the first Open
		initialized int
		again       bool
	}{
		{cryptoki.CKR_PIN_INCORRECT, signer.Refused, 1, 1, false},
		{cryptoki.CKR_PIN_LOCKED, signer.Refused, 1, 1, false},
		{cryptoki.CKR_PIN_EXPIRED, signer.Refused, 1, 1, false},
		{cryptoki.CKR_FUNCTION_FAILED, signer.Unavailable, 1, 1, false},
		{cryptoki.CKR_GENERAL_ERROR, signer.Unavailable, 1, 1, false},
		{cryptoki.CKR_VENDOR_DEFINED + 1, signer.Unavailable, 1, 1, false},
		{cryptoki.CKR_USER_ANOTHER_ALREADY_LOGGED_IN, signer.Refused, 1, 1, true},
		{cryptoki.CKR_USER_PIN_NOT_INITIALIZED, signer.Refused, 1, 1, true},
		{cryptoki.CKR_SESSION_HANDLE_INVALID, signer.Unavailable, 2, 2, true},
		{cryptoki.CKR_TOKEN_NOT_PRESENT, signer.Unavailable, 2, 2, true},
		{cryptoki.CKR_DEVICE_REMOVED, signer.Unavailable, 2, 2, true},
		{cryptoki.CKR_DEVICE_ERROR, signer.Unavailable, 2, 2, true},
	} {
		t.Run(fmt.Sprintf("0x%x", test.code), func(t *testing.T) {
			fake, on := pkcs11.NewFake()
			on.PIN = "another"
			fake.Answer = func(op string, _, value []byte, err error) ([]byte, error) {
				if op == "C_Login" {
					return nil, pkcs11.Returned(test.code)
				}
				return value, err
			}
			c := pkcs11.Config{Module: must(fake.Open(t.Context())), Label: "token", PIN: withPIN(pin)}
			_, err := pkcs11.Open(t.Context(), c)
			fails(t, err, test.first, "")
			if fake.Logins != test.tries || fake.Initialized != test.initialized {
				t.Errorf("the PIN was tried %d times, and the library initialized %d times; want %d and %d",
					fake.Logins, fake.Initialized, test.tries, test.initialized)
			}
			fake.Do(func() { fake.Answer, on.PIN, fake.Logins = nil, pin, 0 })
			token, err := pkcs11.Open(t.Context(), c)
			if !test.again {
				if fails(t, err, signer.Refused, ""); fake.Logins != 0 {
					t.Errorf("a PIN that may have been refused was tried again")
				}
				if err := c.Module.Close(); err != nil {
					t.Error(err)
				}
				c.Module = must(fake.Open(t.Context())) // which forgets
				token, err = pkcs11.Open(t.Context(), c)
			}
			if err != nil {
				t.Fatalf("Open, when all is well: %v", err)
			}
			if err := token.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Tokens that are opened at once with the same wrong PIN try it once.
func TestWrongPINAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, on := pkcs11.NewFake()
		on.PIN = "another"
		release := make(chan struct{})
		fake.Wait = func(op string) {
			if op == "C_Login" {
				<-release
			}
		}
		module := must(fake.Open(t.Context()))
		done := make(chan error)
		for range 8 {
			go func() {
				_, err := pkcs11.Open(t.Context(), pkcs11.Config{Module: module, Label: "token", PIN: withPIN(pin)})
				done <- err
			}()
		}
		synctest.Wait()
		close(release)
		for range 8 {
			fails(t, <-done, signer.Refused, "")
		}
		if fake.Logins != 1 {
			t.Errorf("the token was given a wrong PIN %d times", fake.Logins)
		}
	})
}
