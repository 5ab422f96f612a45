package signer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// Limits are what a [Guard] keeps to. The zero value of a field is its default,
// and so is one below zero.
type Limits struct {
	// Rate is the operations per second that the service may be asked for, and
	// Burst how many of them at once. Optional; Rate 0 means no limit, and Burst
	// 0 one second's worth, at least 1.
	Rate  float64
	Burst int
	// InFlight is how many calls may be under way. Optional, 32 by default.
	InFlight int
	// Timeout ends a call, and the wait for its turn, beside the caller's ctx.
	// Optional, 5 seconds by default.
	Timeout time.Duration
}

const (
	defaultInFlight = 32
	defaultTimeout  = 5 * time.Second

	// patience is how long a call must have had before it says something of
	// the service that it was not back in time: a caller who gives a
	// millisecond must not stop the others.
	patience = time.Second
)

// Guard protects a service from a host and a host from the service. It keeps to
// [Limits]. After 5 failures in a row it lets through no more than one call per
// second until the service answers again; when the service asks to be left alone
// for a time, it lets none through for that time, of 30 seconds at most. The
// other calls fail at once.
//
// One Guard is shared by all keys of one quota. It is safe for concurrent use,
// and made by [NewGuard].
type Guard struct {
	timeout time.Duration
	slots   chan struct{} // one element per call under way
	limiter *rate.Limiter // nil: no limit
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
	g := &Guard{timeout: l.Timeout, slots: make(chan struct{}, l.InFlight)}
	if l.Rate > 0 && !math.IsInf(l.Rate, 0) {
		if l.Burst <= 0 {
			l.Burst = int(max(1, min(l.Rate, math.MaxInt32)))
		}
		g.limiter = rate.NewLimiter(rate.Limit(l.Rate), l.Burst)
	}
	return g
}

// Do calls f with a ctx that ends with the caller's or after Limits.Timeout,
// whichever is first, and returns its error. It returns when that ctx ends,
// whether or not f does; a call that has not returned counts as being under way
// until it has. After an error, the caller must not look at what f sets, and f
// may still be looking at what it was given: hand it a copy of a digest.
//
// Do fails without calling f, with an *[Error] of kind Unavailable that names
// service and op, when the Guard is not letting calls through, and when ctx
// would end before the limits allow one. A call that is not back in time fails
// so, too, and wraps [context.DeadlineExceeded]. When the caller cancels, it
// fails with [context.Canceled].
//
// An *Error of kind Unavailable from f counts as a failure of the service, and
// so does a call that is not back after a second at least (or Limits.Timeout, if
// that is less). No error, Refused and Gone show that it is there. Nothing else
// counts, the caller's own cancellation least of all.
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
	g.breaker.heard(now, err)
	return err
}

// enter waits until a call may be made, which then holds a slot.
func (g *Guard) enter(ctx context.Context, c call) error {
	if ctx.Err() != nil {
		return c.unavailable(ctx, "not called: it was too late")
	}
	open, wait := g.breaker.state(time.Now())
	if wait > 0 {
		return c.notNow(ctx, wait)
	}
	if !g.take(ctx, open) {
		return c.unavailable(ctx, "not called: %d calls are under way", cap(g.slots))
	}
	err := g.turn(ctx, c)
	if err != nil {
		<-g.slots
	}
	return err
}

// take takes a slot. While the breaker is open nobody waits for one.
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

// turn waits for the limit, and then asks the breaker: it may have opened
// meanwhile, and of those that waited one alone may try.
func (g *Guard) turn(ctx context.Context, c call) error {
	if g.limiter != nil {
		if err := g.limiter.Wait(ctx); err != nil {
			return c.unavailable(ctx, "not called: the limit of %v per second leaves no turn in time", g.limiter.Limit())
		}
	}
	if wait := g.breaker.admit(time.Now()); wait > 0 {
		return c.notNow(ctx, wait)
	}
	return nil
}

// run makes the call, and leaves it behind when its time is over.
func (g *Guard) run(ctx context.Context, c call, f func(context.Context) error) error {
	done := make(chan error, 1)
	go func() {
		defer func() { <-g.slots }()
		err := errors.New("the call ended its goroutine")
		defer func() {
			if value := recover(); value != nil {
				err = &Error{Service: c.service, Op: c.op, Kind: Malformed, Err: panicked(value)}
			}
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

// call is what a Do is for.
type call struct{ service, op string }

// unavailable is why a call has failed, unless the caller left it.
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

// panicked says where f panicked. The value may be anything, and is shown only
// if the runtime made it.
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
