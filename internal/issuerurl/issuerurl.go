// Package issuerurl checks an issuer identifier (OpenID Connect Discovery 1.0,
// section 3) and puts an account into it.
package issuerurl

import (
	"net/url"
	"strings"

	"github.com/oidctoken/oidctoken/internal/ident"
	"github.com/oidctoken/oidctoken/internal/text"
)

const (
	// Place is where an issuer identifier that differs per account holds the
	// account's id. It is one segment of the path.
	Place = "{account_id}"

	// Max is the length of the longest issuer identifier, in bytes. It is the
	// limit of AWS.
	Max = 255
)

// URL is a parsed issuer identifier.
type URL struct {
	before, after string // around Place; after is empty without one
	path          string // of before
	perAccount    bool
}

// Parse checks an issuer identifier. reason tells why it is refused, as words that
// follow the field's name, and is "" if it is valid.
func Parse(s string) (_ URL, reason string) {
	if s == "" {
		return URL{}, "is required"
	}
	if len(s) > Max {
		return URL{}, "is longer than 255 bytes"
	}
	u, err := url.Parse(s)
	if err != nil {
		return URL{}, "is not a URL"
	}
	switch {
	case u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())):
		return URL{}, "is neither https nor http for a loopback host"
	case u.Hostname() == "" || u.User != nil || u.Opaque != "":
		return URL{}, "has no host, or more than one"
	case strings.ContainsAny(s, "?#"):
		return URL{}, "has a query or a fragment"
	case strings.HasSuffix(s, "/"):
		return URL{}, "has a trailing slash"
	case strings.Trim(u.Host, "abcdefghijklmnopqrstuvwxyz0123456789-.:[]") != "" || strings.HasSuffix(u.Hostname(), ".") || strings.HasSuffix(u.Host, ":"):
		return URL{}, "has a host that is not lower-case ASCII in its canonical form"
	}
	var result URL
	for _, segment := range strings.Split(u.Path, "/")[1:] {
		switch {
		case segment == Place && !result.perAccount:
			result.perAccount = true
		case segment == "" || segment == "." || segment == ".." || !text.All(segment, text.Unreserved):
			return URL{}, "has a path with a segment that is neither of A-Z a-z 0-9 - . _ ~ nor " + Place
		}
	}
	if s != u.Scheme+"://"+u.Host+u.Path {
		return URL{}, "is not in its canonical form"
	}
	result.before, result.after, _ = strings.Cut(s, Place)
	result.path, _, _ = strings.Cut(u.Path, Place)
	return result, ""
}

func isLoopback(host string) bool {
	return host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.") && strings.Trim(host, "0123456789.") == ""
}

// PerAccount reports whether each account has an issuer identifier of its own.
func (u *URL) PerAccount() bool { return u.perAccount }

// CheckAccount returns why an account with that id cannot have an issuer
// identifier, as words that follow the field's name, or "" if it can.
func (u *URL) CheckAccount(id string) (reason string) {
	if u.perAccount {
		return ident.CheckInURL(id)
	}
	return ident.Check(id)
}

// Append appends the issuer identifier of an account.
func (u *URL) Append(dst []byte, account string) []byte {
	dst = append(dst, u.before...)
	if u.perAccount {
		dst = append(append(dst, account...), u.after...)
	}
	return dst
}

// Cut splits the path of a request into the account and the path below the issuer
// identifier. It returns false if the path lies elsewhere. The account is empty
// if all accounts have one issuer identifier.
func (u *URL) Cut(path string) (account, rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, u.path)
	if !ok || !u.perAccount {
		return "", rest, ok
	}
	end := strings.IndexByte(rest, '/')
	if end < 0 || u.CheckAccount(rest[:end]) != "" {
		return "", "", false
	}
	account = rest[:end]
	rest, ok = strings.CutPrefix(rest[end:], u.after)
	return account, rest, ok
}
