package gcpkms_test

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	project = "projects/acme-ci/locations/europe-west3"
	ringOf  = project + "/keyRings/tokens"
	access  = "ya29.the-access-token-of-the-host" // what every request must bring
)

// standin is Cloud KMS in memory, as far as its REST API is used. It
// distinguishes a missing checksum from one that is 0.
type standin struct {
	mu      sync.Mutex
	keys    map[string]*key
	calls   map[string]int
	pending int               // polls until a new version is generated
	fails   bool              // new versions cannot be generated
	bodies  map[string][]byte // the last, by call

	// fault answers instead of the service, if it is set and returns true.
	fault func(op string, w http.ResponseWriter, r *http.Request) bool
	// tamper changes the service's answer. Optional.
	tamper func(op string, answer map[string]any)
	// alter replaces a signature, of a digest or of data, before its checksum is
	// taken, if it is set.
	alter func(digest, signature []byte) []byte
}

type key struct {
	name, purpose, algorithm, level string
	versions                        []*version
	primary                         *version
}

type version struct {
	name    string
	key     *key
	state   string
	pending int
	created time.Time
	private crypto.Signer // of a key that signs
	aead    cipher.AEAD   // of a key that encrypts
}

func newStandin() *standin {
	return &standin{keys: map[string]*key{}, calls: map[string]int{}, bodies: map[string][]byte{}}
}

// fault is an error as the service answers with it.
type fault struct {
	code    int
	status  string
	message string
	details []any
}

func invalid(format string, values ...any) *fault {
	return &fault{code: 400, status: "INVALID_ARGUMENT", message: fmt.Sprintf(format, values...)}
}

func notFound(name string) *fault {
	return &fault{code: 404, status: "NOT_FOUND", message: name + " not found."}
}

// notEnabled returns the service's error for a version that is not ENABLED.
func notEnabled(v *version) *fault {
	return &fault{400, "FAILED_PRECONDITION", v.name + " is not enabled, current state is: " + v.state + ".", []any{map[string]any{
		"@type":      "type.googleapis.com/google.rpc.PreconditionFailure",
		"violations": []any{map[string]any{"type": "KEY_" + v.state, "subject": v.name}},
	}}}
}

func (f *fault) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(f.code)
	json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{
		"code": f.code, "status": f.status, "message": f.message, "details": f.details}})
}

var (
	keyPath     = regexp.MustCompile(`\Aprojects/[a-z0-9.:-]+/locations/[a-z0-9-]+/keyRings/[A-Za-z0-9_-]{1,63}/cryptoKeys/[A-Za-z0-9_-]{1,63}\z`)
	versionPath = regexp.MustCompile(`\A(` + keyPath.String()[2:len(keyPath.String())-2] + `)/cryptoKeyVersions/[1-9][0-9]*\z`)
	keyID       = regexp.MustCompile(`\A[A-Za-z0-9_-]{1,63}\z`)
)

func (s *standin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return // who asked has gone
	}
	op, name := route(r)
	s.mu.Lock()
	s.calls[op]++
	s.bodies[op] = body
	faulty, tamper := s.fault, s.tamper
	s.mu.Unlock()
	if faulty != nil && faulty(op, w, r) {
		return
	}
	answer, f := s.answer(op, name, r, body)
	if f != nil {
		f.write(w)
		return
	}
	if tamper != nil {
		tamper(op, answer)
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	json.NewEncoder(w).Encode(answer)
}

// route finds out which call it is, and on what.
func route(r *http.Request) (op, name string) {
	name = strings.TrimPrefix(r.URL.Path, "/v1/")
	before, verb, _ := strings.Cut(name, ":")
	parts := strings.Split(before, "/")
	switch last := parts[len(parts)-1]; {
	case r.Method == "POST" && verb == "asymmetricSign":
		return "AsymmetricSign", before
	case r.Method == "POST" && verb == "encrypt":
		return "Encrypt", before
	case r.Method == "POST" && verb == "decrypt":
		return "Decrypt", before
	case r.Method == "POST" && verb == "destroy":
		return "DestroyCryptoKeyVersion", before
	case r.Method == "POST" && last == "cryptoKeys":
		return "CreateCryptoKey", strings.TrimSuffix(name, "/cryptoKeys")
	case r.Method == "POST" && last == "cryptoKeyVersions":
		return "CreateCryptoKeyVersion", strings.TrimSuffix(name, "/cryptoKeyVersions")
	case r.Method == "GET" && last == "cryptoKeyVersions":
		return "ListCryptoKeyVersions", strings.TrimSuffix(name, "/cryptoKeyVersions")
	case r.Method == "GET" && last == "publicKey":
		return "GetPublicKey", strings.TrimSuffix(name, "/publicKey")
	case r.Method == "GET" && len(parts) == 10:
		return "GetCryptoKeyVersion", name
	case r.Method == "GET" && len(parts) == 8:
		return "GetCryptoKey", name
	}
	return r.Method + " " + r.URL.Path, ""
}

func (s *standin) answer(op, name string, r *http.Request, body []byte) (map[string]any, *fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+access {
		return nil, &fault{code: 401, status: "UNAUTHENTICATED", message: "Request had invalid authentication credentials."}
	}
	if r.URL.Query().Get("alt") != "json" || r.Method == "POST" && r.Header.Get("Content-Type") != "application/json" {
		return nil, invalid("it is not a request in JSON")
	}
	switch op {
	case "CreateCryptoKey":
		return s.createKey(name, r, body)
	case "GetCryptoKey", "CreateCryptoKeyVersion", "ListCryptoKeyVersions", "Encrypt", "Decrypt":
		if !keyPath.MatchString(name) {
			return nil, invalid("%q is no CryptoKey", name)
		}
		k := s.keys[name]
		if k == nil {
			return nil, notFound(name)
		}
		return s.onKey(op, k, r, body)
	case "GetCryptoKeyVersion", "GetPublicKey", "AsymmetricSign", "DestroyCryptoKeyVersion":
		m := versionPath.FindStringSubmatch(name)
		if m == nil {
			return nil, invalid("%q is no CryptoKeyVersion", name)
		}
		v := s.version(m[1], name)
		if v == nil {
			return nil, notFound(name)
		}
		return s.onVersion(op, v, body)
	}
	return nil, notFound(op)
}

func (s *standin) version(keyName, name string) *version {
	if k := s.keys[keyName]; k != nil {
		for _, v := range k.versions {
			if v.name == name {
				return v
			}
		}
	}
	return nil
}

// count returns the number of calls of an operation.
func (s *standin) count(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[op]
}

// total returns the number of all calls.
func (s *standin) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for c := range maps.Values(s.calls) {
		n += c
	}
	return n
}

// set changes the stand-in while it is in use.
func (s *standin) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// add makes a key with one version, which is ENABLED, and returns that.
func (s *standin) add(id, algorithm string) *version {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := &key{name: ringOf + "/cryptoKeys/" + id, purpose: "ASYMMETRIC_SIGN", algorithm: algorithm, level: "SOFTWARE"}
	if algorithm == "GOOGLE_SYMMETRIC_ENCRYPTION" {
		k.purpose = "ENCRYPT_DECRYPT"
	}
	s.keys[k.name] = k
	v := k.add(0)
	return v
}

// add makes a version that is generated after so many polls.
func (k *key) add(polls int) *version {
	v := &version{name: k.name + "/cryptoKeyVersions/" + strconv.Itoa(len(k.versions)+1), key: k, state: "ENABLED", pending: polls, created: time.Now()}
	if polls > 0 {
		v.state = "PENDING_GENERATION"
	}
	k.versions = append(k.versions, v)
	if k.purpose == "ENCRYPT_DECRYPT" {
		v.aead = newAEAD()
		k.primary = v
		return v
	}
	v.private = generate(k.algorithm)
	return v
}

func newAEAD() cipher.AEAD {
	secret := make([]byte, 32)
	rand.Read(secret)
	return must(cipher.NewGCMWithRandomNonce(must(aes.NewCipher(secret))))
}

func generate(algorithm string) crypto.Signer {
	switch {
	case strings.HasPrefix(algorithm, "RSA_"):
		bits := must(strconv.Atoi(regexp.MustCompile(`[0-9]{4}`).FindString(algorithm)))
		return must(rsa.GenerateKey(rand.Reader, bits))
	case algorithm == "EC_SIGN_P256_SHA256":
		return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	case algorithm == "EC_SIGN_P384_SHA384":
		return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	case algorithm == "EC_SIGN_ED25519":
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return must(private, err)
	}
	panic("no algorithm " + algorithm)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
