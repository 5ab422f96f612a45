package gcpkms_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"hash/crc32"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// crc is a CRC-32C in the service's form: an int64, which is a string in JSON.
// It is nil if it was not sent.
type crc uint32

func (c *crc) UnmarshalJSON(b []byte) error {
	text, err := strconv.Unquote(string(b))
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(text, 10, 32)
	*c = crc(n)
	return err
}

func crcOf(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func crcText(b []byte) string { return strconv.FormatUint(uint64(crcOf(b)), 10) }

// verify checks the request. Without a checksum the service verifies nothing,
// and its answer states that.
func (c *crc) verify(field string, data []byte) (verified bool, f *fault) {
	if c == nil {
		return false, nil
	}
	if uint32(*c) != crcOf(data) {
		return false, invalid("The checksum in field %s did not match the data in field %s.", field+"_crc32c", field)
	}
	return true, nil
}

// decodeRequest takes no field that the service does not have.
func decodeRequest(body []byte, into any) *fault {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return invalid("Invalid JSON payload received: %v", err)
	}
	return nil
}

func (s *standin) createKey(parent string, r *http.Request, body []byte) (map[string]any, *fault) {
	var request struct {
		Purpose         string
		VersionTemplate struct{ Algorithm, ProtectionLevel string }
	}
	if f := decodeRequest(body, &request); f != nil {
		return nil, f
	}
	id := r.URL.Query().Get("cryptoKeyId")
	name := parent + "/cryptoKeys/" + id
	switch {
	case parent != ringOf:
		return nil, notFound(parent)
	case !keyID.MatchString(id):
		return nil, invalid("cryptoKeyId: %q", id)
	case request.Purpose != "ASYMMETRIC_SIGN" || r.URL.Query().Get("skipInitialVersionCreation") != "true":
		return nil, invalid("no such key is made here: %s", body)
	case !regexp.MustCompile(`\A(RSA_SIGN_PKCS1_[234]0(48|72|96)_SHA(256|512)|EC_SIGN_(P256_SHA256|P384_SHA384|ED25519))\z`).MatchString(request.VersionTemplate.Algorithm):
		return nil, invalid("no such algorithm: %s", request.VersionTemplate.Algorithm)
	case s.keys[name] != nil:
		return nil, &fault{code: 409, status: "ALREADY_EXISTS", message: "CryptoKey " + name + " already exists."}
	}
	s.keys[name] = &key{name: name, purpose: request.Purpose, algorithm: request.VersionTemplate.Algorithm, level: request.VersionTemplate.ProtectionLevel}
	return s.keys[name].json(), nil
}

func (k *key) json() map[string]any {
	return map[string]any{"name": k.name, "purpose": k.purpose, "createTime": "2026-01-02T03:04:05Z",
		"versionTemplate": map[string]any{"algorithm": k.algorithm, "protectionLevel": k.level}}
}

func (v *version) json() map[string]any {
	return map[string]any{"name": v.name, "state": v.state, "algorithm": v.key.algorithm, "protectionLevel": v.key.level,
		"createTime": v.created.UTC().Format(time.RFC3339Nano)}
}

func (s *standin) onKey(op string, k *key, r *http.Request, body []byte) (map[string]any, *fault) {
	switch op {
	case "GetCryptoKey":
		return k.json(), nil
	case "ListCryptoKeyVersions":
		return k.list(r)
	case "Encrypt":
		return k.encrypt(body)
	case "Decrypt":
		return k.decrypt(body)
	}
	if f := decodeRequest(body, &struct{}{}); f != nil { // CreateCryptoKeyVersion
		return nil, f
	}
	v := k.add(s.pending)
	if s.fails {
		v.state = "GENERATION_FAILED"
	}
	return v.json(), nil
}

// list returns pages of two versions, as the service may for any page size.
func (k *key) list(r *http.Request) (map[string]any, *fault) {
	state, ok := strings.CutPrefix(r.URL.Query().Get("filter"), "state=")
	if !ok {
		return nil, invalid("no such filter")
	}
	matching := slices.DeleteFunc(slices.Clone(k.versions), func(v *version) bool { return v.state != state })
	from, _ := strconv.Atoi(r.URL.Query().Get("pageToken"))
	if from > len(matching) {
		return nil, invalid("no such page")
	}
	to := min(from+2, len(matching))
	page := []any{}
	for _, v := range matching[from:to] {
		page = append(page, v.json())
	}
	answer := map[string]any{"cryptoKeyVersions": page}
	if to < len(matching) {
		answer["nextPageToken"] = strconv.Itoa(to)
	}
	return answer, nil
}

func (s *standin) onVersion(op string, v *version, body []byte) (map[string]any, *fault) {
	switch op {
	case "GetCryptoKeyVersion":
		if v.pending--; v.pending <= 0 && v.state == "PENDING_GENERATION" {
			v.state = "ENABLED"
		}
		return v.json(), nil
	case "DestroyCryptoKeyVersion":
		return v.destroy(body)
	}
	if v.state != "ENABLED" {
		return nil, notEnabled(v)
	}
	if v.key.purpose != "ASYMMETRIC_SIGN" {
		return nil, &fault{code: 400, status: "FAILED_PRECONDITION", message: "The key's purpose is " + v.key.purpose + "."}
	}
	if op == "AsymmetricSign" {
		return v.sign(body, s.alter)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(v.private.Public()))})
	return map[string]any{"name": v.name, "algorithm": v.key.algorithm, "pem": string(text), "pemCrc32c": crcText(text)}, nil
}

func (v *version) destroy(body []byte) (map[string]any, *fault) {
	if f := decodeRequest(body, &struct{}{}); f != nil {
		return nil, f
	}
	if v.state != "ENABLED" && v.state != "DISABLED" {
		return nil, notEnabled(v)
	}
	v.state = "DESTROY_SCHEDULED"
	return v.json(), nil
}

// sign never hashes: it signs the digest that it was given, and a message with
// Ed25519 alone.
func (v *version) sign(body []byte, alter func(digest, signature []byte) []byte) (map[string]any, *fault) {
	var request struct {
		Digest       *struct{ Sha256, Sha384, Sha512 []byte }
		DigestCrc32c *crc
		Data         []byte
		DataCrc32c   *crc
	}
	if f := decodeRequest(body, &request); f != nil {
		return nil, f
	}
	answer := map[string]any{"name": v.name, "protectionLevel": v.key.level}
	var message, signed []byte
	if v.key.algorithm == "EC_SIGN_ED25519" {
		if request.Digest != nil || request.DigestCrc32c != nil {
			return nil, invalid("Ed25519 signs data")
		}
		verified, f := request.DataCrc32c.verify("data", request.Data)
		if f != nil {
			return nil, f
		}
		answer["verifiedDataCrc32c"] = verified
		message, signed = request.Data, must(v.private.Sign(rand.Reader, request.Data, crypto.Hash(0)))
	} else {
		if request.Digest == nil || request.Data != nil || request.DataCrc32c != nil {
			return nil, invalid("a digest is wanted")
		}
		hash, digest, f := digestOf(v.key.algorithm, request.Digest.Sha256, request.Digest.Sha384, request.Digest.Sha512)
		if f != nil {
			return nil, f
		}
		verified, f := request.DigestCrc32c.verify("digest", digest)
		if f != nil {
			return nil, f
		}
		answer["verifiedDigestCrc32c"] = verified
		message, signed = digest, must(v.private.Sign(rand.Reader, digest, hash))
	}
	if alter != nil {
		signed = alter(message, signed)
	}
	answer["signature"], answer["signatureCrc32c"] = signed, crcText(signed)
	return answer, nil
}

// digestOf returns the one digest that an algorithm takes.
func digestOf(algorithm string, sha256, sha384, sha512 []byte) (crypto.Hash, []byte, *fault) {
	var hash crypto.Hash
	var digest []byte
	given := 0
	for _, d := range []struct {
		hash   crypto.Hash
		suffix string
		digest []byte
	}{{crypto.SHA256, "SHA256", sha256}, {crypto.SHA384, "SHA384", sha384}, {crypto.SHA512, "SHA512", sha512}} {
		if d.digest != nil {
			given++
		}
		if strings.HasSuffix(algorithm, d.suffix) {
			hash, digest = d.hash, d.digest
		}
	}
	if given != 1 || len(digest) != hash.Size() {
		return 0, nil, invalid("%s wants one digest of %d bytes", algorithm, hash.Size())
	}
	return hash, digest, nil
}

func (k *key) encrypt(body []byte) (map[string]any, *fault) {
	var request struct {
		Plaintext                         []byte
		PlaintextCrc32c                   *crc
		AdditionalAuthenticatedData       []byte
		AdditionalAuthenticatedDataCrc32c *crc
	}
	if f := decodeRequest(body, &request); f != nil {
		return nil, f
	}
	if k.purpose != "ENCRYPT_DECRYPT" {
		return nil, &fault{code: 400, status: "FAILED_PRECONDITION", message: "The key's purpose is " + k.purpose + "."}
	}
	if k.primary.state != "ENABLED" {
		return nil, notEnabled(k.primary)
	}
	verified, f := request.PlaintextCrc32c.verify("plaintext", request.Plaintext)
	if f != nil {
		return nil, f
	}
	verifiedAAD, f := request.AdditionalAuthenticatedDataCrc32c.verify("additional_authenticated_data", request.AdditionalAuthenticatedData)
	if f != nil {
		return nil, f
	}
	ciphertext := k.primary.aead.Seal(nil, nil, request.Plaintext, request.AdditionalAuthenticatedData)
	return map[string]any{"name": k.primary.name, "ciphertext": ciphertext, "ciphertextCrc32c": crcText(ciphertext),
		"verifiedPlaintextCrc32c": verified, "verifiedAdditionalAuthenticatedDataCrc32c": verifiedAAD}, nil
}

func (k *key) decrypt(body []byte) (map[string]any, *fault) {
	var request struct {
		Ciphertext                        []byte
		CiphertextCrc32c                  *crc
		AdditionalAuthenticatedData       []byte
		AdditionalAuthenticatedDataCrc32c *crc
	}
	if f := decodeRequest(body, &request); f != nil {
		return nil, f
	}
	if request.CiphertextCrc32c == nil || request.AdditionalAuthenticatedDataCrc32c == nil {
		return nil, invalid("there are no checksums") // which the answer would not show
	}
	if _, f := request.CiphertextCrc32c.verify("ciphertext", request.Ciphertext); f != nil {
		return nil, f
	}
	if _, f := request.AdditionalAuthenticatedDataCrc32c.verify("additional_authenticated_data", request.AdditionalAuthenticatedData); f != nil {
		return nil, f
	}
	for _, v := range k.versions {
		plaintext, err := v.aead.Open(nil, nil, request.Ciphertext, request.AdditionalAuthenticatedData)
		if err != nil {
			continue
		}
		if v.state != "ENABLED" {
			return nil, notEnabled(v)
		}
		return map[string]any{"plaintext": plaintext, "plaintextCrc32c": crcText(plaintext), "usedPrimary": v == k.primary}, nil
	}
	return nil, invalid("Decryption failed: verify that 'name' refers to the correct CryptoKey.")
}
