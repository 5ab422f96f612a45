package azurekeys_test

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// version is a version of a key of the stand-in.
type version struct {
	id       string // 32 hexadecimal digits
	vault    string
	name     string
	kty      string
	key      any // *rsa.PrivateKey, *ecdsa.PrivateKey, or []byte
	ops      []string
	enabled  bool
	nbf, exp int64
}

func (v *version) kid() string { return v.vault + "/keys/" + v.name + "/" + v.id }

var curves = map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}

// add makes a version. kind is a curve, or the bits of an RSA or AES key.
func (s *standIn) add(vault, name, kty, kind string, ops ...string) *version {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.make(target{vault: vault, name: name}, kty, kind, ops)
}

func (s *standIn) make(t target, kty, kind string, ops []string) *version {
	v := &version{id: fmt.Sprintf("%x", random(16)), vault: t.vault, name: t.name, kty: kty, ops: ops, enabled: true}
	bits, _ := strconv.Atoi(kind)
	switch strings.TrimSuffix(kty, "-HSM") {
	case "RSA":
		v.key = must(rsa.GenerateKey(rand.Reader, bits))
	case "EC":
		v.key = must(ecdsa.GenerateKey(curves[kind], rand.Reader))
	case "oct":
		v.key = random(bits / 8)
	}
	s.keys[t.key()] = append(s.keys[t.key()], v)
	return v
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// binary is base64url without padding, as in a JWK.
type binary []byte

func (b binary) MarshalJSON() ([]byte, error) {
	return json.Marshal(base64.RawURLEncoding.EncodeToString(b))
}

func (b *binary) UnmarshalJSON(text []byte) (err error) {
	var s string
	if err = json.Unmarshal(text, &s); err == nil {
		*b, err = base64.RawURLEncoding.Strict().DecodeString(s)
	}
	return err
}

func (v *version) attributes() map[string]any {
	a := map[string]any{"enabled": v.enabled, "created": 1700000000, "updated": 1700000000, "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90}
	if v.nbf != 0 {
		a["nbf"] = v.nbf
	}
	if v.exp != 0 {
		a["exp"] = v.exp
	}
	return a
}

func (v *version) bundle() map[string]any {
	jwk := map[string]any{"kid": v.kid(), "kty": v.kty, "key_ops": v.ops}
	switch k := v.key.(type) {
	case *rsa.PrivateKey:
		jwk["n"], jwk["e"] = binary(k.N.Bytes()), binary(big.NewInt(int64(k.E)).Bytes())
	case *ecdsa.PrivateKey:
		point := must(k.PublicKey.Bytes())[1:]
		jwk["crv"], jwk["x"], jwk["y"] = k.Params().Name, binary(point[:len(point)/2]), binary(point[len(point)/2:])
	}
	return map[string]any{"key": jwk, "attributes": v.attributes()}
}

// input has all members that requests have.
type input struct {
	Alg        string   `json:"alg"`
	Value      binary   `json:"value"`
	AAD        binary   `json:"aad"`
	IV         binary   `json:"iv"`
	Tag        binary   `json:"tag"`
	Kty        string   `json:"kty"`
	Crv        string   `json:"crv"`
	KeySize    int      `json:"key_size"`
	KeyOps     []string `json:"key_ops"`
	Attributes *struct {
		Enabled *bool `json:"enabled"`
	} `json:"attributes"`
}

func (s *standIn) serve(w http.ResponseWriter, r *http.Request, op string, t target, body []byte) {
	var in input
	if r.Method != http.MethodGet {
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil || r.Header.Get("Content-Type") != "application/json" {
			s.complain("a body of type %q for %s: %v", r.Header.Get("Content-Type"), op, err)
			fail(w, http.StatusBadRequest, "BadParameter", "")
			return
		}
	}
	switch op {
	case "CreateKey":
		s.create(w, t, in)
		return
	case "ListKeyPropertiesVersions":
		s.list(w, r, t)
		return
	}
	v := s.find(w, t)
	if v == nil {
		return
	}
	switch op {
	case "GetKey":
		s.answer(w, op, v.bundle())
	case "UpdateKey":
		if in.Attributes != nil && in.Attributes.Enabled != nil {
			v.enabled = *in.Attributes.Enabled
		}
		s.answer(w, op, v.bundle())
	default:
		s.use(w, op, v, in)
	}
}

func (s *standIn) create(w http.ResponseWriter, t target, in input) {
	_, isCurve := curves[in.Crv]
	isHSM := strings.HasSuffix(in.Kty, "-HSM")
	known := (in.Kty == "EC" || in.Kty == "EC-HSM") && isCurve && in.KeySize == 0 ||
		(in.Kty == "RSA" || in.Kty == "RSA-HSM") && in.Crv == "" && slices.Contains([]int{2048, 3072, 4096}, in.KeySize)
	if !known || !isHSM && strings.Contains(t.vault, "managedhsm") {
		s.complain("a key of kty %q, crv %q and %d bits", in.Kty, in.Crv, in.KeySize)
		fail(w, http.StatusBadRequest, "BadParameter", "")
		return
	}
	kind := in.Crv
	if kind == "" {
		kind = strconv.Itoa(in.KeySize)
	}
	s.answer(w, "CreateKey", s.make(t, in.Kty, kind, in.KeyOps).bundle())
}

// list has pages of two, and links with the port in them, as the service's are.
func (s *standIn) list(w http.ResponseWriter, r *http.Request, t target) {
	versions := s.keys[t.key()]
	if len(versions) == 0 && s.empty404 {
		fail(w, http.StatusNotFound, "KeyNotFound", "")
		return
	}
	const size = 2
	from, _ := strconv.Atoi(r.URL.Query().Get("$skiptoken"))
	value := []any{}
	for _, v := range versions[min(from, len(versions)):min(from+size, len(versions))] {
		if !s.hidden[v.id] {
			value = append(value, map[string]any{"kid": v.kid(), "attributes": v.attributes()})
		}
	}
	var next any
	if from+size < len(versions) {
		next = fmt.Sprintf("%s:443/keys/%s/versions?api-version=%s&$skiptoken=%d", t.vault, t.name, apiVersion, from+size)
	}
	s.answer(w, "ListKeyPropertiesVersions", map[string]any{"value": value, "nextLink": next})
}

// use runs an operation of a key.
func (s *standIn) use(w http.ResponseWriter, op string, v *version, in input) {
	now := time.Now().Unix()
	switch {
	case !v.enabled:
		fail(w, http.StatusForbidden, "Forbidden", "KeyDisabled")
		return
	case v.nbf > now:
		fail(w, http.StatusForbidden, "Forbidden", "KeyNotYetValid")
		return
	case v.exp != 0 && v.exp <= now:
		fail(w, http.StatusForbidden, "Forbidden", "KeyExpired")
		return
	case !slices.Contains(v.ops, strings.ToLower(op)):
		fail(w, http.StatusForbidden, "Forbidden", "KeyOperationForbidden")
		return
	}
	answer := map[string]any{"kid": v.kid()}
	ok := false
	switch op {
	case "Sign":
		var signature []byte
		signature, ok = v.sign(in.Alg, in.Value)
		if ok && s.alter != nil {
			signature = s.alter(in.Value, signature)
		}
		answer["value"] = binary(signature)
	case "Encrypt":
		ok = v.encrypt(in, answer)
	case "Decrypt":
		ok = v.decrypt(in, answer)
	}
	if !ok {
		fail(w, http.StatusBadRequest, "BadParameter", "")
		return
	}
	s.answer(w, op, answer)
}

var hashes = map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}

// sign never hashes: it is given a digest of the algorithm's length, or signs
// nothing.
func (v *version) sign(alg string, digest []byte) ([]byte, bool) {
	if len(alg) != 5 || hashes[alg[2:]].Size() != len(digest) {
		return nil, false
	}
	switch k := v.key.(type) {
	case *rsa.PrivateKey:
		return must(rsa.SignPKCS1v15(rand.Reader, k, hashes[alg[2:]], digest)), alg[:2] == "RS"
	case *ecdsa.PrivateKey:
		if want := map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}[k.Params().Name]; alg != want {
			return nil, false
		}
		r, s, err := ecdsa.Sign(rand.Reader, k, digest)
		if err != nil {
			return nil, false
		}
		size := (k.Params().BitSize + 7) / 8
		return slices.Concat(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))), true
	}
	return nil, false
}

func (v *version) gcm(in input) cipher.AEAD {
	key, ok := v.key.([]byte)
	if !ok || len(key) != 32 || in.Alg != "A256GCM" {
		return nil
	}
	return must(cipher.NewGCM(must(aes.NewCipher(key))))
}

func (v *version) encrypt(in input, answer map[string]any) bool {
	aead := v.gcm(in)
	if aead == nil || in.IV != nil || in.Tag != nil {
		return false
	}
	iv := random(aead.NonceSize())
	out := aead.Seal(nil, iv, in.Value, in.AAD)
	answer["value"], answer["tag"] = binary(out[:len(in.Value)]), binary(out[len(in.Value):])
	answer["iv"], answer["aad"] = binary(iv), in.AAD
	return true
}

func (v *version) decrypt(in input, answer map[string]any) bool {
	aead := v.gcm(in)
	if aead == nil || len(in.IV) != aead.NonceSize() || len(in.Tag) != aead.Overhead() {
		return false
	}
	out, err := aead.Open(nil, in.IV, slices.Concat(in.Value, in.Tag), in.AAD)
	answer["value"] = binary(out)
	return err == nil
}
