package azurekeys_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/oidctoken/oidctoken/signer/azurekeys"
)

const (
	vaultURL   = "https://ci.vault.azure.net"
	hsmURL     = "https://ci.managedhsm.azure.net"
	loginHost  = "login.microsoftonline.com"
	tenant     = "11111111-2222-3333-4444-555555555555"
	apiVersion = "2025-07-01"
)

// standIn is a Key Vault and a Managed HSM behind TLS, under the names that the
// real ones have. It is the credential for them, too.
type standIn struct {
	server *httptest.Server
	roots  *x509.CertPool

	mu         sync.Mutex
	keys       map[string][]*version // by vault and name
	tokens     map[string]string     // resource by access token
	calls      map[string]int        // by operation, of those that were authorized
	complaints []string              // of what no client should do
	empty404   bool                  // an unknown key's versions are KeyNotFound, not none
	hidden     map[string]bool       // versions that are not listed yet
	unknown    map[string]bool       // versions that are not found yet, either

	// Set by tests before the call.
	login func(w http.ResponseWriter, r *http.Request)
	fault func(op string, w http.ResponseWriter, r *http.Request) bool // true: it has answered
	edit  func(op string, answer map[string]any)
	alter func(digest, signature []byte) []byte // makes another signature
}

func newStandIn() *standIn {
	s := &standIn{keys: map[string][]*version{}, tokens: map[string]string{}, calls: map[string]int{}, hidden: map[string]bool{}}
	s.server = httptest.NewUnstartedServer(s)
	s.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.server.Config.ReadHeaderTimeout = 10 * time.Second
	certificate, roots := newCertificate("*.vault.azure.net", "*.managedhsm.azure.net", loginHost)
	s.server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	s.roots = roots
	s.server.StartTLS()
	return s
}

// start starts a stand-in that ends with the test, which fails if a client did
// what none should.
func start(t testing.TB) *standIn {
	t.Helper()
	s := newStandIn()
	t.Cleanup(func() {
		s.server.Close()
		for _, complaint := range s.complaints {
			t.Errorf("the service saw %s", complaint)
		}
	})
	return s
}

func newCertificate(names ...string) (tls.Certificate, *x509.CertPool) {
	caKey, key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	ca = must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey))))
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, DNSNames: names,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der := must(x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey))
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// transport reaches the stand-in under the names of its certificate, and trusts
// no other certificate.
func (s *standIn) transport() *http.Transport {
	return &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: s.roots},
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 8,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, _ := net.SplitHostPort(address)
			if !strings.HasSuffix(host, ".azure.net") && host != loginHost {
				return nil, fmt.Errorf("a connection to %s", address)
			}
			return new(net.Dialer).DialContext(ctx, network, s.server.Listener.Addr().String())
		},
	}
}

// client returns a client with default options.
func (s *standIn) client(url string, credential azcore.TokenCredential) *azkeys.Client {
	return must(azkeys.NewClient(url, credential, &azkeys.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: azurekeys.HTTPClient(s.transport())},
	}))
}

// GetToken answers as Entra does for a host with access to the vault.
func (s *standIn) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if o.TenantID != tenant || len(o.Scopes) != 1 {
		return azcore.AccessToken{}, fmt.Errorf("tenant %q and scopes %q", o.TenantID, o.Scopes)
	}
	resource, ok := strings.CutSuffix(o.Scopes[0], "/.default")
	if !ok {
		return azcore.AccessToken{}, errors.New("the scope does not end in /.default")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	token := rand.Text()
	s.tokens[token] = resource
	return azcore.AccessToken{Token: token, ExpiresOn: time.Now().Add(time.Hour)}, ctx.Err()
}

func (s *standIn) complain(format string, args ...any) {
	s.complaints = append(s.complaints, fmt.Sprintf(format, args...))
}

// with changes the stand-in while it is in use.
func (s *standIn) with(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *standIn) count(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[op]
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host := strings.TrimSuffix(r.Host, ":443")
	if host == loginHost {
		s.login(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<16))
	if err != nil {
		return
	}
	resource := "https://" + host[strings.Index(host, ".")+1:]
	if !s.authorized(w, r, resource, body) {
		return
	}
	op, id := route(r)
	s.mu.Lock()
	s.calls[op]++
	fault := s.fault
	s.mu.Unlock()
	if fault != nil && fault(op, w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if op == "" {
		s.complain("%s %s", r.Method, r.URL.Path)
		fail(w, http.StatusBadRequest, "BadParameter", "")
		return
	}
	id.vault = "https://" + host
	s.serve(w, r, op, id, body)
}

// authorized demands the challenge first, as the service does.
func (s *standIn) authorized(w http.ResponseWriter, r *http.Request, resource string, body []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := r.URL.Query().Get("api-version"); got != apiVersion {
		s.complain("the api-version %q", got)
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if ok && s.tokens[token] == resource {
		return true
	}
	if ok {
		s.complain("an access token that is not for %s", resource)
	}
	if len(body) > 0 {
		s.complain("a body before the challenge")
	}
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer authorization="https://%s/%s", resource="%s"`, loginHost, tenant, resource))
	fail(w, http.StatusUnauthorized, "Unauthorized", "")
	return false
}

type target struct{ vault, name, version string }

func (t target) key() string { return t.vault + "/keys/" + strings.ToLower(t.name) }

// route names the operation as the SDK does.
func route(r *http.Request) (string, target) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/keys/"), "/")
	t := target{name: parts[0]}
	switch {
	case len(parts) == 2 && parts[1] == "create" && r.Method == http.MethodPost:
		return "CreateKey", t
	case len(parts) == 2 && parts[1] == "versions" && r.Method == http.MethodGet:
		return "ListKeyPropertiesVersions", t
	case len(parts) == 2 && r.Method == http.MethodGet:
		t.version = parts[1]
		return "GetKey", t
	case len(parts) == 2 && r.Method == http.MethodPatch:
		t.version = parts[1]
		return "UpdateKey", t
	case len(parts) == 3 && r.Method == http.MethodPost:
		t.version = parts[1]
		return map[string]string{"sign": "Sign", "encrypt": "Encrypt", "decrypt": "Decrypt"}[parts[2]], t
	}
	return "", t
}

// fail writes an error as the service does; inner is the innererror's code.
func fail(w http.ResponseWriter, status int, code, inner string) {
	detail := map[string]any{"code": code, "message": "for people"}
	if inner != "" {
		detail["innererror"] = map[string]any{"code": inner}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"error": detail})
}

func (s *standIn) answer(w http.ResponseWriter, op string, answer map[string]any) {
	if s.edit != nil {
		s.edit(op, answer)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		s.complain("an answer that cannot be encoded: %v", err)
	}
}

// find returns the version that an operation is for.
func (s *standIn) find(w http.ResponseWriter, t target) *version {
	versions := s.keys[t.key()]
	if t.version == "" {
		s.complain("a call for the latest version of %s", t.name)
	}
	i := slices.IndexFunc(versions, func(v *version) bool { return v.id == t.version && !s.unknown[v.id] })
	if i < 0 {
		fail(w, http.StatusNotFound, "KeyNotFound", "")
		return nil
	}
	return versions[i]
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
