package keyring

import (
	"errors"
	"fmt"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

var (
	// ErrStore means that the store failed. It is temporary: the ring answers
	// from memory, until its keys end, and asks again.
	ErrStore = errors.New("the store is not available")
	// ErrNotMigrated means that the store has no table. It is not temporary and is
	// not ErrStore: the operator must create the table, for example
	// with sqlstore.Migrate.
	ErrNotMigrated = errors.New("the store has no table")
	// ErrWrapper means that the Wrapper could not encrypt or decrypt the data
	// key: its service is away, or the ring was wrapped with another key.
	ErrWrapper = errors.New("the wrapper failed")
	// ErrProvisioner means that the Provisioner failed, or that the version of a
	// key is gone or was replaced. The key cannot sign; it stays published.
	ErrProvisioner = errors.New("the provisioner failed")
	// ErrNotPublished means that Config.Published has not seen the next key yet. It
	// does not become active.
	ErrNotPublished = errors.New("the key has not been seen published")
	// ErrTooManyKeys means that another key would be more than may be published.
	ErrTooManyKeys = errors.New("ten keys are published already")

	// ErrClock means that a key was made in the future: the clock of this replica
	// is slow by more than Config.Skew, or the clock of another replica was fast.
	// This replica makes no transition until an operator corrects the clock.
	ErrClock = errors.New("a clock is wrong")

	// These errors refuse the content of the store. The ring keeps its keys in
	// memory and overwrites nothing. The operator of the store must act.

	// ErrCorrupt means that the document is truncated, or is not the document of a
	// ring.
	ErrCorrupt = errors.New("the stored document is damaged")
	// ErrTampered means that the document was not written by a replica of the
	// ring: its tag does not match.
	ErrTampered = errors.New("the stored document's tag is wrong")
	// ErrOtherRing means that the document is of a ring with another name, or of
	// a ring without one: Config.Store or Config.Name is wrong.
	ErrOtherRing = errors.New("the stored document is of another ring")
	// ErrOlder means that this ring has seen a later document, or one of
	// another ring: a backup was restored, or a read came from a lagging copy,
	// with which it goes away again.
	ErrOlder = errors.New("the stored document is older than one seen before")
	// ErrNewer means that a later version of this package wrote the document.
	ErrNewer = errors.New("the stored document is of a later version")

	// ErrUnknownKey means that the ring has no such key, or no more.
	ErrUnknownKey = errors.New("the ring has no such key")
)

// configError reports a setting or an argument that cannot work.
func configError(field, reason string) *oidctoken.ConfigError {
	return &oidctoken.ConfigError{Package: "keyring", Field: field, Reason: reason}
}

// advised adds an advice for the operator to the refusal of a document.
func advised(err error) error {
	for _, advice := range []struct {
		err  error
		text string
	}{
		{ErrOtherRing, ""}, // its text has the advice
		{ErrTampered, "it was written without the ring's data key, or changed since: find out who can write to the store, and restore the last document that a replica wrote"},
		{ErrCorrupt, "restore the last document that a replica wrote"},
		{ErrOlder, "restore the last document that a replica wrote, or restart all replicas to accept this one"},
		{ErrNewer, "run the version of the program that wrote it, or a later one"},
	} {
		if errors.Is(err, advice.err) {
			if advice.text == "" {
				return err
			}
			return fmt.Errorf("%w: %s", err, advice.text)
		}
	}
	return err
}

// maxText is the limit for the text of a foreign error, in bytes.
const maxText = 1 << 10

// boundedError is an error whose text comes from a network, a database, a key
// management service or a stored document.
type boundedError struct{ err error }

// bounded keeps the text of err on one line of at most maxText bytes.
func bounded(err error) error { return boundedError{err} }

func (e boundedError) Error() string { return tokenhttp.Printable(e.err.Error(), maxText) }

func (e boundedError) Unwrap() error { return e.err }
