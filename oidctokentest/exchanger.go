package oidctokentest

import (
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken/exchange"
)

// ExchangerTest describes an Exchanger and its cloud to [TestExchanger]. All
// fields except Path are required.
type ExchangerTest struct {
	// New returns the Exchanger to test. Its cloud is at endpoint, a URL with
	// neither path nor trailing slash, which only transport reaches. The
	// clock is time.Now.
	New func(t *testing.T, endpoint string, transport http.RoundTripper) exchange.Exchanger
	// Answer returns the cloud's answer to r, with status 200, that holds a
	// credential whose secret is value and which expires after lifetime. value and
	// lifetime may be ones that no cloud returns: Answer encodes them so that a
	// decoder gets them back. The body of r can be read.
	Answer func(r *http.Request, value string, lifetime time.Duration) CloudAnswer
	// Refusal returns the cloud's permanent refusal, with words in its text.
	Refusal func(words string) CloudAnswer
	// Path is the end of the path of the requests that get hostile answers,
	// for an exchange of several requests; the others get Answer's. Optional;
	// by default all requests do.
	Path string
}

// CloudAnswer is an answer to a request of an Exchanger.
type CloudAnswer struct {
	Status      int
	ContentType string
	Body        string
}

// TestExchanger tests whether an Exchanger keeps the contract of
// [exchange.Exchanger], in subtests of t. The cloud answers correctly, with
// errors, slowly or with malice. The test checks the request and the retries;
// that Exchange returns when its ctx ends; that it follows no redirect and
// reads a bounded answer; that it refuses a useless credential; that it
// compares the names of JSON members byte for byte; and that no error holds a
// part of a JWT or a credential in any encoding that a cloud may echo.
//
// The network is in memory and the clock is the one of [testing/synctest]:
// waiting takes no time, but every goroutine that the Exchanger starts must end
// by itself. The JWTs are minted with the Exchanger's Profile for its Audience
// and signed with its preferred algorithm. Run the test with -race.
func TestExchanger(t *testing.T, x ExchangerTest) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*exchangerRun)
	}{
		{"Success", (*exchangerRun).success},
		{"Concurrency", (*exchangerRun).concurrency},
		{"Retry", (*exchangerRun).retry},
		{"RetryAfter", (*exchangerRun).retryAfter},
		{"Outage/5 s", func(r *exchangerRun) { r.outage(5 * time.Second) }},
		{"Outage/50 s", func(r *exchangerRun) { r.outage(50 * time.Second) }},
		{"Outage/lasting", (*exchangerRun).lastingOutage},
		{"Refusal", (*exchangerRun).refusal},
		{"SubjectError", (*exchangerRun).subjectError},
		{"Cancelled", (*exchangerRun).cancelled},
		{"CancelledMeanwhile", (*exchangerRun).cancelledMeanwhile},
		{"Deadline", (*exchangerRun).deadline},
		{"NoDeadline", (*exchangerRun).noDeadline},
	} {
		runExchanger(t, test.name, x, test.run)
	}
	for name, hostile := range inOrder(redirects()) {
		runExchanger(t, "Redirect/"+name, x, func(r *exchangerRun) { r.refuses(hostile(r)) })
	}
	for name, answer := range inOrder(map[string]func(*exchangerRun) http.Handler{
		"too long":        (*exchangerRun).tooLong,
		"bomb":            (*exchangerRun).bomb,
		"many headers":    (*exchangerRun).manyHeaders,
		"cut off":         (*exchangerRun).cutOff,
		"empty":           (*exchangerRun).empty,
		"HTML":            (*exchangerRun).html,
		"other type":      (*exchangerRun).otherType,
		"not HTTP":        (*exchangerRun).notHTTP,
		"echo":            (*exchangerRun).echo,
		"echo in refusal": (*exchangerRun).echoInRefusal,
		"echo in type":    (*exchangerRun).echoInType,
		"echo in status":  (*exchangerRun).echoInStatus,

		"earlier JWT in refusal": (*exchangerRun).earlierInRefusal,
		"earlier JWT in status":  (*exchangerRun).earlierInStatus,
		"names in another case":  (*exchangerRun).otherCase,
		"names twice":            (*exchangerRun).namesTwice,
	}) {
		runExchanger(t, "Answer/"+name, x, func(r *exchangerRun) { r.refuses(answer(r)) })
	}
	for name, encode := range inOrder(echoes) {
		runExchanger(t, "Echo/"+name, x, func(r *exchangerRun) { r.refuses(r.encodedEcho(encode)) })
	}
	for name, change := range inOrder(map[string]func(value string) string{
		"empty":    func(string) string { return "" },
		"CR LF":    func(v string) string { return v + "\r\nX-Injected: " + v },
		"LF":       func(v string) string { return v + "\n" },
		"NUL":      func(v string) string { return v[:8] + "\x00" + v[8:] },
		"too long": func(v string) string { return strings.Repeat(v, 17<<10/len(v)+1) },
	}) {
		runExchanger(t, "Value/"+name, x, func(r *exchangerRun) {
			r.refuses(r.answer(func() string { return change(r.value) }, time.Hour))
		})
	}
	for name, lifetime := range inOrder(map[string]time.Duration{
		"over":    -time.Hour,
		"none":    0,
		"endless": 200 * 365 * 24 * time.Hour,
	}) {
		runExchanger(t, "Lifetime/"+name, x, func(r *exchangerRun) {
			r.refuses(r.answer(func() string { return r.value }, lifetime))
		})
	}
}

// inOrder ranges over m in the order of its names.
func inOrder[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if !yield(name, m[name]) {
				return
			}
		}
	}
}

// runExchanger runs one subtest in a bubble.
func runExchanger(t *testing.T, name string, x ExchangerTest, run func(*exchangerRun)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { run(newExchangerRun(t, x)) })
	})
}
