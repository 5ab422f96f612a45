package tokenhttp_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// X06: what repeats a secret is replaced, in any encoding, and the rest stays.
func TestRedact(t *testing.T) {
	const secret = "eyJhbGciOiJSUzI1NiJ9.c2lnbmF0dXJl-_QUJDREVGR0g"
	const padded = "q+w/e=r+t/y=u+i/o=p+a/s="   // as a session token of AWS
	const odd = "a?b>c?d>e?f>g?h>i?j>k?l" + ">" // its base64 has + and /, and no padding
	for _, tt := range []struct {
		name, text string
		secrets    []string
		want       string
	}{
		{"nothing to hide", "invalid_grant: the audience is wrong", []string{secret}, "invalid_grant: the audience is wrong"},
		{"no secrets", "token " + secret, nil, "token " + secret},
		{"empty secret", "token", []string{""}, "token"},
		{"empty text", "", []string{secret}, ""},
		{"whole", "token " + secret + " is bad", []string{secret}, "token [redacted] is bad"},
		{"twice", secret + " or " + secret, []string{secret}, "[redacted] or [redacted]"},
		{"two secrets", secret + " or " + padded, []string{secret, padded}, "[redacted] or [redacted]"},
		{"12 bytes", "x" + secret[5:17] + "x", []string{secret}, "x[redacted]x"},
		{"11 bytes", "x" + secret[5:16] + "x", []string{secret}, "x" + secret[5:16] + "x"},
		{"head and tail", secret[:15] + "..." + secret[30:], []string{secret}, "[redacted]...[redacted]"},
		{"short secret, whole", "the pin is 1234.", []string{"1234"}, "the pin is [redacted]."},
		{"short secret, in part", "the pin is 123.", []string{"1234"}, "the pin is 123."},
		{"short secret, encoded", `the pin is %31\u0032%334.`, []string{"1234"}, "the pin is [redacted]."},
		{"percent-encoded", "token " + url.QueryEscape(padded) + " is bad", []string{padded}, "token [redacted] is bad"},
		{"every byte percent-encoded", "token " + percent(secret) + " is bad", []string{secret}, "token [redacted] is bad"},
		{"lower hex", "token " + strings.ToLower(percent(padded)) + " is bad", []string{padded}, "token [redacted] is bad"},
		{"percent-encoded twice", "token " + url.QueryEscape(url.QueryEscape(padded)) + " is bad", []string{padded}, "token [redacted] is bad"},
		{"JSON escapes", "token " + unicodeEscapes(secret) + " is bad", []string{secret}, "token [redacted] is bad"},
		{"JSON escaped solidus", "token " + strings.ReplaceAll(padded, "/", `\/`) + " is bad", []string{padded}, "token [redacted] is bad"},
		{"JSON of percent-encoding", "token " + strings.ReplaceAll(percent(secret), "%", `\u0025`) + " is bad", []string{secret}, "token [redacted] is bad"},
		{"mixture", "token " + percent(secret[:9]) + secret[9:14] + unicodeEscapes(secret[14:]) + " is bad", []string{secret}, "token [redacted] is bad"},
		{"secret that is encoded, decoded in the text", "body grant=" + secret[:20] + "+/" + secret[20:], []string{"grant=" + secret[:20] + "%2B%2F" + secret[20:]}, "body [redacted]"},
		{"octal", "token " + eachByte(secret, `\%03o`) + " is bad", []string{secret}, "token [redacted] is bad"},
		{"octal, as echo takes it", "token " + eachByte(secret, `\0%03o`) + " is bad", []string{secret}, "token [redacted] is bad"},
		{"hex escapes", "token " + eachByte(secret, `\x%02X`) + " is bad", []string{secret}, "token [redacted] is bad"},
		{"braces", "token " + eachByte(secret, `\u{%x}`) + " is bad", []string{secret}, "token [redacted] is bad"},
		{"braces with zeros", "token " + eachByte(secret, `\u{%08x}`) + " is bad", []string{secret}, "token [redacted] is bad"},
		{"braces of Perl", "token " + eachByte(secret, `\x{%04X}`) + " is bad", []string{secret}, "token [redacted] is bad"},
		{"HTML, decimal", "token " + eachByte(secret, "&#%d;") + " is bad", []string{secret}, "token [redacted] is bad"},
		{"HTML, decimal with zeros", "token " + eachByte(secret, "&#%07d;") + " is bad", []string{secret}, "token [redacted] is bad"},
		{"HTML, hex", "token " + eachByte(secret, "&#x%x;") + " is bad", []string{secret}, "token [redacted] is bad"},
		{"HTML, upper hex", "token " + eachByte(secret, "&#X%04X;") + " is bad", []string{secret}, "token [redacted] is bad"},
		{"HTML without semicolons", "token " + eachByte(secret, "&#%03d") + " is bad", []string{secret}, "token [redacted] is bad"},
		{"HTML, hex without semicolons", "token " + eachByte(secret, "&#x%02x") + " is bad", []string{secret}, "token [redacted] is bad"},
		{"HTML without semicolons, of too many digits", "&#12345678901", []string{"12345678901A"}, "&#12345678901"},
		{"too many digits before an echo", "&#1234" + percent("56789ABC"), []string{"123456789ABC"}, "&#[redacted]"},
		{"HTML, named", "token " + strings.NewReplacer("+", "&plus;", "/", "&sol;", "=", "&equals;").Replace(padded) + " is bad", []string{padded}, "token [redacted] is bad"},
		{"HTML, named as before HTML 5", "token a&amp;b&ltc&gt;d&quote&apos;f is bad", []string{`a&b<c>d"e'f`}, "token [redacted] is bad"},
		{"HTML, escaped twice", "token " + strings.ReplaceAll(eachByte(secret, "&#%d;"), "&", "&amp;") + " is bad", []string{secret}, "token [redacted] is bad"},
		{"HTML of JSON of percent-encoding", "token " + strings.ReplaceAll(strings.ReplaceAll(percent(secret), "%", `\u0025`), `\`, "&bsol;") + " is bad", []string{secret}, "token [redacted] is bad"},
		{"base64", "token " + base64.StdEncoding.EncodeToString([]byte(secret)) + " is bad", []string{secret}, "token [redacted]== is bad"},
		{"base64 with its other digits", "token " + base64.StdEncoding.EncodeToString([]byte(odd)) + " is bad", []string{odd}, "token [redacted] is bad"},
		{"base64url with its other digits", "token " + base64.URLEncoding.EncodeToString([]byte(odd)) + " is bad", []string{odd}, "token [redacted] is bad"},
		{"base64 behind one letter", "a." + base64.StdEncoding.EncodeToString([]byte(odd)), []string{odd}, "a.[redacted]"},
		{"base64 behind two letters", "ab." + base64.StdEncoding.EncodeToString([]byte(odd)), []string{odd}, "ab.[redacted]"},
		{"base64 behind three letters", "abc." + base64.StdEncoding.EncodeToString([]byte(odd)), []string{odd}, "abc.[redacted]"},
		{"base64 behind four letters", "abcd." + base64.StdEncoding.EncodeToString([]byte(odd)), []string{odd}, "abcd.[redacted]"},
		{"base64, in the middle", "token " + base64.StdEncoding.EncodeToString([]byte(secret[1:])) + " is bad", []string{secret}, "token [redacted] is bad"},
		{"base64url in lines", "token " + strings.Join(strings.SplitAfter(base64.RawURLEncoding.EncodeToString([]byte(padded)), "I"), "\r\n") + " is bad", []string{padded}, "token [redacted] is bad"},
		{"base64 of a larger text", "body " + base64.StdEncoding.EncodeToString([]byte("token="+padded)) + ".", []string{padded}, "body dG9rZW49[redacted]."},
		{"base64, percent-encoded", "token " + percent(base64.StdEncoding.EncodeToString([]byte(secret[:27]))) + " is bad", []string{secret}, "token [redacted] is bad"},
		{"hex digits", "token " + hexDigits(secret) + " is bad", []string{secret}, "token [redacted] is bad"},
		{"hex digits, behind another", "token a" + strings.ToUpper(hexDigits(secret)) + " is bad", []string{secret}, "token a[redacted] is bad"},
		{"hex digits with colons", "token " + strings.TrimSuffix(eachByte(secret, "%02x:"), ":") + " is bad", []string{secret}, "token [redacted] is bad"},
		{"in lines", "token " + pieces(secret, 7, "\n") + " is bad", []string{secret}, "token [redacted] is bad"},
		{"in fields", `token ["` + pieces(secret, 11, `", "`) + `"] is bad`, []string{secret}, `token ["[redacted]"] is bad`},
		{"letter by letter", "token " + pieces(secret, 1, " ") + " is bad", []string{secret}, "token [redacted] is bad"},
		{"with points", "token " + pieces(padded, 5, ".-.") + " is bad", []string{padded[:23]}, "token [redacted]= is bad"},
		{"in lines, percent-encoded", "token " + percent(pieces(secret, 4, "\r\n")) + " is bad", []string{secret}, "token [redacted] is bad"},
		{"12 letters in two pieces", "x " + secret[:6] + " " + secret[6:12] + " x", []string{secret}, "x [redacted] x"},
		{"11 letters in two pieces", "x " + secret[:6] + " " + secret[6:11] + " x", []string{secret}, "x " + secret[:6] + " " + secret[6:11] + " x"},
		{"words between", "first " + secret[:11] + " then " + secret[11:20], []string{secret}, "first " + secret[:11] + " then " + secret[11:20]},
		{"broken references stay", "a & b &; &# &#; &#x; &#xg; &no; &#1114112", []string{secret}, "a & b &; &# &#; &#x; &#xg; &no; &#1114112"},
		{"references that take letters along", "&#1" + secret[:11], []string{"1" + secret[:11]}, "&#[redacted]"},
		{"broken escapes stay", `100% of %zz, \q, \u12, %4`, []string{secret}, `100% of %zz, \q, \u12, %4`},
		{"escape cut through", "%" + percent(secret) + "5", []string{secret}, "%[redacted]5"},
		{"between runes", "é" + secret + "é", []string{secret}, "é[redacted]é"},
		{"non-ASCII secret in JSON", `x\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9x`, []string{"éééééé"}, "x[redacted]x"},
		{"control characters", "a\r\nb\x00c\x1b[31md", []string{secret}, `a\r\nb\x00c\x1b[31md`},
		{"invalid UTF-8", "a\xff\xc3", []string{secret}, `a\xff\xc3`},
		{"what turns text around", "a\u202eb\u200bc\u2028", nil, `a\u202eb\u200bc\u2028`},
		{"replacement character itself", "a\ufffdb", nil, "a\ufffdb"},
		{"too long", strings.Repeat("x", 513), nil, strings.Repeat("x", 509) + "…"},
		{"just not too long", strings.Repeat("x", 512), nil, strings.Repeat("x", 512)},
		{"cut between runes", strings.Repeat("é", 300), nil, strings.Repeat("é", 254) + "…"},
		{"an escape of ours completes a window", "\xff" + secret[9:20], []string{"f" + secret[9:20]}, `\xf[redacted]`},
		{"stray escape before an echo", "%" + "41" + percent("++++++++++"), []string{"41++++++++++A"}, "%41[redacted]"},
		{"secret that does not print", "a\x00bcdefghijk\u2028\xffl", []string{"\x00bcdefghijk\u2028\xff"}, "a[redacted]l"},
		{"rune hidden in part", strings.Repeat("é", 6) + "ê", []string{strings.Repeat("é", 6) + "\xc3"}, "[redacted]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tokenhttp.Redact(tt.text, tt.secrets...); got != tt.want {
				t.Errorf("Redact = %q, want %q", got, tt.want)
			}
		})
	}
}

// X06: no echo survives, however it is encoded and cut into pieces.
func TestRedactProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[A-Za-z0-9_+/=.-]{12,200}`).Draw(t, "secret")
		encodings := []func(string) string{
			func(s string) string { return s }, url.QueryEscape, percent, unicodeEscapes, jsonString,
			func(s string) string { return strings.ToLower(percent(s)) },
			func(s string) string { return url.QueryEscape(percent(s)) },
			func(s string) string { return unicodeEscapes(url.QueryEscape(s)) },
			func(s string) string { return eachByte(s, "&#%d;") },
			func(s string) string { return eachByte(s, "&#x%x;") },
			func(s string) string { return strings.ReplaceAll(eachByte(s, "&#%03d;"), "&", "&amp;") },
			func(s string) string { return eachByte(s, `\%03o`) },
			func(s string) string { return eachByte(s, `\u{%x}`) },
			func(s string) string { return percent(eachByte(s, `\x%02x`)) },
			hexDigits,
		}
		var text strings.Builder
		for range rapid.IntRange(1, 12).Draw(t, "pieces") {
			from := rapid.IntRange(0, len(secret)).Draw(t, "from")
			to := rapid.IntRange(from, len(secret)).Draw(t, "to")
			text.WriteString(rapid.SampledFrom(encodings).Draw(t, "encoding")(secret[from:to]))
			text.WriteString(rapid.SampledFrom([]string{"", " ", "%", `\`, "\xff", "é", strings.Repeat("x", 300)}).Draw(t, "between"))
		}
		got := tokenhttp.Redact(text.String(), secret)
		checkPrintable(t, got, 512)
		if w := shown(got, secret); w != "" {
			t.Fatalf("Redact(%q) = %q shows %q", text.String(), got, w)
		}
	})
}

// pieces puts between between every n bytes.
func pieces(s string, n int, between string) string {
	var b strings.Builder
	for i := 0; i < len(s); i += n {
		if i > 0 {
			b.WriteString(between)
		}
		b.WriteString(s[i:min(i+n, len(s))])
	}
	return b.String()
}

func jsonString(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings always encode
	}
	return strings.Trim(string(b), `"`)
}

func checkPrintable(t interface{ Fatalf(string, ...any) }, s string, max int) {
	if len(s) > max || !utf8.ValidString(s) {
		t.Fatalf("%d bytes, valid UTF-8 %t: %q", len(s), utf8.ValidString(s), s)
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			t.Fatalf("%q does not print: %q", r, s)
		}
	}
}

// X08: the cost of a redaction does not grow with a hostile text.
func TestRedactAllocates(t *testing.T) {
	secret := newAssertion()
	text := strings.Repeat(`\u0025`+percent(secret), 1000)
	before := totalAlloc()
	got := tokenhttp.Redact(text, secret, "client_assertion="+secret)
	if used := totalAlloc() - before; used > 1<<20 {
		t.Errorf("Redact allocated %d KiB for a text of %d KiB, want at most 1 MiB", used>>10, len(text)>>10)
	}
	if w := shown(got, secret); w != "" {
		t.Errorf("Redact shows %q", w)
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("token eyJhbGciOiJSUzI1NiJ9 is bad", "eyJhbGciOiJSUzI1NiJ9")
	f.Add(`%65%79J\u0068bGci%254FiJSUzI1NiJ9`, "eyJhbGciOiJSUzI1NiJ9")
	f.Add("\xff%ff\\u\\", "%ff\\\\uabcdefgh")
	f.Fuzz(func(t *testing.T, text, secret string) {
		got := tokenhttp.Redact(text, secret)
		checkPrintable(t, got, 512)
		// Our own marker, and the escapes that we write, are no echo.
		if strings.ContainsAny(secret, `[]\…`) {
			return
		}
		for i := 0; i+12 <= len(secret); i++ {
			if strings.Contains(got, secret[i:i+12]) {
				t.Fatalf("Redact(%q, %q) = %q", text, secret, got)
			}
		}
	})
}

func TestPrintable(t *testing.T) {
	for _, tt := range []struct {
		text string
		max  int
		want string
	}{
		{"", 3, ""}, {"abc", 3, "abc"}, {"abcd", 3, "…"}, {"abcd", 5, "abcd"}, {"abcdef", 5, "ab…"}, {"\n", 3, `\n`}, {"\x00", 3, "…"},
	} {
		if got := tokenhttp.Printable(tt.text, tt.max); got != tt.want {
			t.Errorf("Printable(%q, %d) = %q, want %q", tt.text, tt.max, got, tt.want)
		}
	}
}
