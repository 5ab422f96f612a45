package main_test

import (
	"encoding/base64"
	encoding "encoding/binary" // binary is the runner
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

// window is the shortest readable part of a secret that counts as a leak, in
// bytes.
const window = 12

// canaryWindows finds the windows of secrets.
type canaryWindows struct {
	filter [1 << 20 / 64]uint64
	known  map[string]int // the canary
}

func newCanaryWindows(canaries []string) *canaryWindows {
	w := &canaryWindows{known: make(map[string]int)}
	for i, canary := range canaries {
		if jwt := strings.Split(canary, "."); len(jwt) == 3 {
			canary = jwt[2]
		}
		for k := range len(canary) - window + 1 {
			s := canary[k : k+window]
			w.known[s] = i
			h := hashWindow([]byte(s))
			w.filter[h/64] |= 1 << (h % 64)
		}
	}
	return w
}

func hashWindow(b []byte) uint64 {
	return (encoding.LittleEndian.Uint64(b) ^ encoding.LittleEndian.Uint64(b[window-8:])<<7) * 0x9E3779B97F4A7C15 >> 44
}

// readable returns the canaries that have a readable window in text, plain or
// decoded.
func (w *canaryWindows) readable(text string) map[int]string {
	found := make(map[int]string)
	for way, decoded := range decodings(text) {
		for i := range max(0, len(decoded)-window+1) {
			h := hashWindow(decoded[i:])
			if w.filter[h/64]>>(h%64)&1 == 0 {
				continue
			}
			if canary, ok := w.known[string(decoded[i:i+window])]; ok {
				found[canary] = way
			}
		}
	}
	return found
}

var (
	anyPercent = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	anyNumber  = regexp.MustCompile(`\\u00[0-9A-Fa-f]{2}`)
)

const (
	hexDigits    = "0123456789ABCDEFabcdef"
	base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
)

// runs returns the longest parts of text that have nothing but digits, and enough of
// them for a window.
func runs(text, digits string) []string {
	var isDigit [256]bool
	for _, c := range []byte(digits) {
		isDigit[c] = true
	}
	var all []string
	start := 0
	for i := range len(text) + 1 {
		if i < len(text) && isDigit[text[i]] {
			continue
		}
		if i-start > window {
			all = append(all, text[start:i])
		}
		start = i + 1
	}
	return all
}

// decodings returns text in all encodings that a reader may undo.
func decodings(text string) map[string][]byte {
	character := func(digits string) string {
		b, err := hex.DecodeString(digits)
		if err != nil {
			panic(err) // of two digits
		}
		return string(b)
	}
	joined := strings.NewReplacer("\r", "", "\n", "").Replace(text)
	all := map[string][]byte{
		"as it is":  []byte(text),
		"joined":    []byte(joined),
		"percent":   []byte(anyPercent.ReplaceAllStringFunc(text, func(s string) string { return character(s[1:]) })),
		"JSON":      []byte(strings.ReplaceAll(anyNumber.ReplaceAllStringFunc(text, func(s string) string { return character(s[4:]) }), `\`, "")),
		"unquoted":  []byte(strings.ReplaceAll(text, `'\''`, `'`)),
		"backslash": []byte(strings.ReplaceAll(text, `\`, "")),
	}
	standard := strings.NewReplacer("-", "+", "_", "/").Replace(joined)
	decode := func(name string, runs []string, group int, decode func(string) ([]byte, error)) {
		for offset := range group {
			var decoded []byte
			for _, run := range runs {
				run = run[offset:]
				b, err := decode(run[:len(run)/group*group])
				if err != nil {
					panic(err) // of digits alone
				}
				decoded = append(append(decoded, b...), 0)
			}
			all[fmt.Sprintf("%s from %d", name, offset)] = decoded
		}
	}
	decode("hexadecimal", runs(joined, hexDigits), 2, hex.DecodeString)
	decode("base64", runs(standard, base64Digits), 4, base64.RawStdEncoding.DecodeString)
	return all
}
