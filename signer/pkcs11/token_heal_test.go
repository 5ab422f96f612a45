package pkcs11_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cryptoki "github.com/miekg/pkcs11"

	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/pkcs11"
)

// A lost session is opened again, and the call is made once more. A second loss
// is reported. A refused call is not repeated.
func TestHeals(t *testing.T) {
	for _, test := range []struct {
		code  uint
		name  string
		heals bool
		kind  signer.Kind
	}{
		{cryptoki.CKR_OBJECT_HANDLE_INVALID, "CKR_OBJECT_HANDLE_INVALID", true, signer.Unavailable},
		{cryptoki.CKR_KEY_HANDLE_INVALID, "CKR_KEY_HANDLE_INVALID", true, signer.Unavailable},
		{cryptoki.CKR_SESSION_HANDLE_INVALID, "CKR_SESSION_HANDLE_INVALID", true, signer.Unavailable},
		{cryptoki.CKR_SESSION_CLOSED, "CKR_SESSION_CLOSED", true, signer.Unavailable},
		{cryptoki.CKR_USER_NOT_LOGGED_IN, "CKR_USER_NOT_LOGGED_IN", true, signer.Unavailable},
		{cryptoki.CKR_TOKEN_NOT_PRESENT, "CKR_TOKEN_NOT_PRESENT", true, signer.Unavailable},
		{cryptoki.CKR_TOKEN_NOT_RECOGNIZED, "CKR_TOKEN_NOT_RECOGNIZED", true, signer.Unavailable},
		{cryptoki.CKR_DEVICE_ERROR, "CKR_DEVICE_ERROR", true, signer.Unavailable},
		{cryptoki.CKR_DEVICE_REMOVED, "CKR_DEVICE_REMOVED", true, signer.Unavailable},
		{cryptoki.CKR_DEVICE_MEMORY, "CKR_DEVICE_MEMORY", true, signer.Unavailable},
		{cryptoki.CKR_CRYPTOKI_NOT_INITIALIZED, "CKR_CRYPTOKI_NOT_INITIALIZED", true, signer.Unavailable},
		{cryptoki.CKR_OPERATION_ACTIVE, "CKR_OPERATION_ACTIVE", true, signer.Unavailable},
		{cryptoki.CKR_GENERAL_ERROR, "CKR_GENERAL_ERROR", true, signer.Unavailable},
		{cryptoki.CKR_VENDOR_DEFINED + 1, "0x80000001", true, signer.Unavailable},
		{cryptoki.CKR_SESSION_COUNT, "CKR_SESSION_COUNT", false, signer.Unavailable},
		{cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED, "CKR_KEY_FUNCTION_NOT_PERMITTED", true, signer.Refused},
		{cryptoki.CKR_KEY_TYPE_INCONSISTENT, "CKR_KEY_TYPE_INCONSISTENT", true, signer.Refused},
		{cryptoki.CKR_MECHANISM_INVALID, "CKR_MECHANISM_INVALID", false, signer.Refused},
		{cryptoki.CKR_DATA_LEN_RANGE, "CKR_DATA_LEN_RANGE", false, signer.Refused},
		{cryptoki.CKR_PIN_EXPIRED, "CKR_PIN_EXPIRED", false, signer.Refused},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t, p256())
			failures := 1
			f.Do(func() {
				f.Answer = func(op string, _, value []byte, err error) ([]byte, error) {
					if op == "C_Sign" && failures > 0 {
						failures--
						return nil, pkcs11.Returned(test.code)
					}
					return value, err
				}
			})
			err := f.sign(t.Context())
			switch {
			case test.heals && (err != nil || f.Signs != 2):
				t.Errorf("after one failure and %d calls: %v", f.Signs, err)
			case !test.heals:
				fails(t, err, test.kind, test.name)
				if f.Signs != 1 {
					t.Errorf("C_Sign was called %d times, want once", f.Signs)
				}
			}
			f.Do(func() { f.Signs, failures = 0, 2 })
			fails(t, f.sign(t.Context()), test.kind, test.name)
			if test.heals && f.Signs != 2 {
				t.Errorf("C_Sign was called %d times, want twice", f.Signs)
			}
			f.Do(func() { failures = 0 })
			f.signs()
		})
	}
}

// Another part of the process may close sessions or log out. The package
// recovers, and foreign use of the handles has no effect.
func TestHealsWhatOthersDo(t *testing.T) {
	key := p256()
	f := newFixture(t, key)
	// Another part of the process may restart the library, against the
	// documentation. This may cost one call, because handles begin anew, and no
	// more.
	restart := func() {
		if err := f.Restart(); err != nil {
			t.Error(err)
		}
	}
	for _, test := range []struct {
		name    string
		harm    func()
		allowed bool // an error
	}{
		{"sessions closed", f.CloseSessions, false},
		{"logged out", f.on.Logout, false},
		{"restarted", restart, true},
		{"handles of others", func() {
			restart()
			removed := f.on.Remove(0)
			f.on.AddKey("other", p256())
			f.on.Return(removed)
			f.Occupy("other", 4)
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			for range 3 {
				test.harm()
				var wg sync.WaitGroup
				for range 8 {
					wg.Go(func() {
						err := f.sign(t.Context())
						if err != nil && test.allowed {
							fails(t, err, signer.Unavailable, "")
						} else if err != nil {
							t.Errorf("Sign: %v", err)
						}
					})
				}
				wg.Wait()
			}
			f.signs()
		})
	}
}

// While a token is missing, every call fails before its deadline. When it is
// back, the calls succeed, although the guard then lets one call per second
// through.
func TestTokenAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, p256())
		f.signs()
		signers := []*pkcs11.Signer{f.signer}
		for range 9 { // with a guard each
			signers = append(signers, must(pkcs11.New(t.Context(), f.token, id, nil)))
		}
		f.Do(func() { f.on.Away = true })
		for range 100 {
			for _, s := range signers {
				one := fixture{t: t, signer: s}
				fails(t, one.sign(t.Context()), signer.Unavailable, "")
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := f.Initialized - 1; n < 1 || n > 2*10 {
			t.Errorf("the library was restarted %d times in 10 seconds, want 20 at most", n)
		}
		f.Do(func() { f.on.Away = false })
		time.Sleep(time.Second)
		f.signs()
	})
}

// A hanging call keeps its session, and delays no other caller. X07
func TestHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, p256(), func(c *pkcs11.Config) { c.Sessions = 2 })
		f.signs()
		release := make(chan struct{})
		var hanging int
		f.Do(func() {
			f.Wait = func(op string) {
				var hangs bool
				f.Do(func() {
					hangs = op == "C_Sign" && hanging > 0
					hanging--
				})
				if hangs {
					<-release
				}
			}
		})
		// leave calls Sign, which is left after a second.
		leave := func() {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			err := f.sign(ctx)
			if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != time.Second {
				t.Errorf("Sign returned %v after %v, want the deadline's error after 1s", err, took)
			}
			fails(t, err, signer.Unavailable, "")
		}
		f.Do(func() { hanging = 1 })
		leave()
		for range 20 { // the other session works
			f.signs()
		}
		f.Do(func() { hanging = 1 })
		leave()
		before := f.Signs
		leave() // there is no session for it
		if f.Signs != before {
			t.Error("a session was used although its call had not returned")
		}
		// A deadline for a caller without one.
		began := time.Now()
		fails(t, f.sign(t.Context()), signer.Unavailable, "")
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("Sign returned after %v, want 5s", took)
		}
		close(release)
		synctest.Wait()
		for range 4 {
			f.signs()
		}
	})
}

// A session that turns out to be lost after its caller has left is closed, too.
func TestLostLate(t *testing.T) {
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
		before := f.Sessions()
		f.on.Logout()
		close(release)
		synctest.Wait()
		if n := f.Sessions(); n != before-1 {
			t.Errorf("%d sessions are open, want %d", n, before-1)
		}
		f.signs()
	})
}

// Signers on several sessions get signatures of their own keys while sessions
// are closed and the user is logged out all the time, and the library once is
// finalized.
func TestConcurrency(t *testing.T) {
	f := newFixture(t, p256())
	var signers []*pkcs11.Signer
	for i := range 4 {
		id := fmt.Sprintf("%02x", i)
		f.on.AddKey(bytesOf(id), p256())
		signers = append(signers, must(pkcs11.New(t.Context(), f.token, id, nil)))
	}
	var mu sync.Mutex
	signed, failed := 0, 0
	var wg sync.WaitGroup
	for i, s := range signers {
		wg.Go(func() {
			for n := range 100 {
				switch {
				case n == 50 && i == 0:
					f.Finalize()
				case n%10 != i:
				case n%20 == i:
					f.CloseSessions()
				default:
					f.on.Logout()
				}
				one := fixture{t: t, signer: s}
				err := one.sign(t.Context())
				mu.Lock()
				if err == nil {
					signed++
				} else {
					failed++
				}
				mu.Unlock()
				var e *signer.Error
				if err != nil && (!errors.As(err, &e) || e.Kind != signer.Unavailable) {
					t.Errorf("Sign: %v, want an error of kind Unavailable", err)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d signatures and %d errors", signed, failed)
	if failed > signed {
		t.Error("it heals but seldom")
	}
	for _, s := range signers {
		one := fixture{t: t, signer: s}
		synced(t, func() error { return one.sign(t.Context()) })
	}
}

// synced calls f until it succeeds, since a guard may have closed before.
func synced(t *testing.T, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			t.Fatalf("it does not heal: %v", err)
		}
	}
}
