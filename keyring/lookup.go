package keyring

import (
	"context"
	"sync"
	"time"
)

// lookupRetry is how long a failed lookup is remembered. It is the interval at
// which a signer.Guard probes a service that fails.
const lookupRetry = time.Second

// lookup shares one call among its callers and remembers a failure for
// lookupRetry, so that a service which is unavailable gets one call per second.
type lookup struct {
	mu       sync.Mutex // not held during the call
	running  *lookupCall
	err      error // of the last call; nil after a success
	failedAt time.Time
}

type lookupCall struct {
	done      chan struct{}
	err       error // valid after done is closed
	abandoned bool  // the caller's ctx ended, so err says nothing about the service
}

// do calls f, or waits for the call of another caller, and returns its error.
// If that caller's ctx ends, one of those that wait calls f again.
func (l *lookup) do(ctx context.Context, f func(context.Context) error) error {
	for {
		l.mu.Lock()
		if l.err != nil && time.Since(l.failedAt) < lookupRetry {
			defer l.mu.Unlock()
			return l.err
		}
		call := l.running
		if call == nil {
			call = &lookupCall{done: make(chan struct{})}
			l.running = call
			l.mu.Unlock()
			l.lead(ctx, call, f)
			return call.err
		}
		l.mu.Unlock()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-call.done:
			if !call.abandoned {
				return call.err
			}
		}
	}
}

// lead calls f and ends the call, even if f panics.
func (l *lookup) lead(ctx context.Context, call *lookupCall, f func(context.Context) error) {
	call.abandoned = true
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.running = nil
		if !call.abandoned {
			l.err, l.failedAt = call.err, time.Now()
		}
		close(call.done)
	}()
	err := f(ctx)
	call.err, call.abandoned = err, err != nil && ctx.Err() != nil
}
