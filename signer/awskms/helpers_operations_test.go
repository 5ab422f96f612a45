package awskms_test

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
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// serve answers an operation with its members. s is locked.
func (s *standin) serve(op string, body []byte) (map[string]any, *apiError) {
	switch op {
	case "CreateKey":
		return s.createKey(body)
	case "ListKeys":
		return s.listKeys(body)
	case "Sign":
		return s.sign(body)
	case "Encrypt":
		return s.encrypt(body)
	case "Decrypt":
		return s.decrypt(body)
	}
	var in struct {
		KeyId               string
		PendingWindowInDays int
	}
	if err := read(body, &in); err != nil {
		return nil, err
	}
	k, err := s.find(op, in.KeyId)
	if err != nil {
		return nil, err
	}
	switch op {
	case "GetPublicKey":
		return k.publicKey()
	case "DescribeKey":
		return map[string]any{"KeyMetadata": k.metadata()}, nil
	case "ScheduleKeyDeletion":
		if k.state == "PendingDeletion" {
			return nil, k.usable()
		}
		if in.PendingWindowInDays < 7 || in.PendingWindowInDays > 30 {
			return nil, refuse("ValidationException", "PendingWindowInDays must be between 7 and 30")
		}
		k.state, k.window = "PendingDeletion", in.PendingWindowInDays
		return map[string]any{"KeyId": k.arn, "KeyState": k.state, "PendingWindowInDays": k.window}, nil
	}
	return nil, refuse("UnknownOperationException", "")
}

func (k *key) metadata() map[string]any {
	return map[string]any{
		"KeyId": k.id, "Arn": k.arn, "AWSAccountId": account, "KeySpec": k.spec, "KeyUsage": k.usage, "KeyState": k.state,
		"Enabled": k.state == "Enabled", "Origin": k.origin, "Description": k.description, "KeyManager": "CUSTOMER",
		"CreationDate": 1.7e9, "MultiRegion": false,
	}
}

func (k *key) publicKey() (map[string]any, *apiError) {
	if err := k.usable(); err != nil {
		return nil, err
	}
	if k.private == nil {
		return nil, refuse("UnsupportedOperationException", "%s is symmetric", k.arn)
	}
	spki, err := x509.MarshalPKIXPublicKey(k.private.Public())
	if err != nil {
		return nil, refuse("KMSInternalException", "%v", err)
	}
	return map[string]any{"KeyId": k.arn, "KeySpec": k.spec, "KeyUsage": k.usage, "PublicKey": spki}, nil
}

// hashes has the hash of each signing algorithm and the keys that it fits.
var hashes = map[string]struct {
	hash crypto.Hash
	spec string // its beginning
}{
	"RSASSA_PKCS1_V1_5_SHA_256": {crypto.SHA256, "RSA_"},
	"RSASSA_PKCS1_V1_5_SHA_384": {crypto.SHA384, "RSA_"},
	"RSASSA_PKCS1_V1_5_SHA_512": {crypto.SHA512, "RSA_"},
	"ECDSA_SHA_256":             {crypto.SHA256, "ECC_NIST_P256"},
	"ECDSA_SHA_384":             {crypto.SHA384, "ECC_NIST_P384"},
	"ECDSA_SHA_512":             {crypto.SHA512, "ECC_NIST_P521"},
	"ED25519_SHA_512":           {0, "ECC_NIST_EDWARDS25519"},
}

func (s *standin) sign(body []byte) (map[string]any, *apiError) {
	var in struct {
		KeyId, MessageType, SigningAlgorithm string
		Message                              []byte
	}
	if err := read(body, &in); err != nil {
		return nil, err
	}
	k, refused := s.find("Sign", in.KeyId)
	if refused != nil {
		return nil, refused
	}
	if err := k.usable(); err != nil {
		return nil, err
	}
	algorithm, ok := hashes[in.SigningAlgorithm]
	if !ok || k.usage != "SIGN_VERIFY" || !strings.HasPrefix(k.spec, algorithm.spec) {
		return nil, refuse("InvalidKeyUsageException", "Algorithm %s is incompatible with key spec %s.", in.SigningAlgorithm, k.spec)
	}
	digest := in.Message
	switch {
	case len(in.Message) == 0 || len(in.Message) > 4096:
		return nil, refuse("ValidationException", "Value at 'message' failed to satisfy constraint: Member must have length less than or equal to 4096")
	case algorithm.hash == 0 && in.MessageType != "RAW":
		return nil, refuse("ValidationException", "%s requires MessageType RAW", in.SigningAlgorithm)
	case algorithm.hash != 0 && in.MessageType == "DIGEST":
		if len(digest) != algorithm.hash.Size() {
			return nil, refuse("ValidationException", "Digest is invalid length for algorithm %s.", in.SigningAlgorithm)
		}
	case algorithm.hash != 0: // RAW, by default
		h := algorithm.hash.New()
		h.Write(in.Message)
		digest = h.Sum(nil)
	}
	sig, err := k.private.Sign(rand.Reader, digest, algorithm.hash)
	if err != nil {
		return nil, refuse("KMSInternalException", "%v", err)
	}
	if s.alter != nil {
		sig = s.alter(digest, sig)
	}
	return map[string]any{"KeyId": k.arn, "Signature": sig, "SigningAlgorithm": in.SigningAlgorithm}, nil
}

func (s *standin) createKey(body []byte) (map[string]any, *apiError) {
	var in struct {
		KeySpec, KeyUsage, Description, Origin, Policy string
		Tags                                           []struct{ TagKey, TagValue string }
	}
	if err := read(body, &in); err != nil {
		return nil, err
	}
	if s.deny != nil && s.deny("CreateKey", nil) {
		return nil, refuse("AccessDeniedException", "User is not authorized to perform: kms:CreateKey")
	}
	k := &key{spec: in.KeySpec, usage: in.KeyUsage, origin: in.Origin, description: in.Description, tags: make(map[string]string)}
	for _, t := range in.Tags {
		if _, twice := k.tags[t.TagKey]; twice || t.TagKey == "" || strings.HasPrefix(t.TagKey, "aws:") {
			return nil, refuse("TagException", "%s", t.TagKey)
		}
		k.tags[t.TagKey] = t.TagValue
	}
	if k.private = generate(k.spec); k.private == nil || k.usage != "SIGN_VERIFY" {
		return nil, refuse("ValidationException", "KeyUsage is required for asymmetric keys, and there is no key spec %s", k.spec)
	}
	s.add(k)
	return map[string]any{"KeyMetadata": k.metadata()}, nil
}

func (s *standin) listKeys(body []byte) (map[string]any, *apiError) {
	var in struct {
		Limit  int
		Marker string
	}
	if err := read(body, &in); err != nil {
		return nil, err
	}
	if s.deny != nil && s.deny("ListKeys", nil) {
		return nil, refuse("AccessDeniedException", "User is not authorized to perform: kms:ListKeys")
	}
	if in.Limit < 1 || in.Limit > 1000 {
		return nil, refuse("ValidationException", "Limit must be between 1 and 1000")
	}
	start := 0
	if in.Marker != "" {
		var err error
		if start, err = strconv.Atoi(in.Marker); err != nil || start > len(s.keys) {
			return nil, refuse("InvalidMarkerException", "%s", in.Marker)
		}
	}
	end := min(start+min(in.Limit, 3), len(s.keys)) // KMS may list fewer than the limit
	entries := []map[string]string{}
	for _, k := range s.keys[start:end] {
		if k.visible("ListKeys") {
			entries = append(entries, map[string]string{"KeyId": k.id, "KeyArn": k.arn})
		}
	}
	out := map[string]any{"Keys": entries, "Truncated": end < len(s.keys)}
	if end < len(s.keys) {
		out["NextMarker"] = strconv.Itoa(end)
	}
	return out, nil
}

// sealed is the content of a ciphertext of the stand-in.
type sealed struct {
	ARN        string
	Ciphertext []byte
}

type crypt struct {
	KeyId                     string
	Plaintext, CiphertextBlob []byte
	EncryptionContext         map[string]string
}

// open reads a request for a symmetric key, and returns the key and the bytes
// to which the ciphertext is bound.
func (s *standin) open(op string, body []byte, in *crypt) (*key, []byte, *apiError) {
	if err := read(body, in); err != nil {
		return nil, nil, err
	}
	k, err := s.find(op, in.KeyId)
	if err != nil {
		return nil, nil, err
	}
	if err := k.usable(); err != nil {
		return nil, nil, err
	}
	if k.secret == nil {
		return nil, nil, refuse("InvalidKeyUsageException", "%s key usage is %s", k.arn, k.usage)
	}
	bound, _ := json.Marshal(in.EncryptionContext) // of sorted keys
	return k, bound, nil
}

func (k *key) aead() cipher.AEAD {
	return must(cipher.NewGCMWithRandomNonce(must(aes.NewCipher(k.secret))))
}

func (s *standin) encrypt(body []byte) (map[string]any, *apiError) {
	var in crypt
	k, bound, err := s.open("Encrypt", body, &in)
	if err != nil {
		return nil, err
	}
	if len(in.Plaintext) == 0 || len(in.Plaintext) > 4096 {
		return nil, refuse("ValidationException", "Value at 'plaintext' failed to satisfy constraint")
	}
	blob, _ := json.Marshal(sealed{k.arn, k.aead().Seal(nil, nil, in.Plaintext, bound)})
	return map[string]any{"KeyId": k.arn, "CiphertextBlob": blob, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}, nil
}

func (s *standin) decrypt(body []byte) (map[string]any, *apiError) {
	var in crypt
	k, bound, err := s.open("Decrypt", body, &in)
	if err != nil {
		return nil, err
	}
	var blob sealed
	if json.Unmarshal(in.CiphertextBlob, &blob) != nil {
		return nil, refuse("InvalidCiphertextException", "")
	}
	if blob.ARN != k.arn {
		return nil, refuse("IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")
	}
	plaintext, failed := k.aead().Open(nil, nil, blob.Ciphertext, bound)
	if failed != nil {
		return nil, refuse("InvalidCiphertextException", "")
	}
	return map[string]any{"KeyId": k.arn, "Plaintext": plaintext, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}, nil
}

// generate makes a key pair, or nil if there is no such spec. The large RSA
// ones are made once.
func generate(spec string) crypto.Signer {
	switch spec {
	case "RSA_2048":
		return must(rsa.GenerateKey(rand.Reader, 2048))
	case "RSA_3072":
		return rsa3072()
	case "ECC_NIST_P256":
		return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	case "ECC_NIST_P384":
		return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	case "ECC_NIST_P521":
		return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	case "ECC_NIST_EDWARDS25519":
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return must(private, err)
	}
	return nil
}

var rsa3072 = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 3072)) })

// signingKey returns a new asymmetric key.
func (s *standin) signingKey(spec string) *key {
	private := generate(spec)
	if private == nil {
		panic(fmt.Sprintf("no spec %s", spec))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(&key{spec: spec, usage: "SIGN_VERIFY", private: private})
}

// symmetricKey returns a new symmetric key.
func (s *standin) symmetricKey() *key {
	secret := make([]byte, 32)
	rand.Read(secret)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(&key{spec: "SYMMETRIC_DEFAULT", usage: "ENCRYPT_DECRYPT", secret: secret})
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
