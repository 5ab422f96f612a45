package awskms_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/oidctoken/oidctoken/oidctokentest"
	"github.com/oidctoken/oidctoken/signer/awskms"
)

// T06 T07 X07
func TestSignerFaults(t *testing.T) {
	for algorithm, spec := range map[string]string{
		"RS256": "RSA_2048",
		"RS512": "RSA_2048",
		"ES256": "ECC_NIST_P256",
		"ES512": "ECC_NIST_P521",
		"EdDSA": "ECC_NIST_EDWARDS25519",
	} {
		t.Run(algorithm, func(t *testing.T) {
			private := generate(spec) // once: RSA keys take their time
			oidctokentest.TestSignerFaults(t, func(t *testing.T) oidctokentest.SignerFaults {
				s := newStandin(t)
				k := &key{spec: spec, usage: "SIGN_VERIFY", private: private}
				s.with(func() { s.add(k) })
				faults := s.faults(t, k)
				faults.Signer, faults.Algorithm = must(awskms.New(t.Context(), s.client(t), k.arn, nil)), algorithm
				return faults
			})
		})
	}
}

// faults returns the faults of s with k.
func (s *standin) faults(t *testing.T, k *key) oidctokentest.SignerFaults {
	set := func(change func()) func() { return func() { s.with(change) } }
	answering := func(answer func(string, http.ResponseWriter, *http.Request) bool) func() {
		return set(func() { s.answer = answer })
	}
	changing := func(change func(out map[string]any)) func() {
		return set(func() { s.change = func(_ string, out map[string]any) { change(out) } })
	}
	member := func(name string, value any) func() {
		return changing(func(out map[string]any) { out[name] = value })
	}
	other := k.arn[:len(k.arn)-1] + "c"
	release := func() {}
	return oidctokentest.SignerFaults{
		// KMS does not rotate a key pair: the next one is another key.
		Rotate: func() { s.signingKey(k.spec) },
		Alter:  func(alter func(digest, signature []byte) []byte) { s.with(func() { s.alter = alter }) },
		Garbage: map[string]func(){
			"HTML":               answering(answers(200, "<html></html>", "Content-Type", "text/html")),
			"nothing":            answering(answers(200, "")),
			"no members":         answering(answers(200, "{}")),
			"half of it":         answering(answers(200, `{"KeyId":"`)),
			"too large":          answering(answers(200, `{"KeyId":"`+strings.Repeat("x", 2<<20)+`"}`)),
			"a redirect":         answering(answers(307, "", "Location", "/")),
			"another key's name": member("KeyId", other),
			"no name":            changing(func(out map[string]any) { delete(out, "KeyId") }),
			"an ID for the ARN":  member("KeyId", k.id),
			"another algorithm":  member("SigningAlgorithm", "ECDSA_SHA_384"),
			"no algorithm":       changing(func(out map[string]any) { delete(out, "SigningAlgorithm") }),
			"no base64":          member("Signature", "%%%"),
			"a list":             member("Signature", []int{1}),
		},
		Temporary: map[string]func(){
			"throttled":                  answering(answers(400, errorBody("ThrottlingException"))),
			"throttled with Retry-After": answering(answers(400, errorBody("ThrottlingException"), "Retry-After", "7")),
			"internal":                   answering(answers(500, errorBody("KMSInternalException"))),
			"key unavailable":            answering(answers(500, errorBody("KeyUnavailableException"))),
			"a proxy's page":             answering(answers(503, "<html></html>")),
			"hung up":                    answering(func(string, http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }),
			"down":                       s.Close,
		},
		Permanent: map[string]func(){
			"denied":           set(func() { s.deny = func(op string, _ *key) bool { return op == "Sign" } }),
			"disabled":         set(func() { k.state = "Disabled" }),
			"pending deletion": set(func() { k.state = "PendingDeletion" }),
			"deleted":          set(func() { s.keys = nil }),
			"of another usage": set(func() { k.usage = "ENCRYPT_DECRYPT" }),
		},
		Hang: func() <-chan struct{} {
			taken, hanging := make(chan struct{}), make(chan struct{})
			take := sync.OnceFunc(func() { close(taken) })
			release = sync.OnceFunc(func() { close(hanging) })
			t.Cleanup(release) // or the server does not end
			answering(func(string, http.ResponseWriter, *http.Request) bool {
				take()
				<-hanging // whether or not the client is still there
				return true
			})()
			return taken
		},
		Heal: func() {
			s.with(func() { s.answer, s.change, s.alter = nil, nil, nil })
			release()
		},
	}
}
