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

// Store keeps one document of at most 256 KiB for all replicas of a ring. It is
// safe for concurrent use by several processes, and its operations are
// linearizable. The document holds public keys and ciphertext, so it needs no
// protection from readers. Test an implementation with
// [oidctokentest.TestStore].
//
// [oidctokentest.TestStore]: https://pkg.go.dev/github.com/oidctoken/oidctoken/oidctokentest#TestStore
type Store interface {
	// Load returns the document, or nil if no document is stored. An empty
	// document is not nil. The caller owns the result. A Load may read from a
	// lagging copy of a database, if that copy catches up.
	Load(ctx context.Context) ([]byte, error)

	// CompareAndSwap stores replacement if the stored document equals old, byte
	// for byte; a nil old means that no document is stored. Otherwise it fails
	// with ErrConflict and changes nothing. After a nil error the document
	// survives a crash. After any other error the document may or may not be
	// stored. CompareAndSwap keeps neither slice. replacement is neither nil nor
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
