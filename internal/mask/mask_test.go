package mask_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/internal/mask"
)

// D06
// D07
func TestNoCanaryReadable(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	secrets := canaries(r)
	set := newSet(secrets...)
	for name, encode := range encoders() {
		t.Run(name, func(t *testing.T) {
			var text strings.Builder
			var cores []string
			for _, canary := range secrets {
				for _, secret := range append(jwtSegments(canary), canary) {
					printed, core := encode(secret)
					cores = append(cores, core)
					fmt.Fprintf(&text, "2026-01-02 INFO value=%s done\n", printed)
				}
			}
			out := writeChunks(t, set, text.String(), []int{1 + r.IntN(100), 1 + r.IntN(1000), 1 + r.IntN(7)})
			for _, core := range cores {
				if hasWindow(leftOf(out), core, 8) {
					t.Errorf("a part of %q is readable in\n%s", core, out)
				}
			}
			want := [2]int{len(cores), len(cores)} // the text around the secrets is not masked
			if got := [2]int{strings.Count(out, "***"), strings.Count(out, " done\n")}; got != want {
				t.Errorf("masks and ends of lines = %v, want %v, in\n%s", got, want, out)
			}
		})
	}
}

// D07: among thousands of secrets, each is masked as if it were the only one.
func TestManySecrets(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	var set mask.Set
	var tokens []string
	for range 2000 {
		tokens = append(tokens, fakeJWT(r))
		set.Add(tokens[len(tokens)-1])
	}
	var text strings.Builder
	for i, token := range tokens {
		_, signature, _ := strings.Cut(token[strings.IndexByte(token, '.')+1:], ".")
		for _, form := range []string{
			token, signature, fmt.Sprintf("%x", signature), fmt.Sprintf("%X", token), base64.StdEncoding.EncodeToString([]byte(signature + "12"))[:456],
		} {
			fmt.Fprintf(&text, "%d: %s\n", i, form)
		}
	}
	var want strings.Builder
	for i := range tokens {
		want.WriteString(strings.Repeat(fmt.Sprintf("%d: ***\n", i), 5))
	}
	if diff := cmp.Diff(want.String(), writeChunks(t, &set, text.String(), []int{1 + r.IntN(100), 1 + r.IntN(5000)})); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func TestHeaderOfJWTIsNotMasked(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	token, other := fakeJWT(r), fakeJWT(r)
	set := newSet(token)
	header, _, _ := strings.Cut(token, ".")
	for text, want := range map[string]string{
		token:                  "***",
		header + ".":           header + ".",
		other:                  other, // equal to token far into the payload
		token + "." + token:    "***.***",
		token + token:          "***",
		header + "." + token:   header + ".***",
		strings.ToLower(token): strings.ToLower(token),
	} {
		if diff := cmp.Diff(want, set.Text(text)); diff != "" {
			t.Errorf("Text(%.40q...) (-want +got):\n%s", text, diff)
		}
	}
}

// D07
func TestLinesOfPEM(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	body := wrap(randomText(r, 150), 64, "\n")
	key := "-----BEGIN SECRET-----\n" + body + "\n-----END SECRET-----\n"
	lines := strings.Split(body, "\n")
	set := newSet(key)
	for text, want := range map[string]string{
		key:                                   "***\n",
		strings.ReplaceAll(key, "\n", "\r\n"): "***\r\n",
		strings.ReplaceAll(key, "\n", `\n`):   `***\n`,
		"  " + lines[1] + "\n":                "  ***\n",
		lines[2]:                              "***",
		"-----BEGIN SECRET-----\n":            "-----BEGIN SECRET-----\n",
		"-----END SECRET-----\n":              "-----END SECRET-----\n",
	} {
		if diff := cmp.Diff(want, set.Text(text)); diff != "" {
			t.Errorf("Text(%q) (-want +got):\n%s", text, diff)
		}
	}
}

// D07
func TestShortSecrets(t *testing.T) {
	for _, tt := range []struct {
		secret string
		want   bool
	}{
		{"", false}, {"prod", false}, {"1234567", false}, {"        ", false}, {" 1234567\n", false},
		{"12345678", true}, {"\t12345678 ", true},
	} {
		var set mask.Set
		if got := set.Add(tt.secret); got != tt.want {
			t.Errorf("Add(%q) = %v, want %v", tt.secret, got, tt.want)
		}
		const text = "prod 1234567         prod"
		if got := set.Text(text); got != text {
			t.Errorf("with %q: Text(%q) = %q, want it unchanged", tt.secret, text, got)
		}
	}
}
