package awstest_test

import (
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/oidctokentest/internal/standintest"
)

// S03: only the JWT that the issuer signed is admitted, and every answer is
// XML.
func FuzzAWSAssume(f *testing.F) {
	a := newAWS(f)
	r := a.request()
	good := standintest.Sign(f, a.key, r.jose, r.claims)
	form := func(changes url.Values) string {
		all := url.Values{"WebIdentityToken": {good}}
		for name, values := range r.form {
			all[name] = values
		}
		for name, values := range changes {
			all[name] = values
		}
		return all.Encode()
	}
	f.Add(form(nil))
	f.Add(form(url.Values{"WebIdentityToken": {good + "\n"}}))
	f.Add(form(url.Values{"PolicyArns.member.1.arn": {"arn:aws:iam::aws:policy/x"}, "Policy": {"{}"}}))
	f.Add(form(url.Values{"RoleArn": {"arn:aws:iam:::role/:::::"}}))
	f.Add("Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn:::::::::::::::::::::::")
	f.Fuzz(func(t *testing.T, body string) {
		answer := standintest.Call(t, a, http.MethodPost, "/", r.header, body)
		sent, _ := url.ParseQuery(body)
		if answer.Code == http.StatusOK && (sent.Get("WebIdentityToken") != good || sent.Get("RoleArn") != awsRole) {
			t.Fatalf("admitted %q", body)
		}
		checkXML(t, answer.Body.String())
	})
}

// S03: only a signature over the received request is accepted.
func FuzzAWSSignature(f *testing.F) {
	a := newAWS(f)
	keys := a.assume(f, a.request())
	c := identity(keys)
	var good string
	c.authorization = func(s string) string { good = s; return s }
	if answer := a.call(f, c); answer.Code != http.StatusOK {
		f.Fatalf("STS answered %d: %s", answer.Code, answer.Body)
	}
	f.Add(good)
	f.Add(good + ",")
	f.Add(strings.ReplaceAll(good, ", ", ","))
	f.Add("AWS4-HMAC-SHA256 Credential=////, SignedHeaders=, Signature=")
	f.Fuzz(func(t *testing.T, authorization string) {
		c.authorization = func(string) string { return authorization }
		answer := a.call(t, c)
		if plain := strings.Join(strings.Fields(strings.ReplaceAll(authorization, ",", ", ")), " "); answer.Code == http.StatusOK && plain != good {
			t.Fatalf("accepted %q, want %q", authorization, good)
		}
		checkXML(t, answer.Body.String())
	})
}

func checkXML(t *testing.T, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("the answer is not XML: %v: %q", err, text)
		}
	}
}
