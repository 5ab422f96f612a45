package mask_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken/internal/mask"
)

var (
	anyBreak    = regexp.MustCompile(`\r\n|\r|\n`)
	wrappedLine = regexp.MustCompile(`[A-Za-z0-9+/_.-]{48}\z`)
)

// reference masks text in the simplest way: it searches the whole text for each pattern at each
// place, and marks all matches. certain is the part of the result that no later text can
// change. A Writer must have written exactly that part.
func reference(text string, secrets []string) (all, certain string) {
	var folded []byte
	var at []int // the index in text of each byte of folded
	add := func(s string, from int) {
		for i := range len(s) {
			folded, at = append(folded, s[i]), append(at, from+i)
		}
	}
	start := 0
	for _, b := range anyBreak.FindAllStringIndex(text, -1) {
		line := text[start:b[0]]
		add(line, start)
		if !wrappedLine.MatchString(line) {
			add("\n", b[0])
		}
		start = b[1]
	}
	add(text[start:], start)

	isMasked := make([]bool, len(text))
	open := len(text) // the beginning of the first partial match that may continue
	for _, secret := range secrets {
		for _, pattern := range mask.PatternsOf(secret) {
			for i := range folded {
				if rest := folded[i:]; len(rest) < len(pattern) {
					if strings.HasPrefix(pattern, string(rest)) {
						open = min(open, at[i])
					}
					continue
				}
				if string(folded[i:i+len(pattern)]) != pattern {
					continue
				}
				for k := at[i]; k <= at[i+len(pattern)-1]; k++ {
					isMasked[k] = true
				}
			}
		}
	}
	return masked(text, isMasked), masked(text[:open], isMasked)
}

// masked returns text with stars for each masked range.
func masked(text string, isMasked []bool) string {
	var out strings.Builder
	for i := range len(text) {
		if !isMasked[i] {
			out.WriteByte(text[i])
		} else if i == 0 || !isMasked[i-1] {
			out.WriteString("***")
		}
	}
	return out.String()
}

// secretGenerator makes secrets that overlap with themselves and each other, some with several
// lines or with characters that are escaped.
func secretGenerator() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringMatching(`[ab]{8,12}`),
		rapid.StringMatching(`[abc\n]{8,40}`),
		rapid.StringMatching(`[a-z&<>"'/%+ é\n\r]{8,30}`),
		rapid.StringMatching(`[A-Za-z0-9+/]{60,90}`),
		rapid.StringMatching(`[a-z]{20,50}(\r?\n[a-z]{20,60}){1,3}`),
		rapid.StringMatching(`eyJhIjoiYiJ9\.[a-z]{14,20}\.[A-Z]{14,20}`),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 8, 30), func(b []byte) string { return string(b) }),
	)
}

// textGenerator makes text with many forms and parts of the secrets, and with line breaks at
// random places.
func textGenerator(secrets []string) *rapid.Generator[string] {
	var patterns []string
	for _, secret := range secrets {
		patterns = append(patterns, secret)
		patterns = append(patterns, mask.PatternsOf(secret)...)
	}
	piece := rapid.Custom(func(t *rapid.T) string {
		p := rapid.SampledFrom(patterns).Draw(t, "pattern")
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			return rapid.StringMatching(`[ab\r\n -]{0,8}`).Draw(t, "noise")
		case 1:
			return p[:rapid.IntRange(0, len(p)).Draw(t, "cut")]
		case 2:
			return p[rapid.IntRange(0, len(p)).Draw(t, "cut"):]
		case 3:
			return wrap(p, rapid.IntRange(40, 80).Draw(t, "width"), rapid.SampledFrom([]string{"\n", "\r\n", "\r"}).Draw(t, "break"))
		}
		return p
	})
	return rapid.Map(rapid.SliceOfN(piece, 0, 12), func(pieces []string) string { return strings.Join(pieces, "") })
}

// D07
func TestMatchesReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secrets := rapid.SliceOfN(secretGenerator(), 1, 4).Draw(t, "secrets")
		text := textGenerator(secrets).Draw(t, "text")
		sizes := rapid.SliceOfN(rapid.IntRange(1, 40), 1, 10).Draw(t, "sizes")
		var long []string
		for _, secret := range secrets {
			if len(strings.TrimSpace(secret)) >= mask.MinLength {
				long = append(long, strings.TrimSpace(secret))
			}
		}
		set := newSet(secrets...)
		want, _ := reference(text, long)
		if diff := cmp.Diff(want, writeChunks(t, set, text, sizes)); diff != "" {
			t.Errorf("in chunks of %v, output (-want +got):\n%s", sizes, diff)
		}
		if diff := cmp.Diff(want, set.Text(text)); diff != "" {
			t.Errorf("Text (-want +got):\n%s", diff)
		}
	})
}

// D07: after every write, the Writer has written everything that is certain, and no more.
func TestHoldsBackAsReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.Map(secretGenerator(), strings.TrimSpace).
			Filter(func(s string) bool { return len(s) >= mask.MinLength }).Draw(t, "secret")
		text := textGenerator([]string{secret}).Draw(t, "text")
		sizes := rapid.SliceOfN(rapid.IntRange(1, 12), 1, 10).Draw(t, "sizes")
		var out strings.Builder
		w := newSet(secret).Writer(&out)
		for i, written := 0, 0; written < len(text); i++ {
			n := min(sizes[i%len(sizes)], len(text)-written)
			if _, err := w.Write([]byte(text[written : written+n])); err != nil {
				t.Fatal(err)
			}
			written += n
			_, want := reference(text[:written], []string{secret})
			if diff := cmp.Diff(want, out.String()); diff != "" {
				t.Fatalf("after %d bytes, output (-want +got):\n%s", written, diff)
			}
		}
	})
}

// D07
func FuzzWriter(f *testing.F) {
	f.Add("the secret is s3cr3t-t0ken!", "s3cr3t-t0ken!", "other secret", uint8(3))
	f.Add("aaaaaaaaaaaaaaaaaaaaaaab", "aaaaaaaa", "aaaaaaaab", uint8(1))
	f.Add("x\r\ny\r\nz line one\r\rline two", "line one\nline two", "z line one\n\nline", uint8(7))
	f.Fuzz(func(t *testing.T, text, secret, other string, size uint8) {
		if len(text) > 4<<10 || len(secret) > 256 || len(other) > 256 {
			t.Skip("the reference is slow")
		}
		var set mask.Set
		var secrets []string
		for _, s := range []string{secret, other} {
			if set.Add(s) {
				secrets = append(secrets, strings.TrimSpace(s))
			}
		}
		want, _ := reference(text, secrets)
		if diff := cmp.Diff(want, writeChunks(t, &set, text, []int{int(size) + 1})); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, set.Text(text)); diff != "" {
			t.Errorf("Text (-want +got):\n%s", diff)
		}
	})
}
