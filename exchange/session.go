package exchange

import (
	"encoding/base32"
	"strings"
)

const (
	maxSessionName = 64 // bytes, at AWS
	digestLen      = 26 // of 128 bits in base32
)

// SessionName makes a Request.SessionName, which AWS calls RoleSessionName: 2
// to 64 bytes of letters, digits and _+=,.@-. It begins with up to 37 bytes of
// prefix, in which "-" replaces each byte that is not allowed. It ends with 128
// bits of a SHA-256 digest over prefix and parts, in lower-case base32. Two
// names are equal only if prefix and parts are equal.
//
// Make it of what tells an execution from all others: the account, the
// execution, the step and its attempt, the connector. Clients cache credentials
// by role and session name, so that two executions with one name may be given
// each other's. CloudTrail shows the prefix: it should name no person.
func SessionName(prefix string, parts ...string) string {
	sum := digest(append([]string{prefix}, parts...)...)
	readable := strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z', '0' <= r && r <= '9', strings.ContainsRune("_+=,.@-", r):
			return r
		}
		return '-'
	}, prefix)
	suffix := strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:16]))
	if readable == "" {
		return suffix
	}
	return readable[:min(len(readable), maxSessionName-1-digestLen)] + "-" + suffix
}
