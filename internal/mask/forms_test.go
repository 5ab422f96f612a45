package mask_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/internal/mask"
)

// awkward contains all characters that an encoder escapes.
const awkward = "pa<ss>&'w\"or\\d/+%20~!#$`(é)\u2028 {x}\tend=="

// D07
func TestForms(t *testing.T) {
	const lines = "first line = 'of the secret'\nsecond"
	for _, tt := range []struct{ name, secret, form string }{
		{"exact", awkward, awkward},
		{"JSON of Go", awkward, `pa\u003css\u003e\u0026'w\"or\\d/+%20~!#$` + "`(é)\\u2028 {x}\\tend=="},
		{"JSON of Go without HTML", awkward, `pa<ss>&'w\"or\\d/+%20~!#$` + "`(é)\\u2028 {x}\\tend=="},
		{"JSON of Python", awkward, `pa<ss>&'w\"or\\d/+%20~!#$` + "`(\\u00e9)\\u2028 {x}\\tend=="},
		{"JSON of PHP", awkward, `pa<ss>&'w\"or\\d\/+%20~!#$` + "`(\\u00e9)\\u2028 {x}\\tend=="},
		{"JSON of ECMAScript", awkward, `pa<ss>&'w\"or\\d/+%20~!#$` + "`(é)\u2028 {x}\\tend=="},
		{"JSON of .NET", awkward, `pa\u003Css\u003E\u0026\u0027w\u0022or\\d/\u002B%20~!#$` + "\\u0060(\\u00E9)\\u2028 {x}\\tend=="},
		{"JSON in JSON", `top"secret"\1`, `top\\\"secret\\\"\\\\1`},
		{"JSON beyond the BMP", "emoji\U0001F511key", `emoji\ud83d\udd11key`},
		{"JSON of a control character", "abcd\x01\x7fefgh", "abcd\\u0001\x7fefgh"},
		{"Python's repr", "it's\\a\nsecret é", `it\'s\\a\nsecret é`},
		{"Python's repr in double quotes", "it's\\a\nsecret é", `it's\\a\nsecret é`},
		{"Python's repr of bytes", "it's\\a\nsecret é", `it\'s\\a\nsecret \xc3\xa9`},
		{"query", awkward, "pa%3Css%3E%26%27w%22or%5Cd%2F%2B%2520~%21%23%24%60%28%C3%A9%29%E2%80%A8+%7Bx%7D%09end%3D%3D"},
		{"query, lower hex", awkward, "pa%3css%3e%26%27w%22or%5cd%2f%2b%2520~%21%23%24%60%28%c3%a9%29%e2%80%a8+%7bx%7d%09end%3d%3d"},
		{"RFC 3986", awkward, "pa%3Css%3E%26%27w%22or%5Cd%2F%2B%2520~%21%23%24%60%28%C3%A9%29%E2%80%A8%20%7Bx%7D%09end%3D%3D"},
		{"encodeURIComponent", awkward, "pa%3Css%3E%26'w%22or%5Cd%2F%2B%2520~!%23%24%60(%C3%A9)%E2%80%A8%20%7Bx%7D%09end%3D%3D"},
		{"Java", awkward, "pa%3Css%3E%26%27w%22or%5Cd%2F%2B%2520%7E%21%23%24%60%28%C3%A9%29%E2%80%A8+%7Bx%7D%09end%3D%3D"},
		{"Python's quote", awkward, "pa%3Css%3E%26%27w%22or%5Cd/%2B%2520~%21%23%24%60%28%C3%A9%29%E2%80%A8%20%7Bx%7D%09end%3D%3D"},
		{".NET", "a~b-c_d.e!f*g(h)i'j k/", "a%7eb-c_d.e!f*g(h)i%27j+k%2f"},
		{"escape", "a@b*c_d+e-f.g/h~i j", "a@b*c_d+e-f.g/h%7Ei%20j"},
		{"query twice", awkward, url.QueryEscape(url.QueryEscape(awkward))},
		{"path twice", awkward, url.PathEscape(url.PathEscape(awkward))},
		{"query twice, lower hex", "it's a/secret~", "it%2527s%2520a%252fsecret~"},
		{"every byte, lower hex", "s3cr-t~é\n.", "%73%33%63%72%2d%74%7e%c3%a9%0a%2e"},
		{"every byte, upper hex", "s3cr-t~é\n.", "%73%33%63%72%2D%74%7E%C3%A9%0A%2E"},
		{"JSON in JSON, upper hex", "se<cr>et\"é", `se\\u003Ccr\\u003Eet\\\"\\u00E9`},
		{"single quotes", awkward, `pa<ss>&'\''w"or\d/+%20~!#$` + "`(é)\u2028 {x}\tend=="},
		{"shlex.quote", awkward, `pa<ss>&'"'"'w"or\d/+%20~!#$` + "`(é)\u2028 {x}\tend=="},
		{"double quotes", awkward, `pa<ss>&'w\"or\\d/+%20~!#\$` + "\\`(é)\u2028 {x}\tend=="},
		{"bash's %q", "#a ,b'c\"d\\e~f#g!h^i{j}k%l@m+n=o:p;q<r>s&t|u*v?w[x]y$z`(A)-_./",
			"\\#a\\ \\,b\\'c\\\"d\\\\e~f#g\\!h\\^i\\{j\\}k%l@m+n=o:p\\;q\\<r\\>s\\&t\\|u\\*v\\?w\\[x\\]y\\$z\\`\\(A\\)-_./"},
		{"bash's %q of control characters", "a'\nb\x01\x1b\\é secret", `a\'\nb\001\E\\é secret`},
		{"quotemeta", "a-b/c.d_e f", `a\-b\/c\.d_e\ f`},
		{"hex", "0123secret", "30313233736563726574"},
		{"upper hex", "~secret~\xff", "7E7365637265747EFF"},
		{"HTML", `<secret>&'"`, "&lt;secret&gt;&amp;&#39;&#34;"},
		{"XML", `<secret>&'"`, "&lt;secret&gt;&amp;&apos;&quot;"},
		{"CRLF", lines, strings.ReplaceAll(lines, "\n", "\r\n")},
		{"CR", lines, strings.ReplaceAll(lines, "\n", "\r")},
		{"a line alone", lines, "first line = 'of the secret'"},
		{"a line in JSON", lines + "\"", `first line = 'of the secret'`},
		{"CRLF in JSON", lines, `first line = 'of the secret'\r\nsecond`},
		{"LF in base64", strings.ReplaceAll(lines, "\n", "\r\n"), base64.StdEncoding.EncodeToString([]byte(lines + "."))[:8*len(lines)/6]},
		{"white space around it", "  \n" + lines + "\n", lines},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := newSet(tt.secret).Text("before [" + tt.form + "] after")
			if diff := cmp.Diff("before [***] after", got); diff != "" {
				t.Errorf("Text (-want +got):\n%s", diff)
			}
		})
	}
}

// D07
func TestFormsOfStandardLibrary(t *testing.T) {
	var jsonText, xmlText, slogText, slogJSON bytes.Buffer
	if err := json.NewEncoder(&jsonText).Encode(awkward); err != nil {
		t.Fatal(err)
	}
	if err := xml.EscapeText(&xmlText, []byte(awkward)); err != nil {
		t.Fatal(err)
	}
	slog.New(slog.NewTextHandler(&slogText, nil)).Info("m", "k", awkward)
	slog.New(slog.NewJSONHandler(&slogJSON, nil)).Info("m", "k", awkward)
	for name, form := range map[string]string{
		"json": jsonText.String(), "xml": xmlText.String(), "slog text": slogText.String(), "slog JSON": slogJSON.String(),
		"query": url.QueryEscape(awkward), "path": url.PathEscape(awkward),
		"url": (&url.URL{Path: awkward}).String(), "user": url.UserPassword("u", awkward).String(),
		"quote": strconv.Quote(awkward), "ASCII": strconv.QuoteToASCII(awkward), "html": html.EscapeString(awkward),
		"%x": fmt.Sprintf("%x", awkward), "%X": fmt.Sprintf("%X", awkward),
	} {
		t.Run(name, func(t *testing.T) {
			got := newSet(awkward).Text(form)
			if !strings.Contains(got, "***") || len(got) > len(form)-len(awkward)+len("***") || strings.Contains(got, "end") {
				t.Errorf("Text(%q) = %q, want the secret masked", form, got)
			}
		})
	}
}

// An encoder may encode any subset of the unreserved characters, with either kind of digits.
// D07
func TestPercentEncodedUnreserved(t *testing.T) {
	const secret = "eyJh-bGci_OiJ.FUzI~1NiJ9-x_y.z~0"
	set := newSet(secret)
	jwt := fakeJWT(rand.New(rand.NewPCG(23, 24)))
	jwtSet := newSet(jwt)
	for subset := range 16 {
		for _, format := range []string{"%%%02x", "%%%02X"} {
			var pairs []string
			for i, c := range []byte("-_.~") {
				if subset&(1<<i) != 0 {
					pairs = append(pairs, string(c), fmt.Sprintf(format, c))
				}
			}
			encode := strings.NewReplacer(pairs...).Replace
			if got := set.Text("?token=" + encode(secret) + "&x=1"); got != "?token=***&x=1" {
				t.Errorf("%s: %q", encode(secret), got)
			}
			if got := jwtSet.Text("?token=" + encode(jwt) + "&x=1"); got != "?token=***&x=1" {
				t.Errorf("%s: %q", encode(jwt), got)
			}
		}
	}
}

// Base64 of base64, at every position of the secret in the inner text and of the inner text in
// the outer, wrapped or not. D07
func TestBase64Twice(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	for _, secret := range []string{"\xff\xfe~?" + randomText(r, 90), fakeJWT(r), "p&'" + randomText(r, 12) + "\"\\.", randomText(r, 8)} {
		set := newSet(secret)
		for before := range 3 {
			for between := range 3 {
				for _, inner := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
					for _, outer := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
						once := inner.EncodeToString([]byte("xy"[:before] + secret + "tail"))
						coreOnce := once[(8*before+5)/6 : 8*(before+len(secret))/6]
						from := between + strings.Index(once, coreOnce)
						whole := outer.EncodeToString([]byte("xy"[:between] + once + "end"))
						core := whole[(8*from+5)/6 : 8*(from+len(coreOnce))/6]
						for _, width := range []int{64, 76, 100000} {
							text := "data:\n" + wrap(whole, width, "\n") + "\n"
							got := leftOf(writeChunks(t, set, text, []int{1 + r.IntN(50), 1 + r.IntN(50)}))
							if want := "data:" + strings.Replace(whole, core, "***", 1); got != want {
								t.Fatalf("%d and %d bytes before, lines of %d:\n got %s\nwant %s", before, between, width, got, want)
							}
						}
					}
				}
			}
		}
	}
}

// The output of base64 and openssl, encoded again by them. D07
func TestBase64OfLines(t *testing.T) {
	r := rand.New(rand.NewPCG(25, 26))
	for _, secret := range []string{fakeJWT(r), randomText(r, 100), randomText(r, 57), randomText(r, 58)} {
		set := newSet(secret)
		for _, width := range []int{64, 76} {
			for _, newline := range []string{"", "\n"} {
				for between := range 3 {
					once := wrap(base64.StdEncoding.EncodeToString([]byte(secret+newline)), width, "\n") + "\n"
					twice := base64.StdEncoding.EncodeToString([]byte("xy"[:between] + once))
					got := leftOf(set.Text(wrap(twice, width, "\n")))
					if len(got) > 16 || !strings.Contains(got, "***") {
						t.Errorf("%d bytes in lines of %d, %d bytes before: %s", len(secret), width, between, got)
					}
				}
			}
		}
	}
}

// The set stores only the beginning of a form that was not printed.
func TestFewBytesAreKept(t *testing.T) {
	jwt := fakeJWT(rand.New(rand.NewPCG(27, 28)))
	all, kept := mask.Sizes(jwt)
	if all < 50*len(jwt) || kept > 10*len(jwt) {
		t.Errorf("of %d bytes in all forms of a token of %d, %d are kept", all, len(jwt), kept)
	}
}

// Several writers see the beginning of a form at once, and each masks it.
func TestFormsAreCompletedForAllWriters(t *testing.T) {
	r := rand.New(rand.NewPCG(29, 30))
	secrets := canaries(r)
	set := newSet(secrets...)
	var group sync.WaitGroup
	for range 4 {
		sizes := []int{1 + r.IntN(20), 1 + r.IntN(200)}
		group.Go(func() {
			for _, secret := range secrets {
				form := fmt.Sprintf("%x", secret)
				if got := writeChunks(t, set, "a "+form+" b", sizes); got != "a *** b" {
					t.Errorf("%s: %s", form, got)
				}
			}
		})
	}
	group.Wait()
}

// If Flush has written the beginning of a form, the rest is still masked, wherever the form was
// cut.
func TestFlushInsideAForm(t *testing.T) {
	const secret = "s3cr3t-of-somebody"
	form := fmt.Sprintf("%x", secret)
	for cut := 1; cut < len(form); cut++ {
		var out strings.Builder
		w := newSet(secret).Writer(&out)
		for _, piece := range []string{form[:cut], form[cut:] + "."} {
			if _, err := w.Write([]byte(piece)); err != nil {
				t.Fatal(err)
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := out.String(), form[:cut]+"***."; got != want {
			t.Errorf("cut at %d: %q, want %q", cut, got, want)
		}
	}
}

// D07
func TestBase64AnywhereAndWrapped(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	secret := "\xff\xfe~?" + randomText(r, 90) // with characters in which base64 and base64url differ
	set := newSet(secret)
	for before := range 80 {
		plain := randomText(r, before) + secret + randomText(r, 50)
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
			whole := enc.EncodeToString([]byte(plain))
			core := whole[(8*before+5)/6 : 8*(before+len(secret))/6]
			for _, width := range []int{60, 64, 76, 10000} {
				for _, lineBreak := range []string{"\n", "\r\n"} {
					text := "data:\n" + wrap(whole, width, lineBreak) + "\n"
					got := writeChunks(t, set, text, []int{1 + r.IntN(50), 1 + r.IntN(50)})
					want := strings.Replace(whole, core, "***", 1)
					if diff := cmp.Diff("data:"+want, leftOf(got)); diff != "" {
						t.Fatalf("%d bytes before, lines of %d (-want +got):\n%s", before, width, diff)
					}
				}
			}
		}
	}
}
