package tokenhttp

import (
	"strconv"
	"strings"
)

// references are HTML's names of the characters of ASCII that are neither
// letters nor digits.
var references = map[string]string{
	"Tab": "\t", "NewLine": "\n", "excl": "!", "quot": `"`, "QUOT": `"`, "num": "#", "dollar": "$", "percnt": "%",
	"amp": "&", "AMP": "&", "apos": "'", "lpar": "(", "rpar": ")", "ast": "*", "midast": "*", "plus": "+", "comma": ",",
	"period": ".", "sol": "/", "colon": ":", "semi": ";", "lt": "<", "LT": "<", "equals": "=", "gt": ">", "GT": ">",
	"quest": "?", "commat": "@", "lsqb": "[", "lbrack": "[", "bsol": `\`, "rsqb": "]", "rbrack": "]", "Hat": "^",
	"lowbar": "_", "UnderBar": "_", "grave": "`", "DiacriticalGrave": "`", "lcub": "{", "lbrace": "{", "verbar": "|",
	"vert": "|", "VerticalLine": "|", "rcub": "}", "rbrace": "}",
}

const maxReference = 16 // bytes of a name

// reference reads a character reference of HTML or XML at the beginning of s,
// which is an &. n is 0 if s begins with another text. HTML takes some without a semicolon:
// of these only such as take at most 3 digits or 4 letters along.
func reference(s string) (decoded string, n int) {
	if number, ok := strings.CutPrefix(s, "&#"); ok {
		return numeric(number)
	}
	name, _, ok := strings.Cut(s[1:min(len(s), maxReference+2)], ";")
	if c, known := references[name]; ok && known {
		return c, len(name) + 2
	}
	for _, name := range []string{"amp", "lt", "gt", "quot"} {
		if strings.HasPrefix(s[1:], name) {
			return references[name], len(name) + 1
		}
	}
	return "", 0
}

// numeric is reference behind "&#".
func numeric(s string) (decoded string, n int) {
	base, prefix, most := 10, 0, 3
	if s != "" && s[0]|0x20 == 'x' {
		base, prefix, most = 16, 1, 2
	}
	end := prefix
	for end < len(s) && (base == 10 && '0' <= s[end] && s[end] <= '9' || base == 16 && hexDigit(s[end]) >= 0) {
		end++
	}
	digits := s[prefix:end]
	n = len("&#") + end
	switch {
	case end < len(s) && s[end] == ';':
		n++
	case end-prefix > most: // more than a character of ASCII needs
		return "", 0
	}
	c, err := strconv.ParseUint(digits, base, 31)
	if err != nil {
		return "", 0
	}
	return string(rune(c)), n // #nosec G115 -- of 31 bits
}
