package vaulttransit_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/oidctoken/oidctoken/oidctokentest"
)

// T06 T07 X07
func TestSignerFaults(t *testing.T) {
	for algorithm, kind := range map[string]string{
		"RS256": "rsa-2048",
		"RS512": "rsa-2048",
		"ES256": "ecdsa-p256",
		"ES512": "ecdsa-p521",
		"EdDSA": "ed25519",
	} {
		t.Run(algorithm, func(t *testing.T) {
			first := must(newTransitKey(kind)).versions[0] // once: RSA keys take their time
			oidctokentest.TestSignerFaults(t, func(t *testing.T) oidctokentest.SignerFaults {
				v := startVault(t)
				v.with(func(keys map[string]*transitKey) { keys["ci"] = &transitKey{kind: kind, versions: []any{first}} })
				faults := v.faults(t)
				faults.Signer, faults.Algorithm = newSigner(t, v, "ci", 1), algorithm
				return faults
			})
		})
	}
}

// faults returns the faults of v with version 1 of the key "ci".
func (v *vault) faults(t *testing.T) oidctokentest.SignerFaults {
	with := func(change func(k *transitKey)) func() {
		return func() { v.with(func(keys map[string]*transitKey) { change(keys["ci"]) }) }
	}
	answers := func(status int, body string, header ...string) func() {
		h := http.Header{}
		for i := 0; i < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return func() { v.answerWith("sign/", status, h, body) }
	}
	edits := func(edit func(data map[string]any)) func() {
		return func() { v.with(func(map[string]*transitKey) { v.edit = edit }) }
	}
	prefix := func(prefix string) func() {
		return edits(func(data map[string]any) {
			data["signature"] = strings.Replace(data["signature"].(string), "vault:v1:", prefix, 1)
		})
	}
	release := func() {}
	return oidctokentest.SignerFaults{
		Rotate: func() { v.rotate(t, "ci") },
		Alter: func(alter func(digest, signature []byte) []byte) {
			v.with(func(map[string]*transitKey) { v.alter = alter })
		},
		Garbage: map[string]func(){
			"HTML":                 answers(200, "<html></html>", "Content-Type", "text/html"),
			"HTML said to be JSON": answers(200, "<html></html>"),
			"nothing":              answers(200, ""),
			"no content":           answers(204, ""),
			"no data":              answers(200, "{}"),
			"half":                 answers(200, `{"data":{"signature":"vault:v1:`),
			"too long":             answers(200, `{"data":{"signature":"`+strings.Repeat("x", 256<<10)+`"}}`),
			"wrapped":              answers(200, `{"data":null,"wrap_info":{"token":"hvs.wrapping","ttl":60}}`),
			"a batch":              answers(200, `{"data":{"batch_results":[{"signature":"vault:v1:AAAA"}]}}`),
			"a redirect":           answers(301, "", "Location", v.URL),
			"another version":      prefix("vault:v2:"),
			"no prefix":            prefix(""),
			"no version":           prefix("vault:v:"),
			"two versions":         edits(func(data map[string]any) { data["key_version"] = 2 }),
			"no text":              edits(func(data map[string]any) { data["signature"] = "vault:v1:" }),
			"a list":               edits(func(data map[string]any) { data["signature"] = []string{"vault:v1:AAAA"} }),
		},
		Temporary: map[string]func(){
			"throttled":                  answers(429, errorsBody("rate limit quota exceeded")),
			"throttled with Retry-After": answers(429, errorsBody("rate limit quota exceeded"), "Retry-After", "7"),
			"sealed":                     answers(503, errorsBody("Vault is sealed")),
			"internal":                   answers(500, errorsBody("internal error")),
			"a standby":                  answers(307, "", "Location", v.URL),
			"a proxy's page":             answers(502, "<html></html>", "Content-Type", "text/html"),
			"hung up":                    func() { v.answer(func(http.ResponseWriter, received) bool { panic(http.ErrAbortHandler) }) },
			"cut off": func() {
				v.answer(func(w http.ResponseWriter, _ received) bool {
					w.Header().Set("Content-Type", "application/json")
					w.Header().Set("Content-Length", "1000")
					io.WriteString(w, `{"data":`)
					return true
				})
			},
			"down": v.Close,
		},
		Permanent: map[string]func(){
			"denied":                       answers(403, errorsBody("permission denied")),
			"no mount":                     answers(404, errorsBody("no handler for route \"transit/sign/ci\"")),
			"deleted":                      func() { v.with(func(keys map[string]*transitKey) { clear(keys) }) },
			"soft-deleted":                 with(func(k *transitKey) { k.softDeleted = true }),
			"below min_encryption_version": with(func(k *transitKey) { k.versions, k.minEncryption = append(k.versions, nil), 2 }),
			"archived":                     with(func(k *transitKey) { k.versions, k.minDecryption = append(k.versions, nil), 2 }),
		},
		Hang: func() <-chan struct{} {
			taken, hanging := make(chan struct{}), make(chan struct{})
			take := sync.OnceFunc(func() { close(taken) })
			release = sync.OnceFunc(func() { close(hanging) })
			t.Cleanup(release) // or the server does not end
			v.answer(func(http.ResponseWriter, received) bool {
				take()
				<-hanging // whether or not the client is still there
				return true
			})
			return taken
		},
		Heal: func() {
			v.answer(nil)
			v.with(func(map[string]*transitKey) { v.alter, v.edit = nil, nil })
			release()
		},
	}
}
