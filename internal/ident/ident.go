// Package ident defines what an identifier of the platform looks like: the id of
// an account, a project, a connector and so on.
//
// Identifiers come from the platform and mean nothing to this library. They may
// be random base64url, UUIDs, numbers, slugs with hyphens or names with "$".
package ident

import "strings"

// Max is the length of the longest identifier, in bytes.
const Max = 128

// Rule describes an identifier, for errors and documentation.
const Rule = "1 to 128 characters of A-Z a-z 0-9 _ - . $, and not . or .."

const (
	notIdentifier = "is not an identifier: " + Rule
	connectorDot  = "has a dot, which a reference to a connector uses after account and org"
	accountDollar = "has a $, which cannot stand in the issuer's URL"
	punctuation   = "_-.$"
)

// Byte reports whether b may stand in an identifier.
func Byte(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || strings.IndexByte(punctuation, b) >= 0
}

// Check returns why s is not an identifier, as words that follow the field's
// name. It returns "" when s is one.
func Check(s string) string {
	if s == "" || len(s) > Max || s == "." || s == ".." {
		return notIdentifier
	}
	for i := range len(s) {
		if !Byte(s[i]) {
			return notIdentifier
		}
	}
	return ""
}

// CheckConnector is Check for the id of a connector. That has no dot, since a
// reference such as account.ID ends a level with one.
func CheckConnector(s string) string {
	if reason := Check(s); reason != "" {
		return reason
	}
	if strings.Contains(s, ".") {
		return connectorDot
	}
	return ""
}

// CheckInURL is Check for an account id that stands in the issuer's URL. That has
// no "$", which a URL's path would have to encode.
func CheckInURL(s string) string {
	if reason := Check(s); reason != "" {
		return reason
	}
	if strings.Contains(s, "$") {
		return accountDollar
	}
	return ""
}
