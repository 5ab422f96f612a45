package oteloidc

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/oidctoken/oidctoken/keyring"
)

// Ring returns a hook for the [keyring.Config] of one ring, its Audit, which
// counts transitions and failures and then calls next, unless that is nil.
func (t *Telemetry) Ring(next func(context.Context, keyring.Event)) func(context.Context, keyring.Event) {
	// The series of failures exist before the first failure: an alert on the
	// change of a series would not notice one that begins with 1.
	t.failing.Add(context.Background(), 0)
	for i := range t.failed.labels {
		t.failures.Add(context.Background(), 0, t.failed.labels[i].add...)
	}
	var failing atomic.Bool
	return func(ctx context.Context, e keyring.Event) {
		switch e.Kind {
		case keyring.Failed:
			t.failures.Add(ctx, 1, t.failed.of(causeOf(e.Err)).add...)
			if !failing.Swap(true) {
				t.failing.Add(ctx, 1)
			}
		case keyring.Recovered:
			if failing.Swap(false) {
				t.failing.Add(ctx, -1)
			}
		default:
			algorithm := e.Algorithm
			if algorithm == "" {
				algorithm = "none"
			}
			t.transitions.Add(ctx, 1, t.transformed.of(string(e.Kind), algorithm).add...)
		}
		if next != nil {
			next(ctx, e)
		}
	}
}

// causeOf returns the worst current failure. Failures that need an operator
// come first.
func causeOf(err error) string {
	for _, cause := range []struct {
		err  error
		name string
	}{
		{keyring.ErrTampered, "tampered"},
		{keyring.ErrCorrupt, "corrupt"},
		{keyring.ErrNewer, "newer"},
		{keyring.ErrOtherRing, "other_ring"},
		{keyring.ErrOlder, "older"},
		{keyring.ErrNotMigrated, "not_migrated"},
		{keyring.ErrClock, "clock"},
		{keyring.ErrWrapper, "wrapper"},
		{keyring.ErrProvisioner, "provisioner"},
		{keyring.ErrTooManyKeys, "too_many_keys"},
		{keyring.ErrNotPublished, "unseen"},
		{keyring.ErrStore, "store"},
	} {
		if errors.Is(err, cause.err) {
			return cause.name
		}
	}
	return other
}
