package jws_test

import (
	"bytes"
	"encoding/base64"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken/internal/jws"
)

// AppendBase64 encodes as the standard library does, for every length, with and
// without spare capacity, and writes nothing past the end.
func TestBase64(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "before")
		src := rapid.SliceOfN(rapid.Byte(), 0, 70).Draw(t, "src")
		room := rapid.IntRange(0, 120).Draw(t, "room")
		dst := slices.Grow(slices.Clone(before), room)
		behind := bytes.Repeat([]byte{'!'}, cap(dst)-len(dst))
		copy(dst[len(dst):cap(dst)], behind)

		got := jws.AppendBase64(dst, src)
		want := base64.RawURLEncoding.AppendEncode(slices.Clone(before), src)
		if !bytes.Equal(got, want) {
			t.Fatalf("AppendBase64(%q, %q) = %q, want %q", before, src, got, want)
		}
		if !bytes.Equal(dst[:len(before)], before) {
			t.Fatalf("AppendBase64 changed %q to %q", before, dst[:len(before)])
		}
		if unused := cap(dst) - len(want); unused > 0 {
			if tail := dst[len(want):cap(dst)]; !bytes.Equal(tail, behind[:unused]) {
				t.Fatalf("AppendBase64 wrote %q past the end", tail)
			}
		}
	})
}

// AppendBase64 encodes every group of 12 bits as the standard library does.
func TestBase64Alphabet(t *testing.T) {
	var src []byte
	for i := range 1 << 12 {
		src = append(src, byte(i>>4), byte(i<<4), byte(i>>8), byte(i), byte(i>>4), byte(i<<4|i>>8))
	}
	if got, want := jws.AppendBase64(nil, src), base64.RawURLEncoding.AppendEncode(nil, src); !bytes.Equal(got, want) {
		t.Error("AppendBase64 differs from the standard library")
	}
}
