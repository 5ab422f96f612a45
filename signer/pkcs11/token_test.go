package pkcs11_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	cryptoki "github.com/miekg/pkcs11"

	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/pkcs11"
)

func TestOpenRefusesConfig(t *testing.T) {
	fake, _ := pkcs11.NewFake()
	module := must(fake.Open(t.Context()))
	for _, test := range []struct {
		name   string
		change func(*pkcs11.Config)
		want   string
	}{
		{"no Module", func(c *pkcs11.Config) { c.Module = nil }, "Config.Module"},
		{"no Label", func(c *pkcs11.Config) { c.Label = "" }, "Config.Label"},
		{"no PIN", func(c *pkcs11.Config) { c.PIN = nil }, "Config.PIN"},
		{"negative Sessions", func(c *pkcs11.Config) { c.Sessions = -1 }, "Config.Sessions"},
		{"too many Sessions", func(c *pkcs11.Config) { c.Sessions = 17 }, "Config.Sessions"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := pkcs11.Config{Module: module, Label: "token", PIN: withPIN(pin)}
			test.change(&c)
			token, err := pkcs11.Open(t.Context(), c)
			if token != nil || err == nil || !strings.HasPrefix(err.Error(), "pkcs11: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Open returned %v, %v; want an error that names %s", token, err, test.want)
			}
		})
	}
	if fake.Opened != 0 {
		t.Errorf("%d sessions were opened", fake.Opened)
	}
}

// A token is found by label, serial number or both, and never one of two.
func TestOpenFinds(t *testing.T) {
	fake, _ := pkcs11.NewFake()
	fake.Add("token", "0002")
	fake.Add("other", "0003")
	module := must(fake.Open(t.Context()))
	for _, test := range []struct {
		label, serial string
		want          signer.Kind // 0: none
	}{
		{"token", "", signer.Refused},
		{"token", "0002", 0},
		{"", "0001", 0},
		{"other", "", 0},
		{"other", "0001", signer.Unavailable},
		{"", "0004", signer.Unavailable},
		{"Token", "", signer.Unavailable},
	} {
		t.Run(test.label+" "+test.serial, func(t *testing.T) {
			token, err := pkcs11.Open(t.Context(), pkcs11.Config{Module: module, Label: test.label, Serial: test.serial, PIN: withPIN(pin)})
			if test.want != 0 {
				fails(t, err, test.want, "")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := token.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	if n := fake.Sessions(); n != 0 {
		t.Errorf("%d sessions are left open", n)
	}
}

// A wrong PIN is tried once, however many ask, and does not lock the token.
func TestWrongPIN(t *testing.T) {
	pins := make(chan string, 1) // the correct PIN
	pins <- "1234"
	var given [][]byte
	f := newFixture(t, p256(), func(c *pkcs11.Config) {
		c.PIN = func(context.Context) ([]byte, error) {
			now := <-pins
			pins <- now
			given = append(given, []byte(now)) // by one goroutine at a time
			return given[len(given)-1], nil
		}
	})
	f.Do(func() { f.on.PIN, f.Logins = "changed", 0 })
	f.CloseSessions()
	fails(t, f.sign(t.Context()), signer.Refused, "CKR_PIN_INCORRECT")
	done := make(chan error)
	for range 8 {
		go func() { done <- f.sign(t.Context()) }()
	}
	for range 8 {
		fails(t, <-done, signer.Refused, "")
	}
	if f.Logins != 1 {
		t.Errorf("the token was given a wrong PIN %d times", f.Logins)
	}
	<-pins
	pins <- "changed"
	f.signs()
	for i, p := range given {
		if strings.Trim(string(p), "\x00") != "" {
			t.Errorf("PIN %d was not overwritten", i)
		}
	}
	// Another token with the label may have another PIN.
	f.Do(func() { f.on.Serial, f.on.PIN = "0009", "1234" })
	<-pins
	pins <- "1234"
	f.CloseSessions()
	f.signs()
}

func TestPINFails(t *testing.T) {
	cause := errors.New("the vault is sealed")
	fail := false
	f := newFixture(t, p256(), func(c *pkcs11.Config) {
		c.PIN = func(context.Context) ([]byte, error) {
			if fail {
				return nil, cause
			}
			return []byte(pin), nil
		}
	})
	fail = true
	f.CloseSessions()
	err := f.sign(t.Context())
	if fails(t, err, signer.Unavailable, ""); !errors.Is(err, cause) {
		t.Errorf("the error is %v, want one that is %v", err, cause)
	}
	fail = false
	f.signs()
}

// PIN gets a ctx that ends, and delays only its own caller. X07
func TestPINHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := false
		f := newFixture(t, p256(), func(c *pkcs11.Config) {
			c.PIN = func(ctx context.Context) ([]byte, error) {
				if hang {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return []byte(pin), nil
			}
		})
		hang = true
		f.CloseSessions()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		err := f.sign(ctx)
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != 2*time.Second {
			t.Errorf("Sign returned %v after %v, want the deadline's error after 2s", err, took)
		}
		synctest.Wait()
		hang = false
		f.signs()
	})
}

// Sessions are opened when they are needed, and all are closed.
func TestSessions(t *testing.T) {
	f := newFixture(t, nil, func(c *pkcs11.Config) { c.Sessions = 3 })
	if f.Opened != 1 {
		t.Errorf("Open opened %d sessions, want 1", f.Opened)
	}
	f.on.AddKey(bytesOf(id), p256())
	f.signer = must(pkcs11.New(t.Context(), f.token, id, nil))
	done := make(chan error)
	for range 30 {
		go func() { done <- f.sign(t.Context()) }()
	}
	for range 30 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if f.Opened > 3 {
		t.Errorf("%d sessions were opened, want 3 at most", f.Opened)
	}
	if f.Logins != 1 {
		t.Errorf("%d logins, want 1", f.Logins)
	}
	if err := f.token.Close(); err != nil {
		t.Error(err)
	}
	if n := f.Sessions(); n != 0 {
		t.Errorf("%d sessions are left open", n)
	}
	fails(t, f.sign(t.Context()), signer.Refused, "")
	if err := f.token.Close(); err != nil {
		t.Errorf("Close, again: %v", err)
	}
}

// Close does not wait for those who sign, and leaves no session open.
func TestCloseWhileSigning(t *testing.T) {
	for range 20 {
		f := newFixture(t, p256())
		done := make(chan error)
		for range 8 {
			go func() {
				var err error
				for err == nil {
					err = f.sign(t.Context())
				}
				done <- err
			}()
		}
		f.signs()
		if err := f.token.Close(); err != nil {
			t.Error(err)
		}
		for range 8 {
			fails(t, <-done, signer.Refused, "")
		}
		if n := f.Sessions(); n != 0 {
			t.Errorf("%d sessions are left open", n)
		}
	}
}

// A session whose call hangs while the Token is closed is closed afterwards.
func TestCloseWhileHanging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, p256())
		release := make(chan struct{})
		f.Do(func() {
			f.Wait = func(op string) {
				if op == "C_Sign" {
					<-release
				}
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		fails(t, f.sign(ctx), signer.Unavailable, "")
		if err := f.token.Close(); err != nil {
			t.Error(err)
		}
		if n := f.Sessions(); n != 1 {
			t.Errorf("%d sessions are open, want the one in use", n)
		}
		// The library is not finalized under a call.
		fails(t, f.module.Close(), signer.Unavailable, "")
		close(release)
		synctest.Wait()
		if n := f.Sessions(); n != 0 {
			t.Errorf("%d sessions are left open", n)
		}
	})
}

// D08
func TestSecrets(t *testing.T) {
	const secret = "very-secret-pin"
	f := newFixture(t, nil)
	f.Do(func() { f.on.PIN = secret })
	f.on.AddKey(bytesOf(id), p256())
	c := pkcs11.Config{Module: f.module, Label: "token", PIN: withPIN(secret)}
	f.CloseSessions()
	token := must(pkcs11.Open(t.Context(), c))
	defer token.Close()
	s := must(pkcs11.New(t.Context(), token, id, nil))
	p := must(pkcs11.NewProvisioner(pkcs11.ProvisionerConfig{Token: token, Prefix: "ring"}))
	w := must(pkcs11.NewWrapper(token, id, nil))
	f.Do(func() { f.on.PIN = "another" })
	f.CloseSessions()
	_, refused := s.Sign(t.Context(), digest(), hashOf(s.Public()))
	fails(t, refused, signer.Refused, "CKR_PIN_INCORRECT")
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	for _, value := range []any{c, &c, token, f.module, s, p, w, refused} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&log, verb, value)
			fmt.Fprintf(&log, verb, []any{value})
		}
		logger.Info("x", "value", value)
		if text, err := json.Marshal(value); err == nil { // a Config's func is no JSON
			log.Write(text)
		}
	}
	for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprint([]byte(secret)), "another"} {
		if strings.Contains(log.String(), form) {
			t.Errorf("the PIN shows, in the form %.20s", form)
		}
	}
	for _, want := range []string{`pkcs11.Token("token")`, `pkcs11.Signer("token" a1b2)`, "pkcs11.Module(fake)", `pkcs11.Config("token")`,
		`pkcs11.Provisioner("token" "ring")`, `pkcs11.Wrapper("token" a1b2)`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s is not shown", want)
		}
	}
}

// Errors of the library during Open are returned, and nothing stays open.
func TestOpenFails(t *testing.T) {
	for _, test := range []struct {
		op   string
		code uint
		want signer.Kind
	}{
		{"C_GetSlotList", cryptoki.CKR_GENERAL_ERROR, signer.Unavailable},
		{"C_OpenSession", cryptoki.CKR_SESSION_COUNT, signer.Unavailable},
		{"C_OpenSession", cryptoki.CKR_DEVICE_ERROR, signer.Unavailable},
		{"C_GetSessionInfo", cryptoki.CKR_DEVICE_ERROR, signer.Unavailable},
		{"C_Login", cryptoki.CKR_PIN_LOCKED, signer.Refused},
		{"C_Login", cryptoki.CKR_USER_PIN_NOT_INITIALIZED, signer.Refused},
		{"C_Login", cryptoki.CKR_USER_ANOTHER_ALREADY_LOGGED_IN, signer.Refused},
		{"C_Login", cryptoki.CKR_FUNCTION_FAILED, signer.Unavailable},
	} {
		t.Run(fmt.Sprintf("%s 0x%x", test.op, test.code), func(t *testing.T) {
			fake, _ := pkcs11.NewFake()
			fake.Answer = func(op string, _, value []byte, err error) ([]byte, error) {
				if op == test.op {
					return nil, pkcs11.Returned(test.code)
				}
				return value, err
			}
			module := must(fake.Open(t.Context()))
			token, err := pkcs11.Open(t.Context(), pkcs11.Config{Module: module, Label: "token", PIN: withPIN(pin)})
			if token != nil {
				t.Error("Open returned a Token")
			}
			if e := fails(t, err, test.want, ""); e.Op != test.op {
				t.Errorf("the error names %s, want %s", e.Op, test.op)
			}
			if n := fake.Sessions(); test.op != "C_OpenSession" && n != 0 {
				t.Errorf("%d sessions are left open", n)
			}
		})
	}
}
