package signer_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"math/big"
	"sync"
	"testing"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/oidctokentest"
	"github.com/oidctoken/oidctoken/signer"
)

// The adapter of the example keeps the contract. T06 T07
func TestHouseSigner(t *testing.T) {
	s := must(newHouseSigner(t.Context(), newHouse(), 3, signer.NewGuard(signer.Limits{})))
	oidctokentest.TestSigner(t, func(*testing.T) oidctoken.Signer { return s })
}

// faultyHouse is the service with the faults of a test.
type faultyHouse struct {
	mu       sync.Mutex
	versions []*ecdsa.PrivateKey
	change   func(digest, rs []byte) []byte
	failure  error
	by       int
	hang     chan struct{}
	taken    chan struct{}
}

func (h *faultyHouse) rotate() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.versions = append(h.versions, ecKey(elliptic.P256()))
}

func (h *faultyHouse) set(change func()) func() {
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		change()
	}
}

func (h *faultyHouse) sign(_ context.Context, version int, digest []byte) ([]byte, int, error) {
	h.mu.Lock()
	hang := h.hang
	h.mu.Unlock()
	if hang != nil {
		h.taken <- struct{}{}
		<-hang // also after ctx has ended
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failure != nil {
		return nil, 0, h.failure
	}
	der, err := ecdsa.SignASN1(rand.Reader, h.versions[version-1], digest)
	if err != nil {
		return nil, 0, err
	}
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		return nil, 0, err
	}
	rs := append(sig.R.FillBytes(make([]byte, 32)), sig.S.FillBytes(make([]byte, 32))...)
	if h.change != nil {
		rs = h.change(digest, rs)
	}
	if h.by != 0 {
		version = h.by
	}
	return rs, version, nil
}

// The adapter of the example keeps it when the service does not, and so does
// the Guard: a client that does not know its ctx is left behind. T06 T07 X07
func TestHouseSignerFaults(t *testing.T) {
	oidctokentest.TestSignerFaults(t, func(t *testing.T) oidctokentest.SignerFaults {
		h := &faultyHouse{taken: make(chan struct{}, 64)}
		h.rotate()
		client := &houseService{sign: h.sign, spki: func(_ context.Context, version int) ([]byte, error) {
			return x509.MarshalPKIXPublicKey(h.versions[version-1].Public())
		}}
		return oidctokentest.SignerFaults{
			Signer:    must(newHouseSigner(t.Context(), client, 1, signer.NewGuard(signer.Limits{}))),
			Rotate:    h.rotate,
			Alter:     func(change func(digest, rs []byte) []byte) { h.set(func() { h.change = change })() },
			Garbage:   map[string]func(){"another version's": h.set(func() { h.by = 2 })},
			Temporary: map[string]func(){"down": h.set(func() { h.failure = errors.New("connection refused") })},
			Permanent: map[string]func(){"disabled": h.set(func() { h.failure = errHouseDisabled })},
			Hang: func() <-chan struct{} {
				h.set(func() { h.hang = make(chan struct{}) })()
				return h.taken
			},
			Heal: h.set(func() {
				if h.hang != nil {
					close(h.hang)
				}
				h.hang, h.change, h.by = nil, nil, 0
			}),
		}
	})
}
