package mask

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
)

// minPart is the length of the shortest part of a secret (a line, or a segment of a JWT) that
// is masked as a secret of its own. Shorter parts, such as "}" or "expires: 3600", are too
// common.
const minPart = 16

// pattern is a byte string to find in folded text.
type pattern struct {
	text string
	form form // produces text; the zero form if it cannot
}

// form is one form of a part of a secret.
type form struct {
	part   string
	encode func(string) string
}

// spare is the number of bytes that the trie stores of a pattern after its common prefix with
// the unchanged secret.
const spare = 4

// kept returns the number of bytes of the pattern that the trie stores at first. Most forms of
// most secrets are never printed, so the trie gets the rest of a form only when these bytes
// appear in the output. They go beyond the common prefix with the unchanged secret. Otherwise
// each printed token would complete all forms of all tokens with the same beginning.
func (p pattern) kept() int {
	if p.form.encode == nil {
		return len(p.text)
	}
	return min(len(p.text), max(gram, commonPrefix([]byte(p.text), []byte(p.form.part))+spare))
}

// patternsOf returns all patterns for secret, without duplicates. None is shorter than
// MinLength.
func patternsOf(secret string) []pattern {
	var all []pattern
	seen := make(map[string]struct{})
	add := func(text string, f form) {
		if _, isKnown := seen[text]; !isKnown && len(text) >= MinLength {
			seen[text] = struct{}{}
			all = append(all, pattern{text, f})
		}
	}
	for _, part := range parts(secret) {
		for _, text := range foldPattern(part) {
			add(text, form{})
		}
		forms(part, func(encode func(string) string) {
			encoded := encode(part)
			for _, text := range foldPattern(encoded) {
				if text == encoded {
					add(text, form{part, encode})
				} else {
					add(text, form{})
				}
			}
		})
	}
	return all
}

// parts returns secret and the parts of it that must be masked on their own.
func parts(secret string) []string {
	all := append([]string{secret}, segments(secret)...)
	lines := strings.FieldsFunc(secret, func(r rune) bool { return r == '\n' || r == '\r' })
	if len(lines) == 1 {
		return all
	}
	// Folding makes all breaks equal, but cannot see breaks inside an encoding.
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

// segments returns the long segments of a token in the compact serialization of JWS or JWE (RFC
// 7515, section 7.1, RFC 7516, section 7.1), without the header.
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

var (
	// dumps change every text.
	dumps = []func(string) string{
		hexLower, func(s string) string { return strings.ToUpper(hexLower(s)) },
		percentAll("0123456789abcdef"), percentAll("0123456789ABCDEF"),
	}
	// escapes change only characters that some program escapes.
	escapes = slices.Concat(literalEncodings(), shellEncodings())
)

// forms adds the encoders for all masked forms of part, except part itself.
func forms(part string, add func(encode func(string) string)) {
	for _, encode := range dumps {
		add(encode)
	}
	base64Forms(part, add)
	percentForms(part, add)
	if !isPlain(part) {
		for _, encode := range escapes {
			add(encode)
		}
	}
}

func hexLower(s string) string { return hex.EncodeToString([]byte(s)) }

// isPlain reports whether no usual escaping changes s. It is true for every JWT.
func isPlain(s string) bool {
	for _, c := range []byte(s) {
		if !isAlphanumeric(c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// encodings64 holds the encoders for a secret that stands in base64 after a given number of
// other bytes.
type encodings64 struct {
	once  func(string) string
	other []func(string) string    // for an encoding that contains "+" or "/"
	twice [3]func(string) string   // for each number of bytes before the inner encoding
	url   [3]func(string) string   // the same, with base64url inside
	lines [][3]func(string) string // the same, with wrapped lines inside
}

var base64s = func() (all [3]encodings64) {
	toURL := strings.NewReplacer("+", "-", "/", "_")
	for offset := range all {
		e := &all[offset]
		e.once = func(s string) string { return base64At(s, offset) }
		for _, changed := range []*strings.Replacer{
			toURL,
			strings.NewReplacer("/", `\/`), // JSON of PHP
			strings.NewReplacer("+", "%2B", "/", "%2F"),
			strings.NewReplacer("+", "%2b", "/", "%2f"),
		} {
			e.other = append(e.other, func(s string) string { return changed.Replace(e.once(s)) })
		}
		for outer := range 3 {
			e.twice[outer] = func(s string) string { return base64At(e.once(s), outer) }
			e.url[outer] = func(s string) string { return base64At(toURL.Replace(e.once(s)), outer) }
		}
	}
	for _, width := range []int{64, 76} { // the widths of openssl and of base64
		var lines [3]func(string) string
		for outer := range lines {
			lines[outer] = func(s string) string { return base64At(wrapped(base64At(s, 0), width), outer) }
		}
		all[0].lines = append(all[0].lines, lines)
	}
	return all
}()

// base64Forms adds the forms of part in base64, once and twice.
func base64Forms(part string, add func(encode func(string) string)) {
	for _, e := range base64s {
		add(e.once)
		for _, twice := range e.twice {
			add(twice)
		}
		if strings.ContainsAny(e.once(part), "+/") {
			for _, encode := range slices.Concat(e.other, e.url[:]) {
				add(encode)
			}
		}
		for _, lines := range e.lines {
			for _, encode := range lines {
				add(encode)
			}
		}
	}
}

// base64At returns the base64 encoding of s after offset other bytes. It returns only the
// characters that contain no bits of other bytes.
func base64At(s string, offset int) string {
	from, to := (8*offset+5)/6, 8*(offset+len(s))/6
	return base64.RawStdEncoding.EncodeToString(append(make([]byte, offset), s...))[from:to]
}

// wrapped returns s in lines of that width.
func wrapped(s string, width int) string {
	var b strings.Builder
	for len(s) > width {
		b.WriteString(s[:width] + "\n")
		s = s[width:]
	}
	return b.String() + s
}
