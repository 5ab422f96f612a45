package aws_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/aws"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

// D06: all is in the body of one unsigned POST.
func TestExchangeRequest(t *testing.T) {
	const policy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`
	for _, tt := range []struct {
		name   string
		config aws.Config
		want   url.Values // in addition to those of every request
	}{
		{"default", aws.Config{}, url.Values{"DurationSeconds": {"3600"}}},
		{"lifetime", aws.Config{Lifetime: 15 * time.Minute}, url.Values{"DurationSeconds": {"900"}}},
		{"policies", aws.Config{SessionPolicy: policy, PolicyARNs: []string{"arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws:iam::123456789012:policy/b"}},
			url.Values{"DurationSeconds": {"3600"}, "Policy": {policy},
				"PolicyArns.member.1.arn": {"arn:aws:iam::aws:policy/ReadOnlyAccess"}, "PolicyArns.member.2.arn": {"arn:aws:iam::123456789012:policy/b"}}},
		{"other audience", aws.Config{Audience: "https://aws.example.com"}, url.Values{"DurationSeconds": {"3600"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &sts{answers: []answer{good(time.Now().Add(15 * time.Minute))}}
			e := newExchanger(t, s, tt.config)
			m := &minter{}
			var audiences []string
			_, err := e.Exchange(t.Context(), exchange.Request{SessionName: sessionName, Subject: func(ctx context.Context, audience string) (string, error) {
				audiences = append(audiences, audience)
				return m.subject(ctx, audience)
			}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{e.Audience()}, audiences); diff != "" {
				t.Errorf("audiences (-want +got):\n%s", diff)
			}
			calls := s.asked()
			if len(calls) != 1 {
				t.Fatalf("%d requests, want 1", len(calls))
			}
			checkCall(t, calls[0], m.All()[0], tt.want)
		})
	}
}

func checkCall(t *testing.T, c call, jwt string, beyond url.Values) {
	t.Helper()
	form, err := url.ParseQuery(c.Body)
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"},
		"RoleArn": {roleARN}, "RoleSessionName": {sessionName}, "WebIdentityToken": {jwt},
	}
	for name, value := range beyond {
		want[name] = value
	}
	if diff := cmp.Diff(want, form); diff != "" {
		t.Errorf("form (-want +got):\n%s", diff)
	}
	c.Body = ""
	if diff := cmp.Diff(call{
		Method: "POST", URL: "https://sts.eu-west-1.amazonaws.com/",
		ContentType: "application/x-www-form-urlencoded", Accept: "text/xml",
	}, c); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

// X10 D08
func TestExchangeCredential(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		name    string
		expires time.Time
		want    time.Time
	}{
		{"as asked for", now.Add(time.Hour), now.Add(time.Hour)},
		{"shorter", now.Add(20 * time.Minute), now.Add(20 * time.Minute)},
		{"our clock is behind", now.Add(time.Hour + 14*time.Minute), now.Add(time.Hour)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &sts{answers: []answer{good(tt.expires)}}
			e := newExchanger(t, s, aws.Config{Now: func() time.Time { return now }})
			c, err := e.Exchange(t.Context(), (&minter{}).request())
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{
				"AWS_ACCESS_KEY_ID": accessKeyID, "AWS_SECRET_ACCESS_KEY": secretKey, "AWS_SESSION_TOKEN": sessionToken,
				"AWS_ACCOUNT_ID": "123456789012", "AWS_REGION": region, "AWS_DEFAULT_REGION": region,
			}
			if diff := cmp.Diff(want, c.Env()); diff != "" {
				t.Errorf("Env (-want +got):\n%s", diff)
			}
			if !c.Expires().Equal(tt.want) {
				t.Errorf("Expires = %s, want %s", c.Expires(), tt.want)
			}
			cloudtest.NoLeak(t, c, secretKey, sessionToken)
		})
	}
}

// X10
func TestExchangeRefusesRequest(t *testing.T) {
	subject := (&minter{}).subject
	const notName = "is not of 2 to 64 letters, digits and _+=,.@-"
	for _, tt := range []struct {
		name string
		give exchange.Request
		want oidctoken.ConfigError
	}{
		{"no subject", exchange.Request{SessionName: sessionName}, oidctoken.ConfigError{Package: "aws", Field: "Request.Subject", Reason: "is required"}},
		{"no session name", exchange.Request{Subject: subject},
			oidctoken.ConfigError{Package: "aws", Field: "Request.SessionName", Reason: "is required: make one for the execution, as SessionName does"}},
		{"short session name", exchange.Request{Subject: subject, SessionName: "a"}, oidctoken.ConfigError{Package: "aws", Field: "Request.SessionName", Reason: notName}},
		{"long session name", exchange.Request{Subject: subject, SessionName: strings.Repeat("a", 65)}, oidctoken.ConfigError{Package: "aws", Field: "Request.SessionName", Reason: notName}},
		{"colon", exchange.Request{Subject: subject, SessionName: "account/acme:org"}, oidctoken.ConfigError{Package: "aws", Field: "Request.SessionName", Reason: notName}},
		{"umlaut", exchange.Request{Subject: subject, SessionName: "Zoë"}, oidctoken.ConfigError{Package: "aws", Field: "Request.SessionName", Reason: notName}},
		{"line break", exchange.Request{Subject: subject, SessionName: "acme\n"}, oidctoken.ConfigError{Package: "aws", Field: "Request.SessionName", Reason: notName}},
		{"scopes", exchange.Request{Subject: subject, SessionName: sessionName, Scopes: []string{"s3"}},
			oidctoken.ConfigError{Package: "aws", Field: "Request.Scopes", Reason: "is not empty, and AWS has no OAuth scopes: use Config.SessionPolicy"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &sts{answers: []answer{good(time.Now().Add(time.Hour))}}
			err := exchangeError(t, newExchanger(t, s, aws.Config{}), tt.give)
			if diff := cmp.Diff(&tt.want, configError(err)); diff != "" {
				t.Errorf("Exchange (-want +got):\n%s", diff)
			}
			if n := len(s.asked()); n != 0 {
				t.Errorf("%d requests, want none", n)
			}
		})
	}
}

// T05: a JWT that AWS would refuse is never sent, such as one signed with
// EdDSA.
func TestExchangeRefusesJWT(t *testing.T) {
	const (
		notJWT   = "did not return a compact JWT with a string for iss, sub and aud and an integer for iat, nbf and exp"
		notSize  = "returned a JWT that is not of 4 to 20000 bytes"
		notAlg   = "returned a JWT that is not signed with one of ES256, RS256, ES384, ES512, RS384, RS512"
		noClaim  = "returned a JWT without iss, sub, iat or exp"
		otherAud = "returned a JWT for another audience than the requested one"
		noRole   = "returned a JWT that is not pinned to RoleARN: mint it with the Claims of Exchanger.Profile"
		badRole  = "returned a JWT that is pinned to another role than RoleARN"
		oddRole  = "returned a JWT whose roles claim is neither a string nor a list of strings"
	)
	fixed := func(change func(jwt string) string) exchange.SubjectToken {
		return func(ctx context.Context, audience string) (string, error) {
			jwt, err := (&minter{}).subject(ctx, audience)
			return change(jwt), err
		}
	}
	header := func(h map[string]any) exchange.SubjectToken { return (&minter{header: h}).subject }
	claims := func(c map[string]any) exchange.SubjectToken { return (&minter{claims: c}).subject }
	roles := func(r any) exchange.SubjectToken {
		return (&minter{claims: map[string]any{"https://aws.amazon.com/roles": r}}).subject
	}
	now := time.Now().Unix()
	for _, tt := range []struct {
		name string
		give exchange.SubjectToken
		want string
	}{
		{"empty", fixed(func(string) string { return "" }), notSize},
		{"short", fixed(func(string) string { return "a.b" }), notSize},
		{"long", claims(map[string]any{"x": strings.Repeat("x", 20000)}), notSize},
		{"two parts", fixed(func(s string) string { return s[:strings.LastIndex(s, ".")] }), notJWT},
		{"four parts", fixed(func(s string) string { return s + ".e30" }), notJWT},
		{"no signature", fixed(func(s string) string { return s[:strings.LastIndex(s, ".")+1] }), notJWT},
		{"line break at the end", fixed(func(s string) string { return s + "\n" }), notJWT},
		{"line break inside", fixed(func(s string) string { return s[:4] + "\r\n" + s[4:] }), notJWT},
		{"space", fixed(func(s string) string { return " " + s }), notJWT},
		{"padding", fixed(func(s string) string { return s + "==" }), notJWT},
		{"stray bits", fixed(func(s string) string { return s[:len(s)-1] + "_" }), notJWT},
		{"header is no object", fixed(func(s string) string { return "W10" + s[strings.Index(s, "."):] }), notJWT},
		{"two audiences", claims(map[string]any{"aud": []string{"sts.amazonaws.com", "b"}}), notJWT},
		{"date is a fraction", claims(map[string]any{"exp": 1.5}), notJWT},
		{"nbf is a fraction", claims(map[string]any{"nbf": 1.5}), notJWT},
		{"date is a string", claims(map[string]any{"iat": "1"}), notJWT},
		{"EdDSA", header(map[string]any{"alg": "EdDSA"}), notAlg},
		{"none", header(map[string]any{"alg": "none"}), notAlg},
		{"HMAC", header(map[string]any{"alg": "HS256"}), notAlg},
		{"other case", header(map[string]any{"alg": "es256"}), notAlg},
		{"no alg", header(map[string]any{"alg": nil}), notAlg},
		{"no iss", claims(map[string]any{"iss": nil}), noClaim},
		{"no sub", claims(map[string]any{"sub": nil}), noClaim},
		{"no iat", claims(map[string]any{"iat": nil}), noClaim},
		{"no exp", claims(map[string]any{"exp": nil}), noClaim},
		{"no aud", claims(map[string]any{"aud": nil}), otherAud},
		{"other aud", claims(map[string]any{"aud": "https://sts.amazonaws.com"}), otherAud},
		{"over before it begins", claims(map[string]any{"iat": now, "exp": now}), "returned a JWT that ends before it begins"},
		{"not pinned", roles(nil), noRole},
		{"pinned to another role", roles(roleARN + "2"), badRole},
		{"pinned to other roles", roles([]string{"arn:aws:iam::123456789012:role/a", "arn:aws:iam::123456789012:role/b"}), badRole},
		{"pinned to nothing", roles([]string{}), badRole},
		{"roles are an object", roles(map[string]string{"a": roleARN}), oddRole},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &sts{answers: []answer{good(time.Now().Add(time.Hour))}}
			var sent string
			err := exchangeError(t, newExchanger(t, s, aws.Config{}), exchange.Request{SessionName: sessionName,
				Subject: func(ctx context.Context, audience string) (_ string, err error) {
					sent, err = tt.give(ctx, audience)
					return sent, err
				}})
			if diff := cmp.Diff(&oidctoken.ConfigError{Package: "aws", Field: "Request.Subject", Reason: tt.want}, configError(err)); diff != "" {
				t.Errorf("Exchange (-want +got):\n%s", diff)
			}
			if n := len(s.asked()); n != 0 {
				t.Errorf("%d requests, want none", n)
			}
			cloudtest.NoLeak(t, err, sent)
		})
	}
}

// With InsecureAnyRole, a JWT needs no roles claim; a JWT for another role is
// refused all the same.
func TestExchangeUnpinned(t *testing.T) {
	s := &sts{answers: []answer{good(time.Now().Add(time.Hour))}}
	e := newExchanger(t, s, aws.Config{InsecureAnyRole: true})
	if _, err := e.Exchange(t.Context(), (&minter{claims: map[string]any{"https://aws.amazon.com/roles": nil}}).request()); err != nil {
		t.Errorf("Exchange of a JWT without the roles claim: %v", err)
	}
	err := exchangeError(t, e, (&minter{claims: map[string]any{"https://aws.amazon.com/roles": roleARN + "2"}}).request())
	if configError(err) == nil {
		t.Errorf("error = %v, want a *ConfigError", err)
	}
}

// The host's own errors are returned unchanged, and the request is not
// repeated.
func TestExchangeSubjectError(t *testing.T) {
	for _, want := range []error{&oidctoken.ScopeError{Field: "Audience", Reason: "is required"}, oidctoken.ErrSignerUnavailable, context.Canceled} {
		s := &sts{answers: []answer{good(time.Now().Add(time.Hour))}}
		calls := 0
		err := exchangeError(t, newExchanger(t, s, aws.Config{}), exchange.Request{SessionName: sessionName,
			Subject: func(context.Context, string) (string, error) { calls++; return "", want }})
		if err != want || calls != 1 || len(s.asked()) != 0 {
			t.Errorf("error = %v after %d calls and %d requests, want %v, 1 and 0", err, calls, len(s.asked()), want)
		}
	}
}

// X09: a failure that may pass is tried again, with a new JWT each time: an outage
// while the budget lasts, a refusal that looks like a wrong configuration briefly.
func TestExchangeRetries(t *testing.T) {
	const once = time.Second // one more try
	for _, tt := range []struct {
		name string
		give answer
		want time.Duration // how long STS is retried while it fails
	}{
		{"internal error", refused(500, "InternalFailure", "x"), time.Minute},
		{"unavailable", refused(503, "ServiceUnavailable", "x"), time.Minute},
		{"gateway", answer{status: 502, body: "<html>"}, time.Minute},
		{"too many requests", refused(429, "TooManyRequestsException", "Rate exceeded"), time.Minute},
		{"throttling", refused(400, "Throttling", "Rate exceeded"), time.Minute},
		{"throttling exception", refused(400, "ThrottlingException", "Rate exceeded"), time.Minute},
		{"request limit", refused(400, "RequestLimitExceeded", "Request limit exceeded."), time.Minute},
		{"issuer not reached", refused(400, "IDPCommunicationError", "x"), time.Minute},
		{"key not known yet", refused(400, "InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements"), time.Minute},
		{"some other reason", refused(400, "InvalidIdentityToken", "x"), 17 * time.Second},
		{"JWT over", refused(400, "ExpiredTokenException", "Token expired: current date/time 2 must be before the expiration date/time 1"), once},

		{"audience", refused(400, "InvalidIdentityToken", "Incorrect token audience"), 0},
		{"no provider", refused(400, "InvalidIdentityToken", "No OpenIDConnect provider found in your account for https://ci.example.com"), 0},
		{"thumbprint", refused(400, "InvalidIdentityToken", "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint"), 0},
		{"clock ahead", refused(400, "InvalidIdentityToken", "The ID Token provided is not valid yet"), 0},
		{"claim", refused(403, "IDPRejectedClaim", "x"), 0},
		{"trust policy", refused(403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"), 0},
		{"validation", refused(400, "ValidationError", "x"), 0},
		{"packed policy", refused(400, "PackedPolicyTooLarge", "x"), 0},
		{"policy", refused(400, "MalformedPolicyDocument", "x"), 0},
		{"region", refused(403, "RegionDisabledException", "x"), 0},
		{"not an error of STS", answer{status: 400, body: "<html>"}, 0},
		{"malformed answer", answer{body: "<html>"}, 0},
		{"redirect", answer{status: 307, header: http.Header{"Location": {"https://evil.example.com/"}}}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &sts{answers: []answer{tt.give}}
				m := &minter{}
				start := time.Now()
				err := exchangeError(t, newExchanger(t, s, aws.Config{}), m.request())
				if took := time.Since(start); took > tt.want || took < tt.want*8/10 && tt.want != once {
					t.Errorf("took %s, want up to %s", took, tt.want)
				}
				var xe *exchange.Error
				if !errors.As(err, &xe) {
					t.Fatalf("error = %v, want an *exchange.Error", err)
				}
				if xe.Temporary() != (tt.want > once) {
					t.Errorf("Temporary = %v", xe.Temporary())
				}
				calls := s.asked()
				if n := len(calls); tt.want == 0 && n != 1 || tt.want == once && n != 2 || n > 30 {
					t.Errorf("%d requests in %s", n, tt.want)
				}
				sent := make(map[string]bool)
				for _, c := range calls {
					form, err := url.ParseQuery(c.Body)
					if err != nil {
						t.Fatal(err)
					}
					sent[form.Get("WebIdentityToken")] = true
				}
				if len(sent) != len(calls) {
					t.Errorf("%d requests had %d different JWTs", len(calls), len(sent))
				}
				cloudtest.NoLeak(t, err, m.All()...)
			})
		})
		if tt.want == 0 {
			continue
		}
		t.Run(tt.name+", passing", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &sts{answers: []answer{tt.give, good(time.Now().Add(time.Hour))}}
				start := time.Now()
				if _, err := newExchanger(t, s, aws.Config{}).Exchange(t.Context(), (&minter{}).request()); err != nil {
					t.Fatal(err)
				}
				if n := len(s.asked()); n != 2 || time.Since(start) == 0 {
					t.Errorf("%d requests in %s, want 2 and a wait between", n, time.Since(start))
				}
			})
		})
	}
}

// X07
func TestExchangeEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		silent := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		start := time.Now()
		_, err := newExchanger(t, silent, aws.Config{}).Exchange(ctx, (&minter{}).request())
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("error = %v after %s, want the deadline's after 3 s", err, time.Since(start))
		}
		if want := "aws: sts:AssumeRoleWithWebIdentity: "; !strings.HasPrefix(fmt.Sprint(err), want) {
			t.Errorf("error = %v, want it to begin with %q", err, want)
		}
	})
}
