package near_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken/internal/near"
)

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"abc", "abc", 0},
		{"secret", "secrets", 1},
		{"secrets", "secret", 1},
		{"stbge", "stage", 1},
		{"piepline", "pipeline", 1},
		{"ippleine", "pipeline", 2},
		{"ca", "abc", 3}, // no byte is edited twice
		{"kitten", "sitting", 3},
		{"ab", "ba", 1},
		{"abcdef", "", 6},
	} {
		if got := near.Distance(tt.a, tt.b); got != tt.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
		if got := near.Distance(tt.b, tt.a); got != tt.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", tt.b, tt.a, got, tt.want)
		}
	}
}

// An inserted byte changes the distance by at most one, or by two if it separates two
// swapped neighbours.
func TestDistanceOfEdits(t *testing.T) {
	t.Parallel()
	name := rapid.StringMatching(`[ab]{0,8}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := name.Draw(t, "a"), name.Draw(t, "b")
		at := rapid.IntRange(0, len(b)).Draw(t, "at")
		edited := b[:at] + "c" + b[at:]
		d, e := near.Distance(a, b), near.Distance(a, edited)
		if e < d-2 || e > d+2 {
			t.Fatalf("Distance(%q, %q) = %d, Distance(%q, %q) = %d", a, b, d, a, edited, e)
		}
		if (d == 0) != (a == b) {
			t.Fatalf("Distance(%q, %q) = %d", a, b, d)
		}
	})
}

func TestNearest(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 64)
	for _, tt := range []struct {
		name, to   string
		candidates []string
		want       string
	}{
		{"no candidate", "a", nil, ""},
		{"of one", "zzz", []string{"abc"}, "abc"},
		{"the least", "stge", []string{"step", "stage", "secrets"}, "stage"},
		{"the first in byte order", "a", []string{"az", "ax", "ay"}, "ax"},
		{"longest", long, []string{"x"}, "x"},
		{"too long", long + "x", []string{"x"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := near.Nearest(tt.to, tt.candidates); got != tt.want {
				t.Errorf("Nearest(%q) = %q, want %q", tt.to, got, tt.want)
			}
		})
	}
}

func TestMisspelled(t *testing.T) {
	t.Parallel()
	known := []string{"secrets", "pipeline", "stage", "step", "env", "id", "artifact", "matrix"}
	for name, want := range map[string]string{
		"secret":     "secrets",
		"secretss":   "secrets",
		"secerts":    "secrets",
		"sekretz":    "secrets", // two edits of seven bytes
		"sekretzz":   "",        // three
		"piepline":   "pipeline",
		"pypelin":    "pipeline",
		"Secrets":    "secrets",
		"SECRETS":    "secrets",
		"stge":       "stage",
		"stgae":      "stage",
		"stages":     "stage",
		"stges":      "", // two edits of five bytes
		"stg":        "", // two edits of five bytes
		"stp":        "step",
		"st":         "", // two edits of four bytes
		"env":        "",
		"end":        "",
		"evn":        "env",
		"envs":       "",
		"ENV":        "env",
		"di":         "",
		"ID":         "id",
		"artefacts":  "artifact",
		"metrax":     "matrix", // two edits of six bytes
		"metraks":    "",
		"x":          "",
		"":           "",
		"repository": "",
	} {
		if got := near.Misspelled(name, known); got != want {
			t.Errorf("Misspelled(%q) = %q, want %q", name, got, want)
		}
	}
	if got := near.Misspelled("steps", []string{"step", "steps"}); got != "" {
		t.Errorf("a candidate is called a misspelling of %q", got)
	}
}
