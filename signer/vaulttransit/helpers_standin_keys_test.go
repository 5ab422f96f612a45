package vaulttransit_test

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// transitKey is a key of the stand-in.
type transitKey struct {
	kind            string
	versions        []any // crypto.Signer or []byte; version 1 is the first, nil is archived
	minEncryption   int
	minDecryption   int
	deletionAllowed bool
	softDeleted     bool
	derived         bool
}

func newTransitKey(kind string) (*transitKey, error) {
	k := &transitKey{kind: kind}
	return k, k.rotate()
}

func (k *transitKey) rotate() (err error) {
	var material any
	switch k.kind {
	case "rsa-2048":
		material, err = rsa.GenerateKey(rand.Reader, 2048)
	case "rsa-3072":
		material, err = rsa.GenerateKey(rand.Reader, 3072)
	case "ecdsa-p256":
		material, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ecdsa-p384":
		material, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ecdsa-p521":
		material, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "ed25519":
		_, material, err = ed25519.GenerateKey(rand.Reader)
	case "aes256-gcm96":
		key := make([]byte, 32)
		rand.Read(key)
		material = key
	default:
		err = fmt.Errorf("unknown key type %v", k.kind)
	}
	if err == nil {
		k.versions = append(k.versions, material)
	}
	return err
}

func (k *transitKey) isSymmetric() bool { return k.kind == "aes256-gcm96" }

// document returns the engine's description of the key.
func (k *transitKey) document(name string) map[string]any {
	keys := map[string]any{}
	for i, material := range k.versions {
		if i+1 < k.minDecryption {
			continue // archived
		}
		if s, ok := material.(crypto.Signer); ok {
			keys[strconv.Itoa(i+1)] = map[string]any{
				"name": k.kind, "public_key": publicText(s.Public()), "certificate_chain": "", "creation_time": time.Unix(0, 0).Format(time.RFC3339Nano),
			}
		} else {
			keys[strconv.Itoa(i+1)] = 1442851412
		}
	}
	return map[string]any{
		"name": name, "type": k.kind, "keys": keys, "latest_version": len(k.versions),
		"min_available_version": 0, "min_decryption_version": max(1, k.minDecryption), "min_encryption_version": k.minEncryption,
		"deletion_allowed": k.deletionAllowed, "soft_deleted": k.softDeleted, "derived": k.derived,
		"exportable": false, "allow_plaintext_backup": false, "auto_rotate_period": 0, "imported_key": false,
		"supports_signing": !k.isSymmetric(), "supports_encryption": k.isSymmetric(),
	}
}

func publicText(public crypto.PublicKey) string {
	if raw, ok := public.(ed25519.PublicKey); ok {
		return base64.StdEncoding.EncodeToString(raw)
	}
	der := must(x509.MarshalPKIXPublicKey(public))
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

type signInput struct {
	Input      string `json:"input"`
	KeyVersion int    `json:"key_version"`
	Prehashed  bool   `json:"prehashed"`
	Scheme     string `json:"signature_algorithm"`
	Marshaling string `json:"marshaling_algorithm"`
	Hash       string `json:"hash_algorithm"`
}

// material returns the material of a version; 0 means the latest.
func (k *transitKey) material(version int, what string) (int, any, error) {
	switch {
	case k.softDeleted:
		return 0, nil, errors.New("refusing to use soft-deleted key")
	case version == 0:
		version = len(k.versions)
	case version > len(k.versions):
		return 0, nil, fmt.Errorf("requested version for %s is higher than the latest key version", what)
	case version < k.minEncryption:
		return 0, nil, fmt.Errorf("requested version for %s is less than the minimum encryption key version", what)
	case version < k.minDecryption:
		return 0, nil, errors.New("no such key version")
	}
	return version, k.versions[version-1], nil
}

func (k *transitKey) sign(in signInput, hash crypto.Hash, alter func(digest, signature []byte) []byte) (int, string, error) {
	input, err := base64.StdEncoding.DecodeString(in.Input)
	if err != nil {
		return 0, "", fmt.Errorf("unable to decode input as base64: %s", err)
	}
	version, material, err := k.material(in.KeyVersion, "signing")
	if err != nil {
		return 0, "", err
	}
	if !in.Prehashed {
		h := hash.New()
		h.Write(input)
		if k.kind != "ed25519" {
			input = h.Sum(nil)
		}
	}
	var sig []byte
	switch key := material.(type) {
	case *rsa.PrivateKey:
		switch in.Scheme {
		case "pss":
			sig, err = rsa.SignPSS(rand.Reader, key, hash, input, nil)
		case "pkcs1v15":
			sig, err = rsa.SignPKCS1v15(nil, key, hash, input)
		default:
			err = fmt.Errorf("unsupported rsa signature algorithm %s", in.Scheme)
		}
	case *ecdsa.PrivateKey:
		sig, err = ecdsa.SignASN1(rand.Reader, key, input)
		if in.Marshaling == "jws" && err == nil {
			sig = rawSignature(sig, (key.Params().BitSize+7)/8)
		}
	case ed25519.PrivateKey:
		sig = ed25519.Sign(key, input)
	default:
		err = fmt.Errorf("key type %v does not support signing", k.kind)
	}
	if err != nil {
		return 0, "", err
	}
	if alter != nil {
		sig = alter(input, sig)
	}
	switch in.Marshaling {
	case "asn1":
		return version, versionPrefix(version) + base64.StdEncoding.EncodeToString(sig), nil
	case "jws": // of every kind of key
		return version, versionPrefix(version) + base64.RawURLEncoding.EncodeToString(sig), nil
	}
	return 0, "", fmt.Errorf("invalid marshaling type %q", in.Marshaling)
}

func rawSignature(der []byte, width int) []byte {
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		panic(err)
	}
	raw := make([]byte, 2*width)
	sig.R.FillBytes(raw[:width])
	sig.S.FillBytes(raw[width:])
	return raw
}

type cipherInput struct {
	Plaintext      *string `json:"plaintext"`
	Ciphertext     string  `json:"ciphertext"`
	AssociatedData string  `json:"associated_data"`
	KeyVersion     int     `json:"key_version"`
}

// associated returns the additional authenticated data; before 1.13 it is
// empty.
func (v *vault) associated(in cipherInput) ([]byte, error) {
	if v.old {
		return nil, nil
	}
	return base64.StdEncoding.DecodeString(in.AssociatedData)
}

func (v *vault) encrypt(w http.ResponseWriter, name, body string) {
	var in cipherInput
	if !parse(w, body, &in) {
		return
	}
	if in.Plaintext == nil {
		refuse(w, 400, "missing plaintext to encrypt")
		return
	}
	if v.keys[name] == nil { // with the capability "create"
		v.keys[name] = must(newTransitKey("aes256-gcm96"))
	}
	plaintext, err := base64.StdEncoding.DecodeString(*in.Plaintext)
	additional, errAD := v.associated(in)
	version, material, errKey := v.keys[name].material(in.KeyVersion, "encryption")
	if err = errors.Join(err, errAD, errKey); err != nil {
		refuse(w, 400, err.Error())
		return
	}
	sealed := newAEAD(material).Seal(nil, nil, plaintext, additional)
	respond(w, map[string]any{"ciphertext": versionPrefix(version) + base64.StdEncoding.EncodeToString(sealed), "key_version": version})
}

func newAEAD(material any) cipher.AEAD {
	return must(cipher.NewGCMWithRandomNonce(must(aes.NewCipher(material.([]byte)))))
}

func (v *vault) decrypt(w http.ResponseWriter, name, body string) {
	var in cipherInput
	if !parse(w, body, &in) {
		return
	}
	k := v.keys[name]
	if k == nil {
		refuse(w, 400, "encryption key not found")
		return
	}
	plaintext, err := v.open(k, in)
	if err != nil {
		refuse(w, 400, err.Error())
		return
	}
	respond(w, map[string]any{"plaintext": base64.StdEncoding.EncodeToString(plaintext)})
}

func (v *vault) open(k *transitKey, in cipherInput) ([]byte, error) {
	rest, ok := strings.CutPrefix(in.Ciphertext, "vault:v")
	digits, text, found := strings.Cut(rest, ":")
	version, err := strconv.Atoi(digits)
	switch {
	case !ok || !found || err != nil:
		return nil, errors.New("invalid ciphertext: no prefix")
	case version > len(k.versions):
		return nil, errors.New("invalid ciphertext: version is too new")
	case version < k.minDecryption:
		return nil, errors.New("ciphertext or signature version is disallowed by policy (too old)")
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("invalid ciphertext: could not decode base64")
	}
	additional, err := v.associated(in)
	if err != nil {
		return nil, err
	}
	return newAEAD(k.versions[version-1]).Open(nil, nil, slices.Clone(sealed), additional)
}
