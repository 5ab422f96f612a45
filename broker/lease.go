package broker

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	fetchTimeout = time.Minute      // of one renewal, with all its tries
	retryDelay   = 10 * time.Second // after a renewal that failed
)

// lease is a value that expires. It is renewed at half its life, by one flight
// that all callers share and each may leave. While renewals fail, the last
// value serves until it expires.
type lease[T any] struct {
	step  *Step
	fetch func(context.Context) (value T, expires time.Time, err error)

	mu     sync.Mutex
	held   held[T]
	flight *flight
}

type held[T any] struct {
	value   T
	renew   time.Time // when to ask again
	expires time.Time
}

// flight is a renewal under way. err may be read once done is closed.
type flight struct {
	done chan struct{}
	err  error
}

// get returns a value that has not expired, and when to ask again.
func (l *lease[T]) get(ctx context.Context) (held[T], error) {
	l.mu.Lock()
	if l.step.now().Before(l.held.renew) {
		defer l.mu.Unlock()
		return l.held, nil
	}
	f := l.flight
	if f == nil {
		f = &flight{done: make(chan struct{})}
		if err := l.step.spawn(func(ctx context.Context) { l.fly(ctx, f) }); err != nil {
			l.mu.Unlock()
			return held[T]{}, err
		}
		l.flight = f
	}
	l.mu.Unlock()

	select {
	case <-f.done:
	case <-ctx.Done():
		return held[T]{}, ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.step.now().Before(l.held.expires) {
		return l.held, nil
	}
	return held[T]{}, f.err
}

// fly renews the value.
func (l *lease[T]) fly(ctx context.Context, f *flight) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	start := l.step.now()
	value, expires, err := l.fetch(ctx)

	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && !l.step.now().Before(expires) {
		err = errExpired
	}
	if err == nil {
		l.held = held[T]{value, start.Add(halfLife(expires.Sub(start))), expires}
	} else {
		l.held.renew = l.step.now().Add(retryDelay)
		if l.held.expires.Before(l.held.renew) {
			l.held.renew = l.held.expires // nothing is left to serve until then
		}
	}
	f.err = err
	l.flight = nil
	close(f.done)
}

// halfLife is half of d, give or take a tenth, so that steps that started
// together do not renew together.
func halfLife(d time.Duration) time.Duration {
	return d/2 + time.Duration((rand.Float64()-0.5)*0.2*float64(d/2))
}
