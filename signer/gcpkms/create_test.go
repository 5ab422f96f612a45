package gcpkms_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/gcpkms"
)

// Create returns when the version is generated, and asks ever more seldom; a
// service that is away meanwhile is waited for.
func TestCreateWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStandin()
		s.pending = 6
		polls := 0
		s.fault = func(op string, w http.ResponseWriter, r *http.Request) bool {
			if op != "GetCryptoKeyVersion" {
				return false
			}
			if polls++; polls == 2 {
				w.Header().Set("Retry-After", "7")
				(&fault{code: 503, status: "UNAVAILABLE", message: "away"}).write(w)
				return true
			}
			return false
		}
		began := time.Now()
		v, err := newProvisioner(t, s).Create(t.Context(), "ES256")
		if err != nil {
			t.Fatal(err)
		}
		// 0.1 + 0.2 + 7 (Retry-After) + 0.8 + 1.6 + 3.2 + 5
		if took := time.Since(began); took != 17900*time.Millisecond || polls != 7 {
			t.Errorf("Create took %v and %d polls, want 17.9s and 7", took, polls)
		}
		if _, err := mint(t, oneKey(v), "ES256"); err != nil {
			t.Error(err)
		}
	})
}

// A version that was left half made is waited for instead of making another,
// by one Create alone.
//
// K03
func TestCreateAdopts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStandin()
		s.pending = 20
		p := newProvisioner(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := p.Create(ctx, "ES256")
		if !errors.Is(err, context.DeadlineExceeded) || failureOf(err).Kind != signer.Unavailable {
			t.Errorf("Create: %v, want an unavailable one with the deadline", err)
		}
		if got := must(p.Versions(t.Context())); len(got) != 0 {
			t.Errorf("Versions = %v, although none can sign", ids(got))
		}
		var wg sync.WaitGroup
		made := make([]keyring.Version, 3)
		for i := range made {
			wg.Go(func() {
				// The next attempt of this process and that of another replica use it.
				var err error
				if made[i], err = p.Create(t.Context(), "ES256"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		names := ids(made)
		slices.Sort(names)
		want := []string{"ES256 ci-es256/cryptoKeyVersions/1", "ES256 ci-es256/cryptoKeyVersions/2", "ES256 ci-es256/cryptoKeyVersions/3"}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("3 Creates returned (-want +got):\n%s", diff)
		}
	})
}

// A version that the service could not generate ends the wait, and no replica
// makes another within the hour.
//
// K03
func TestCreateFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStandin()
		s.pending, s.fails = 2, true
		p := newProvisioner(t, s)
		for _, tt := range []struct {
			p     *gcpkms.Provisioner
			after time.Duration
			made  int
			op    string
		}{
			{p, 0, 1, "GetCryptoKeyVersion"},
			{p, time.Minute, 1, "CreateCryptoKeyVersion"},
			{newProvisioner(t, s), 58 * time.Minute, 1, "CreateCryptoKeyVersion"},
			{p, time.Minute, 2, "GetCryptoKeyVersion"},
			{p, time.Minute, 2, "CreateCryptoKeyVersion"},
		} {
			time.Sleep(tt.after) // in a bubble
			_, err := tt.p.Create(t.Context(), "ES256")
			if diff := cmp.Diff(failed{tt.op, signer.Gone, "GENERATION_FAILED"}, failureOf(err)); diff != "" {
				t.Errorf("Create: %v (-want +got):\n%s", err, diff)
			}
			if n := s.count("CreateCryptoKeyVersion"); n != tt.made {
				t.Errorf("%d versions were made, want %d", n, tt.made)
			}
		}
		// Keys of another algorithm are not affected, and neither is a working one.
		s.set(func() { s.pending, s.fails = 0, false })
		if _, err := p.Create(t.Context(), "ES384"); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		if _, err := p.Create(t.Context(), "ES256"); err != nil {
			t.Error(err)
		}
	})
}

// A failed version without a time does not prevent another one.
func TestCreateFailedAtNoTime(t *testing.T) {
	s := newStandin()
	s.add("ci-es256", "EC_SIGN_P256_SHA256").state = "GENERATION_FAILED"
	s.tamper = func(op string, answer map[string]any) {
		page, _ := answer["cryptoKeyVersions"].([]any)
		for _, v := range page {
			v.(map[string]any)["createTime"] = access
		}
	}
	_, err := newProvisioner(t, s).Create(t.Context(), "ES256")
	if diff := cmp.Diff(failed{"ListCryptoKeyVersions", signer.Malformed, ""}, failureOf(err)); diff != "" || strings.Contains(err.Error(), access) {
		t.Errorf("Create: %v (-want +got):\n%s", err, diff)
	}
	if n := s.count("CreateCryptoKeyVersion"); n != 0 {
		t.Errorf("%d versions were made, want none", n)
	}
}

// Two replicas that make the same key at once agree on one.
func TestCreateKeyRace(t *testing.T) {
	s := newStandin()
	once := false
	s.fault = func(op string, w http.ResponseWriter, r *http.Request) bool {
		if op == "GetCryptoKey" && !once { // and then the other one makes it
			once = true
			s.add("ci-es256", "EC_SIGN_P256_SHA256")
			notFound("the key").write(w)
			return true
		}
		return false
	}
	v, err := newProvisioner(t, s).Create(t.Context(), "ES256")
	if err != nil || !strings.HasSuffix(v.ID, "ci-es256/cryptoKeyVersions/2") || s.count("CreateCryptoKey") != 1 {
		t.Errorf("Create = %s, %v, after %d keys were asked for", v.ID, err, s.count("CreateCryptoKey"))
	}
}

// If the version template changes while a version is made, a version of another
// algorithm is refused.
func TestCreateOtherAlgorithm(t *testing.T) {
	s := newStandin()
	k := s.add("ci-es256", "EC_SIGN_P256_SHA256").key
	s.fault = func(op string, w http.ResponseWriter, r *http.Request) bool {
		if op == "CreateCryptoKeyVersion" {
			s.set(func() { k.algorithm = "EC_SIGN_P384_SHA384" })
		}
		return false
	}
	got, err := newProvisioner(t, s).Create(t.Context(), "ES256")
	if diff := cmp.Diff(failed{"CreateCryptoKeyVersion", signer.Malformed, ""}, failureOf(err)); diff != "" || got.Signer != nil {
		t.Errorf("Create = %v, %v (-want +got):\n%s", got, err, diff)
	}
}
