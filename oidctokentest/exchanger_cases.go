package oidctokentest

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/oidctoken/oidctoken/exchange"
)

const (
	defaultLifetime = time.Hour
	promptly        = 250 * time.Millisecond // after the end of a ctx
	patience        = 10 * time.Minute       // for an exchange without a deadline
	maxTries        = 60                     // of an exchange, one a second
)

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }

// answer returns a handler that sends the cloud's answer with this value and
// lifetime.
func (r *exchangerRun) answer(value func() string, lifetime time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		writeCloud(w, r.test.Answer(req, value(), lifetime))
	})
}

func (r *exchangerRun) good() http.Handler {
	return r.answer(func() string { return r.value }, defaultLifetime)
}

// inTurn answers the first request with the first handler, and so on; the last
// answers all further ones.
func inTurn(handlers ...http.Handler) http.Handler {
	var mu sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		h := handlers[0]
		if len(handlers) > 1 {
			handlers = handlers[1:]
		}
		mu.Unlock()
		h.ServeHTTP(w, req)
	})
}

func status(code int, retryAfter string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		http.Error(w, "try again", code)
	})
}

func (r *exchangerRun) success() {
	start := time.Now()
	credential, err := r.exchange(r.Context(), r.good())
	if err != nil {
		r.Fatalf("Exchange: %v", err)
	}
	r.checkCredential(credential, start)
	r.checkSubjects()
	if n := r.made(); n != 1 {
		r.Errorf("Exchange made %d requests, want 1", n)
	}
}

func (r *exchangerRun) checkCredential(c *exchange.Credential, start time.Time) {
	r.Helper()
	if c == nil {
		r.Fatal("Exchange returned neither a Credential nor an error")
	}
	// A clock of whole seconds in an answer may lose one.
	if end := c.Expires(); !end.After(start.Add(time.Second)) || end.After(start.Add(defaultLifetime+time.Second)) {
		r.Errorf("the Credential ends %v after the start of the exchange, want at most %v", end.Sub(start), defaultLifetime)
	}
	found := false
	for name, value := range c.Env() {
		if value == "" || strings.ContainsFunc(value, unicode.IsControl) {
			r.Errorf("the Credential's %s is empty or has a control character", name)
		}
		found = found || value == r.value || r.test.Path != "" && value == otherPrefix+r.value
	}
	if !found {
		r.Error("the Credential has no variable with the secret of the cloud's answer")
	}
}

func (r *exchangerRun) concurrency() {
	start := time.Now()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			credential, err := r.exchange(r.Context(), r.good())
			if err != nil || credential.Expires().Before(start) {
				r.Errorf("concurrent Exchange: %v, %v", credential, err)
			}
		})
	}
	wg.Wait()
	r.checkSubjects()
}

// retry requires that a temporary failure is retried, with a new JWT.
func (r *exchangerRun) retry() {
	start := time.Now()
	credential, err := r.exchange(r.Context(), inTurn(status(http.StatusServiceUnavailable, ""), r.good()))
	if err != nil {
		r.Fatalf("Exchange after one answer of 503: %v", err)
	}
	r.checkCredential(credential, time.Now())
	r.checkSubjects()
	if time.Since(start) == 0 {
		r.Error("Exchange retried at once, want a backoff")
	}
}

// outage requires that an outage of less than a minute is survived, with a new
// JWT for each try.
func (r *exchangerRun) outage(lasts time.Duration) {
	start := time.Now()
	good, down := r.good(), status(http.StatusServiceUnavailable, "")
	credential, err := r.exchange(r.Context(), http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if time.Since(start) < lasts {
			down.ServeHTTP(w, req)
			return
		}
		good.ServeHTTP(w, req)
	}))
	if err != nil {
		r.Fatalf("Exchange although the cloud was back after %v: %v", lasts, err)
	}
	r.checkCredential(credential, time.Now())
	r.checkSubjects()
}

// lastingOutage requires the cloud's error, and not an error about the end of
// the retries.
func (r *exchangerRun) lastingOutage() {
	_, err := r.exchange(r.Context(), status(http.StatusServiceUnavailable, ""))
	if err == nil {
		r.Fatal("Exchange returned no error although the cloud was down")
	}
	r.checkError(err)
	var refused *exchange.Error
	if errors.As(err, &refused) && (!refused.Temporary() || refused.Status != http.StatusServiceUnavailable) {
		r.Errorf("the *exchange.Error is not Temporary or not of status 503: %v", err)
	}
	if n := r.made(); n > maxTries {
		r.Errorf("Exchange made %d requests to a cloud that is down, want at most %d", n, maxTries)
	}
}

// retryAfter requires that a Retry-After of a day is not waited for.
func (r *exchangerRun) retryAfter() {
	start := time.Now()
	_, err := r.exchange(r.Context(), inTurn(status(http.StatusTooManyRequests, "86400"), r.good()))
	if err != nil {
		r.checkError(err)
	}
	if took := time.Since(start); took > patience {
		r.Errorf("Exchange took %v because the cloud asked for it", took)
	}
}

// refusal requires that a permanent refusal is not retried.
func (r *exchangerRun) refusal() {
	_, err := r.exchange(r.Context(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeCloud(w, r.test.Refusal("the cloud's own words"))
	}))
	if err == nil {
		r.Fatal("Exchange returned no error for a refusal")
	}
	r.checkError(err)
	var refused *exchange.Error
	if errors.As(err, &refused) && (refused.Temporary() || refused.Status == 0) {
		r.Errorf("the *exchange.Error is Temporary or has no Status: %v", err)
	}
	if !strings.Contains(err.Error(), "the cloud's own words") {
		r.Errorf("the error does not show the cloud's words: %v", err)
	}
	if n := r.made(); n != 1 {
		r.Errorf("Exchange made %d requests, want 1: a refusal for good is not retried", n)
	}
}

func (r *exchangerRun) subjectError() {
	want := errors.New("the host cannot mint")
	calls := 0
	r.cloud = r.good()
	_, err := r.exchanger.Exchange(r.Context(), exchange.Request{
		SessionName: "oidctokentest",
		Subject:     func(context.Context, string) (string, error) { calls++; return "", want },
	})
	if !errors.Is(err, want) {
		r.Errorf("Exchange returned the error %v, want that of Subject", err)
	}
	if n := r.made(); calls != 1 || n != 0 {
		r.Errorf("Exchange called Subject %d times and made %d requests, want 1 and 0", calls, n)
	}
}

func (r *exchangerRun) cancelled() {
	ctx, cancel := context.WithCancel(r.Context())
	cancel()
	_, err := r.exchange(ctx, r.good())
	if !errors.Is(err, context.Canceled) {
		r.Errorf("Exchange returned the error %v, want one that is %v", err, context.Canceled)
	}
	if n := r.made(); n != 0 {
		r.Errorf("Exchange made %d requests after its ctx had ended", n)
	}
}

// silence never answers.
func silence() http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() })
}

func (r *exchangerRun) cancelledMeanwhile() {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	const after = 2 * time.Second
	start := time.Now()
	time.AfterFunc(after, cancel)
	_, err := r.exchange(ctx, silence())
	r.checkEnd(err, context.Canceled, time.Since(start), after)
}

// deadline requires that a very slow answer is given up.
func (r *exchangerRun) deadline() {
	const after = 5 * time.Second
	ctx, cancel := context.WithTimeout(r.Context(), after)
	defer cancel()
	start := time.Now()
	_, err := r.exchange(ctx, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		good := r.test.Answer(req, r.value, defaultLifetime)
		w.Header().Set("Content-Type", good.ContentType)
		drops := time.NewTicker(time.Second)
		defer drops.Stop()
		for {
			if _, err := io.WriteString(w, " "); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush() // the next write tells
			select {
			case <-drops.C:
			case <-req.Context().Done():
				return
			}
		}
	}))
	r.checkEnd(err, context.DeadlineExceeded, time.Since(start), after)
}

func (r *exchangerRun) checkEnd(err, want error, took, after time.Duration) {
	r.Helper()
	if err == nil {
		r.Fatal("Exchange returned no error although its ctx ended")
	}
	if !errors.Is(err, want) {
		r.Errorf("Exchange returned the error %v, want one that is %v", err, want)
	}
	if took > after+promptly {
		r.Errorf("Exchange took %v, and its ctx ended after %v", took, after)
	}
	r.checkShown(err)
}

// noDeadline requires that the Exchanger has a deadline of its own.
func (r *exchangerRun) noDeadline() {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	_, err := r.exchange(ctx, silence())
	if err == nil {
		r.Fatal("Exchange returned no error although the cloud never answered")
	}
	if ctx.Err() != nil {
		r.Errorf("Exchange waited for %v, since its ctx had no earlier deadline", patience)
	}
	r.checkError(err)
}
