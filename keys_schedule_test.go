package oidctoken_test

import (
	"context"
	"crypto"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
)

// kidAt returns the kid of a token that an issuer with keys mints at now, or "" if no key
// may sign.
func kidAt(t *testing.T, keys []oidctoken.Key, now time.Time, algorithms ...string) string {
	t.Helper()
	token, err := mintAt(t, keys, now, algorithms...)
	if errors.Is(err, oidctoken.ErrNoKey) && token == nil {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return token.KeyID()
}

func mintAt(t *testing.T, keys []oidctoken.Key, now time.Time, algorithms ...string) (*oidctoken.Token, error) {
	t.Helper()
	issuer := newIssuer(t, oidctoken.Config{Keys: oidctoken.StaticKeys(keys), Now: clockAt(now)})
	s := minimal()
	s.Profile = &oidctoken.Profile{Algorithms: algorithms}
	return issuer.Mint(t.Context(), s)
}

// ring returns two Ed25519 keys, an ES256 key and an RS256 key. The second Ed25519 key takes
// over from the first at noon. The other two have no limits.
func ring() []oidctoken.Key {
	return []oidctoken.Key{
		{ID: "old", Signer: memory(edKey()), NotBefore: noon.Add(-24 * time.Hour), NotAfter: noon.Add(time.Hour), Expires: noon.Add(2 * time.Hour)},
		{ID: "new", Signer: memory(otherEd()), NotBefore: noon, NotAfter: noon.Add(24 * time.Hour)},
		{ID: "ec", Signer: memory(p256Key())},
		{ID: "rsa", Signer: memory(rsaKey())},
	}
}

func TestSchedule(t *testing.T) {
	end := noon.Add(24 * time.Hour)
	for _, tt := range []struct {
		name       string
		now        time.Time
		algorithms []string
		want       string
	}{
		{"before the first key", noon.Add(-24*time.Hour - 1), []string{"EdDSA"}, ""},
		{"when the first begins", noon.Add(-24 * time.Hour), []string{"EdDSA"}, "old"},
		{"just before the second", noon.Add(-1), []string{"EdDSA"}, "old"},
		{"when the second begins", noon, []string{"EdDSA"}, "new"},
		{"while both may sign", noon.Add(time.Minute), []string{"EdDSA"}, "new"},
		{"just before the end", end.Add(-1), []string{"EdDSA"}, "new"},
		{"at the end", end, []string{"EdDSA"}, ""},
		{"the default algorithm", noon, nil, "rsa"},
		{"the profile's order", noon, []string{"ES256", "RS256", "EdDSA"}, "ec"},
		{"another order", noon, []string{"RS256", "ES256"}, "rsa"},
		{"an algorithm without a key first", noon, []string{"ES512", "EdDSA", "RS256"}, "new"},
		{"an algorithm whose keys are over first", end, []string{"EdDSA", "ES256"}, "ec"},
		{"an algorithm without a key", noon, []string{"RS512", "ES384"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := kidAt(t, ring(), tt.now, tt.algorithms...); got != tt.want {
				t.Errorf("kid %q, want %q", got, tt.want)
			}
		})
	}
}

// A key that was removed from the JWK Set does not sign, even if it has no NotAfter.
func TestExpiredKeyDoesNotSign(t *testing.T) {
	keys := []oidctoken.Key{{ID: "k", Signer: memory(edKey()), Expires: noon}}
	if got := kidAt(t, keys, noon.Add(-2*time.Second), "EdDSA"); got != "k" {
		t.Errorf("kid %q before its end", got)
	}
	if got := kidAt(t, keys, noon, "EdDSA"); got != "" {
		t.Errorf("kid %q at its end", got)
	}
	// It does not prevent another key from signing.
	keys = append(keys, oidctoken.Key{ID: "older", Signer: memory(otherEd())})
	keys[0].NotBefore = noon.Add(-time.Hour)
	if got := kidAt(t, keys, noon, "EdDSA"); got != "older" {
		t.Errorf("kid %q beside an older key, want older", got)
	}
}

// Which key signs depends only on the keys and the time, so replicas that list the keys in
// different orders agree.
func TestReplicasAgree(t *testing.T) {
	var keys []oidctoken.Key
	for i := range 10 {
		// Some keys begin at the same time.
		keys = append(keys, oidctoken.Key{Signer: memory(newEd25519()), NotBefore: noon.Add(time.Duration(i/3) * time.Hour)})
	}
	want := map[time.Time]string{}
	for range 20 {
		replica := slices.Clone(keys)
		rand.Shuffle(len(replica), func(i, j int) { replica[i], replica[j] = replica[j], replica[i] })
		for hour := range 6 {
			now := noon.Add(time.Duration(hour) * time.Hour)
			got := kidAt(t, replica, now, "EdDSA")
			if want[now] == "" {
				want[now] = got
			}
			if got == "" || got != want[now] {
				t.Fatalf("at %v, one replica signs with %q, another with %q", now, want[now], got)
			}
		}
	}
}

// T13: no token outlives its key.
func TestExpiryIsClipped(t *testing.T) {
	for _, tt := range []struct {
		name    string
		expires time.Time
		want    time.Duration
	}{
		{"no end", time.Time{}, 15*time.Minute - backdate},
		{"later", noon.Add(time.Hour), 15*time.Minute - backdate},
		{"at the same time", noon.Add(15*time.Minute - backdate), 15*time.Minute - backdate},
		{"a second sooner", noon.Add(15*time.Minute - backdate - time.Second), 15*time.Minute - backdate - time.Second},
		{"sooner", noon.Add(5 * time.Minute), 5 * time.Minute},
		{"sooner, within a second", noon.Add(5*time.Minute + 999*time.Millisecond), 5 * time.Minute},
		{"in a second", noon.Add(time.Second), time.Second},
	} {
		keys := []oidctoken.Key{{Signer: memory(edKey()), Expires: tt.expires}}
		token, err := mintAt(t, keys, noon, "EdDSA")
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got := token.Expires().Sub(noon); got != tt.want {
			t.Errorf("%s: the token lives %v, want %v", tt.name, got, tt.want)
		}
		if exp := payloadOf(t, token)["exp"]; must(exp.(interface{ Int64() (int64, error) }).Int64()) != token.Expires().Unix() {
			t.Errorf("%s: exp is %v, but Expires is %v", tt.name, exp, token.Expires())
		}
	}
}

// T14
func TestNoExpiredToken(t *testing.T) {
	keys := []oidctoken.Key{{Signer: memory(edKey()), Expires: noon.Add(999 * time.Millisecond)}}
	if token, err := mintAt(t, keys, noon, "EdDSA"); token != nil || !errors.Is(err, oidctoken.ErrNoKey) {
		t.Errorf("Mint in the key's last second: %v, %v; want ErrNoKey", token, err)
	}
}

// T14: the token of a slow signer may have expired when it is signed.
func TestSlowSigner(t *testing.T) {
	for _, tt := range []struct {
		took time.Duration
		want error
	}{{0, nil}, {54 * time.Second, nil}, {55 * time.Second, oidctoken.ErrSignerUnavailable}, {time.Hour, oidctoken.ErrSignerUnavailable}} {
		synctest.Test(t, func(t *testing.T) {
			key := edKey()
			slow := signerFunc{key.Public(), func(_ context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
				time.Sleep(tt.took) // of the bubble's clock
				return key.Sign(nil, d, o)
			}}
			var told []time.Duration
			issuer, err := oidctoken.NewIssuer(oidctoken.Config{
				URL: issuerURL, Keys: oidctoken.StaticKeys{{Signer: slow}},
				Profile: oidctoken.Profile{Algorithms: []string{"EdDSA"}, Lifetime: time.Minute},
				Audit:   func(_ context.Context, e oidctoken.Event) { told = append(told, e.Took) },
			})
			if err != nil {
				t.Fatal(err)
			}
			token, err := issuer.Mint(t.Context(), minimal())
			if !errors.Is(err, tt.want) || (token == nil) != (tt.want != nil) {
				t.Errorf("after %v: %v, %v; want %v", tt.took, token, err, tt.want)
			}
			if diff := cmp.Diff([]time.Duration{tt.took}, told); diff != "" {
				t.Errorf("how long it took, as Audit is told (-want +got):\n%s", diff)
			}
		})
	}
}

// An issuer without Config.Now uses the clock of the system.
func TestSystemClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer, err := oidctoken.NewIssuer(oidctoken.Config{
			URL: issuerURL, Keys: oidctoken.StaticKeys{{Signer: memory(edKey())}},
			Profile: oidctoken.Profile{Algorithms: []string{"EdDSA"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if got, want := mint(t, issuer, minimal()).Expires(), time.Now().Add(15*time.Minute-backdate); !got.Equal(want) {
			t.Errorf("Expires = %v, want %v", got, want)
		}
	})
}

// An issuer uses the new keys when its source returns another slice.
func TestSourceChanges(t *testing.T) {
	first := []oidctoken.Key{{ID: "first", Signer: memory(edKey())}}
	second := []oidctoken.Key{{ID: "second", Signer: memory(otherEd())}}
	var current []oidctoken.Key
	var failure error
	issuer := newIssuer(t, oidctoken.Config{
		Keys: keysFunc(func(context.Context) ([]oidctoken.Key, error) {
			if current == nil {
				return first, failure
			}
			return current, failure
		}),
		Profile: oidctoken.Profile{Algorithms: []string{"EdDSA"}},
	})
	prepared, err := issuer.Prepare(t.Context(), minimal())
	if err != nil {
		t.Fatal(err)
	}
	for _, keys := range [][]oidctoken.Key{first, second, first} {
		current = keys
		if got := mint(t, issuer, minimal()).KeyID(); got != keys[0].ID {
			t.Errorf("Mint signs with %q, want %q", got, keys[0].ID)
		}
		if got := must(prepared.Mint(t.Context())).KeyID(); got != keys[0].ID {
			t.Errorf("Prepared.Mint signs with %q, want %q", got, keys[0].ID)
		}
		set := object(t, must(issuer.JWKSet(t.Context())))
		if got := set["keys"].([]any)[0].(map[string]any)["kid"]; got != keys[0].ID {
			t.Errorf("the JWK Set has %v, want %q", got, keys[0].ID)
		}
	}
	// Later answers of a source are checked, too.
	for name, bad := range map[string][]oidctoken.Key{"no key": {}, "no signer": {{}}, "a kid twice": {first[0], first[0]}} {
		current = bad
		if token, err := issuer.Mint(t.Context(), minimal()); token != nil || !errors.Is(err, oidctoken.ErrNoKey) {
			t.Errorf("%s: %v, %v; want ErrNoKey", name, token, err)
		}
	}
	current, failure = first, errors.New("the ring is away")
	_, err = issuer.Mint(t.Context(), minimal())
	if !errors.Is(err, oidctoken.ErrNoKey) || !errors.Is(err, failure) {
		t.Errorf("Mint: %v, want ErrNoKey and the source's error", err)
	}
	if err != nil && strings.Count(err.Error(), "oidctoken:") != 1 {
		t.Errorf("error %q does not name the package exactly once", err)
	}
}
