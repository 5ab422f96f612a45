package azurekeys_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/signer/azurekeys"
)

// The client accepts an answer of the greatest length, refuses a longer one,
// and follows no redirect. X05
func TestHTTPClient(t *testing.T) {
	followed := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/elsewhere":
			followed = true
		case "/redirect":
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		case "/most":
			io.WriteString(w, strings.Repeat("a", azurekeys.MaxAnswer))
		case "/more":
			io.WriteString(w, strings.Repeat("a", azurekeys.MaxAnswer+1))
		}
	}))
	defer server.Close()
	client := azurekeys.HTTPClient(nil)
	defer client.CloseIdleConnections()
	for path, want := range map[string]string{
		"/most":     fmt.Sprintf("200, %d bytes, <nil>", azurekeys.MaxAnswer),
		"/more":     fmt.Sprintf("200, too long, the answer has more than %d bytes", azurekeys.MaxAnswer),
		"/redirect": "307, 0 bytes, <nil>",
	} {
		response, err := client.Post(server.URL+path, "text/plain", strings.NewReader("digest"))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		size := fmt.Sprintf("%d bytes", len(body))
		if err != nil {
			size = "too long"
		}
		if got := fmt.Sprintf("%d, %s, %v", response.StatusCode, size, err); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
		if len(body) > azurekeys.MaxAnswer {
			t.Errorf("%s: %d bytes were read", path, len(body))
		}
	}
	if followed {
		t.Error("a redirect was followed")
	}
}
