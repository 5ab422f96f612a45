package mask

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
)

// minPart is the length of the shortest part of a secret (a line, a segment of a
// JWT) that is a secret of its own. Shorter parts, such as "}" or "expires: 3600",
// are too ordinary.
const minPart = 16

// patternsOf returns all byte strings to look for in folded text on behalf of
// secret, each once and none shorter than MinLength.
func patternsOf(secret string) []string {
	var all []string
	seen := make(map[string]struct{})
	for _, part := range parts(secret) {
		for _, form := range formsOf(part) {
			for _, pattern := range foldPattern(form) {
				if _, isKnown := seen[pattern]; isKnown || len(pattern) < MinLength {
					continue
				}
				seen[pattern] = struct{}{}
				all = append(all, pattern)
			}
		}
	}
	return all
}

// parts returns secret and those parts of it that must not be read by themselves.
func parts(secret string) []string {
	all := append([]string{secret}, segments(secret)...)
	lines := strings.FieldsFunc(secret, func(r rune) bool { return r == '\n' || r == '\r' })
	if len(lines) == 1 {
		return all
	}
	// Folding makes all breaks equal, but not those that are inside an encoding.
	withLF := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(secret)
	all = append(all, withLF, strings.ReplaceAll(withLF, "\n", "\r\n"))
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if len(line) < minPart || strings.HasPrefix(line, "-----") {
			continue
		}
		all = append(append(all, line), segments(line)...)
	}
	return all
}

// segments returns the long segments of a token in the compact serialization of
// JWS or JWE (RFC 7515, section 7.1, RFC 7516, section 7.1), without the header.
func segments(token string) []string {
	all := strings.Split(token, ".")
	if len(all) != 3 && len(all) != 5 {
		return nil
	}
	header, err := base64.RawURLEncoding.DecodeString(all[0])
	if err != nil || !json.Valid(header) {
		return nil
	}
	var long []string
	for _, s := range all[1:] {
		if len(s) >= minPart {
			long = append(long, s)
		}
	}
	return long
}

// formsOf returns part in all forms that are looked for.
func formsOf(part string) []string {
	forms := []string{part}
	if !isPlain(part) {
		forms = append(forms, escapedForms(part)...)
		forms = append(forms, percentForms(part)...)
		forms = append(forms, shellForms(part)...)
	}
	lower := hex.EncodeToString([]byte(part))
	forms = append(forms, lower, strings.ToUpper(lower))
	return append(forms, base64Forms(part)...)
}

// isPlain says whether no usual escaping changes s. It is so for every JWT.
func isPlain(s string) bool {
	for _, c := range []byte(s) {
		isAlphanumeric := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !isAlphanumeric && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// base64Forms encodes s as it appears behind 0, 1 and 2 (modulo 3) other bytes,
// and keeps those characters that hold bits of s only.
func base64Forms(s string) []string {
	var forms []string
	for offset := range 3 {
		from, to := (8*offset+5)/6, 8*(offset+len(s))/6
		std := base64.RawStdEncoding.EncodeToString(append(make([]byte, offset), s...))[from:to]
		forms = append(forms, std)
		if strings.ContainsAny(std, "+/") {
			forms = append(forms,
				strings.NewReplacer("+", "-", "/", "_").Replace(std),
				strings.ReplaceAll(std, "/", `\/`), // JSON of PHP
				strings.NewReplacer("+", "%2B", "/", "%2F").Replace(std),
				strings.NewReplacer("+", "%2b", "/", "%2f").Replace(std),
			)
		}
	}
	return forms
}
