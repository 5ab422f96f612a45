package gcpkms_test

import (
	"crypto"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/oauth2"
	"google.golang.org/api/cloudkms/v1"

	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/gcpkms"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server on loopback, and returns the real client for it.
func serve(t testing.TB, h http.Handler) *cloudkms.Service {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return connect(t, server.URL, server.Client().Transport)
}

// connect returns the real client for an address.
func connect(t testing.TB, url string, base http.RoundTripper) *cloudkms.Service {
	t.Helper()
	service, err := gcpkms.NewService(t.Context(), authorized(base))
	if err != nil {
		t.Fatal(err)
	}
	service.BasePath = url + "/"
	return service
}

// authorized returns a client that authorizes requests, as hosts have one.
func authorized(base http.RoundTripper) *http.Client {
	return &http.Client{Transport: &oauth2.Transport{Base: base, Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: access})}}
}

// inProcess is a connection to a handler without a network, for tests in a
// bubble.
type inProcess struct{ http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	if r.Body == nil {
		r.Body = http.NoBody // as in a server
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w.Result(), nil
}

func newSigner(t testing.TB, service *cloudkms.Service, version string, guard *signer.Guard) *gcpkms.Signer {
	t.Helper()
	s, err := gcpkms.New(t.Context(), service, version, guard)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// digest returns the digest of message.
func digest(hash crypto.Hash, message string) []byte {
	if hash == 0 {
		return []byte(message)
	}
	h := hash.New()
	h.Write([]byte(message))
	return h.Sum(nil)
}

// failed holds the compared parts of an error.
type failed struct {
	Op   string
	Kind signer.Kind
	Code string
}

// failureOf is the zero value for an error that is of no service.
func failureOf(err error) failed {
	var e *signer.Error
	if !errors.As(err, &e) {
		return failed{}
	}
	return failed{e.Op, e.Kind, e.Code}
}
