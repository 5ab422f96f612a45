package strictjson_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/internal/strictjson"
)

const (
	notUTF8  = "is not valid UTF-8"
	replaced = `is not valid UTF-8, or has the escape \ufffd, which stands for that`
	half     = "has half of a surrogate pair"
	twice    = "has a member name twice"
	deep     = "is nested deeper than 64 levels"
	notJSON  = "is not a JSON value"
)

// T17 T18
func TestCheck(t *testing.T) {
	nested := func(n int, open, end string) string { return strings.Repeat(open, n) + "1" + strings.Repeat(end, n) }
	for _, tt := range []struct{ name, value, want string }{
		{"text", `"é"`, ""},
		{"number", `1e999`, ""},
		{"null", `null`, ""},
		{"object", `{"a":[{"b":1},{"b":2}],"b":{"a":"a"},"c":"c"}`, ""},
		{"empty", `{"":{},"a":[]}`, ""},
		{"names in another letter case", `{"a":1,"A":2}`, ""},
		{"value that is a name", `{"a":"a","b":["a","a"]}`, ""},
		{"values between names", `{"a":{"a":{}},"b":[[]],"c":{"a":1}}`, ""},

		{"invalid byte", "\"\xff\"", notUTF8},
		{"invalid byte in a name", "{\"\xff\":1}", notUTF8},
		{"surrogate in UTF-8", "\"\xed\xa0\x80\"", notUTF8},
		{"cut-off character", "\"\xc3\"", notUTF8},
		{"U+FFFD", `"` + "\uFFFD" + `"`, ""},
		{"replaced", `"a\ufffd"`, replaced},
		{"replaced, in capitals", `["\uFFFD"]`, replaced},
		{"replaced in a name", `{"\ufffd":1}`, replaced},
		{"escaped backslash before ufffd", `"\\ufffd"`, ""},
		{"escaped backslash before an escape", `"\\\ufffd"`, replaced},

		{"pair", `"\ud83d\ude00"`, ""},
		{"pair in capitals", `"\uD83D\uDE00"`, ""},
		{"high half", `"\ud800"`, half},
		{"high half at the end of an escape", `"\ud800\n"`, half},
		{"high half before a character", `"\ud800x00000"`, half},
		{"high half before another escape", `"\ud800\u0041"`, half},
		{"two high halves", `"\ud800\ud800"`, half},
		{"low half", `"\udc00"`, half},
		{"low half after a pair", `"\ud83d\ude00\ude00"`, half},
		{"wrong order", `"\ude00\ud83d"`, half},
		{"half in a name", `{"\udfff":1}`, half},
		{"half in a nested value", `{"a":[{"b":"\udbff"}]}`, half},

		{"twice", `{"a":1,"a":1}`, twice},
		{"twice, apart", `{"a":1,"b":{"a":1},"a":1}`, twice},
		{"twice, after an array", `{"a":["b"],"a":1}`, twice},
		{"twice, nested", `[0,{"x":{"a":1,"a":2}}]`, twice},
		{"twice, one escaped", `{"a":1,"\u0061":2}`, twice},
		{"twice, with an escaped slash", `{"a/b":1,"a\/b":2}`, twice},
		{"twice, as a pair", `{"😀":1,"\ud83d\ude00":2}`, twice},
		{"twice, empty", `{"":1,"":2}`, twice},

		{"deepest objects", nested(64, `{"a":`, "}"), ""},
		{"deepest arrays", nested(64, "[", "]"), ""},
		{"too deep objects", nested(65, `{"a":`, "}"), deep},
		{"too deep arrays", nested(65, "[", "]"), deep},
		{"wide", "[" + strings.Repeat("[],", 1000) + "[]]", ""},

		{"nothing", "", notJSON},
		{"cut off", `{"a":`, notJSON},
		{"backslash", `\`, notJSON},
		{"cut-off escape", `"\u00`, notJSON},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := strictjson.Check([]byte(tt.value)); got != tt.want {
				t.Errorf("Check(%s) = %q, want %q", tt.value, got, tt.want)
			}
		})
	}
}

// encoding/json reads every value that Check accepts without a loss, so Check also accepts the
// value that it writes again.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{`{"a":1,"\u0061":2}`, `"\ud83d\ude00"`, `"\ud800"`, "\"\xff\"", `[[{"":null}]]`, `"\\ufffd"`, "\"\uFFFD\""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		reason := strictjson.Check(value)
		if !json.Valid(value) || reason != "" {
			return
		}
		var v any
		if json.Unmarshal(value, &v) != nil {
			return // a number is too large
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if reason := strictjson.Check(again); reason != "" {
			t.Errorf("Check(%q) = %q, and nothing for %q", again, reason, value)
		}
		if got, want := members(v), strings.Count(stringLiteral.ReplaceAllString(string(value), ""), ":"); got != want {
			t.Errorf("%q has %d members, of which encoding/json keeps %d", value, want, got)
		}
	})
}

var stringLiteral = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// members returns the number of members of all objects in v.
func members(v any) (n int) {
	switch v := v.(type) {
	case []any:
		for _, v := range v {
			n += members(v)
		}
	case map[string]any:
		n = len(v)
		for _, v := range v {
			n += members(v)
		}
	}
	return n
}
