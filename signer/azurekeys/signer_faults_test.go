package azurekeys_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken/oidctokentest"
	"github.com/oidctoken/oidctoken/signer/azurekeys"
)

// T06 T07 X07
func TestSignerFaults(t *testing.T) {
	for _, tt := range []struct{ algorithm, vault, kty, kind string }{
		{"RS256", vaultURL, "RSA", "2048"},
		{"RS384", hsmURL, "RSA-HSM", "2048"},
		{"ES256", vaultURL, "EC", "P-256"},
		{"ES384", hsmURL, "EC-HSM", "P-384"},
		{"ES512", vaultURL, "EC-HSM", "P-521"},
	} {
		t.Run(tt.algorithm, func(t *testing.T) {
			private := start(t).add(tt.vault, "tokens", tt.kty, tt.kind, "sign").key // once: RSA keys take their time
			oidctokentest.TestSignerFaults(t, func(t *testing.T) oidctokentest.SignerFaults {
				s := start(t)
				v := &version{id: strings.Repeat("0a", 16), vault: tt.vault, name: "tokens", kty: tt.kty, key: private, ops: []string{"sign"}, enabled: true}
				s.keys[target{vault: v.vault, name: v.name}.key()] = []*version{v}
				faults := s.faults(t, v)
				faults.Algorithm = tt.algorithm
				faults.Rotate = func() { s.add(tt.vault, "tokens", tt.kty, tt.kind, "sign") }
				return faults
			})
		})
	}
}

// faults returns a Signer of v, and what s can be made to do with that.
func (s *standIn) faults(t *testing.T, v *version) oidctokentest.SignerFaults {
	remote := newSigner(t, s, v)
	set := func(change func()) func() { return func() { s.with(change) } }
	answers := func(fault func(string, http.ResponseWriter, *http.Request) bool) func() {
		return set(func() { s.fault = fault })
	}
	member := func(name string, value any) func() {
		return set(func() { s.edit = func(_ string, answer map[string]any) { answer[name] = value } })
	}
	kid := func(from, to string) func() { return member("kid", strings.Replace(v.kid(), from, to, 1)) }
	release := func() {}
	return oidctokentest.SignerFaults{
		Signer: remote,
		Alter:  func(alter func(digest, signature []byte) []byte) { s.with(func() { s.alter = alter }) },
		Garbage: map[string]func(){
			"HTML":              answers(answering(200, "Content-Type", "text/html", "<html></html>")),
			"nothing":           answers(answering(200, "", "", "")),
			"null":              answers(answering(200, "", "", "null")),
			"no members":        answers(answering(200, "", "", "{}")),
			"half of an object": answers(answering(200, "", "", `{"kid":`)),
			"too long":          answers(answering(200, "", "", `{"kid":"`+strings.Repeat("x", azurekeys.MaxAnswer)+`"}`)),
			"a bomb":            func() { answers(bomb())() },
			"a redirect":        answers(answering(307, "Location", v.kid(), "")),
			"accepted":          answers(answering(202, "", "", "{}")),
			"another version":   kid(v.id, strings.Repeat("b", 32)),
			"no version":        kid("/"+v.id, ""),
			"another key":       kid("tokens", "others"),
			"another vault":     kid("ci.", "eve."),
			"no kid":            member("kid", nil),
			"no signature":      member("value", nil),
			"not base64url":     member("value", "&"),
			"a list":            member("value", []int{1}),
		},
		Temporary: map[string]func(){
			"throttled":                  answers(failing(429, "Throttled", "")),
			"throttled with Retry-After": answers(answering(429, "Retry-After", "7", "")),
			"internal error":             answers(failing(500, "InternalServerError", "")),
			"unavailable":                answers(answering(503, "", "", "<html></html>")),
			"hung up":                    answers(func(string, http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }),
			"down":                       s.server.Close,
		},
		Permanent: map[string]func(){
			"denied":             answers(failing(403, "Forbidden", "ForbiddenByRbac")),
			"denied by a policy": answers(failing(403, "ForbiddenByPolicy", "")),
			"disabled":           set(func() { v.enabled = false }),
			"expired":            set(func() { v.exp = time.Now().Unix() - 1 }),
			"gone":               set(func() { clear(s.keys) }),
			"for no signatures":  set(func() { v.ops = []string{"verify"} }),
		},
		Hang: func() <-chan struct{} {
			taken, hanging := make(chan struct{}), make(chan struct{})
			take := sync.OnceFunc(func() { close(taken) })
			release = sync.OnceFunc(func() { close(hanging) })
			t.Cleanup(release) // or the server does not end
			answers(func(string, http.ResponseWriter, *http.Request) bool {
				take()
				<-hanging // whether or not the client is still there
				return true
			})()
			return taken
		},
		Heal: func() {
			s.with(func() { s.fault, s.edit, s.alter = nil, nil, nil })
			release()
		},
	}
}
