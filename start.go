package oidctoken

import (
	"crypto"
	"encoding"
	"hash"
	"sync/atomic"
)

// start is how the signing inputs of a Prepared begin, behind the key's header:
// with encoded, which is most of them. A hash of so much is kept, too, since
// that is nearly half of what a Prepared would take beside the signature.
type start struct {
	encoded []byte // the payload's beginning in base64url, in whole groups
	hashed  atomic.Pointer[midstate]
}

// midstate is the state of a hash after a header and encoded.
type midstate struct {
	header string
	state  []byte
}

// digest is what d.digest gives for d.jws, which begins with k's header and s.
// A nil s is for an input of which nothing is known.
func (s *start) digest(d *draft, k *signingKey) []byte {
	if s == nil || k.alg.hash == 0 {
		return d.digest(k.alg, d.jws)
	}
	known := len(k.header) + len(s.encoded)
	m := s.hashed.Load()
	if m == nil || m.header != k.header {
		state, err := hashState(k.alg.hash, d.jws[:known])
		if err != nil {
			return d.digest(k.alg, d.jws)
		}
		m = &midstate{k.header, state}
		s.hashed.Store(m)
	}
	if digest, err := d.resume(k.alg.hash, m.state, d.jws[known:]); err == nil {
		return digest
	}
	return d.digest(k.alg, d.jws)
}

// resumable is what the hashes of the standard library are. A hash that cannot
// keep or take its state begins at the beginning.
type resumable interface {
	hash.Hash
	encoding.BinaryMarshaler
	encoding.BinaryUnmarshaler
}

func hashState(h crypto.Hash, input []byte) ([]byte, error) {
	r := h.New().(resumable)
	r.Write(input) // never fails, says hash.Hash
	return r.MarshalBinary()
}

// resume is the digest of an input that ends with rest; after what is before
// that, the hash was in state.
func (d *digester) resume(h crypto.Hash, state, rest []byte) ([]byte, error) {
	if d.hash != h {
		d.hash, d.resumed = h, h.New().(resumable)
	}
	if err := d.resumed.UnmarshalBinary(state); err != nil {
		return nil, err
	}
	d.resumed.Write(rest)
	return d.resumed.Sum(d.sum512[:0]), nil
}
