package signer_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/signer"
)

// houseService is the client of a host's own key management service. It signs
// with the given version of a key, and answers r || s.
type houseService struct {
	sign func(ctx context.Context, version int, digest []byte) (rs []byte, by int, err error)
	spki func(ctx context.Context, version int) ([]byte, error)
}

// houseSigner is a Signer for one version of a key there.
type houseSigner struct {
	service *houseService
	guard   *signer.Guard
	version int
	public  crypto.PublicKey
}

func newHouseSigner(ctx context.Context, service *houseService, version int, guard *signer.Guard) (*houseSigner, error) {
	s := &houseSigner{service: service, guard: guard, version: version}
	var spki []byte
	err := guard.Do(ctx, "house", "GetPublicKey", func(ctx context.Context) (err error) {
		spki, err = service.spki(ctx, version)
		return houseError("GetPublicKey", err)
	})
	if err != nil {
		return nil, err
	}
	if s.public, err = signer.PublicKey(spki); err != nil {
		return nil, &signer.Error{Service: "house", Op: "GetPublicKey", Kind: signer.Malformed, Err: err}
	}
	return s, nil
}

// Public answers from memory.
func (s *houseSigner) Public() crypto.PublicKey { return s.public }

// Sign requests the version that belongs to Public, and no other.
func (s *houseSigner) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if _, err := signer.Algorithm(s.public, digest, opts); err != nil {
		return nil, err
	}
	digest = bytes.Clone(digest) // a call that the Guard has left behind may still read it
	var der []byte
	err := s.guard.Do(ctx, "house", "Sign", func(ctx context.Context) error {
		rs, by, err := s.service.sign(ctx, s.version, digest)
		if err != nil {
			return houseError("Sign", err)
		}
		if by != s.version {
			err = fmt.Errorf("version %d signed, not %d", by, s.version)
		} else {
			der, err = signer.DER(rs)
		}
		if err != nil {
			return &signer.Error{Service: "house", Op: "Sign", Kind: signer.Malformed, Err: err}
		}
		return nil
	})
	if err != nil {
		return nil, err // and not der, which the call may still set
	}
	return der, nil
}

var errHouseDisabled = errors.New("the version is disabled")

// houseError gives the service's errors their kinds.
func houseError(op string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errHouseDisabled):
		return &signer.Error{Service: "house", Op: op, Kind: signer.Gone, Err: err}
	}
	return &signer.Error{Service: "house", Op: op, Kind: signer.Unavailable, Err: err}
}

// newHouse returns such a service in memory.
func newHouse() *houseService {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	return &houseService{
		sign: func(_ context.Context, version int, digest []byte) ([]byte, int, error) {
			r, s, err := ecdsa.Sign(rand.Reader, key, digest)
			if err != nil {
				return nil, 0, err
			}
			return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), version, nil
		},
		spki: func(context.Context, int) ([]byte, error) { return x509.MarshalPKIXPublicKey(key.Public()) },
	}
}

// A Signer for a host's own service.
func Example() {
	ctx := context.Background()
	guard := signer.NewGuard(signer.Limits{Rate: 100})
	s, err := newHouseSigner(ctx, newHouse(), 3, guard)
	if err != nil {
		fmt.Println(err)
		return
	}
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
		URL:  "https://ci.example.com",
		Keys: oidctoken.StaticKeys{{Signer: s}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := issuer.Mint(ctx, oidctoken.Scope{
		Audience: "https://vault.example.com",
		Profile:  &oidctoken.Profile{Algorithms: []string{"ES256"}},
		Account:  oidctoken.Entity{ID: "acme"},
	})
	fmt.Println(token != nil, err)
	// Output: true <nil>
}

// The service allows 1000 operations per second. This host may use a tenth of
// them, and gives up a call after 2 seconds.
func ExampleNewGuard() {
	guard := signer.NewGuard(signer.Limits{Rate: 100, Timeout: 2 * time.Second})
	err := guard.Do(context.Background(), "house", "Sign", func(ctx context.Context) error {
		deadline, ok := ctx.Deadline()
		fmt.Println(ok, time.Until(deadline) <= 2*time.Second)
		return nil
	})
	fmt.Println(err)
	// Output:
	// true true
	// <nil>
}

// After 5 failures in a row, one call a second reaches the service. The other
// calls fail at once.
func ExampleGuard_Do() {
	guard := signer.NewGuard(signer.Limits{})
	for range 6 {
		err := guard.Do(context.Background(), "house", "Sign", func(context.Context) error {
			return &signer.Error{Service: "house", Op: "Sign", Kind: signer.Unavailable, Code: "503"}
		})
		fmt.Println(err)
	}
	// Output:
	// house: Sign: unavailable: 503
	// house: Sign: unavailable: 503
	// house: Sign: unavailable: 503
	// house: Sign: unavailable: 503
	// house: Sign: unavailable: 503
	// house: Sign: unavailable: not called: it failed before, and is tried again in 1s
}

func ExampleError() {
	guard := signer.NewGuard(signer.Limits{})
	service := newHouse()
	s := must(newHouseSigner(context.Background(), service, 3, guard))
	service.sign = func(context.Context, int, []byte) ([]byte, int, error) { return nil, 0, errHouseDisabled }
	issuer := must(oidctoken.NewIssuer(oidctoken.Config{
		URL:  "https://ci.example.com",
		Keys: oidctoken.StaticKeys{{Signer: s, ID: "2026-10"}},
	}))
	_, err := issuer.Mint(context.Background(), oidctoken.Scope{
		Audience: "https://vault.example.com",
		Profile:  &oidctoken.Profile{Algorithms: []string{"ES256"}},
		Account:  oidctoken.Entity{ID: "acme"},
	})
	var failure *signer.Error
	if errors.Is(err, oidctoken.ErrSignerUnavailable) && errors.As(err, &failure) {
		fmt.Println(failure.Kind, failure.Temporary())
	}
	fmt.Println(err)
	// Output:
	// gone false
	// oidctoken: mint: key 2026-10: signer unavailable: house: Sign: gone: the version is disabled
}

func ExampleAlgorithm() {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	digest := sha256.Sum256([]byte("a JWS signing input"))
	fmt.Println(signer.Algorithm(key.Public(), digest[:], crypto.SHA256))
	_, err := signer.Algorithm(key.Public(), digest[:], crypto.SHA384)
	fmt.Println(err)
	// Output:
	// ES256 <nil>
	// signer: algorithm: the P-256 key does not go with SHA-384
}

func ExampleDER() {
	rs := make([]byte, 64) // as a service answers it
	rs[31], rs[32] = 0x7f, 0x80
	der, err := signer.DER(rs)
	fmt.Println(hex.EncodeToString(der[:8]), err)
	_, err = signer.DER(rs[:63])
	fmt.Println(err)
	// Output:
	// 302602017f022100 <nil>
	// signer: r || s has 63 bytes, not 64, 96 or 132
}

func ExamplePublicKey() {
	key, err := signer.PublicKey([]byte(`-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----`))
	fmt.Printf("%T %v\n", key, err)
	// Output: ed25519.PublicKey <nil>
}

// One quota, two keys: if the service refuses one key, calls for the other
// still pass.
func ExampleGuard_ForKey() {
	quota := signer.NewGuard(signer.Limits{Rate: 100})
	first, second := quota.ForKey(), quota.ForKey()
	sign := func(guard *signer.Guard, err error) error {
		return guard.Do(context.Background(), "house", "Sign", func(context.Context) error { return err })
	}
	denied := &signer.Error{Service: "house", Op: "Sign", Kind: signer.Refused, Code: "AccessDenied"}
	for range 3 {
		fmt.Println(sign(first, denied))
	}
	fmt.Println(sign(first, nil)) // not called for a second
	fmt.Println(sign(second, nil))
	// Output:
	// house: Sign: refused: AccessDenied
	// house: Sign: refused: AccessDenied
	// house: Sign: refused: AccessDenied
	// house: Sign: refused: AccessDenied
	// <nil>
}
