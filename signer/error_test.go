package signer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken/signer"
)

// An error names on one line the service, the call and the reason, for any text
// of the service.
func TestError(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  signer.Error
		want string
	}{
		{"kind alone", signer.Error{Service: "kms", Op: "Sign", Kind: signer.Gone}, "kms: Sign: gone"},
		{
			"everything",
			signer.Error{Service: "kms", Op: "Sign", Kind: signer.Unavailable, Code: "Throttling", RetryAfter: 1500 * time.Millisecond, Err: errors.New("slow down")},
			"kms: Sign: unavailable: Throttling (retry after 1.5s): slow down",
		},
		{
			"a service that writes into the log",
			signer.Error{Service: "kms", Op: "Sign", Kind: signer.Refused, Code: "a\r\nb", Err: errors.New("no\n2026 level=info\x1b[2J\u2028\xff ok")},
			"kms: Sign: refused: a  b: no 2026 level=info [2J  ok",
		},
		{
			"a long text",
			signer.Error{Service: "kms", Op: "Sign", Kind: signer.Malformed, Err: errors.New(strings.Repeat("é", 1000))},
			"kms: Sign: malformed answer: " + strings.Repeat("é", 256) + "...",
		},
		{
			"cut inside a character",
			signer.Error{Service: "kms", Op: "Sign", Kind: signer.Malformed, Err: errors.New("x" + strings.Repeat("é", 1000))},
			"kms: Sign: malformed answer: x" + strings.Repeat("é", 255) + "...",
		},
		{"no kind", signer.Error{Service: "kms", Op: "Sign"}, "kms: Sign: Kind(0)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.err.Error()); diff != "" {
				t.Errorf("Error (-want +got):\n%s", diff)
			}
		})
	}
}

// Temporary and the cause are found through every wrapping.
func TestErrorClasses(t *testing.T) {
	for kind, temporary := range map[signer.Kind]bool{
		signer.Unavailable: true, signer.Refused: false, signer.Gone: false, signer.Malformed: false, 0: false,
	} {
		err := fmt.Errorf("mint: %w", &signer.Error{Service: "kms", Op: "Sign", Kind: kind, Err: fmt.Errorf("dial: %w", context.DeadlineExceeded)})
		var classed interface{ Temporary() bool }
		if !errors.As(err, &classed) || classed.Temporary() != temporary {
			t.Errorf("%v: Temporary is %v, want %v", kind, !temporary, temporary)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v: the cause is lost", kind)
		}
	}
}
