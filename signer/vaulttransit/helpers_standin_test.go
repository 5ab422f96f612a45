package vaulttransit_test

import (
	"crypto"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/oidctoken/oidctoken/signer/vaulttransit"
)

const vaultToken = "hvs.CAESIJ-this-is-a-secret-token"

// vault stands in for Vault with one transit engine. It follows the API's
// documentation, also where that is inconvenient: a missing key_version means
// the latest, the default scheme of RSA is PSS, input is hashed by default,
// encryption makes a missing key, and a version that may not sign is an
// internal error. It refuses unknown parameters, for which Vault only warns.
type vault struct {
	*httptest.Server
	mount     string // "transit" by default
	namespace string
	old       bool // before 1.13: no associated_data, and no body where nothing need be said

	mu       sync.Mutex
	keys     map[string]*transitKey
	requests []received
	// instead answers in the engine's place if it returns true.
	instead func(w http.ResponseWriter, r received) bool
	// alter makes another signature of a digest, or with Ed25519 of the message.
	alter func(digest, signature []byte) []byte
	// edit changes the data of an answer to "sign data".
	edit func(data map[string]any)
}

// received is a request as it arrived.
type received struct {
	Method, Path, Body string // Path is below the mount
	Header             http.Header
}

func newVault() *vault {
	v := &vault{mount: "transit", keys: make(map[string]*transitKey)}
	v.Server = httptest.NewServer(v)
	return v
}

func (v *vault) config() vaulttransit.Config {
	return vaulttransit.Config{
		Address: v.URL, Namespace: v.namespace, Mount: v.mount,
		Token: staticToken(vaultToken),
	}
}

// client does not outlive the server, whose end closes its connections.
func (v *vault) client() *vaulttransit.Client {
	return must(vaulttransit.NewClient(v.config()))
}

// answer replaces the engine's answers; nil restores them.
func (v *vault) answer(instead func(w http.ResponseWriter, r received) bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.instead = instead
}

// answerWith has every request to a path answered so, others as usual.
func (v *vault) answerWith(prefix string, status int, header http.Header, body string) {
	v.answer(func(w http.ResponseWriter, r received) bool {
		if !strings.HasPrefix(r.Path, prefix) {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
		return true
	})
}

// with changes the engine's state, as an operator does.
func (v *vault) with(change func(keys map[string]*transitKey)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change(v.keys)
}

func (v *vault) names() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var names []string
	for name := range v.keys {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// count counts the requests whose path begins so.
func (v *vault) count(method, prefix string) (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range v.requests {
		if r.Method == method && strings.HasPrefix(r.Path, prefix) {
			n++
		}
	}
	return n
}

func (v *vault) last() received {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.requests[len(v.requests)-1]
}

func (v *vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		return
	}
	path, found := strings.CutPrefix(r.URL.RequestURI(), "/v1/"+v.mount+"/")
	got := received{r.Method, path, string(body), r.Header}
	v.mu.Lock()
	v.requests = append(v.requests, got)
	instead := v.instead
	v.mu.Unlock()
	if instead != nil && instead(w, got) {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case r.Header.Get("X-Vault-Request") != "true":
		refuse(w, 412, "missing 'X-Vault-Request' header")
	case r.Header.Get("X-Vault-Token") != vaultToken:
		refuse(w, 403, "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n")
	case !found || r.Header.Get("X-Vault-Namespace") != v.namespace:
		refuse(w, 404, fmt.Sprintf("no handler for route %q. route entry not found.", strings.TrimPrefix(r.URL.Path, "/v1/")))
	case r.Method == http.MethodPost && r.Header.Get("Content-Type") != "application/json":
		refuse(w, 400, "the body is not JSON")
	default:
		v.route(w, got)
	}
}

func (v *vault) route(w http.ResponseWriter, r received) {
	parts := strings.Split(r.Path, "/")
	name, rest := "", ""
	if len(parts) > 1 {
		name = parts[1]
	}
	if len(parts) > 2 {
		rest = parts[2]
	}
	call := r.Method + " " + parts[0]
	if len(parts) > 2 && parts[0] == "keys" {
		call += "/" + rest
	}
	switch call {
	case "GET keys?list=true":
		v.list(w)
	case "GET keys":
		v.read(w, name)
	case "POST keys":
		v.create(w, name, r.Body)
	case "POST keys/config":
		v.configure(w, name, r.Body)
	case "DELETE keys":
		v.delete(w, name)
	case "POST sign":
		v.sign(w, name, rest, r.Body)
	case "POST encrypt":
		v.encrypt(w, name, r.Body)
	case "POST decrypt":
		v.decrypt(w, name, r.Body)
	default:
		refuse(w, 405, "unsupported operation")
	}
}

func (v *vault) list(w http.ResponseWriter) {
	var names []string
	for name := range v.keys {
		names = append(names, name)
	}
	if len(names) == 0 {
		refuse(w, 404)
		return
	}
	slices.Sort(names)
	respond(w, map[string]any{"keys": names})
}

func (v *vault) read(w http.ResponseWriter, name string) {
	k := v.keys[name]
	if k == nil {
		refuse(w, 404)
		return
	}
	respond(w, k.document(name))
}

func (v *vault) create(w http.ResponseWriter, name, body string) {
	in := struct {
		Type string `json:"type"`
	}{"aes256-gcm96"}
	if !parse(w, body, &in) {
		return
	}
	if v.keys[name] == nil {
		k, err := newTransitKey(in.Type)
		if err != nil {
			refuse(w, 400, err.Error())
			return
		}
		v.keys[name] = k
	}
	v.done(w, v.keys[name].document(name))
}

func (v *vault) configure(w http.ResponseWriter, name, body string) {
	var in struct {
		DeletionAllowed *bool `json:"deletion_allowed"`
	}
	if !parse(w, body, &in) {
		return
	}
	k := v.keys[name]
	if k == nil {
		refuse(w, 400, fmt.Sprintf("no existing key named %s could be found", name))
		return
	}
	if in.DeletionAllowed != nil {
		k.deletionAllowed = *in.DeletionAllowed
	}
	v.done(w, k.document(name))
}

func (v *vault) delete(w http.ResponseWriter, name string) {
	switch k := v.keys[name]; {
	case k == nil:
		refuse(w, 400, fmt.Sprintf("error deleting policy %s: could not delete key; not found", name))
	case !k.deletionAllowed:
		refuse(w, 400, fmt.Sprintf("error deleting policy %s: deletion is not allowed for this key", name))
	default:
		delete(v.keys, name)
		w.WriteHeader(http.StatusNoContent)
	}
}

// done answers what later versions have an answer to.
func (v *vault) done(w http.ResponseWriter, data any) {
	if v.old {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	respond(w, data)
}

func (v *vault) sign(w http.ResponseWriter, name, urlHash, body string) {
	in := signInput{Hash: "sha2-256", Marshaling: "asn1", Scheme: "pss"}
	if !parse(w, body, &in) {
		return
	}
	if urlHash != "" {
		in.Hash = urlHash
	}
	hash := map[string]crypto.Hash{"sha2-256": crypto.SHA256, "sha2-384": crypto.SHA384, "sha2-512": crypto.SHA512}[in.Hash]
	switch k := v.keys[name]; {
	case hash == 0:
		refuse(w, 400, fmt.Sprintf("invalid hash algorithm %q", in.Hash))
	case k == nil:
		refuse(w, 400, "signing key not found")
	default:
		version, signature, err := k.sign(in, hash, v.alter)
		if err != nil {
			// Not the 400 that it should be.
			refuse(w, 500, fmt.Sprintf("1 error occurred:\n\t* %s\n\n", err))
			return
		}
		data := map[string]any{"signature": signature, "key_version": version}
		if v.edit != nil {
			v.edit(data)
		}
		respond(w, data)
	}
}

func refuse(w http.ResponseWriter, status int, errors ...string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if errors == nil {
		errors = []string{}
	}
	json.NewEncoder(w).Encode(map[string]any{"errors": errors})
}

func respond(w http.ResponseWriter, data any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"request_id": "5cd0f4ea-8b8b-4b6c-8d5f-0b0e9e0f2a3c", "lease_id": "", "renewable": false, "lease_duration": 0,
		"data": data, "wrap_info": nil, "warnings": nil, "auth": nil, "mount_type": "transit",
	})
}

// parse refuses unknown parameters.
func parse(w http.ResponseWriter, body string, in any) bool {
	decoder := json.NewDecoder(strings.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(in); err != nil {
		refuse(w, 400, "failed to parse JSON input: "+err.Error())
		return false
	}
	return true
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func versionPrefix(version int) string { return "vault:v" + strconv.Itoa(version) + ":" }
