package awstest_test

import (
	"encoding/xml"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/oidctokentest/awstest"
)

func TestAWSIdentity(t *testing.T) {
	a := newAWS(t)
	keys := a.assume(t, a.request())
	session, _ := a.Session(keys.AccessKeyID)
	for _, tt := range []struct {
		name   string
		change func(*awsCall)
	}{
		{"as clients do", func(*awsCall) {}},
		{"other Region", func(c *awsCall) { c.scope[1] = "us-east-1" }},
		{"no space in the header", func(c *awsCall) {
			c.authorization = func(s string) string { return strings.ReplaceAll(s, ", ", ",") }
		}},
		{"more headers signed", func(c *awsCall) {
			c.header.Set("X-Amz-User-Agent", "a/1 b/2")
			c.signed = append(c.signed, "x-amz-user-agent")
		}},
		{"unsigned header that AWS does not read", func(c *awsCall) { c.header.Set("User-Agent", "x") }},
		{"clock is off by 4 minutes", func(c *awsCall) {
			c.header.Set("X-Amz-Date", c.time.Add(-4*time.Minute).Format("20060102T150405Z"))
			c.scope[0] = c.time.Add(-4 * time.Minute).Format("20060102")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := identity(keys)
			tt.change(c)
			answer := a.call(t, c)
			type response struct {
				XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetCallerIdentityResponse"`
				ARN     string   `xml:"GetCallerIdentityResult>Arn"`
				UserID  string   `xml:"GetCallerIdentityResult>UserId"`
				Account string   `xml:"GetCallerIdentityResult>Account"`
			}
			var got response
			if err := xml.Unmarshal(answer.Body.Bytes(), &got); err != nil {
				t.Fatalf("STS answered %d %s: %v", answer.Code, answer.Body, err)
			}
			want := response{got.XMLName, session.ARN, session.UserID, awsAccount}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

// Each part of a signature is broken once.
func TestAWSIdentityRefuses(t *testing.T) {
	a := newAWS(t)
	keys, others := a.assume(t, a.request()), a.assume(t, a.request())
	authorization := func(old, new string) func(*awsCall) {
		return func(c *awsCall) {
			c.authorization = func(s string) string {
				if !strings.Contains(s, old) {
					t.Errorf("the header has no %q: %s", old, s)
				}
				return strings.Replace(s, old, new, 1)
			}
		}
	}
	unsigned := func(name string) func(*awsCall) {
		return func(c *awsCall) {
			c.signed = strings.Fields(strings.Replace(strings.Join(c.signed, " "), name, "", 1))
		}
	}
	at := func(d time.Duration) func(*awsCall) {
		return func(c *awsCall) {
			c.header.Set("X-Amz-Date", c.time.Add(d).Format("20060102T150405Z"))
			c.scope[0] = c.time.Add(d).Format("20060102")
		}
	}
	const incomplete, invalid, mismatch = "IncompleteSignature", "InvalidClientTokenId", "SignatureDoesNotMatch"
	for _, tt := range []struct {
		name   string
		change func(*awsCall)
		status int
		code   string
	}{
		{"not signed", func(c *awsCall) { c.authorization = func(string) string { return "" } }, 403, "MissingAuthenticationToken"},
		{"bearer", func(c *awsCall) { c.authorization = func(string) string { return "Bearer x" } }, 400, incomplete},
		{"other algorithm", authorization("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), 400, incomplete},
		{"other service", func(c *awsCall) { c.scope[2] = "s3" }, 400, incomplete},
		{"other end of scope", func(c *awsCall) { c.scope[3] = "aws5_request" }, 400, incomplete},
		{"no Region", func(c *awsCall) { c.scope[1] = "" }, 400, incomplete},
		{"other date of scope", func(c *awsCall) { c.scope[0] = "20200101" }, 400, incomplete},
		{"no date", func(c *awsCall) { c.header.Del("X-Amz-Date") }, 400, incomplete},
		{"date in another form", func(c *awsCall) { c.header.Set("X-Amz-Date", c.time.Format(time.RFC3339)) }, 400, incomplete},
		{"host not signed", unsigned("host"), 400, incomplete},
		{"date not signed", unsigned("x-amz-date"), 400, incomplete},
		{"token not signed", unsigned("x-amz-security-token"), 400, incomplete},
		{"further header of AWS not signed", func(c *awsCall) { c.header.Set("X-Amz-Target", "x") }, 400, incomplete},
		{"headers not in order", authorization("content-type;host", "host;content-type"), 400, incomplete},
		{"header signed twice", authorization("host;", "host;host;"), 400, incomplete},
		{"header in capitals", authorization("SignedHeaders=content-type", "SignedHeaders=Content-Type"), 400, incomplete},
		{"no signature", authorization(", Signature=", ", Signed="), 400, incomplete},

		{"unknown key", func(c *awsCall) { c.keys.AccessKeyID = "ASIAEXAMPLEEXAMPLE12" }, 403, invalid},
		{"no token", func(c *awsCall) { c.header.Set("X-Amz-Security-Token", "") }, 403, invalid},
		{"another session's token", func(c *awsCall) { c.header.Set("X-Amz-Security-Token", others.SessionToken) }, 403, invalid},
		{"another session's secret", func(c *awsCall) { c.keys.SecretAccessKey = others.SecretAccessKey }, 403, mismatch},
		{"other signature", authorization("Signature=", "Signature=0"), 403, mismatch},
		{"empty signature", func(c *awsCall) {
			c.authorization = func(s string) string { return s[:strings.Index(s, "Signature=")+len("Signature=")] }
		}, 403, mismatch},
		{"signature in capitals", func(c *awsCall) {
			c.authorization = func(s string) string {
				i := strings.Index(s, "Signature=") + len("Signature=")
				return s[:i] + strings.ToUpper(s[i:])
			}
		}, 403, mismatch},
		{"other body", func(c *awsCall) { c.sentBody = func(s string) string { return s + "&" } }, 403, mismatch},
		{"fewer headers than were signed", func(c *awsCall) {
			c.authorization = func(s string) string {
				return strings.Replace(s, "content-type;", "", 1)
			}
		}, 403, mismatch},
		{"header changed afterwards", func(c *awsCall) {
			c.header.Set("Content-Type", "application/x-www-form-urlencoded")
			c.authorization = func(s string) string {
				c.header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
				return s
			}
		}, 403, mismatch},
		{"old", at(-6 * time.Minute), 403, mismatch},
		{"in the future", at(6 * time.Minute), 403, mismatch},
		{"unknown parameter", func(c *awsCall) { c.body += "&RoleArn=x" }, 400, "UnknownParameter"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := identity(keys)
			tt.change(c)
			answer := a.call(t, c)
			if got := readAWSRefusal(t, answer); answer.Code != tt.status || got.Code != tt.code {
				t.Errorf("STS answered %d %+v, want %d %s", answer.Code, got, tt.status, tt.code)
			}
			for _, secret := range []string{keys.SecretAccessKey, keys.SessionToken} {
				if strings.Contains(answer.Body.String(), secret[:12]) {
					t.Error("the answer repeats a secret")
				}
			}
		})
	}
}

func TestAWSSessionEnds(t *testing.T) {
	now := time.Now()
	a := newAWS(t, func(c *awstest.Config) { c.Now = func() time.Time { return now } })
	r := a.request()
	r.form.Set("DurationSeconds", "900")
	keys := a.assume(t, r)
	at := func(later time.Duration) int {
		now = now.Add(later)
		c := identity(keys)
		c.header.Set("X-Amz-Date", now.UTC().Format("20060102T150405Z"))
		c.scope[0] = now.UTC().Format("20060102")
		answer := a.call(t, c)
		if answer.Code != http.StatusOK {
			if got := readAWSRefusal(t, answer).Code; got != "ExpiredToken" {
				t.Errorf("code = %s, want ExpiredToken", got)
			}
		}
		return answer.Code
	}
	if got := at(14 * time.Minute); got != http.StatusOK {
		t.Errorf("after 14 minutes STS answered %d", got)
	}
	if _, ok := a.Session(keys.AccessKeyID); !ok {
		t.Error("Session does not know a session that lives")
	}
	if got := at(time.Minute); got != http.StatusForbidden {
		t.Errorf("after 15 minutes STS answered %d", got)
	}
	if _, ok := a.Session(keys.AccessKeyID); ok {
		t.Error("Session knows a session that has ended")
	}
}
