package signer

import (
	"errors"
	"sync"
	"time"
)

const (
	failuresToOpen = 5                // in a row
	probeInterval  = time.Second      // of an open breaker
	longestHold    = 30 * time.Second // that a service can ask for
)

// breaker keeps calls from a service that does not answer. It is closed while
// all are let through.
type breaker struct {
	mu       sync.Mutex
	failures int // in a row
	open     bool
	next     time.Time // when an open one lets the next call through
	hold     time.Time // the service asked for a pause until then
}

// state reports whether the breaker is open, and for how long no call passes.
func (b *breaker) state(now time.Time) (open bool, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open, b.wait(now)
}

// admit counts a call if the breaker lets it through. Otherwise it returns when
// the next call may pass.
func (b *breaker) admit(now time.Time) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if wait = b.wait(now); wait == 0 {
		b.next = now.Add(probeInterval)
	}
	return wait
}

func (b *breaker) wait(now time.Time) time.Duration {
	if !b.open {
		return 0
	}
	return max(0, b.next.Sub(now))
}

// record records the result of a call.
func (b *breaker) record(now time.Time, err error) {
	var failure *Error
	switch {
	case err == nil:
		b.answered(now)
	case !errors.As(err, &failure):
	case failure.Kind == Unavailable && !failure.Throttled():
		b.failed(now, failure.RetryAfter)
	case failure.Throttled(), failure.Kind == Refused, failure.Kind == Gone:
		b.answered(now)
	}
}

// failed counts a failure. retryAfter is a pause that the service asked for.
func (b *breaker) failed(now time.Time, retryAfter time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures++
	if !b.open && b.failures >= failuresToOpen {
		b.open, b.next = true, now.Add(probeInterval)
	}
	if retryAfter > 0 {
		if hold := now.Add(min(retryAfter, longestHold)); hold.After(b.hold) {
			b.hold = hold
		}
		if !b.open || b.hold.After(b.next) {
			b.next = b.hold
		}
		b.open = true
	}
}

// answered closes the breaker, except for calls that began before the service
// asked for a pause.
func (b *breaker) answered(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = 0
	if !now.Before(b.hold) {
		b.open = false
	}
}
