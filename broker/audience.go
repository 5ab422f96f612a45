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

// requestedAudience returns the audience that a request names in its query or
// its body, whatever its method; empty if it names none. It refuses a request
// that seems to name an audience in another way: the client would get a token
// for the connector's default audience, and send it to another relying party.
func requestedAudience(r *http.Request) (string, error) {
	// A client that hung up gets no answer, so the read error is not reported.
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	if err != nil || len(body) > maxRequest {
		return "", badRequest(fmt.Sprintf("the body cannot be read, or is longer than %d bytes", maxRequest))
	}
	return parseAudience(r.URL.RawQuery, r.Header, body)
}

// parseAudience is requestedAudience for the parts of a request.
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

// named is the one audience that the parts of a request name.
type audienceFinder struct{ audience string }

func (f *audienceFinder) add(audience string) error {
	switch {
	case audience == "":
		return badRequest("the audience is empty")
	case f.audience != "" && f.audience != audience:
		return badRequest("it names more than one audience")
	}
	f.audience = audience
	return nil
}

// parameters reads the application/x-www-form-urlencoded text of a query or a
// body. It ignores parameters that name no audience.
func (f *audienceFinder) parameters(text string) error {
	for parameter := range strings.SplitSeq(text, "&") {
		rawName, rawValue, _ := strings.Cut(parameter, "=")
		name, err := url.QueryUnescape(rawName)
		if err != nil {
			return badRequest("a parameter's name has a wrong escape")
		}
		value, err := url.QueryUnescape(rawValue)
		if err != nil {
			return badRequest("a parameter's value has a wrong escape")
		}
		switch {
		case name == "audience" && strings.Contains(rawValue, ";"): // which some take for "&"
			return badRequest("the audience has a semicolon that is not escaped")
		case name == "audience":
			if err := f.add(value); err != nil {
				return err
			}
		case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }):
			return badRequest("a parameter's name cannot be read")
		case selectsTarget(name), mentionsAudience(value):
			return badRequest("a parameter seems to name an audience, and its name is not audience")
		}
	}
	return nil
}

// body reads the body of a request. Many clients send JSON with the
// Content-Type of a form, so the text itself says which it is.
func (f *audienceFinder) body(header http.Header, text []byte) error {
	mediaType, _, _ := mime.ParseMediaType(header.Get("Content-Type")) // empty if it is malformed
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
			return badRequest("the body has another member than audience")
		}
		if err := f.add(value); err != nil { // null is empty
			return err
		}
	}
	return nil
}

// selectsTarget reports whether the name of a parameter seems to select the
// relying party of a token: with the word audience, a misspelling of it, or a
// parameter of RFC 8693 or RFC 8707.
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

// mentionsAudience reports whether a text has the word audience or aud in it,
// also if it is escaped several times.
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
	return true // no client escapes a value so often
}

// wordsOf yields the runs of ASCII letters in a text, in lower case.
func wordsOf(text string) func(yield func(string) bool) {
	return strings.FieldsFuncSeq(strings.ToLower(text), func(r rune) bool { return r < 'a' || r > 'z' })
}
