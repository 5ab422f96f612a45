package gcpkms_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"google.golang.org/api/cloudkms/v1"
	"google.golang.org/api/option"

	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/gcpkms"
)

// A redirect is not followed: the second host sees neither the request nor the
// host's access token.
//
// X05
func TestServiceFollowsNoRedirect(t *testing.T) {
	requests := 0
	second := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests++ }))
	defer second.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		service := serve(t, says(code, "", "Location", second.URL))
		w, err := gcpkms.NewWrapper(service, ringOf+"/cryptoKeys/wrapping", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Wrap(t.Context(), secret(), nil)
		if failureOf(err).Kind != signer.Malformed {
			t.Errorf("%d: %v", code, err)
		}
	}
	if requests != 0 {
		t.Errorf("the second host got %d requests", requests)
	}
}

// The client of the host is not changed.
func TestNewServiceLeavesClient(t *testing.T) {
	client := &http.Client{}
	if _, err := gcpkms.NewService(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	if client.Transport != nil || client.CheckRedirect != nil {
		t.Error("NewService changed the client")
	}
	if _, err := gcpkms.NewService(t.Context(), nil); failureOf(err).Kind != signer.Refused {
		t.Errorf("NewService without a client: %v", err)
	}
}

// The variable that makes Google's clients log every request and answer does
// not make this one.
func TestServiceLogsNothing(t *testing.T) {
	t.Setenv("GOOGLE_SDK_GO_LOGGING_LEVEL", "debug")
	wrap := func(service *cloudkms.Service, s *standin) {
		w, err := gcpkms.NewWrapper(service, s.add("wrapping", "GOOGLE_SYMMETRIC_ENCRYPTION").key.name, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Wrap(t.Context(), secret(), nil); err != nil {
			t.Fatal(err)
		}
	}
	s := newStandin()
	if log := stderr(t, func() { wrap(serve(t, s), s) }); log != "" {
		t.Errorf("it logged %s", log)
	}
	// The other client does: the test can see it.
	log := stderr(t, func() {
		server := httptest.NewServer(s)
		t.Cleanup(server.Close)
		other, err := cloudkms.NewService(t.Context(), option.WithHTTPClient(authorized(server.Client().Transport)), option.WithEndpoint(server.URL+"/"))
		if err != nil {
			t.Fatal(err)
		}
		wrap(other, s)
	})
	if !strings.Contains(log, "plaintext") {
		t.Errorf("a client with the default logger logged %q", log)
	}
}

// stderr returns the output of f to standard error.
func stderr(t *testing.T, f func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stderr
	os.Stderr = w
	written := make(chan string)
	go func() { b, _ := io.ReadAll(r); written <- string(b) }()
	func() {
		defer func() { os.Stderr = before; w.Close() }()
		f()
	}()
	defer r.Close()
	return <-written
}
