package oidctoken

import (
	"net/url"
	"strings"

	"github.com/oidctoken/oidctoken/internal/ident"
)

// issuerURL is an issuer identifier around the account's place in it, if it
// has one.
type issuerURL struct {
	before, after string
	perAccount    bool
	path          string // of before
}

const accountPlace = "{account_id}"

// parseIssuer checks an issuer identifier.
func parseIssuer(s string) (_ issuerURL, reason string) {
	if s == "" {
		return issuerURL{}, "is required"
	}
	if len(s) > maxIssuer {
		return issuerURL{}, "is longer than 255 bytes"
	}
	u, err := url.Parse(s)
	if err != nil {
		return issuerURL{}, "is not a URL"
	}
	switch {
	case u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())):
		return issuerURL{}, "is not https, nor http for a loopback host"
	case u.Hostname() == "" || u.User != nil || u.Opaque != "":
		return issuerURL{}, "has no host, or more than one"
	case strings.ContainsAny(s, "?#"):
		return issuerURL{}, "has a query or a fragment"
	case strings.HasSuffix(s, "/"):
		return issuerURL{}, "has a trailing slash"
	case strings.Trim(u.Host, "abcdefghijklmnopqrstuvwxyz0123456789-.:[]") != "" || strings.HasSuffix(u.Hostname(), ".") || strings.HasSuffix(u.Host, ":"):
		return issuerURL{}, "has a host that is not in its plain form, in lower-case ASCII"
	}
	var result issuerURL
	segments := strings.Split(u.Path, "/")
	for _, segment := range segments[1:] {
		switch {
		case segment == accountPlace && !result.perAccount:
			result.perAccount = true
		case segment == "" || segment == "." || segment == ".." || !consists(segment, unreservedByte):
			return issuerURL{}, "has a path whose segments are not of A-Z a-z 0-9 - . _ ~, or " + accountPlace
		}
	}
	if s != u.Scheme+"://"+u.Host+u.Path {
		return issuerURL{}, "is not in its plain form"
	}
	result.before, result.after, _ = strings.Cut(s, accountPlace)
	result.path, _, _ = strings.Cut(u.Path, accountPlace)
	return result, ""
}

func isLoopback(host string) bool {
	return host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.") && strings.Trim(host, "0123456789.") == ""
}

// checkAccount says why an account cannot have an issuer identifier, "" if it
// can.
func (u issuerURL) checkAccount(id string) string {
	if u.perAccount {
		return ident.CheckInURL(id)
	}
	return ident.Check(id)
}

// of is the issuer identifier for an account.
func (u issuerURL) of(account string) string {
	if !u.perAccount {
		return u.before
	}
	return u.before + account + u.after
}
