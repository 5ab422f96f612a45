package broker

import (
	"context"
	"errors"
	"log/slog"
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
	ref   Ref // of the connector, for the log
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
	if h := l.held; !l.step.passed(h.renew) && !l.step.passed(h.expires) {
		l.mu.Unlock()
		return h, nil
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
	switch {
	case !l.step.passed(l.held.expires):
		return l.held, nil
	case f.err != nil:
		return held[T]{}, f.err
	}
	return held[T]{}, errExpired // since the flight ended
}

// fly renews the value. The step's end ends it.
func (l *lease[T]) fly(stepCtx context.Context, f *flight) {
	ctx, cancel := context.WithTimeout(stepCtx, fetchTimeout)
	defer cancel()
	start := l.step.now()
	value, expires, err := l.fetch(ctx)
	switch {
	case stepCtx.Err() != nil:
		err = errClosed // rather than a cancellation, which the caller would take for its own
	case err == nil && l.step.passed(expires):
		err = errExpired
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.held = held[T]{value, start.Add(halfLife(expires.Sub(start))), expires}
	} else {
		l.warn(ctx, err)
		l.held.renew = l.step.now().Add(retryDelay)
		if l.held.expires.Before(l.held.renew) {
			l.held.renew = l.held.expires // nothing is left to serve until then
		}
	}
	f.err = err
	l.flight = nil
	close(f.done)
}

// warn logs a failure that no caller is told of, as the last value still serves.
func (l *lease[T]) warn(ctx context.Context, err error) {
	if l.step.passed(l.held.expires) || errors.Is(err, errClosed) {
		return
	}
	l.step.warn(ctx, "a connector's credential could not be renewed, and the last one serves on", err,
		slog.String("connector", l.ref.String()), slog.Time("until", l.held.expires))
}

// halfLife is half of d, give or take a tenth, so that steps that started
// together do not renew together.
func halfLife(d time.Duration) time.Duration {
	return d/2 + time.Duration((rand.Float64()-0.5)*0.2*float64(d/2))
}
