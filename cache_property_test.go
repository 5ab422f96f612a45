package oidctoken_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken"
)

// act is one step of a test of a cache.
type act struct {
	Name    string
	Account int
	Pass    time.Duration
}

func drawAct(t *rapid.T) act {
	units := []time.Duration{100 * time.Millisecond, time.Second, 5 * time.Second, 15 * time.Second, 45 * time.Second}
	return act{
		Name: rapid.SampledFrom([]string{
			"mint", "mint", "mint", "mint", "mint", "mint", "pass", "pass", "pass", "pass", "down", "up", "revoke",
		}).Draw(t, "act"),
		Account: rapid.IntRange(0, 1).Draw(t, "account"),
		Pass:    time.Duration(rapid.IntRange(1, 20).Draw(t, "pass")) * rapid.SampledFrom(units).Draw(t, "unit"),
	}
}

// model is a simple model of a cache of two accounts.
type model struct {
	down     bool
	kid      int
	accounts [2]struct {
		token  *oidctoken.Token
		issued time.Time
		kid    int
		failed time.Time // the last try; zero if it succeeded
	}
}

// mint returns the expected result of a call (the same token, a new one, or an error),
// and the minimum and maximum number of signatures that the cache tries meanwhile.
func (m *model) mint(i int, now time.Time) (want string, least, most int) {
	const life, margin = 15*time.Minute - backdate, time.Minute
	a := &m.accounts[i]
	age := now.Truncate(time.Second).Sub(a.issued)
	good := a.token != nil && a.kid == m.kid && age < life-margin
	pause := time.Second
	if good {
		pause = 10 * time.Second
	}
	again := a.failed.IsZero() || !now.Before(a.failed.Add(pause))
	switch {
	case good && age < life*2/5:
		return "same", 0, 0
	case good && age < life/2:
		if !again {
			return "same", 0, 0
		}
		return "same", 0, 1 // the token's jti decides when
	case good && (!again || m.down):
		want = "same"
	case !again || m.down:
		want = "error"
	default:
		return "new", 1, 1
	}
	if again {
		return want, 1, 1
	}
	return want, 0, 0
}

// X16, X17: a cache behaves like the model while time passes, the signer fails and keys are
// revoked.
func TestTokenCacheIsItsModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		acts := rapid.SliceOfN(rapid.Custom(drawAct), 200, 400).Draw(rt, "acts")
		var mistake string
		synctest.Test(t, func(t *testing.T) { mistake = play(t, acts) })
		if mistake != "" {
			rt.Error(mistake)
		}
	})
}

// play returns the first difference between a cache and the model, or "".
func play(t *testing.T, acts []act) (mistake string) {
	var m model
	signer, down := newCounting(edKey()), errors.New("down")
	signer.before = func(context.Context, int) error {
		if m.down {
			return down
		}
		return nil
	}
	keys := &source{}
	set := func() { keys.set(nil, oidctoken.Key{Signer: signer, ID: fmt.Sprintf("key_%d", m.kid)}) }
	set()
	var minted *oidctoken.Event
	issuer := newIssuer(t, oidctoken.Config{
		Keys: keys, Now: time.Now, Profile: oidctoken.Profile{Algorithms: []string{"EdDSA"}},
		Audit: func(_ context.Context, e oidctoken.Event) { minted = &e },
	})
	cache := newCache(t, issuer, oidctoken.CacheConfig{})
	for n, act := range acts {
		switch act.Name {
		case "pass":
			time.Sleep(act.Pass)
		case "down", "up":
			m.down = act.Name == "down"
		case "revoke":
			m.kid++
			set()
		case "mint":
			a := &m.accounts[act.Account]
			want, least, most := m.mint(act.Account, time.Now())
			before := signer.signatures()
			minted = nil
			token, err := cache.Mint(t.Context(), inAccount(fmt.Sprintf("account_%d", act.Account)))
			synctest.Wait() // wait for a renewal to end
			got, tried := "new", signer.signatures()-before
			switch {
			case errors.Is(err, down):
				got = "error"
			case err != nil:
				got = err.Error()
			case a.token != nil && a.token.JWT() == token.JWT():
				got = "same"
			}
			if got != want || tried < least || tried > most || (minted != nil) != (tried == 1) {
				return fmt.Sprintf("act %d: Mint gives %s with %d signatures, want %s with %d to %d", n, got, tried, want, least, most)
			}
			if tried == 0 {
				continue
			}
			a.failed = time.Time{}
			if minted.Err != nil {
				a.failed = time.Now()
				continue
			}
			a.issued, a.kid = time.Now().Truncate(time.Second), m.kid
			if got == "same" { // the next call gets the renewed token
				token = cached(t, cache, inAccount(fmt.Sprintf("account_%d", act.Account)))
			}
			a.token = token
			if a.token.ID() != minted.ID {
				return fmt.Sprintf("act %d: the token is %v, Audit was told of %s", n, a.token, minted.ID)
			}
		}
	}
	return ""
}
