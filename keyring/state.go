package keyring

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/oidctoken/oidctoken/internal/jose"
)

const (
	stateVersion = 1
	maxPublished = 10 // keys; some relying parties read no more
	maxRecords   = 64 // with those that were revoked
)

// state is the document that the replicas of a ring share. Its JSON form is
// stored: members in this order, no white space, times in seconds since 1970,
// durations in seconds. A shared state is immutable: a transition changes a
// clone.
type state struct {
	Version    int    `json:"version"`
	Ring       string `json:"ring"` // random, so that one ring's document is not taken for another's
	Name       string `json:"name,omitempty"`
	Generation uint64 `json:"generation"` // of the document: 1, and one more with each transition
	// The greatest values with which any replica has ever run: they decide how
	// long a key stays published after it signed last.
	MaxAge      int64 `json:"max_age"`
	MaxLifetime int64 `json:"max_lifetime"`
	Skew        int64 `json:"skew"`

	DataKey      []byte        `json:"data_key,omitempty"` // wrapped
	Keys         []record      `json:"keys"`               // in the order in which they were made
	Reservations []reservation `json:"reservations,omitempty"`
	Tag          []byte        `json:"tag"` // last: of the document without it
}

// record is a key. Its times tell its condition: made but not published
// (Published is 0), published, active, retired, or revoked.
type record struct {
	ID        string `json:"kid"`
	Algorithm string `json:"alg"`
	Public    []byte `json:"public"`            // SubjectPublicKeyInfo in DER, in clear
	Private   []byte `json:"private,omitempty"` // PKCS #8, encrypted with the data key
	Version   string `json:"version,omitempty"` // the Provisioner's

	Created   int64 `json:"created"`
	Published int64 `json:"published,omitempty"` // when it was first seen published
	Activate  int64 `json:"activate,omitempty"`  // when it begins to sign
	Retire    int64 `json:"retire,omitempty"`    // when it ends to
	Revoked   int64 `json:"revoked,omitempty"`
}

// reservation is the right of one replica to have a version created.
type reservation struct {
	Algorithm string `json:"alg"`
	Holder    string `json:"holder"`
	Since     int64  `json:"since"`
}

func (s *state) clone() *state {
	c := *s
	c.Keys = slices.Clone(s.Keys)
	c.Reservations = slices.Clone(s.Reservations)
	return &c
}

// find returns the key with that kid, or nil.
func (s *state) find(kid string) *record {
	for i := range s.Keys {
		if s.Keys[i].ID == kid {
			return &s.Keys[i]
		}
	}
	return nil
}

// retention returns how long a key stays published after it signed last.
func (s *state) retention() int64 { return s.MaxLifetime + s.Skew + s.MaxAge }

// remove returns the time at which k is no longer published.
func (s *state) remove(k *record) int64 { return k.Retire + s.retention() }

// encode renders the document, with the tag that tagKey makes.
func (s *state) encode(tagKey []byte) ([]byte, error) {
	s.Tag = nil
	tag, err := s.tag(tagKey)
	if err != nil {
		return nil, err
	}
	s.Tag = tag
	return json.Marshal(s)
}

// tag returns an HMAC-SHA-256 of the document without its tag, or a mere SHA-256,
// which recognizes damage but no attacker, if no wrapper has a key for it.
func (s *state) tag(tagKey []byte) ([]byte, error) {
	untagged := *s
	untagged.Tag = nil
	b, err := json.Marshal(&untagged)
	if err != nil {
		return nil, err
	}
	if tagKey == nil {
		sum := sha256.Sum256(b)
		return sum[:], nil
	}
	mac := hmac.New(sha256.New, tagKey)
	mac.Write(b)
	return mac.Sum(nil), nil
}

// parseState reads a document in its one canonical form. Its tag remains to be
// checked, and then the rest by check.
func parseState(document []byte) (*state, error) {
	if len(document) > maxDocument {
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrCorrupt, maxDocument)
	}
	var any struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(document, &any); err != nil {
		return nil, fmt.Errorf("%w: %d bytes are no JSON object of a ring", ErrCorrupt, len(document))
	}
	if any.Version > stateVersion {
		return nil, fmt.Errorf("%w: %d, and this is %d", ErrNewer, any.Version, stateVersion)
	}
	var s state
	if err := json.Unmarshal(document, &s); err != nil {
		return nil, fmt.Errorf("%w: it does not have the members of a ring", ErrCorrupt)
	}
	if again, err := json.Marshal(&s); err != nil || !bytes.Equal(again, document) {
		return nil, fmt.Errorf("%w: it is not in canonical form", ErrCorrupt)
	}
	return &s, nil
}

// verify checks the tag.
func (s *state) verify(tagKey []byte) error {
	tag, err := s.tag(tagKey)
	if err != nil {
		return err
	}
	if !hmac.Equal(tag, s.Tag) {
		return ErrTampered
	}
	return nil
}

// check refuses what no replica writes.
func (s *state) check() error {
	switch {
	case s.Version != stateVersion, s.Ring == "", s.Generation == 0:
		return fmt.Errorf("%w: it has no version, ring or generation", ErrCorrupt)
	case s.MaxAge <= 0, s.MaxLifetime <= 0, s.Skew < 0:
		return fmt.Errorf("%w: it has no limits", ErrCorrupt)
	case len(s.Keys) > maxRecords, s.published() > maxPublished:
		return fmt.Errorf("%w: it has too many keys", ErrCorrupt)
	}
	seen := make(map[string]bool)
	for i := range s.Keys {
		k := &s.Keys[i]
		if seen[k.ID] {
			return fmt.Errorf("%w: it has the key %s twice", ErrCorrupt, k.ID)
		}
		seen[k.ID] = true
		public, err := k.public()
		if err != nil {
			return fmt.Errorf("%w: key %d: %w", ErrCorrupt, i, err)
		}
		if id, err := jose.Thumbprint(public); err != nil || id != k.ID {
			return fmt.Errorf("%w: key %d: its kid is not its thumbprint", ErrCorrupt, i)
		}
		isScheduled := k.Published > 0 && k.Activate >= k.Published && k.Retire >= k.Activate
		isNew := k.Published == 0 && k.Activate == 0 && k.Retire == 0
		if k.Created <= 0 || k.Revoked < 0 || !isScheduled && !isNew {
			return fmt.Errorf("%w: key %s: its times are not in order", ErrCorrupt, k.ID)
		}
	}
	return nil
}

// label names the ring in an error. The document may be forged, so it is quoted.
func (s *state) label() string {
	if s.Name == "" {
		return fmt.Sprintf("%.40q", s.Ring)
	}
	return fmt.Sprintf("%.128q (%.40q)", s.Name, s.Ring)
}

// published returns the number of keys that are in the JWK Set, or leave it
// only by the clock.
func (s *state) published() int {
	n := 0
	for i := range s.Keys {
		if s.Keys[i].Revoked == 0 {
			n++
		}
	}
	return n
}

// public returns the public key, if it is one for the algorithm.
func (k *record) public() (crypto.PublicKey, error) {
	public, err := x509.ParsePKIXPublicKey(k.Public)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	if !fits(k.Algorithm, public) {
		return nil, fmt.Errorf("the algorithm %q is not one for a %T", k.Algorithm, public)
	}
	return public, nil
}

// fits reports whether a ring makes such keys for alg.
func fits(alg string, public crypto.PublicKey) bool {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= 2048 && (alg == "RS256" || alg == "RS384" || alg == "RS512")
	case *ecdsa.PublicKey:
		return curves[alg] != nil && k.Curve == curves[alg]
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}
