package oidctokentest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/tokenhttp"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

// sample is an Exchanger of a cloud that does not exist, with one defect or
// none.
type sample struct {
	endpoint  string
	transport http.RoundTripper
	defect    string
}

func (s *sample) Profile() oidctoken.Profile {
	return oidctoken.Profile{Algorithms: []string{"ES256"}}
}

func (s *sample) Audience() string { return "https://cloud.example.com" }

func (s *sample) Exchange(ctx context.Context, r exchange.Request) (c *exchange.Credential, err error) {
	audience, first, tries := s.Audience(), "", 0
	switch s.defect {
	case "ignores ctx":
		ctx = context.WithoutCancel(ctx)
	case "asks for another audience":
		audience = "other"
	}
	call := (&tokenhttp.Client{Transport: s.transport}).Call()
	caller := ctx
	err = tokenhttp.Retry(ctx, 0, func(ctx context.Context) error {
		if s.defect == "never gives up" {
			ctx = caller
		}
		jwt, err := r.Subject(ctx, audience)
		if err != nil {
			if s.defect == "hides Subject's error" {
				return errors.New("no JWT")
			}
			return err
		}
		if tries++; tries == 1 {
			first = jwt
		} else if s.defect == "sends a JWT twice" {
			jwt = first
		}
		call.Hide(jwt)
		c, err = s.try(ctx, call, jwt)
		return err
	}, func(err error) tokenhttp.Again {
		var e *exchange.Error
		ok := errors.As(err, &e) && e.Retryable
		switch s.defect {
		case "does not retry":
			ok = false
		case "retries four times":
			ok = ok && tries < 4
		case "retries all":
			ok = tries < 3
		}
		if !ok {
			return tokenhttp.Again{}
		}
		return tokenhttp.Again{For: tokenhttp.Always}
	})
	if err != nil && s.defect == "untyped errors" {
		return nil, errors.New("it failed")
	}
	return c, err
}

func (s *sample) try(ctx context.Context, call *tokenhttp.Call, jwt string) (*exchange.Credential, error) {
	address := s.endpoint
	if s.defect == "JWT in the URL" {
		address += "?assertion=" + jwt
	}
	form := url.Values{"assertion": {jwt}}.Encode()
	start := time.Now()
	status, body, err := s.post(ctx, call, address, form)
	if err != nil {
		return nil, err
	}
	var a struct {
		Token   string          `json:"token"`
		Expires json.RawMessage `json:"expires_in"`
		Words   string          `json:"words"`
	}
	if s.defect == "takes names in any case" {
		err = json.Unmarshal(body, &a)
	} else {
		err = tokenhttp.DecodeJSON(body, &a)
	}
	if status != http.StatusOK {
		words := call.Redact(a.Words)
		switch s.defect {
		case "repeats the cloud's words":
			words = a.Words
		case "hides the last JWT alone":
			words = tokenhttp.Redact(a.Words, jwt)
		case "hides what is not encoded":
			words = strings.ReplaceAll(a.Words, jwt[strings.LastIndexByte(jwt, '.')+1:], "")
		}
		return nil, &exchange.Error{Provider: "sample", Op: "token", Status: status, Description: words, Retryable: tokenhttp.RetryableStatus(status)}
	}
	var lifetime time.Duration
	if err == nil && s.defect != "takes every value" {
		err = tokenhttp.CheckToken(a.Token)
	}
	if err == nil {
		if lifetime, err = tokenhttp.ExpiresIn(a.Expires); s.defect == "takes every lifetime" {
			lifetime, err = time.Hour, nil
		}
	}
	if err != nil {
		if s.defect == "repeats the answer" {
			err = fmt.Errorf("not a token: %s", body)
		}
		return nil, &exchange.Error{Provider: "sample", Op: "token", Status: status, Err: err}
	}
	return exchange.NewCredential(start.Add(lifetime), map[string]string{"SAMPLE_TOKEN": a.Token}), nil
}

// post posts well, or as a plain http.Client does.
func (s *sample) post(ctx context.Context, call *tokenhttp.Call, address, form string) (status int, body []byte, err error) {
	const media = "application/x-www-form-urlencoded"
	failed := func(err error, temporary bool) error {
		return &exchange.Error{Provider: "sample", Op: "token", Err: err, Retryable: temporary}
	}
	switch s.defect {
	default:
		answer, err := call.Post(ctx, tokenhttp.Request{URL: address, ContentType: media, Body: []byte(form), Accept: "application/json"})
		if err != nil {
			var e *tokenhttp.Error
			return 0, nil, failed(err, errors.As(err, &e) && e.Temporary())
		}
		return answer.Status, answer.Body, nil
	case "follows redirects", "reads everything", "never gives up":
		client := http.Client{Transport: s.transport, Timeout: time.Minute}
		if s.defect == "never gives up" {
			client.Timeout = 0
		}
		if s.defect == "reads everything" {
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form))
		if err != nil {
			return 0, nil, failed(err, false)
		}
		r.Header.Set("Content-Type", media)
		answer, err := client.Do(r)
		if err != nil {
			return 0, nil, failed(err, false)
		}
		defer answer.Body.Close()
		limit := int64(256 << 10)
		if s.defect == "reads everything" {
			limit = math.MaxInt64
		}
		body, err := io.ReadAll(io.LimitReader(answer.Body, limit))
		if err != nil {
			return 0, nil, failed(err, false)
		}
		return answer.StatusCode, body, nil
	}
}

func testSample(t *testing.T, defect string) {
	encode := func(status int, v any) oidctokentest.CloudAnswer {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return oidctokentest.CloudAnswer{Status: status, ContentType: "application/json", Body: string(b)}
	}
	oidctokentest.TestExchanger(t, oidctokentest.ExchangerTest{
		New: func(_ *testing.T, endpoint string, transport http.RoundTripper) exchange.Exchanger {
			return &sample{endpoint, transport, defect}
		},
		Answer: func(_ *http.Request, value string, lifetime time.Duration) oidctokentest.CloudAnswer {
			return encode(http.StatusOK, map[string]any{"token": value, "expires_in": int64(lifetime / time.Second)})
		},
		Refusal: func(words string) oidctokentest.CloudAnswer {
			return encode(http.StatusForbidden, map[string]any{"words": words})
		},
	})
}

func TestSampleExchanger(t *testing.T) { testSample(t, "") }

// brokenExchangers are the defects that TestExchanger must find, each with the
// subtests that find it and their messages.
var brokenExchangers = []struct {
	defect string
	found  map[string]string
}{
	{"ignores ctx", map[string]string{
		"Cancelled":          "want one that is context canceled",
		"CancelledMeanwhile": "and its ctx ended after 2s",
		"Deadline":           "and its ctx ended after 5s",
	}},
	{"asks for another audience", map[string]string{"Success": `Exchange asked for a JWT for "other"`}},
	{"hides Subject's error", map[string]string{"SubjectError": "want that of Subject"}},
	{"sends a JWT twice", map[string]string{"Retry": "a JWT was sent twice"}},
	{"does not retry", map[string]string{"Retry": "after one answer of 503"}},
	{"retries four times", map[string]string{
		"Outage/5 s":  "although the cloud was back after 5s",
		"Outage/50 s": "although the cloud was back after 50s",
	}},
	{"hides the last JWT alone", map[string]string{"Answer/earlier JWT in refusal": "the error shows a part of the JWT's signature"}},
	{"hides what is not encoded", map[string]string{
		"Echo/HTML, decimal": "shows an encoded part", "Echo/octal": "shows an encoded part", "Echo/braces": "shows an encoded part",
		"Echo/lines": "shows an encoded part", "Echo/base64": "shows an encoded part",
	}},
	{"takes names in any case", map[string]string{
		"Answer/names in another case": "want an error",
		"Answer/names twice":           "want an error",
	}},
	{"retries all", map[string]string{"Refusal": "a refusal for good is not retried"}},
	{"untyped errors", map[string]string{
		"Answer/empty": "want an *exchange.Error",
		"NoDeadline":   "want an *exchange.Error",
		"Refusal":      "does not show the cloud's words",
	}},
	{"JWT in the URL", map[string]string{"Success": "a JWT stands in a request's URL"}},
	{"repeats the cloud's words", map[string]string{"Answer/echo in refusal": "the error shows a part of the JWT's signature"}},
	{"repeats the answer", map[string]string{
		"Answer/echo":   "the error shows a part of the JWT's signature",
		"Lifetime/over": "the error shows a part of the credential",
	}},
	{"takes every value", map[string]string{
		"Value/empty": "want an error", "Value/CR LF": "want an error", "Value/LF": "want an error",
		"Value/NUL": "want an error", "Value/too long": "want an error",
	}},
	{"takes every lifetime", map[string]string{
		"Lifetime/over": "want an error", "Lifetime/none": "want an error", "Lifetime/endless": "want an error",
	}},
	{"follows redirects", map[string]string{
		"Redirect/307 to another host": "connections to another host",
		"Redirect/308 to another path": "Exchange followed a redirect",
		"Redirect/302 to another path": "Exchange followed a redirect",
	}},
	{"reads everything", map[string]string{
		"Answer/too long":   "bytes of an endless answer",
		"Answer/bomb":       "want an error",
		"Answer/other type": "want an error",
	}},
	{"never gives up", map[string]string{"NoDeadline": "since its ctx had no earlier deadline"}},
}

// brokenExchangerFails fails on purpose: TestExchangerFinds runs it in another
// process.
func brokenExchangerFails(t *testing.T) {
	for _, b := range brokenExchangers {
		t.Run(b.defect, func(t *testing.T) { testSample(t, b.defect) })
	}
}

// TestExchanger is worth something only if it fails when it must.
func TestExchangerFinds(t *testing.T) {
	if os.Getenv(inChild) != "" {
		brokenExchangerFails(t)
		return
	}
	for _, b := range brokenExchangers {
		t.Run(b.defect, func(t *testing.T) {
			t.Parallel()
			failsInChild(t, "TestExchangerFinds/"+b.defect, b.found)
		})
	}
}
