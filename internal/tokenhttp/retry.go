package tokenhttp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	maxTries      = 4
	firstBackoff  = 500 * time.Millisecond
	maxRetryAfter = 30 * time.Second
	maxRetrying   = time.Minute // from the first try to the start of the last
)

// RetryableStatus reports whether an answer of that HTTP status says that the
// same request may succeed later: 408, 429, 500, 502, 503 and 504.
func RetryableStatus(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// ParseRetryAfter reads the value of a Retry-After header (RFC 9110, section
// 10.2.3), seconds or a date, as a time from now: at least 0, which also
// stands for what cannot be read, and at most 30 s.
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

// Retry calls try until it succeeds, fails for good, or four tries have
// failed. Before each retry it waits, a random time that doubles on average
// from try to try, or as long as the cloud asked, up to 30 s. No wait is begun
// that would not end before ctx's deadline, or within a minute from the start.
//
// retryable tells whether another try makes sense after err, and how long the
// cloud asked to wait (0: it did not say).
//
// Retry returns the last error of try as it is. If ctx ended, errors.Is finds
// ctx.Err() in the error, and errors.As the last failure before that.
func Retry(ctx context.Context, try func(context.Context) error, retryable func(err error) (after time.Duration, ok bool)) error {
	end := time.Now().Add(maxRetrying)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(end) {
		end = deadline
	}
	var last error
	for n := 1; ; n++ {
		if ctx.Err() != nil {
			return ended(ctx, last)
		}
		err := try(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			if last == nil || !errors.Is(err, ctx.Err()) {
				last = err
			}
			return ended(ctx, last)
		}
		last = err
		after, ok := retryable(err)
		if !ok || n == maxTries {
			return err
		}
		wait := pause(n, after)
		if !time.Now().Add(wait).Before(end) {
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

// pause is the wait after the nth try: from half of the backoff to the whole,
// or what the cloud asked for and up to a tenth more, so that the callers whom
// it turned away together do not come back together.
func pause(n int, after time.Duration) time.Duration {
	backoff := firstBackoff << (n - 1)
	backoff = backoff/2 + rand.N(backoff/2) // #nosec G404 -- spreads load, guards nothing
	if after <= 0 {
		return backoff
	}
	after = min(after, maxRetryAfter)
	after += rand.N(after/10 + 1) // #nosec G404 -- as above
	return min(max(after, backoff), maxRetryAfter)
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
