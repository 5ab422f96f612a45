package aws

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// arn is an ARN of IAM.
type arn struct{ partition, account, resource string }

func parseARN(s string) (arn, bool) {
	p := strings.SplitN(s, ":", 6)
	ok := len(s) >= minARN && len(s) <= maxARN && consists(s, visible) &&
		len(p) == 6 && p[0] == "arn" && isPartition(p[1]) && p[2] == "iam" && p[3] == "" &&
		(p[4] == "aws" || len(p[4]) == 12 && consists(p[4], digit))
	if !ok {
		return arn{}, false
	}
	return arn{p[1], p[4], p[5]}, true
}

func parseRole(s string) (a arn, reason string) {
	if s == "" {
		return arn{}, "is required"
	}
	a, ok := parseARN(s)
	path, isRole := strings.CutPrefix(a.resource, "role/")
	if !ok || !isRole || a.account == "aws" {
		return arn{}, "is not arn:PARTITION:iam::ACCOUNT:role/PATH/NAME, of 20 to 2048 characters"
	}
	name := path[strings.LastIndexByte(path, '/')+1:]
	switch {
	case name == "" || len(name) > maxRoleName || !consists(name, nameByte):
		return arn{}, "has a role name that is not of 1 to 64 letters, digits and _+=,.@-"
	case len(path)-len(name) > maxRolePath-1:
		return arn{}, "has a path of more than 512 characters"
	}
	return a, ""
}

// partition is a group of Regions with DNS names and ARNs of their own.
type partition struct{ prefix, id, suffix string }

// partitions are found by the prefix of a Region's name. The last one has all
// other Regions.
var partitions = []partition{
	{"cn-", "aws-cn", "amazonaws.com.cn"},
	{"us-gov-", "aws-us-gov", "amazonaws.com"},
	{"us-iso-", "aws-iso", "c2s.ic.gov"},
	{"us-isob-", "aws-iso-b", "sc2s.sgov.gov"},
	{"eu-isoe-", "aws-iso-e", "cloud.adc-e.uk"},
	{"us-isof-", "aws-iso-f", "csp.hci.ic.gov"},
	{"eusc-", "aws-eusc", "amazonaws.eu"},
	{"", "aws", "amazonaws.com"},
}

func partitionOf(region string) partition {
	i := slices.IndexFunc(partitions, func(p partition) bool { return strings.HasPrefix(region, p.prefix) })
	return partitions[i]
}

func isPartition(id string) bool {
	return slices.ContainsFunc(partitions, func(p partition) bool { return p.id == id })
}

func checkRegion(s, partition string) (reason string) {
	if s == "" {
		return "is required"
	}
	parts := strings.Split(s, "-")
	number := parts[len(parts)-1]
	ok := len(parts) >= 3 && len(s) <= 32 && number != "" && len(number) <= 2 && consists(number, digit)
	for _, part := range parts[:len(parts)-1] {
		ok = ok && part != "" && consists(part, lower)
	}
	switch {
	case !ok:
		return "is not the name of a Region, such as eu-west-1"
	case partitionOf(s).id != partition:
		return "is in another partition than RoleARN"
	}
	return ""
}

func checkEndpoint(s string) (reason string) {
	if !consists(s, visible) {
		return "is not a URL"
	}
	if strings.Contains(s, "?") {
		return "has a query"
	}
	err := tokenhttp.CheckURL(s)
	if err == nil {
		return ""
	}
	var e *tokenhttp.Error
	if !errors.As(err, &e) {
		return "is not a URL that can be used"
	}
	return strings.TrimPrefix(e.Reason, "the URL ")
}

func checkPolicy(s string) (reason string) {
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxPolicy || strings.ContainsFunc(s, func(r rune) bool {
		return r != '\t' && r != '\n' && r != '\r' && (r < ' ' || r > 0xff)
	}) {
		return "is not of 1 to 2048 characters, up to U+00FF and without control characters"
	}
	if !json.Valid([]byte(s)) || strings.TrimLeft(s, " \t\r\n")[0] != '{' {
		return "is not a JSON object"
	}
	return ""
}

func consists(s string, of func(byte) bool) bool {
	for i := range len(s) {
		if !of(s[i]) {
			return false
		}
	}
	return true
}

func digit(b byte) bool   { return '0' <= b && b <= '9' }
func lower(b byte) bool   { return 'a' <= b && b <= 'z' }
func upper(b byte) bool   { return 'A' <= b && b <= 'Z' }
func visible(b byte) bool { return '!' <= b && b <= '~' }
func wordByte(b byte) bool {
	return digit(b) || lower(b) || upper(b) || b == '_'
}

// nameByte reports whether a role's name, a session's name and a source
// identity may have b.
func nameByte(b byte) bool { return wordByte(b) || strings.IndexByte("+=,.@-", b) >= 0 }

func indexed(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }
