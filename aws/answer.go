package aws

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// Defects of an answer of status 200.
var (
	errXML         = errors.New("the answer is not the XML that STS sends")
	errMember      = errors.New("its AccessKeyId, SecretAccessKey, SessionToken or Expiration is missing or there twice")
	errAccessKeyID = errors.New("its AccessKeyId is not of 16 to 128 letters, digits and _")
	errSecret      = errors.New("its SecretAccessKey is not of visible ASCII")
	errToken       = errors.New("its SessionToken is not of visible ASCII, of at most 16 KiB")
	errExpiration  = errors.New("its Expiration is not a time of RFC 3339")
	errExpired     = errors.New("the session is over already")
	errTooLong     = errors.New("the session claims to live longer than requested")
)

const (
	stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"
	maxDepth     = 8
	maxElements  = 64
	maxElement   = 64 // bytes of an element's name
	maxDocument  = 64 << 10
	maxEquals    = 256 // signs: no document has more attributes

	minAccessKeyID = 16
	maxAccessKeyID = 128
)

// session is the content of an answer. It holds secrets and never leaves this
// package.
type session struct {
	accessKeyID, secret, token string
	expires                    time.Time
}

// document is a small XML document without mixed content: the text of each leaf
// by its path, and how many leaves have that path. namespace is the one of all
// elements, or "*" if they differ.
type document struct {
	namespace string
	text      map[string]string
	count     map[string]int
}

// affordable reports whether encoding/xml reads body with little memory: it keeps
// all attributes of a tag and all namespaces that are open, and its buffers grow
// with names and comments.
func affordable(body []byte) bool {
	return len(body) <= maxDocument && bytes.Count(body, []byte("=")) <= maxEquals
}

// parseDocument reads a document of elements and text. It refuses a document
// type, and so all entities but the predefined ones, processing instructions
// except the declaration, attributes except those of namespaces, deep nesting,
// many elements and long names.
func parseDocument(body []byte) (document, bool) {
	if !affordable(body) {
		return document{}, false
	}
	d := document{text: make(map[string]string), count: make(map[string]int)}
	decoder := xml.NewDecoder(bytes.NewReader(body))
	var (
		path     []string
		text     []byte // since the last tag
		leaf     bool   // the last tag was a start tag
		elements int
	)
	for {
		token, err := decoder.Token()
		if err != nil {
			return d, errors.Is(err, io.EOF) && elements > 0
		}
		switch t := token.(type) {
		case xml.StartElement:
			if len(t.Name.Local) > maxElement || slices.ContainsFunc(t.Attr, notNamespace) {
				return document{}, false
			}
			// A second root element would be a second answer.
			if elements++; elements > maxElements || len(path) == maxDepth || elements > 1 && len(path) == 0 || !blank(text) {
				return document{}, false
			}
			if elements > 1 && d.namespace != t.Name.Space {
				d.namespace = "*"
			} else {
				d.namespace = t.Name.Space
			}
			path, text, leaf = append(path, t.Name.Local), nil, true
		case xml.EndElement:
			if !leaf && !blank(text) {
				return document{}, false
			}
			if leaf {
				name := strings.Join(path, "/")
				d.text[name] = string(text)
				d.count[name]++
			}
			path, text, leaf = path[:len(path)-1], nil, false
		case xml.CharData:
			text = append(text, t...)
			if len(path) == 0 && !blank(text) {
				return document{}, false
			}
		case xml.ProcInst:
			if t.Target != "xml" {
				return document{}, false
			}
		default: // a comment, or a directive such as DOCTYPE
			return document{}, false
		}
	}
}

func notNamespace(a xml.Attr) bool { return a.Name.Local != "xmlns" && a.Name.Space != "xmlns" }

func blank(text []byte) bool { return len(bytes.TrimSpace(text)) == 0 }

// only returns the text of the leaf of that path, if there is one and no other.
func (d document) only(path string) (text string, ok bool) {
	if d.count[path] != 1 {
		return "", false
	}
	return d.text[path], true
}

// parseSession reads the answer of AssumeRoleWithWebIdentity to a request that
// began at asked. The expiry is at most asked + lifetime: a later one means
// that our clock is behind.
func parseSession(body []byte, asked time.Time, lifetime time.Duration) (session, error) {
	d, ok := parseDocument(body)
	if !ok || d.namespace != stsNamespace {
		return session{}, malformed(errXML)
	}
	var members [4]string
	for i, name := range []string{"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"} {
		if members[i], ok = d.only("AssumeRoleWithWebIdentityResponse/AssumeRoleWithWebIdentityResult/Credentials/" + name); !ok {
			return session{}, malformed(errMember)
		}
	}
	s := session{accessKeyID: members[0], secret: members[1], token: members[2]}
	expires, err := time.Parse(time.RFC3339, members[3])
	switch {
	case len(s.accessKeyID) < minAccessKeyID || len(s.accessKeyID) > maxAccessKeyID || !consists(s.accessKeyID, wordByte):
		return session{}, malformed(errAccessKeyID)
	case tokenhttp.CheckToken(s.secret) != nil:
		return session{}, malformed(errSecret)
	case tokenhttp.CheckToken(s.token) != nil:
		return session{}, malformed(errToken)
	case err != nil:
		return session{}, malformed(errExpiration) // not err: it repeats the value
	case !expires.After(asked):
		return session{}, malformed(errExpired)
	}
	end := asked.Add(lifetime)
	if expires.After(end.Add(clockSkew)) {
		return session{}, malformed(errTooLong)
	}
	if s.expires = expires; expires.After(end) {
		s.expires = end
	}
	return s, nil
}

// clockSkew is how far AWS's clock may seem to be ahead of ours.
const clockSkew = 15 * time.Minute

// parseRefusal reads an error of STS. Both results are empty if body is not
// one.
func parseRefusal(body []byte) (code, message string) {
	d, ok := parseDocument(body)
	if !ok {
		return "", ""
	}
	code, _ = d.only("ErrorResponse/Error/Code")
	message, _ = d.only("ErrorResponse/Error/Message")
	if len(code) > maxCode || !consists(code, func(b byte) bool { return wordByte(b) || b == '.' || b == ':' }) {
		code = ""
	}
	return code, message
}

const maxCode = 64 // bytes
