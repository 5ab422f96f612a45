package aws_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/aws"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// X10 X06: an answer of status 200 that is not what STS sends is refused, and
// nothing of it is shown.
func TestAnswerRefused(t *testing.T) {
	const (
		notXML   = "the answer is not the XML that STS sends"
		noMember = "its AccessKeyId, SecretAccessKey, SessionToken or Expiration is missing or there twice"
		badID    = "its AccessKeyId is not of 16 to 128 letters, digits and _"
		badKey   = "its SecretAccessKey is not of visible ASCII"
		badToken = "its SessionToken is not of visible ASCII, of at most 16 KiB"
		badTime  = "its Expiration is not a time of RFC 3339"
		over     = "the session is over already"
		tooLong  = "the session claims to live longer than requested"
	)
	text := good(now.Add(time.Hour)).body
	with := func(old, new string) string {
		if !strings.Contains(text, old) {
			t.Fatalf("the answer has no %q", old)
		}
		return strings.ReplaceAll(text, old, new)
	}
	ends := func(s string) string { return granted(accessKeyID, secretKey, sessionToken, s).body }
	for _, tt := range []struct{ name, give, want string }{
		{"empty", "", notXML},
		{"space", " \n", notXML},
		{"JSON", `{"AssumeRoleWithWebIdentityResponse":{}}`, notXML},
		{"HTML", "<!DOCTYPE html><title>Sign in</title>", notXML},
		{"cut off", text[:len(text)/2], notXML},
		{"two answers", text + text, notXML},
		{"text behind", text + "x", notXML},
		{"text before", "x" + text, notXML},
		{"mixed content", with("<Credentials>", "x<Credentials>"), notXML},
		{"mixed content behind", with("</Credentials>", "</Credentials>x"), notXML},
		{"mixed content at the end", with("</Credentials>", "x</Credentials>"), notXML},
		{"levels", with("<Credentials>", strings.Repeat("<a>", 7)+strings.Repeat("</a>", 7)+"<Credentials>"), notXML},
		{"comment", with("<Credentials>", "<!-- --><Credentials>"), notXML},
		{"comment in a member", with("<AccessKeyId>", "<AccessKeyId><!-- -->"), notXML},
		{"instruction", with("<Credentials>", "<?php x ?><Credentials>"), notXML},
		{"document type", `<!DOCTYPE a [<!ENTITY e "` + accessKeyID + `">]>` + with(accessKeyID, "&e;"), notXML},
		{"billion laughs", `<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>` + text, notXML},
		{"external entity", `<!DOCTYPE a SYSTEM "file:///etc/passwd">` + text, notXML},
		{"unknown entity", with(accessKeyID, "&x;"), notXML},
		{"other charset", `<?xml version="1.0" encoding="UTF-16"?>` + text, notXML},
		{"bad UTF-8", with(accessKeyID, accessKeyID+"\xff"), notXML},
		{"deep", strings.Repeat("<a>", 1000) + strings.Repeat("</a>", 1000), notXML},
		{"attribute", with("<Credentials>", `<Credentials a="b">`), notXML},
		{"attribute of a namespace", with("<Credentials>", `<Credentials xmlns:a="b" a:b="c">`), notXML},
		{"name of 65 bytes", with("<Credentials>", "<"+strings.Repeat("a", 65)+"/><Credentials>"), notXML},
		{"257 equals signs", with("<Credentials>", "<a>"+strings.Repeat("=", 257-strings.Count(text, "="))+"</a><Credentials>"), notXML},
		{"a byte more than 64 KiB", text + strings.Repeat(" ", 64<<10+1-len(text)), notXML},
		{"many elements", with("<Credentials>", strings.Repeat("<a></a>", 100)+"<Credentials>"), notXML},
		{"no namespace", with(` xmlns="https://sts.amazonaws.com/doc/2011-06-15/"`, ""), notXML},
		{"other namespace", with("2011-06-15/", "2011-06-16/"), notXML},
		{"member of another namespace", with("<AccessKeyId>", `<AccessKeyId xmlns="https://evil.example.com/">`), notXML},
		{"prefixed member", with("AccessKeyId>", "e:AccessKeyId>"), notXML},

		{"other call", with("AssumeRoleWithWebIdentity", "AssumeRole"), noMember},
		{"no key id", with("<AccessKeyId>"+accessKeyID+"</AccessKeyId>", ""), noMember},
		{"no key", with("<SecretAccessKey>"+secretKey+"</SecretAccessKey>", ""), noMember},
		{"no token", with("<SessionToken>"+sessionToken+"</SessionToken>", ""), noMember},
		{"no end", with("Expiration", "Expires"), noMember},
		{"key id twice", with("<SecretAccessKey>", "<AccessKeyId>ASIAEXAMPLEEXAMPLE34</AccessKeyId><SecretAccessKey>"), noMember},
		{"credentials twice", with("</Credentials>", "</Credentials><Credentials><AccessKeyId>ASIAEXAMPLEEXAMPLE34</AccessKeyId></Credentials>"), noMember},
		{"member has members", with("<AccessKeyId>"+accessKeyID, "<AccessKeyId><a>"+accessKeyID+"</a>"), noMember},
		{"other case", with("AccessKeyId>", "accessKeyId>"), noMember},
		{"credentials elsewhere", with("Credentials>", "AssumedRole>"), noMember},

		{"empty key id", granted("", secretKey, sessionToken, "2030-01-02T04:04:05Z").body, badID},
		{"short key id", granted("ASIA", secretKey, sessionToken, "2030-01-02T04:04:05Z").body, badID},
		{"long key id", granted(strings.Repeat("A", 129), secretKey, sessionToken, "2030-01-02T04:04:05Z").body, badID},
		{"key id with a line break", granted(accessKeyID+"\n", secretKey, sessionToken, "2030-01-02T04:04:05Z").body, badID},
		{"empty key", granted(accessKeyID, "", sessionToken, "2030-01-02T04:04:05Z").body, badKey},
		{"key with a line break", granted(accessKeyID, secretKey+"\r\nX: y", sessionToken, "2030-01-02T04:04:05Z").body, badKey},
		{"empty token", granted(accessKeyID, secretKey, "", "2030-01-02T04:04:05Z").body, badToken},
		{"token with a space", granted(accessKeyID, secretKey, sessionToken+" x", "2030-01-02T04:04:05Z").body, badToken},
		{"long token", granted(accessKeyID, secretKey, strings.Repeat("x", 16<<10+1), "2030-01-02T04:04:05Z").body, badToken},

		{"empty end", ends(""), badTime},
		{"end is a number", ends("1893557045"), badTime},
		{"end without zone", ends("2030-01-02T04:04:05"), badTime},
		{"1999", ends("1999-01-01T00:00:00Z"), over},
		{"now", ends("2030-01-02T03:04:05Z"), over},
		{"other zone", ends("2030-01-02T04:04:05+02:00"), over},
		{"a day", ends("2030-01-03T03:04:05Z"), tooLong},
		{"9999", ends("9999-12-31T23:59:59Z"), tooLong},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &sts{answers: []answer{{body: tt.give}}}
			e := newExchanger(t, s, aws.Config{Now: func() time.Time { return now }})
			err := exchangeError(t, e, (&minter{}).request())
			var xe *exchange.Error
			if !errors.As(err, &xe) || xe.Err == nil {
				t.Fatalf("error = %v, want an *exchange.Error with a cause", err)
			}
			if xe.Err.Error() != tt.want || xe.Status != http.StatusOK || xe.Temporary() {
				t.Errorf("error = %v, want %q of status 200, not temporary", err, tt.want)
			}
			cloudtest.NoLeak(t, err, accessKeyID, secretKey, sessionToken)
		})
	}
}

// Members that STS may add later are accepted.
func TestAnswerAccepted(t *testing.T) {
	text := good(now.Add(time.Hour)).body
	for _, tt := range []struct{ name, give string }{
		{"as it is", text},
		{"declaration", `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + text},
		{"one line", strings.ReplaceAll(strings.ReplaceAll(text, "\n", ""), "  ", "")},
		{"new members", strings.Replace(text, "<Credentials>", "<New><a>1</a><a>2</a></New><Credentials><New/>", 1)},
		{"as many levels as there may be", strings.Replace(text, "<Credentials>", strings.Repeat("<a>", 6)+strings.Repeat("</a>", 6)+"<Credentials>", 1)},
		{"character references", strings.ReplaceAll(text, secretKey, strings.ReplaceAll(secretKey, "/", "&#x2F;"))},
		{"name of 64 bytes", strings.Replace(text, "<Credentials>", "<"+strings.Repeat("a", 64)+"/><Credentials>", 1)},
		{"256 equals signs", strings.Replace(text, "<Credentials>", "<a>"+strings.Repeat("=", 256-strings.Count(text, "="))+"</a><Credentials>", 1)},
		{"64 KiB", text + strings.Repeat(" ", 64<<10-len(text))},
		{"CDATA", strings.ReplaceAll(text, secretKey, "<![CDATA["+secretKey+"]]>")},
		{"fraction of a second", strings.ReplaceAll(text, "04:04:05Z", "04:04:05.000Z")},
		{"prefix for the same namespace", strings.ReplaceAll(strings.ReplaceAll(text, "xmlns=", `xmlns:s="https://sts.amazonaws.com/doc/2011-06-15/" xmlns=`), "AccessKeyId>", "s:AccessKeyId>")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &sts{answers: []answer{{body: tt.give}}}
			c, err := newExchanger(t, s, aws.Config{Now: func() time.Time { return now }}).Exchange(t.Context(), (&minter{}).request())
			if err != nil {
				t.Fatal(err)
			}
			got := []string{c.Value("AWS_ACCESS_KEY_ID"), c.Value("AWS_SECRET_ACCESS_KEY"), c.Value("AWS_SESSION_TOKEN")}
			if diff := cmp.Diff([]string{accessKeyID, secretKey, sessionToken}, got); diff != "" {
				t.Errorf("credential (-want +got):\n%s", diff)
			}
			if want := now.Add(time.Hour); !c.Expires().Equal(want) {
				t.Errorf("Expires = %s, want %s", c.Expires(), want)
			}
		})
	}
}
