package keyring

import (
	"bytes"
	"context"
	"errors"
	"sync"
)

// ErrConflict means that a store holds something else than the caller thought.
// Nothing has changed.
var ErrConflict = errors.New("the store's document has changed")

// maxDocument is how large a document may be, in bytes.
const maxDocument = 256 << 10

// Store keeps one document of at most 256 KiB, for all replicas of a ring. It
// is safe for concurrent use, also by several processes, and its operations are
// linearizable. What it keeps needs no protection from readers: public keys and
// ciphertext. Test an implementation with [oidctokentest.TestStore].
//
// [oidctokentest.TestStore]: https://pkg.go.dev/github.com/oidctoken/oidctoken/oidctokentest#TestStore
type Store interface {
	// Load returns the document, which is the caller's, or nil if none has been
	// stored. An empty document is not nil. A Load that reads from a lagging
	// replica of a database does no harm, as long as it catches up.
	Load(ctx context.Context) ([]byte, error)

	// CompareAndSwap stores replacement if the document is old, byte for byte,
	// where nil means that none has been stored; else it fails with an error
	// that is ErrConflict, and changes nothing. With nil it succeeded, and the
	// document survives a crash. After any other error it may have stored the
	// document or not. It keeps neither slice. Replacement is neither nil nor
	// equal to old.
	CompareAndSwap(ctx context.Context, old, replacement []byte) error
}

// MemoryStore is a Store in memory, for tests and for a single process whose
// keys may die with it. The zero value is empty and ready. It must not be
// copied.
type MemoryStore struct {
	mu       sync.Mutex
	document []byte
}

// Load implements [Store].
func (s *MemoryStore) Load(ctx context.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.document), nil
}

// CompareAndSwap implements [Store].
func (s *MemoryStore) CompareAndSwap(ctx context.Context, old, replacement []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !same(s.document, old) {
		return ErrConflict
	}
	s.document = bytes.Clone(replacement)
	return nil
}

// same tells a document that is empty from none.
func same(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }
