package text_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/internal/text"
)

// A text that Check accepts can be decoded from its JSON and percent encodings.
func FuzzEncodings(f *testing.F) {
	for _, s := range []string{"", "plain", `"\`, "é", "a\tb", "\xff", "\u2028", strings.Repeat("a", text.Max+1)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if text.Check(s) != "" {
			return
		}
		var decoded string
		encoded := `"` + string(text.AppendJSON(nil, s)) + `"`
		if err := json.Unmarshal([]byte(encoded), &decoded); err != nil || decoded != s {
			t.Errorf("AppendJSON(%q) = %s, which decodes to %q, %v", s, encoded, decoded, err)
		}
		percent := string(text.AppendPercent(nil, s))
		if decoded, err := url.PathUnescape(percent); err != nil || decoded != s {
			t.Errorf("AppendPercent(%q) = %s, which decodes to %q, %v", s, percent, decoded, err)
		}
		if percent != "" && !text.All(strings.ReplaceAll(percent, "%", ""), text.Unreserved) {
			t.Errorf("AppendPercent(%q) = %s, which has reserved bytes", s, percent)
		}
	})
}

func TestCheck(t *testing.T) {
	for s, want := range map[string]string{
		"":                                  "",
		"a b":                               "",
		"é":                                 "",
		"\ufffd":                            "",
		"a\x00":                             "has a control character",
		"a\u0085":                           "has a control character",
		"a\xff":                             "is not valid UTF-8",
		strings.Repeat("a", text.Max):       "",
		strings.Repeat("a", text.Max) + "a": "is longer than 1024 bytes",
	} {
		if got := text.Check(s); got != want {
			t.Errorf("Check(%.20q) = %q, want %q", s, got, want)
		}
	}
}

func TestOpenList(t *testing.T) {
	f := text.OpenList(text.UpperWord, "MANUAL", "WEBHOOK")
	const other = `is not one of "MANUAL", "WEBHOOK", nor another of the form ^[A-Z][A-Z0-9_]{0,63}$`
	for s, want := range map[string]string{
		"MANUAL": "", "GITOPS_SYNC2": "", "manual": other, "": other, "_A": other, "2A": other, strings.Repeat("A", 65): other,
	} {
		if got := f.Check(s); got != want {
			t.Errorf("Check(%.20q) = %q, want %q", s, got, want)
		}
	}
	if got, want := text.DiffersInCase("Manual", []string{"MANUAL"}), `differs from "MANUAL" in letter case only`; got != want {
		t.Errorf("DiffersInCase = %q, want %q", got, want)
	}
}
