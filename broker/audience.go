package broker

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

const maxRequest = 4 << 10 // bytes of a request's body

func badRequest(reason string) error {
	return &requestError{http.StatusBadRequest, "invalid_request", reason}
}

// requestedAudience returns the audience in the query or the body of a request, for every
// method. It returns "" if the request has no audience. It refuses a request that seems to name
// an audience in another way. Otherwise the client would get a token for the connector's
// default audience, and send it to another relying party.
func requestedAudience(r *http.Request) (string, error) {
	// A client that hung up reads no response, so the read error is not reported.
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	if err != nil || len(body) > maxRequest {
		return "", badRequest(fmt.Sprintf("the body cannot be read, or it has more than %d bytes", maxRequest))
	}
	return parseAudience(r.URL.RawQuery, r.Header, body)
}

// parseAudience is like requestedAudience, for the parts of a request.
func parseAudience(query string, header http.Header, body []byte) (string, error) {
	for name := range header {
		if mentionsAudience(name) {
			return "", badRequest("a header names an audience: name it in the query or in the body")
		}
	}
	// The endpoint's own query is v=1, and some clients append ?audience= to it.
	if rest, ok := strings.CutPrefix(query, "v=1?"); ok {
		query = rest
	}
	var found audienceFinder
	if err := found.parameters(query); err != nil {
		return "", err
	}
	if err := found.body(header, bytes.TrimSpace(body)); err != nil {
		return "", err
	}
	return found.audience, nil
}

// audienceFinder collects the audience from the parts of a request. All parts must name the
// same audience.
type audienceFinder struct{ audience string }

func (f *audienceFinder) add(audience string) error {
	switch {
	case audience == "":
		return badRequest("the audience is empty")
	case f.audience != "" && f.audience != audience:
		return badRequest("the request names more than one audience")
	}
	f.audience = audience
	return nil
}

// parameters reads the application/x-www-form-urlencoded text of a query or a body. It ignores
// parameters that do not name an audience.
func (f *audienceFinder) parameters(text string) error {
	for parameter := range strings.SplitSeq(text, "&") {
		rawName, rawValue, _ := strings.Cut(parameter, "=")
		name, err := url.QueryUnescape(rawName)
		if err != nil {
			return badRequest("a parameter's name has an invalid escape")
		}
		value, err := url.QueryUnescape(rawValue)
		if err != nil {
			return badRequest("a parameter's value has an invalid escape")
		}
		switch {
		case name == "audience" && strings.Contains(rawValue, ";"): // some parsers treat ";" as "&"
			return badRequest("the audience has an unescaped semicolon")
		case name == "audience":
			if err := f.add(value); err != nil {
				return err
			}
		case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }):
			return badRequest("a parameter's name has characters other than printable ASCII")
		case selectsTarget(name), mentionsAudience(value):
			return badRequest("a parameter seems to name an audience, but its name is not audience")
		}
	}
	return nil
}

// body reads the body of a request. Many clients send JSON with the Content-Type of a form, so
// the first byte of the text decides.
func (f *audienceFinder) body(header http.Header, text []byte) error {
	mediaType, _, _ := mime.ParseMediaType(header.Get("Content-Type")) // mediaType is empty if the header is malformed
	switch {
	case len(text) == 0:
		return nil
	case header.Get("Content-Encoding") != "":
		return badRequest("the body has a Content-Encoding")
	case text[0] != '{' && mediaType == "application/x-www-form-urlencoded":
		return f.parameters(string(text))
	}
	var members map[string]string
	if err := tokenhttp.DecodeJSON(text, &members); err != nil {
		return badRequest(`the body is not of the form {"audience":"..."}`)
	}
	for name, value := range members {
		if name != "audience" {
			return badRequest("the body has a member other than audience")
		}
		if err := f.add(value); err != nil { // null gives the empty string
			return err
		}
	}
	return nil
}

// selectsTarget reports whether the name of a parameter seems to select the relying party of a
// token: it contains the word audience, a misspelling of it, or a parameter of RFC 8693 or RFC
// 8707.
func selectsTarget(name string) bool {
	for word := range wordsOf(name) {
		switch singular := strings.TrimSuffix(word, "s"); {
		case singular == "resource", singular == "target", singular == "scope", strings.HasSuffix(singular, "aud"):
			return true
		case strings.HasPrefix(word, "aud") && !strings.HasPrefix(word, "audit") && !strings.HasPrefix(word, "audio"):
			return true
		}
	}
	return mentionsAudience(name)
}

// mentionsAudience reports whether a text contains the word audience or aud, even if the text
// is escaped several times.
func mentionsAudience(text string) bool {
	for range 4 {
		for word := range wordsOf(text) {
			if strings.Contains(word, "audience") || word == "aud" {
				return true
			}
		}
		plain, err := url.QueryUnescape(text)
		if err != nil || plain == text {
			return false
		}
		text = plain
	}
	return true // no client escapes a value this often
}

// wordsOf yields the runs of ASCII letters in a text, in lower case.
func wordsOf(text string) func(yield func(string) bool) {
	return strings.FieldsFuncSeq(strings.ToLower(text), func(r rune) bool { return r < 'a' || r > 'z' })
}
