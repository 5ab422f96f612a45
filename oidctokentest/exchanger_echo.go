package oidctokentest

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// echoes are ways in which a cloud, or what stands in its place, may write a
// secret into its own words.
var echoes = map[string]func(secret string) string{
	"percent":        func(s string) string { return eachByte("%%%02x", s) },
	"percent twice":  func(s string) string { return url.QueryEscape(eachByte("%%%02X", s)) },
	"JSON":           func(s string) string { return eachByte(`\u%04x`, s) },
	"braces":         func(s string) string { return eachByte(`\u{%x}`, s) },
	"octal":          func(s string) string { return eachByte(`\%03o`, s) },
	"hex escapes":    func(s string) string { return eachByte(`\x%02x`, s) },
	"HTML, decimal":  func(s string) string { return eachByte("&#%d;", s) },
	"HTML, hex":      func(s string) string { return eachByte("&#x%04X;", s) },
	"HTML, named":    func(s string) string { return named.Replace(s) },
	"HTML, escaped":  func(s string) string { return strings.ReplaceAll(eachByte("&#%d;", s), "&", "&amp;") },
	"base64":         func(s string) string { return base64.StdEncoding.EncodeToString([]byte("token=" + s)) },
	"base64url":      func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
	"base64, lines":  func(s string) string { return inPieces(base64.StdEncoding.EncodeToString([]byte(s)), 8, "\r\n") },
	"hex":            func(s string) string { return hex.EncodeToString([]byte(s)) },
	"lines":          func(s string) string { return inPieces(s, 10, "\n") },
	"fields":         func(s string) string { return `["` + inPieces(s, 11, `", "`) + `"]` },
	"single letters": func(s string) string { return inPieces(s, 1, " ") },
	"escaped lines":  func(s string) string { return inPieces(s, 9, `\r\n\t`) },
}

var named = strings.NewReplacer(".", "&period;", "-", "&#45;", "_", "&lowbar;", "+", "&plus;", "/", "&sol;", "=", "&equals;")

func eachByte(format, s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, format, s[i])
	}
	return b.String()
}

func inPieces(s string, size int, between string) string {
	var pieces []string
	for ; len(s) > size; s = s[size:] {
		pieces = append(pieces, s[:size])
	}
	return strings.Join(append(pieces, s), between)
}

// encodedEcho returns a refusal with the signature of the JWT in it.
func (r *exchangerRun) encodedEcho(encode func(string) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		signature, _, _ := strings.Cut(r.stolen(), ".")
		writeCloud(w, r.test.Refusal("cannot verify "+encode(signature)+" or so"))
	})
}

// earlier returns the first JWT of the exchange, which is not that of the
// request.
func (r *exchangerRun) earlier() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return signatureOf(r.jwts[0]) + "." + r.jwts[0]
}

func (r *exchangerRun) earlierInRefusal() http.Handler {
	return inTurn(status(http.StatusServiceUnavailable, ""), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeCloud(w, r.test.Refusal("cannot verify "+r.earlier()))
	}))
}

func (r *exchangerRun) earlierInStatus() http.Handler {
	return inTurn(status(http.StatusServiceUnavailable, ""),
		r.raw(func() string { return "HTTP/1.1 4x0" + r.earlier() + "\r\nContent-Length: 0\r\n\r\n" }))
}

// otherCase returns a good answer whose names differ from the protocol's by case:
// they are other names, in JSON as in XML.
func (r *exchangerRun) otherCase() http.Handler {
	names := regexp.MustCompile(`"\w+"\s*:|</?\w+`)
	return r.altered(func(_ http.ResponseWriter, a *CloudAnswer) {
		a.Body = names.ReplaceAllStringFunc(a.Body, strings.ToUpper)
	})
}

// namesTwice returns a good answer in JSON in which each name stands twice. In
// another format it is malformed.
func (r *exchangerRun) namesTwice() http.Handler {
	return r.altered(func(_ http.ResponseWriter, a *CloudAnswer) {
		object := strings.TrimSpace(a.Body)
		if !strings.HasPrefix(object, "{") {
			a.Body = ""
			return
		}
		a.Body = strings.TrimSuffix(object, "}") + "," + strings.TrimPrefix(object, "{")
	})
}

// showsEncoded reports whether text has a window of the secret in one of the
// encodings that a cloud may have echoed it in.
func showsEncoded(text, secret string) bool {
	const piece = 400 // bytes, of which Redact cuts off nothing
	for from := 0; from < len(text); from += piece / 2 {
		part := text[from:min(from+piece, len(text))]
		if tokenhttp.Redact(part, secret) != tokenhttp.Redact(part) {
			return true
		}
	}
	return false
}
