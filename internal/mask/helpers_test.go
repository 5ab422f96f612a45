package mask_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"regexp"
	"strings"

	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken/internal/mask"
)

// fakeJWT returns a text of about 1.2 KB that looks like a token of one issuer: the same
// header, claims with the same beginning, a random signature.
func fakeJWT(r *rand.Rand) string {
	signature := make([]byte, 256)
	for i := range signature {
		signature[i] = byte(r.Uint32())
	}
	claims := fmt.Sprintf(`{"iss":"https://oidc.example.com/account","aud":"https://vault.example.com","account_id":"acme",`+
		`"organization_id":"payments","project_id":"ledger","pipeline_id":"release","jti":"%016x%016x","padding":"%s"}`,
		r.Uint64(), r.Uint64(), strings.Repeat("x", 200+r.IntN(100)))
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs","typ":"JWT"}`)) +
		"." + base64.RawURLEncoding.EncodeToString([]byte(claims)) +
		"." + base64.RawURLEncoding.EncodeToString(signature)
}

// logText returns n bytes of typical build output.
func logText(r *rand.Rand, n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		switch r.IntN(8) {
		case 0:
			fmt.Fprintf(&b, "2026-01-02T15:04:05.%06dZ INFO  [worker-%d] downloaded https://repo.example.com/maven2/org/apache/commons/commons-lang3/3.%d/commons-lang3-3.%d.jar (%d kB at %d kB/s)\n", r.IntN(1e6), r.IntN(16), i%20, i%20, r.IntN(5000), r.IntN(900))
		case 1:
			fmt.Fprintf(&b, "ok  \tgithub.com/example/project/internal/pkg%d\t%d.%03ds\tcoverage: %d.%d%% of statements\n", r.IntN(500), r.IntN(30), r.IntN(1000), r.IntN(100), r.IntN(10))
		case 2:
			fmt.Fprintf(&b, `{"level":"info","ts":%d.%04d,"caller":"server/server.go:%d","msg":"request served","method":"GET","path":"/api/v1/items/%d","status":200,"bytes":%d}`+"\n", 1700000000+i, r.IntN(10000), r.IntN(900), r.IntN(1e6), r.IntN(1e5))
		case 3:
			fmt.Fprintf(&b, "Step %d/40 : RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl git\n ---> Running in %012x\n", r.IntN(40), r.Uint64()>>16)
		case 4:
			fmt.Fprintf(&b, "commit %016x%016x%08x\nAuthor: Jane Doe <jane@example.com>\n\n    Fix the thing that was broken in the other thing\n\n", r.Uint64(), r.Uint64(), r.Uint32())
		case 5:
			fmt.Fprintf(&b, "sha256:%016x%016x%016x%016x: Pull complete\n", r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64())
		case 6:
			b.WriteString("The quick brown fox jumps over the lazy dog, and then has to explain itself to the committee.\n")
		case 7:
			fmt.Fprintf(&b, "warning: unused variable: `value%d`\n  --> src/main.rs:%d:%d\n   |\n", r.IntN(100), r.IntN(1000), r.IntN(80))
		}
	}
	return b.Bytes()[:n]
}

func thousandTokens() *mask.Set {
	r := rand.New(rand.NewPCG(1, 2))
	var set mask.Set
	for range 1000 {
		set.Add(fakeJWT(r))
	}
	return &set
}

// limitedWriter accepts n bytes. Then it fails with err, or writes too few bytes if err is nil.
type limitedWriter struct {
	n   int
	err error
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	n := min(w.n, len(p))
	w.n -= n
	if n < len(p) {
		return n, w.err
	}
	return n, nil
}

// writeChunks writes text in pieces of the given sizes, which are used in turn.
func writeChunks(t rapid.TB, set *mask.Set, text string, sizes []int) string {
	t.Helper()
	var out strings.Builder
	w := set.Writer(&out)
	for i := 0; len(text) > 0; i++ {
		n := min(sizes[i%len(sizes)], len(text))
		if got, err := w.Write([]byte(text[:n])); err != nil || got != n {
			t.Fatalf("Write = %d, %v, want %d, nil", got, err, n)
		}
		text = text[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatalf("Close = %v", err)
	}
	return out.String()
}

func newSet(secrets ...string) *mask.Set {
	var set mask.Set
	for _, secret := range secrets {
		set.Add(secret)
	}
	return &set
}

// wrap puts a line break after every width bytes of s.
func wrap(s string, width int, lineBreak string) string {
	var b strings.Builder
	for ; len(s) > width; s = s[width:] {
		b.WriteString(s[:width] + lineBreak)
	}
	return b.String() + s
}

// leftOf removes the line breaks from out.
func leftOf(out string) string {
	return strings.NewReplacer("\r", "", "\n", "").Replace(out)
}

// hasWindow reports whether out contains n consecutive bytes of form.
func hasWindow(out, form string, n int) bool {
	for i := 0; i+n <= len(form); i++ {
		if strings.Contains(out, form[i:i+n]) {
			return true
		}
	}
	return false
}

func randomText(r *rand.Rand, n int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[r.IntN(len(letters))]
	}
	return string(b)
}

// encoder returns s in a form as a step may print it, and the part of the form that depends on
// s alone, without line breaks.
type encoder func(s string) (printed, core string)

// encoders returns an independent implementation of each form. It shares no code with the
// package.
func encoders() map[string]encoder {
	whole := func(encode func(string) string) encoder {
		return func(s string) (string, string) { return encode(s), encode(s) }
	}
	all := map[string]encoder{
		"exact": whole(func(s string) string { return s }),
		"JSON":  whole(func(s string) string { return strings.Trim(mustJSON(s), `"`) }),
		"query": whole(url.QueryEscape),
		"path":  whole(url.PathEscape),
		"shell": whole(func(s string) string { return strings.ReplaceAll(s, `'`, `'\''`) }),
		"hex":   whole(func(s string) string { return fmt.Sprintf("%x", s) }),
		"HEX":   whole(func(s string) string { return fmt.Sprintf("%X", s) }),
		"dump":  whole(func(s string) string { return strings.ReplaceAll(fmt.Sprintf("% x", " "+s), " ", "%")[2:] }),
		"all but alphanumeric": whole(func(s string) string {
			return regexp.MustCompile(`[^0-9A-Za-z]`).ReplaceAllStringFunc(s, func(c string) string { return fmt.Sprintf("%%%x", c) })
		}),
		"xxd": func(s string) (string, string) {
			return wrap(fmt.Sprintf("%x", "some text "+s), 60, "\n"), fmt.Sprintf("%x", s)
		},
	}
	for offset := range 3 {
		for name, enc := range map[string]*base64.Encoding{"base64": base64.StdEncoding, "base64url": base64.RawURLEncoding} {
			for _, width := range []int{64, 76, 10000} {
				for _, lineBreak := range []string{"\n", "\r\n"} {
					all[fmt.Sprintf("%s %d %d %q", name, offset, width, lineBreak)] = func(s string) (string, string) {
						encoded := enc.EncodeToString([]byte("xy"[:offset] + s + "tail"))
						return wrap(encoded, width, lineBreak), encoded[(8*offset+5)/6 : 8*(offset+len(s))/6]
					}
				}
			}
		}
	}
	return all
}

func mustJSON(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always has a JSON form
	}
	return string(b)
}

// canaries returns forty secrets: tokens, keys, passwords and the shortest possible ones.
func canaries(r *rand.Rand) []string {
	var all []string
	for range 10 {
		all = append(all, fakeJWT(r), randomText(r, 40)+"/+", "p&'"+randomText(r, 12)+"\"\\.", randomText(r, 8))
	}
	return all
}

// jwtSegments returns the payload and the signature of a token, and nil for other texts.
func jwtSegments(s string) []string {
	all := strings.Split(s, ".")
	if len(all) != 3 {
		return nil
	}
	return all[1:]
}
