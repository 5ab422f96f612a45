package gcpkms_test

import (
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/gcpkms"
)

// No error shows the request, whatever the service answers, and nothing shows
// the host's access token.
//
// D08
func TestSecrets(t *testing.T) {
	s := newStandin()
	service := serve(t, s)
	kms := newSigner(t, service, s.add("k", "EC_SIGN_P256_SHA256").name, nil)
	edwards := newSigner(t, service, s.add("ed", "EC_SIGN_ED25519").name, nil)
	w, err := gcpkms.NewWrapper(service, s.add("wrapping", "GOOGLE_SYMMETRIC_ENCRYPTION").key.name, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := gcpkms.NewProvisioner(service, gcpkms.ProvisionerConfig{KeyRing: ringOf, Prefix: "ci"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	wrapped := must(w.Wrap(t.Context(), secret(), nil))
	data, sum := secret(), digest(crypto.SHA256, "the token")
	message := []byte("eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhY21lIn0")
	forbidden := []string{access, access[4:16]}
	for _, b := range [][]byte{data, sum, message} {
		forbidden = append(forbidden, string(b), base64.StdEncoding.EncodeToString(b)[:16], hex.EncodeToString(b))
	}
	check := func(what string, values ...any) {
		t.Helper()
		for _, v := range values {
			var log strings.Builder
			slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
			slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
			marshaled, _ := json.Marshal(v)
			text := log.String() + string(marshaled) + fmt.Sprintf("%v %+v %#v %s %q %x", v, v, v, v, v, v)
			for _, f := range forbidden {
				if strings.Contains(text, f) || strings.Contains(text, hex.EncodeToString([]byte(f))) {
					t.Errorf("%s shows %q: %.500s", what, f, text)
				}
			}
		}
	}
	echo := func(header string, code int) func(string, http.ResponseWriter, *http.Request) bool {
		return func(op string, w http.ResponseWriter, r *http.Request) bool {
			(&fault{code, "INVALID_ARGUMENT", header + string(s.bodies[op]), []any{map[string]any{"reason": string(s.bodies[op])}}}).write(w)
			return true
		}
	}
	echoHeader := func(code int) func(string, http.ResponseWriter, *http.Request) bool {
		return func(op string, w http.ResponseWriter, r *http.Request) bool {
			sent := r.Header.Get("Authorization")
			(&fault{code, sent, "bad header: " + sent, []any{map[string]any{"reason": sent, "violations": []any{map[string]any{"type": sent}}}}}).write(w)
			return true
		}
	}
	echoName := func(from func(*standin, string, *http.Request) string) func(string, http.ResponseWriter, *http.Request) bool {
		return func(op string, w http.ResponseWriter, r *http.Request) bool {
			json.NewEncoder(w).Encode(map[string]any{"name": from(s, op, r), "plaintextCrc32c": "1"})
			return true
		}
	}
	for name, answer := range map[string]func(string, http.ResponseWriter, *http.Request) bool{
		"echo":                       echo("", 400),
		"echo of 503":                echo("unavailable ", 503),
		"echo of the header":         echoHeader(401),
		"echo of the header and 503": echoHeader(503),
		"the body as name":           echoName(func(s *standin, op string, _ *http.Request) string { return string(s.bodies[op]) }),
		"the header as name":         echoName(func(_ *standin, _ string, r *http.Request) string { return r.Header.Get("Authorization") }),
		"bare echo": func(op string, w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(400)
			w.Write(s.bodies[op])
			return true
		},
		"echo with 200": func(op string, w http.ResponseWriter, r *http.Request) bool {
			json.NewEncoder(w).Encode(map[string]any{"signatureCrc32c": string(s.bodies[op]), "plaintextCrc32c": base64.StdEncoding.EncodeToString(data)})
			return true
		},
	} {
		s.set(func() { s.fault = answer })
		_, err1 := kms.Sign(t.Context(), sum, crypto.SHA256)
		_, err2 := edwards.Sign(t.Context(), message, crypto.Hash(0))
		_, err3 := w.Wrap(t.Context(), data, nil)
		_, err4 := w.Unwrap(t.Context(), wrapped, nil)
		for _, err := range []error{err1, err2, err3, err4} {
			if err == nil {
				t.Fatalf("%s: there is no error", name)
			}
			check(name, err)
			for ; err != nil; err = errors.Unwrap(err) {
				check(name+", unwrapped", err)
			}
		}
	}
	check("a value", kms, *kms, edwards, w, p, service)
	for want, v := range map[string]any{
		"gcpkms.Signer(" + versionOf + ")":                   kms,
		"gcpkms.Wrapper(" + ringOf + "/cryptoKeys/wrapping)": w,
		"gcpkms.Provisioner(" + ringOf + "/cryptoKeys/ci-*)": p,
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d"} {
			if got := fmt.Sprintf(verb, v); got != want {
				t.Errorf("%s is %s, want %s", verb, got, want)
			}
		}
	}
}

// A text of an answer in the place of a name or of a constant is shown only if
// it has that form.
//
// D08
func TestAnswerNames(t *testing.T) {
	const other = ringOf + "/cryptoKeys/other"
	for _, tt := range []struct {
		op, field, value string
		kind             signer.Kind
		shown            string // instead of access
	}{
		{"GetPublicKey", "name", access, signer.Malformed, "another key"},
		{"GetPublicKey", "name", other + "/cryptoKeyVersions/7", signer.Malformed, other + "/cryptoKeyVersions/7"},
		{"GetPublicKey", "algorithm", access, signer.Refused, ""},
		{"GetPublicKey", "algorithm", "RSA_SIGN_RAW_PKCS1_2048", signer.Refused, "RSA_SIGN_RAW_PKCS1_2048"},
		{"AsymmetricSign", "name", access, signer.Malformed, "another key"},
		{"AsymmetricSign", "name", other + "/cryptoKeyVersions/7", signer.Malformed, other + "/cryptoKeyVersions/7"},
		{"Encrypt", "name", access, signer.Malformed, "another key"},
		{"Encrypt", "name", other + "/cryptoKeyVersions/7", signer.Malformed, other + "/cryptoKeyVersions/7"},
		{"GetCryptoKey", "name", access, signer.Malformed, "another key"},
		{"GetCryptoKey", "name", other, signer.Malformed, other},
		{"CreateCryptoKeyVersion", "name", access, signer.Malformed, "another key"},
		{"CreateCryptoKeyVersion", "state", access, signer.Gone, ""},
		{"GetCryptoKeyVersion", "name", access, signer.Malformed, "another key"},
		{"GetCryptoKeyVersion", "state", access, signer.Gone, ""},
		{"DestroyCryptoKeyVersion", "name", access, signer.Malformed, "another key"},
		{"DestroyCryptoKeyVersion", "state", access, signer.Malformed, ""},
	} {
		s := newStandin()
		s.pending = 1
		v := s.add("ci-es256", "EC_SIGN_P256_SHA256")
		w := newWrapper(t, s, s.add("wrapping", "GOOGLE_SYMMETRIC_ENCRYPTION").key.name)
		s.tamper = func(op string, answer map[string]any) {
			if op == tt.op {
				answer[tt.field], answer["generationFailureReason"] = tt.value, access
			}
		}
		var err error
		switch tt.op {
		case "GetPublicKey", "AsymmetricSign":
			var kms *gcpkms.Signer
			kms, err = gcpkms.New(t.Context(), connect(t, "https://cloudkms.example.com", inProcess{s}), v.name, nil)
			if tt.op == "AsymmetricSign" && err == nil {
				_, err = kms.Sign(t.Context(), digest(crypto.SHA256, "m"), crypto.SHA256)
			}
		case "Encrypt":
			_, err = w.Wrap(t.Context(), secret(), nil)
		case "DestroyCryptoKeyVersion":
			err = newProvisioner(t, s).Retire(t.Context(), v.name)
		default:
			_, err = newProvisioner(t, s).Create(t.Context(), "ES256")
		}
		if f := failureOf(err); f.Kind != tt.kind {
			t.Errorf("%s with the %s %s: %v, want the kind %v", tt.op, tt.field, tt.value, err, tt.kind)
			continue
		}
		if text := err.Error(); !strings.Contains(text, tt.shown) || strings.Contains(text, access) {
			t.Errorf("%s with the %s %s: %q, want %q in it", tt.op, tt.field, tt.value, text, tt.shown)
		}
	}
}
