package tokenhttp

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	firstBackoff  = 500 * time.Millisecond
	maxBackoff    = 5 * time.Second // so that a cloud that is back is noticed soon
	maxRetryAfter = 30 * time.Second
	lastTry       = time.Second // before the end of the budget

	// Budget is the default of how long a call may take with all its retries.
	Budget = time.Minute

	// Always and Brief are values of Again.For. Brief is for a refusal that looks
	// like a wrong configuration: it may also mean that a change has not reached
	// all of the cloud's servers.
	Always = time.Duration(math.MaxInt64)
	Brief  = 17 * time.Second
)

// errBudget is the cause of the end of a try's ctx.
var errBudget = errors.New("the time for retries is over")

// RetryableStatus reports whether the same request may succeed after an answer
// of that HTTP status: 408, 429, 500, 502, 503 and 504.
func RetryableStatus(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// ParseRetryAfter reads the value of a Retry-After header (RFC 9110, section
// 10.2.3), seconds or a date, as a time from now. The result is 0 for an
// unreadable value, and at most 30 s.
func ParseRetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseUint(value, 10, 32)
		if err != nil || seconds > uint64(maxRetryAfter/time.Second) { // too large to parse is too large
			return maxRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(date.Sub(now), 0), maxRetryAfter)
}

// Again is whether another try makes sense after a failure.
type Again struct {
	// For is how long, from the start of the call, such a failure is retried: 0,
	// Brief or Always.
	For time.Duration
	// After is the wait that the cloud asked for, or 0.
	After time.Duration
}

// Retry calls try until it succeeds, fails permanently, or budget has passed
// since the start; a budget of zero is Budget. Before each retry it waits: a
// random time that doubles on average from try to try, up to 5 s, or as long as
// the cloud asked, up to 30 s. It begins no wait that would not end in time. It
// moves the last retry to just before the end, so that no part of the budget is
// lost.
//
// The ctx that try gets ends with the budget at the latest; the deadline of ctx
// wins if it is earlier.
//
// Retry returns the last error of try, unwrapped, or the one before that if the end
// of the budget cut the last try off. If ctx ended, errors.Is finds ctx.Err() in
// the error, and errors.As the last failure before that.
func Retry(ctx context.Context, budget time.Duration, try func(context.Context) error, again func(err error) Again) error {
	if budget <= 0 {
		budget = Budget
	}
	start := time.Now()
	end, inner := start.Add(budget), ctx
	if deadline, ok := ctx.Deadline(); ok && !end.Before(deadline) {
		end = deadline
	} else {
		var cancel context.CancelFunc
		inner, cancel = context.WithDeadlineCause(ctx, end, errBudget)
		defer cancel()
	}
	var last error
	for n := 0; ; n++ {
		if ctx.Err() != nil {
			return ended(ctx, last)
		}
		err := try(inner)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			if last == nil || !errors.Is(err, ctx.Err()) {
				last = err
			}
			return ended(ctx, last)
		case inner.Err() != nil && last != nil:
			return last
		case inner.Err() != nil:
			return overdue(err, budget)
		}
		last = err
		wait, ok := pause(n, again(err), start, end)
		if !ok {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// pause returns the wait after the nth failure, from 0. A random part keeps the
// callers whom a cloud turned away together from coming back together.
func pause(n int, a Again, start, end time.Time) (wait time.Duration, ok bool) {
	backoff := min(firstBackoff<<min(n, 4), maxBackoff)
	wait = backoff/2 + rand.N(backoff/2) // #nosec G404 -- spreads load, guards nothing
	if a.After > 0 {
		after := min(a.After, maxRetryAfter)
		after += rand.N(after/10 + 1) // #nosec G404 -- as above
		wait = min(max(after, wait), maxRetryAfter)
	}
	whole := min(end.Sub(start), a.For)
	left := whole - time.Since(start)
	if latest := left - lastTry; wait > latest && latest >= max(a.After, firstBackoff) {
		wait = latest
	}
	return wait, wait < left
}

// overdue returns err for a first try that the end of the budget cut off. Its ctx is
// none of the caller's, whose errors must not be found.
func overdue(err error, budget time.Duration) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &Error{Kind: Timeout, Reason: "nothing was done within " + budget.String(), Err: os.ErrDeadlineExceeded}
}

func ended(ctx context.Context, last error) error {
	switch {
	case last == nil:
		return ctx.Err()
	case errors.Is(last, ctx.Err()):
		return last
	}
	return fmt.Errorf("%w; the last failure before: %w", ctx.Err(), last)
}
