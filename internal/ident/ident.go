// Package ident defines what an identifier of the platform looks like: the id of
// an account, a project, a connector and so on.
//
// The platform chooses identifiers, and this library gives them no meaning. They may
// be random base64url, UUIDs, numbers, slugs with hyphens or names with "$".
package ident

import "strings"

// Max is the maximum length of an identifier in bytes.
const Max = 128

// Rule describes an identifier, for errors and documentation.
const Rule = "1 to 128 characters of A-Z a-z 0-9 _ - . $, and not . or .."

const (
	notIdentifier = "is not an identifier: " + Rule
	connectorDot  = "has a dot, which a reference to a connector uses after account and org"
	accountDollar = "has a $, which the issuer's URL cannot contain"
	punctuation   = "_-.$"
)

// Byte reports whether an identifier may contain b.
func Byte(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || strings.IndexByte(punctuation, b) >= 0
}

// Check returns why s is not an identifier, as words that follow the field's name. It
// returns "" if s is an identifier.
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

// CheckConnector does the same as Check for the id of a connector. The id must not
// contain a dot, which ends the level in a reference such as account.ID.
func CheckConnector(s string) string {
	if reason := Check(s); reason != "" {
		return reason
	}
	if strings.Contains(s, ".") {
		return connectorDot
	}
	return ""
}

// CheckInURL does the same as Check for an account id in the issuer's URL. The id must
// not contain a "$", which the path of a URL would have to encode.
func CheckInURL(s string) string {
	if reason := Check(s); reason != "" {
		return reason
	}
	if strings.Contains(s, "$") {
		return accountDollar
	}
	return ""
}
