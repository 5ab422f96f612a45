package signer

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"
)

const (
	slowInterval  = time.Second // between two changes of the rate
	recoverySteps = 10          // from nothing to the normal rate
	lowestRate    = 1           // per second, however often the service throttles
)

// pacer spaces the calls. When the service throttles, it halves the rate, and then
// adds a tenth of the normal rate per second.
type pacer struct {
	full  float64 // calls per second; +Inf if there is no limit
	burst int

	mu     sync.Mutex
	rate   float64
	normal float64   // while slowed: where the rate goes back to; else 0
	next   time.Time // when the next call may begin, without the burst
	hold   time.Time // the service asked for a pause until then
	cut    time.Time // when the rate was halved last
	step   time.Time // when the rate changed last

	// The number of calls in the second that began at window, and in the one
	// before. A pacer without a limit halves it.
	window        time.Time
	calls, before int
}

func newPacer(l Limits) *pacer {
	p := &pacer{full: math.Inf(1), burst: max(1, l.Burst)}
	if l.Rate > 0 {
		p.full = l.Rate
	}
	p.rate = p.full
	return p
}

// interval returns the time between two calls, rounded up so that no second has
// one too many.
func (p *pacer) interval() time.Duration {
	return time.Duration(min(math.Ceil(float64(time.Second)/p.rate-1e-3), float64(time.Hour)))
}

// wait waits for a turn. It fails at once when ctx would end before that.
func (p *pacer) wait(ctx context.Context, c call) error {
	for {
		turn, err := p.reserve(ctx, c, time.Now())
		if err != nil {
			return err
		}
		if !sleep(ctx, time.Until(turn.at)) {
			p.giveBack(turn)
			return c.unavailable(ctx, "not called: its turn did not come in time")
		}
		if p.begin(turn) {
			return nil
		}
	}
}

// sleep reports whether d passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// turn is the time at which a call may begin, unless the service throttles
// before that.
type turn struct {
	at         time.Time
	last, next time.Time // of the pacer, before and after
	cut, hold  time.Time // of the pacer
}

func (p *pacer) reserve(ctx context.Context, c call, now time.Time) (turn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recover(now)
	interval := p.interval()
	t := turn{last: p.next, cut: p.cut, hold: p.hold}
	begin := p.next
	if earliest := now.Add(-time.Duration(p.burstNow()-1) * interval); begin.Before(earliest) {
		begin = earliest
	}
	if begin.Before(p.hold) {
		begin = p.hold
	}
	t.at, t.next = begin, begin.Add(interval)
	if deadline, ok := ctx.Deadline(); ok && begin.After(now) && !begin.Before(deadline) {
		if p.hold.After(now) {
			return t, c.unavailable(ctx, "not called: the service asked to be called again in %v", p.hold.Sub(now).Round(time.Millisecond))
		}
		return t, c.unavailable(ctx, "not called: the limit of %.3g per second leaves no turn in time", p.rate)
	}
	p.next = t.next
	return t, nil
}

// burstNow is 1 while slowed.
func (p *pacer) burstNow() int {
	if p.normal > 0 {
		return 1
	}
	return p.burst
}

// giveBack lets the next call have a turn that was not used, unless another call
// has one behind it.
func (p *pacer) giveBack(t turn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next.Equal(t.next) {
		p.next = t.last
	}
}

// begin counts a call whose turn has come. It returns false if the service throttled
// meanwhile: the call then needs another turn.
func (p *pacer) begin(t turn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.cut != p.cut || t.hold != p.hold {
		return false
	}
	now := time.Now()
	if since := now.Sub(p.window); since >= time.Second {
		p.before, p.calls, p.window = p.calls, 0, now
		if since >= 2*time.Second {
			p.before = 0
		}
	}
	p.calls++
	return true
}

// recover restores the rate as far as time has passed.
func (p *pacer) recover(now time.Time) {
	steps := now.Sub(p.step) / slowInterval
	if p.normal == 0 || steps < 1 {
		return
	}
	p.step = p.step.Add(steps * slowInterval)
	p.rate += float64(min(steps, recoverySteps)) * p.normal / recoverySteps
	if p.rate >= p.normal {
		p.rate, p.normal = p.full, 0
	}
}

// record slows down if a call that began at began was throttled. A call that
// began less than a second after the rate was halved says nothing about the new
// rate.
func (p *pacer) record(began, now time.Time, err error) {
	var failure *Error
	if !errors.As(err, &failure) || !failure.Throttled() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if wait := min(failure.RetryAfter, longestHold); wait > 0 && now.Add(wait).After(p.hold) {
		p.hold, p.next = now.Add(wait), time.Time{} // those that wait come again
	}
	if began.Before(p.cut.Add(slowInterval)) {
		return
	}
	if p.normal == 0 {
		if p.normal = p.full; math.IsInf(p.full, 1) {
			p.normal = float64(max(p.calls, p.before))
			p.rate = p.normal
		}
	}
	p.rate = max(p.rate/2, min(lowestRate, p.normal))
	p.cut, p.step, p.next = now, now, now.Add(p.interval())
}
