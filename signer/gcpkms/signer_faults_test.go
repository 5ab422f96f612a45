package gcpkms_test

import (
	"crypto"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/oidctoken/oidctoken/oidctokentest"
	"github.com/oidctoken/oidctoken/signer/gcpkms"
)

// The contract of a Signer is kept, also when the service does not keep its own.
//
// T06 T07 X07
func TestSignerFaults(t *testing.T) {
	for _, name := range []string{
		"RSA_SIGN_PKCS1_2048_SHA256", // RS256
		"EC_SIGN_P256_SHA256",        // ES256
		"EC_SIGN_P384_SHA384",        // ES384
		"EC_SIGN_ED25519",            // EdDSA
	} {
		t.Run(name, func(t *testing.T) {
			private := generate(name) // once: RSA keys take their time
			oidctokentest.TestSignerFaults(t, func(t *testing.T) oidctokentest.SignerFaults { return newFaults(t, name, private) })
		})
	}
}

// newFaults returns a Signer of a new stand-in, and what that can be made to do.
func newFaults(t *testing.T, algorithm string, private crypto.Signer) oidctokentest.SignerFaults {
	s := newStandin()
	k := &key{name: ringOf + "/cryptoKeys/k", purpose: "ASYMMETRIC_SIGN", algorithm: algorithm, level: "SOFTWARE"}
	v := &version{name: k.name + "/cryptoKeyVersions/1", key: k, state: "ENABLED", private: private}
	k.versions, s.keys[k.name] = []*version{v}, k
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	kms := newSigner(t, connect(t, server.URL, server.Client().Transport), v.name, nil)

	set := func(change func()) func() { return func() { s.set(change) } }
	answers := func(h http.HandlerFunc) func() {
		return set(func() {
			s.fault = func(_ string, w http.ResponseWriter, r *http.Request) bool { h(w, r); return true }
		})
	}
	field := func(name string, value any) func() {
		return set(func() { s.tamper = func(_ string, answer map[string]any) { answer[name] = value } })
	}
	without := func(names ...string) func() {
		return set(func() {
			s.tamper = func(_ string, answer map[string]any) {
				for _, name := range names {
					delete(answer, name)
				}
			}
		})
	}
	release := func() {}
	return oidctokentest.SignerFaults{
		Signer: kms, Algorithm: kms.Algorithm(),
		Rotate: set(func() { k.add(0) }),
		Alter:  func(alter func(digest, signature []byte) []byte) { s.set(func() { s.alter = alter }) },
		Garbage: map[string]func(){
			"HTML":                       answers(says(200, "<html></html>", "Content-Type", "text/html")),
			"nothing":                    answers(says(200, "")),
			"null":                       answers(says(200, "null")),
			"no fields":                  answers(says(200, "{}")),
			"half":                       answers(says(200, `{"name":"`)),
			"too long":                   answers(says(200, `{"name":"`+strings.Repeat("x", gcpkms.MaxAnswer)+`"}`)),
			"a redirect":                 answers(says(307, "", "Location", "/elsewhere")),
			"another version's name":     field("name", k.name+"/cryptoKeyVersions/2"),
			"no name":                    without("name"),
			"another signature's sum":    field("signatureCrc32c", "1"),
			"no sum":                     without("signatureCrc32c"),
			"the digest is not verified": without("verifiedDigestCrc32c", "verifiedDataCrc32c"),
			"not base64":                 field("signature", "\x00!"),
			"a signature of a list":      field("signature", []int{1}),
		},
		Temporary: map[string]func(){
			"throttled":                  answers(faulty(429, "RESOURCE_EXHAUSTED", "Quota exceeded.")),
			"throttled with Retry-After": answers(says(429, "", "Retry-After", "7")),
			"internal":                   answers(faulty(500, "INTERNAL", "")),
			"unavailable":                answers(says(503, "<html></html>")),
			"hung up":                    answers(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
			"down":                       server.Close,
		},
		Permanent: map[string]func(){
			"denied":       answers(faulty(403, "PERMISSION_DENIED", "Permission 'cloudkms.cryptoKeyVersions.useToSign' denied.")),
			"disabled":     set(func() { v.state = "DISABLED" }),
			"scheduled":    set(func() { v.state = "DESTROY_SCHEDULED" }),
			"destroyed":    set(func() { v.state = "DESTROYED" }),
			"not there":    set(func() { delete(s.keys, k.name) }),
			"for another":  set(func() { k.purpose = "ASYMMETRIC_DECRYPT" }),
			"unauthorized": answers(faulty(401, "UNAUTHENTICATED", "")),
		},
		Hang: func() <-chan struct{} {
			taken, hanging := make(chan struct{}), make(chan struct{})
			take := sync.OnceFunc(func() { close(taken) })
			release = sync.OnceFunc(func() { close(hanging) })
			t.Cleanup(release) // or the server does not end
			answers(func(http.ResponseWriter, *http.Request) {
				take()
				<-hanging // whether or not the client is still there
			})()
			return taken
		},
		Heal: func() {
			s.set(func() { s.fault, s.tamper, s.alter = nil, nil, nil })
			release()
		},
	}
}
