package gcpkms_test

import (
	"bytes"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/signer/gcpkms"
)

func TestStatus(t *testing.T) {
	type read struct {
		Status     string
		Reasons    []string
		RetryDelay time.Duration
	}
	for _, tt := range []struct {
		body string
		want read
	}{
		{`{"error":{"code":400,"status":"FAILED_PRECONDITION","message":"no","details":[{"violations":[{"type":"KEY_DISABLED"},{"type":"x y"}]},7,null,{"reason":["x"]},{"reason":"A1","retryDelay":"1.5s"}]}}`,
			read{"FAILED_PRECONDITION", []string{"KEY_DISABLED", "A1"}, 1500 * time.Millisecond}},
		{`{"error":{"status":"not a constant","details":[{"retryDelay":"-1s"},{"retryDelay":"2000000h"}]}}`, read{RetryDelay: 30 * time.Second}},
		{`{"error":"access_denied"}`, read{}},
		{`null`, read{}},
		{``, read{}},
		{`{"error":{"details":[` + strings.Repeat(`{"reason":"R"},`, 99) + `{}]}}`, read{Reasons: []string{"R", "R", "R", "R", "R", "R", "R", "R"}}},
	} {
		var got read
		got.Status, got.Reasons, got.RetryDelay = gcpkms.Status([]byte(tt.body))
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%.80s (-want +got):\n%s", tt.body, diff)
		}
	}
}

func FuzzStatus(f *testing.F) {
	f.Add([]byte(`{"error":{"status":"UNAVAILABLE","message":"m","details":[{"reason":"R","retryDelay":"1s","violations":[{"type":"T"}]}]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		status, reasons, delay := gcpkms.Status(body)
		for _, s := range append(reasons, status) {
			if strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" || len(s) > 63 {
				t.Errorf("%q is no constant", s)
			}
		}
		if len(reasons) > 8 || delay < 0 || delay > 30*time.Second {
			t.Errorf("%d reasons, retry after %v", len(reasons), delay)
		}
	})
}

// A name that is taken is one path in a URL, and stays the version's.
func FuzzName(f *testing.F) {
	f.Add(versionOf)
	f.Add("projects/example.com:ci/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/10")
	f.Add("projects/p/locations/../keyRings/r/cryptoKeys/k/cryptoKeyVersions/1")
	f.Fuzz(func(t *testing.T, name string) {
		if !gcpkms.IsNamed(name, gcpkms.KeyVersion) {
			return
		}
		u, err := url.Parse("https://cloudkms.example.com/v1/" + name)
		if err != nil || u.Path != "/v1/"+name || u.EscapedPath() != u.Path || path.Clean(u.Path) != u.Path || u.RawQuery != "" || strings.Count(name, "/") != 9 {
			t.Errorf("%q is taken for a version", name)
		}
	})
}

// FuzzUnwrap gives arbitrary documents of a store to Unwrap and Current.
func FuzzUnwrap(f *testing.F) {
	s := newStandin()
	w := newWrapper(f, s, s.add("wrapping", "GOOGLE_SYMMETRIC_ENCRYPTION").key.name)
	plaintext := secret()
	wrapped := must(w.Wrap(f.Context(), plaintext, nil))
	f.Add(wrapped)
	f.Add([]byte(ringOf + "/cryptoKeys/wrapping/cryptoKeyVersions/1\n"))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := w.Unwrap(t.Context(), data, nil)
		if (err == nil) == (got == nil) || err == nil && !bytes.Equal(got, plaintext) {
			t.Errorf("Unwrap = %x, %v", got, err)
		}
		if err == nil && !bytes.HasSuffix(data, wrapped[bytes.IndexByte(wrapped, '\n'):]) {
			t.Error("Unwrap took another ciphertext")
		}
		w.Current(data)
	})
}
