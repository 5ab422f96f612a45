package signer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"
)

// Limits are the limits of a [Guard]. A field that is zero or negative has its
// default.
type Limits struct {
	// Rate is the limit of operations per second, Burst how many of them may begin
	// at once. Optional; Rate 0 means no limit, and Burst 0 means 1: the calls are
	// spaced evenly, and no second has more than Rate of them. A larger Burst is
	// added: the first second, and the one after an idle time, can have Burst +
	// Rate calls, so the quota must have room for both.
	Rate  float64
	Burst int
	// InFlight is how many calls may run at once. Optional, 32 by default.
	InFlight int
	// Timeout ends a call, and the wait for its turn, beside the caller's ctx.
	// Optional, 5 seconds by default.
	Timeout time.Duration
}

const (
	defaultInFlight = 32
	defaultTimeout  = 5 * time.Second

	// patience is the least time that a call must have had before its timeout
	// counts as a failure of the service: a caller with a deadline of a
	// millisecond must not stop the others.
	patience = time.Second
)

// Guard protects a service from a host and a host from the service. It keeps to
// [Limits].
//
//   - Outages: after 5 failures in a row the Guard lets through one call per
//     second until the service answers again. When a failure says how long to
//     wait, it lets none through for that time, 30 seconds at most. The other calls
//     fail at once.
//   - Throttling, which is [Error.Throttled], is no failure of the service. The
//     Guard halves the rate of its calls, down to one per second, and adds a tenth
//     of the normal rate for each second without a further throttled call. Without
//     Limits.Rate, the normal rate is the rate of the second before. When the service
//     says how long to wait, calls wait for that, 30 seconds at most, and fail at
//     once if their ctx ends sooner.
//   - Refusals: after 3 errors in a row that are Refused or Gone and have a Code,
//     the last one is returned for a second to all calls of the same service and op,
//     which make no call. Then one call tries again.
//
// One Guard is shared by all keys of one quota, by way of [Guard.ForKey]. It is
// safe for concurrent use, and made by [NewGuard].
type Guard struct {
	*shared
	refusals refusals
}

// shared is the state that the Guards of one quota share.
type shared struct {
	timeout time.Duration
	slots   chan struct{} // one element per call under way
	pacer   *pacer
	breaker breaker
}

// NewGuard returns a Guard.
func NewGuard(l Limits) *Guard {
	if l.InFlight <= 0 {
		l.InFlight = defaultInFlight
	}
	if l.Timeout <= 0 {
		l.Timeout = defaultTimeout
	}
	return &Guard{shared: &shared{timeout: l.Timeout, slots: make(chan struct{}, l.InFlight), pacer: newPacer(l)}}
}

// ForKey returns a Guard that shares everything with g except the remembered
// refusals. An adapter calls ForKey once for each key, so that a refusal of one
// key does not stop calls for the others.
func (g *Guard) ForKey() *Guard { return &Guard{shared: g.shared} }

// Do calls f with a ctx that ends with the caller's ctx or after
// Limits.Timeout, whichever is first, and returns its error. Do returns when
// that ctx ends, even if f has not returned; such a call occupies its slot
// until f returns. After an error, the caller must not read what f sets, and f
// may still read its arguments: give it a copy of a digest.
//
// Do fails without calling f, with an *[Error] of kind Unavailable that names
// service and op, when the Guard is not letting calls through, and when ctx
// would end before the limits allow one. A call that is not back in time fails
// so, too, and wraps [context.DeadlineExceeded]. When the caller cancels, it
// fails with [context.Canceled].
//
// An *Error of kind Unavailable from f counts as a failure of the service unless
// it is Throttled, and so does a call that is not back after a second at least (or
// Limits.Timeout, if that is less). No error, Throttled, Refused and Gone show that
// it is there. Nothing else counts, the caller's own cancellation least of all.
//
// If f panics, Do fails with an *Error of kind Malformed that says where: what
// a service answers must not end a host that works for others.
func (g *Guard) Do(ctx context.Context, service, op string, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	c := call{service, op}
	if err := g.enter(ctx, c); err != nil {
		return err
	}
	began := time.Now()
	err := g.run(ctx, c, f)
	now := time.Now()
	if err != nil && ctx.Err() != nil {
		took := now.Sub(began)
		if ctx.Err() == context.DeadlineExceeded && took >= min(patience, g.timeout) {
			g.breaker.failed(now, 0)
		}
		return c.unavailable(ctx, "no answer after %v", took.Round(time.Millisecond))
	}
	g.breaker.record(now, err)
	return err
}

// enter waits until a call may be made, which then holds a slot.
func (g *Guard) enter(ctx context.Context, c call) error {
	if ctx.Err() != nil {
		return c.unavailable(ctx, "not called: it was too late")
	}
	if err := g.refusals.of(c, time.Now()); err != nil {
		return err
	}
	open, wait := g.breaker.state(time.Now())
	if wait > 0 {
		return c.notNow(ctx, wait)
	}
	if !g.take(ctx, open) {
		return c.unavailable(ctx, "not called: %d calls are under way", cap(g.slots))
	}
	err := g.refusals.of(c, time.Now())
	if err == nil {
		err = g.turn(ctx, c)
	}
	if err != nil {
		<-g.slots
	}
	return err
}

// take takes a slot. While the breaker is open it does not wait.
func (g *Guard) take(ctx context.Context, open bool) bool {
	select {
	case g.slots <- struct{}{}:
		return true
	default:
		if open {
			return false
		}
	}
	select {
	case g.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// turn waits for the limit, and then asks the breaker and looks for a refusal: the
// breaker may have opened and the service may have refused meanwhile, and of those
// that waited one alone may try.
func (g *Guard) turn(ctx context.Context, c call) error {
	if err := g.pacer.wait(ctx, c); err != nil {
		return err
	}
	now := time.Now()
	if wait := g.breaker.admit(now); wait > 0 {
		return c.notNow(ctx, wait)
	}
	return g.refusals.admit(c, now)
}

// run makes the call, and leaves it behind when its time is over. The pacer and the
// refusals learn the answer before the next call takes the slot.
func (g *Guard) run(ctx context.Context, c call, f func(context.Context) error) error {
	done := make(chan error, 1)
	began := time.Now()
	go func() {
		defer func() { <-g.slots }()
		err := errors.New("the call ended its goroutine")
		defer func() {
			if value := recover(); value != nil {
				err = &Error{Service: c.service, Op: c.op, Kind: Malformed, Err: panicked(value)}
			}
			g.refusals.record(c, time.Now(), err)
			g.pacer.record(began, time.Now(), err)
			done <- err
		}()
		err = f(ctx)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done: // it came in time after all
		return err
	default:
		return ctx.Err()
	}
}

// call names the service and the operation of a Do.
type call struct{ service, op string }

// unavailable returns the error of a failed call, unless its caller has left.
func (c call) unavailable(ctx context.Context, why string, values ...any) error {
	err := fmt.Errorf(why, values...)
	switch ctx.Err() {
	case context.Canceled:
		return fmt.Errorf("%s: %s: %w", c.service, c.op, context.Canceled)
	case context.DeadlineExceeded:
		err = fmt.Errorf("%w: %w", err, context.DeadlineExceeded)
	}
	return &Error{Service: c.service, Op: c.op, Kind: Unavailable, Err: err}
}

func (c call) notNow(ctx context.Context, wait time.Duration) error {
	return c.unavailable(ctx, "not called: it failed before, and is tried again in %v", wait.Round(time.Millisecond))
}

// panicked returns an error with the place where f panicked. It shows the value
// only if the runtime made it.
func panicked(value any) error {
	what := fmt.Sprintf("panic of type %T", value)
	if err, ok := value.(runtime.Error); ok {
		what = "panic: " + err.Error()
	}
	callers := make([]uintptr, 32)
	frames := runtime.CallersFrames(callers[:runtime.Callers(1, callers)])
	for panicking, more := false, true; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		switch {
		case frame.Function == "runtime.gopanic":
			panicking = true
		case panicking && !strings.HasPrefix(frame.Function, "runtime."):
			return fmt.Errorf("%s in %s, line %d", what, frame.Function, frame.Line)
		}
	}
	return errors.New(what)
}
