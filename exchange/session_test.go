package exchange_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken/exchange"
)

var sessionNames = regexp.MustCompile(`\A[0-9A-Za-z_+=,.@-]{2,64}\z`)

// X10: AWS accepts every session name, for any input.
func TestSessionNameIsValid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.OneOf(rapid.String(), rapid.StringN(60, 80, -1), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "prefix")
		name := exchange.SessionName(prefix, rapid.SliceOf(rapid.String()).Draw(t, "parts")...)
		if !sessionNames.MatchString(name) {
			t.Fatalf("SessionName = %q", name)
		}
		if valid := prefix != "" && sessionNames.MatchString(prefix+"x"); valid && !strings.HasPrefix(name, prefix[:min(len(prefix), 37)]+"-") {
			t.Fatalf("SessionName(%q) = %q, want to read the prefix", prefix, name)
		}
	})
}

// X10: only equal inputs have equal names, also where the readable part loses
// bytes and wherever one part ends and the next begins.
func TestSessionNameIsInjective(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Few letters, so that what two draws have in common is much.
		text := rapid.StringOfN(rapid.RuneFrom([]rune("a/ \x00")), 0, 3, -1)
		parts := rapid.SliceOfN(text, 1, 4)
		a, b := parts.Draw(t, "a"), parts.Draw(t, "b")
		same := exchange.SessionName(a[0], a[1:]...) == exchange.SessionName(b[0], b[1:]...)
		if same != slices.Equal(a, b) {
			t.Fatalf("%q and %q: equal names: %v", a, b, same)
		}
	})
	for _, pair := range [][2][]string{
		{{"a", "bc"}, {"a", "b", "c"}},
		{{"a", ""}, {"a"}},
		{{"a b"}, {"a/b"}},
		{{"", "a"}, {"a", ""}},
		{{"p", "a\x00\x00\x00\x00\x00\x00\x00\x01b"}, {"p", "a", "b"}},
		{{strings.Repeat("p", 40)}, {strings.Repeat("p", 41)}},
	} {
		a, b := exchange.SessionName(pair[0][0], pair[0][1:]...), exchange.SessionName(pair[1][0], pair[1][1:]...)
		if a == b {
			t.Errorf("%q and %q have the same name", pair[0], pair[1])
		}
	}
}

// The form is frozen: a host may have put it into trust policies, as a
// sts:RoleSessionName.
func TestSessionNameIsFrozen(t *testing.T) {
	for _, tt := range []struct {
		prefix string
		parts  []string
		want   string
	}{
		{"", nil, "v5kxb5nbqefxv54mv5f4octgb4"},
		{"release 42", []string{"acme", "step"}, "release-42-kxp76pcbfciqz63qbakoe46mei"},
	} {
		if got := exchange.SessionName(tt.prefix, tt.parts...); got != tt.want {
			t.Errorf("SessionName(%q, %q) = %q, want %q", tt.prefix, tt.parts, got, tt.want)
		}
	}
}
