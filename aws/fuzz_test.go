package aws_test

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken/aws"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

// S03 X10: an answer gives a credential that is whole and lives, or an
// *exchange.Error that is fit to be shown.
func FuzzAnswer(f *testing.F) {
	f.Add(200, good(now.Add(time.Hour)).body)
	f.Add(200, granted("", "", "", "1999-01-01T00:00:00Z").body)
	f.Add(200, `<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>`)
	f.Add(200, `<a xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><a/><b><![CDATA[x]]></b>&#xD;</a>`)
	f.Add(403, refused(403, "AccessDenied", "x").body)
	f.Add(400, refused(400, "Throttling", "\x1b\u0085").body)
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 || status >= 300 && status < 400 {
			t.Skip("no final answer with a body")
		}
		synctest.Test(t, func(t *testing.T) { // as some are retried
			m := &minter{}
			e := newExchanger(t, &sts{answers: []answer{{status: status, body: body}}}, aws.Config{Now: func() time.Time { return now }})
			c, err := e.Exchange(t.Context(), m.request())
			if err != nil {
				var xe *exchange.Error
				if !errors.As(err, &xe) || c != nil {
					t.Fatalf("%v, %v: want no credential and an *exchange.Error", c, err)
				}
				if text := err.Error(); len(text) > 1024 || strings.ContainsAny(text, "\r\n\x00\x1b") {
					t.Fatalf("error of %d bytes: %q", len(text), text)
				}
				return
			}
			for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
				value := c.Value(name)
				if value == "" || len(value) > 16<<10 || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
					t.Fatalf("accepted %s = %q", name, value)
				}
			}
			if life := c.Expires().Sub(now); life <= 0 || life > time.Hour || status != 200 {
				t.Fatalf("accepted status %d and a lifetime of %s", status, life)
			}
		})
	})
}

// S03: a JWT that is sent is one, byte for byte.
func FuzzSubjectToken(f *testing.F) {
	jwt, _ := (&minter{}).subject(f.Context(), "sts.amazonaws.com")
	f.Add(jwt)
	f.Add(jwt + "\n")
	f.Add("e30.e30.AA")
	f.Add("..")
	f.Fuzz(func(t *testing.T, jwt string) {
		s := &sts{answers: []answer{good(time.Now().Add(time.Hour))}}
		_, err := newExchanger(t, s, aws.Config{}).Exchange(t.Context(), exchange.Request{SessionName: sessionName,
			Subject: func(context.Context, string) (string, error) { return jwt, nil }})
		switch {
		case err == nil:
			checkCall(t, s.asked()[0], jwt, url.Values{"DurationSeconds": {"3600"}})
			if strings.Count(jwt, ".") != 2 || strings.Trim(jwt, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
				t.Errorf("sent %q", jwt)
			}
		case configError(err) == nil || len(s.asked()) != 0:
			t.Errorf("error = %v after %d requests, want a *ConfigError before any", err, len(s.asked()))
		}
	})
}

// S03: what New takes is an address of AWS in the role's partition, or the
// configured one.
func FuzzNew(f *testing.F) {
	f.Add(roleARN, region, "")
	f.Add("arn:aws-cn:iam::123456789012:role/a/b", "cn-north-1", "")
	f.Add(roleARN, "eu-west-1.evil.example.com/", "")
	f.Add(roleARN, region, "https://evil@sts.example.com")
	suffixes := []string{".amazonaws.com", ".amazonaws.com.cn", ".c2s.ic.gov", ".sc2s.sgov.gov", ".cloud.adc-e.uk", ".csp.hci.ic.gov", ".amazonaws.eu"}
	f.Fuzz(func(t *testing.T, role, in, endpoint string) {
		s := &sts{answers: []answer{good(time.Now().Add(time.Hour))}}
		e, err := aws.New(aws.Config{RoleARN: role, Region: in, Endpoint: endpoint, InsecureAnyRole: true, Transport: cloudtest.InProcess{Handler: s}})
		if err != nil {
			if configError(err) == nil || e != nil {
				t.Fatalf("New = %v, %v", e, err)
			}
			return
		}
		m := &minter{claims: map[string]any{"https://aws.amazon.com/roles": nil}}
		if _, err := e.Exchange(t.Context(), m.request()); err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(s.asked()[0].URL)
		if err != nil {
			t.Fatal(err)
		}
		if endpoint != "" {
			want, err := url.Parse(endpoint)
			if err != nil || u.Host != want.Host {
				t.Fatalf("asked %s for %s", u, endpoint)
			}
			return
		}
		if u.Scheme != "https" || u.Path != "/" || !strings.HasPrefix(u.Host, "sts."+in+".") || !slices.Contains(suffixes, strings.TrimPrefix(u.Host, "sts."+in)) {
			t.Fatalf("asked %s for %s", u, in)
		}
	})
}

// S03: DecodeTag accepts the encoding of a value, and encodings with more
// escapes than necessary.
func FuzzDecodeTag(f *testing.F) {
	for _, s := range []string{"", "refs/heads/main", "fix/=2346", "=5B=5D", "=", "=5", "=5b", "==", "é=C3=A9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		value, err := aws.DecodeTag(s)
		if err != nil {
			if !strings.Contains(s, "=") || value != "" {
				t.Errorf("DecodeTag(%q) = %q, %v", s, value, err)
			}
			return
		}
		if len(value)+2*strings.Count(s, "=") != len(s) {
			t.Errorf("DecodeTag(%q) = %q", s, value)
		}
	})
}
