package gcpkms_test

import (
	"crypto"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/oidctokentest"
	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/gcpkms"
)

// Every algorithm keeps the contract of a Signer, through the real client.
//
// T06 T07
func TestSigner(t *testing.T) {
	for _, tt := range []struct{ name, alg string }{
		{"RSA_SIGN_PKCS1_2048_SHA256", "RS256"},
		{"RSA_SIGN_PKCS1_3072_SHA256", "RS256"},
		{"RSA_SIGN_PKCS1_4096_SHA512", "RS512"},
		{"EC_SIGN_P256_SHA256", "ES256"},
		{"EC_SIGN_P384_SHA384", "ES384"},
		{"EC_SIGN_ED25519", "EdDSA"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStandin()
			service, version := serve(t, s), s.add("k", tt.name).name
			kms := newSigner(t, service, version, nil)
			if kms.Algorithm() != tt.alg {
				t.Errorf("Algorithm = %s, want %s", kms.Algorithm(), tt.alg)
			}
			oidctokentest.TestSigner(t, func(t *testing.T) oidctoken.Signer { return newSigner(t, service, version, nil) }, tt.alg)
		})
	}
}

// A version has one hash: others are refused before a call is made.
func TestSignRefusesOtherHash(t *testing.T) {
	for _, tt := range []struct {
		name    string
		hash    crypto.Hash
		message string
	}{
		{"RSA_SIGN_PKCS1_2048_SHA256", crypto.SHA512, "is for RS256 and not RS512"},
		{"RSA_SIGN_PKCS1_2048_SHA256", crypto.SHA384, "is for RS256 and not RS384"},
		{"EC_SIGN_P256_SHA256", crypto.SHA384, "does not go with SHA-384"},
		{"EC_SIGN_ED25519", crypto.SHA512, "does not go with SHA-512"},
	} {
		t.Run(tt.name+" "+tt.hash.String(), func(t *testing.T) {
			s := newStandin()
			kms := newSigner(t, serve(t, s), s.add("k", tt.name).name, nil)
			_, err := kms.Sign(t.Context(), digest(tt.hash, "m"), tt.hash)
			if diff := cmp.Diff(failed{"AsymmetricSign", signer.Refused, ""}, failureOf(err)); diff != "" || !strings.Contains(err.Error(), tt.message) {
				t.Errorf("Sign: %v, want %q (-want +got):\n%s", err, tt.message, diff)
			}
			if n := s.count("AsymmetricSign"); n != 0 {
				t.Errorf("%d calls were made", n)
			}
		})
	}
}

// A name that could mean another version tomorrow, or another resource, is
// refused before a call is made.
func TestNewRefusesName(t *testing.T) {
	s := newStandin()
	service := serve(t, s)
	const k = ringOf + "/cryptoKeys/k"
	for _, name := range []string{
		"", k, k + "/cryptoKeyVersions", k + "/cryptoKeyVersions/", k + "/cryptoKeyVersions/latest", k + "/cryptoKeyVersions/0",
		k + "/cryptoKeyVersions/01", k + "/cryptoKeyVersions/1/", "/" + k + "/cryptoKeyVersions/1", k + "/cryptoKeyVersions/1?x",
		ringOf + "/cryptoKeys/../cryptoKeyVersions/1", ringOf + "/cryptoKeys//cryptoKeyVersions/1", ringOf + "/cryptoKeys/a%2Fb/cryptoKeyVersions/1",
		k + "/cryptoKeyVersions/12345678901234567890", ringOf + "/cryptoKeys/" + strings.Repeat("k", 1024) + "/cryptoKeyVersions/1",
	} {
		_, err := gcpkms.New(t.Context(), service, name, nil)
		if diff := cmp.Diff(failed{"New", signer.Refused, ""}, failureOf(err)); diff != "" {
			t.Errorf("New(%q): %v (-want +got):\n%s", name, err, diff)
		}
	}
	if _, err := gcpkms.New(t.Context(), nil, k+"/cryptoKeyVersions/1", nil); failureOf(err).Kind != signer.Refused {
		t.Errorf("New without a service: %v", err)
	}
	if s.total() != 0 {
		t.Errorf("%d calls were made", s.total())
	}
}

// A checksum of 0 is sent, and differs from a missing one: by default the
// client leaves out fields that are 0, and the service would verify nothing.
func TestSignChecksumZero(t *testing.T) {
	s := newStandin()
	kms := newSigner(t, serve(t, s), s.add("k", "EC_SIGN_P256_SHA256").name, nil)
	zero := withChecksumZero(digest(crypto.SHA256, "m")[:28])
	if gcpkms.Checksum(zero) != 0 {
		t.Fatalf("the checksum of %x is %d", zero, gcpkms.Checksum(zero))
	}
	if _, err := kms.Sign(t.Context(), zero, crypto.SHA256); err != nil {
		t.Errorf("Sign: %v", err)
	}
	if body := string(s.bodies["AsymmetricSign"]); !strings.Contains(body, `"digestCrc32c":"0"`) {
		t.Errorf("the checksum was not sent: %s", body)
	}
	message := newSigner(t, serve(t, s), s.add("ed", "EC_SIGN_ED25519").name, nil)
	if _, err := message.Sign(t.Context(), nil, crypto.Hash(0)); err != nil {
		t.Errorf("Sign of an empty message: %v", err)
	}
	if body := string(s.bodies["AsymmetricSign"]); !strings.Contains(body, `"dataCrc32c":"0"`) {
		t.Errorf("the checksum was not sent: %s", body)
	}
}

// withChecksumZero appends the 4 bytes that make a CRC-32C of 0, which is the
// register ^0 after the last byte: it goes back from there, byte by byte.
func withChecksumZero(data []byte) []byte {
	table := crc32.MakeTable(crc32.Castagnoli)
	after := ^uint32(0)
	for range 4 {
		for i, entry := range table {
			if entry>>24 == after>>24 {
				after = (after^entry)<<8 | uint32(i)
				break
			}
		}
	}
	// Each step takes (register ^ byte), so the four bytes must equal the register
	// ^ the wanted one.
	return binary.LittleEndian.AppendUint32(append([]byte(nil), data...), after^^crcOf(data))
}

// The service's answer is checked against the request.
//
// T07
func TestSignChecksAnswer(t *testing.T) {
	for _, tt := range []struct {
		name    string
		tamper  func(answer map[string]any)
		message string
	}{
		{"another version", func(a map[string]any) { a["name"] = ringOf + "/cryptoKeys/k/cryptoKeyVersions/2" }, "cryptoKeyVersions/2"},
		{"another key", func(a map[string]any) { a["name"] = ringOf + "/cryptoKeys/other/cryptoKeyVersions/1" }, "cryptoKeys/other"},
		{"no name", func(a map[string]any) { delete(a, "name") }, "it is of"},
		{"not verified", func(a map[string]any) { a["verifiedDigestCrc32c"] = false }, "not verified"},
		{"verified something else", func(a map[string]any) { delete(a, "verifiedDigestCrc32c"); a["verifiedDataCrc32c"] = true }, "not verified"},
		{"wrong checksum", func(a map[string]any) { a["signatureCrc32c"] = "1" }, "another checksum"},
		{"no checksum", func(a map[string]any) { delete(a, "signatureCrc32c") }, "another checksum"},
		{"checksum of more than 32 bits", func(a map[string]any) { a["signatureCrc32c"] = "9223372036854775807" }, "another checksum"},
		{"checksum of another type", func(a map[string]any) { a["signatureCrc32c"] = []int{1} }, "not the JSON"},
		{"another signature of the checksum", func(a map[string]any) { a["signature"] = []byte("short") }, "another checksum"},
		{"no signature", func(a map[string]any) { a["signature"], a["signatureCrc32c"] = nil, "0" }, "has 0 bytes"},
		{"oversized signature", func(a map[string]any) { sized(a, 73+8) }, "has 81 bytes"},
		{"not base64", func(a map[string]any) { a["signature"] = "\x00!" }, "not in base64"},
		{"signature of another type", func(a map[string]any) { a["signature"] = 7 }, "not the JSON"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStandin()
			kms := newSigner(t, serve(t, s), s.add("k", "EC_SIGN_P256_SHA256").name, nil)
			s.set(func() { s.tamper = func(_ string, answer map[string]any) { tt.tamper(answer) } })
			sig, err := kms.Sign(t.Context(), digest(crypto.SHA256, "m"), crypto.SHA256)
			if diff := cmp.Diff(failed{"AsymmetricSign", signer.Malformed, ""}, failureOf(err)); diff != "" || sig != nil || !strings.Contains(err.Error(), tt.message) {
				t.Errorf("Sign: %x, %v, want %q (-want +got):\n%s", sig, err, tt.message, diff)
			}
		})
	}
}

// sized makes a signature of so many bytes.
func sized(answer map[string]any, n int) {
	sig := make([]byte, n)
	answer["signature"], answer["signatureCrc32c"] = sig, crcText(sig)
}

// An RSA signature is as long as the modulus, and one of Ed25519 has 64 bytes.
func TestSignChecksLength(t *testing.T) {
	for _, tt := range []struct {
		name string
		hash crypto.Hash
		size int
	}{
		{"RSA_SIGN_PKCS1_2048_SHA256", crypto.SHA256, 255},
		{"RSA_SIGN_PKCS1_2048_SHA256", crypto.SHA256, 257},
		{"EC_SIGN_ED25519", 0, 63},
		{"EC_SIGN_P384_SHA384", crypto.SHA384, 105},
	} {
		s := newStandin()
		kms := newSigner(t, serve(t, s), s.add("k", tt.name).name, nil)
		s.set(func() { s.tamper = func(_ string, answer map[string]any) { sized(answer, tt.size) } })
		_, err := kms.Sign(t.Context(), digest(tt.hash, "m"), tt.hash)
		if diff := cmp.Diff(failed{"AsymmetricSign", signer.Malformed, ""}, failureOf(err)); diff != "" {
			t.Errorf("%s: %d bytes: %v (-want +got):\n%s", tt.name, tt.size, err, diff)
		}
	}
}

// The public key that the service answers with is the version's, whole.
func TestNewChecksAnswer(t *testing.T) {
	for _, tt := range []struct {
		name   string
		tamper func(answer map[string]any)
		want   failed
	}{
		{"another version", func(a map[string]any) { a["name"] = ringOf + "/cryptoKeys/k/cryptoKeyVersions/2" }, failed{"GetPublicKey", signer.Malformed, ""}},
		{"no name", func(a map[string]any) { delete(a, "name") }, failed{"GetPublicKey", signer.Malformed, ""}},
		{"wrong checksum", func(a map[string]any) { a["pemCrc32c"] = "1" }, failed{"GetPublicKey", signer.Malformed, ""}},
		{"no checksum", func(a map[string]any) { delete(a, "pemCrc32c") }, failed{"GetPublicKey", signer.Malformed, ""}},
		{"no key", func(a map[string]any) { a["pem"], a["pemCrc32c"] = "", "0" }, failed{"GetPublicKey", signer.Malformed, ""}},
		{"no PEM", func(a map[string]any) { a["pem"], a["pemCrc32c"] = "key", crcText([]byte("key")) }, failed{"GetPublicKey", signer.Malformed, ""}},
		{"key of another algorithm", func(a map[string]any) { a["algorithm"] = "EC_SIGN_P384_SHA384" }, failed{"GetPublicKey", signer.Malformed, ""}},
		{"key of another kind", func(a map[string]any) { a["algorithm"] = "RSA_SIGN_PKCS1_2048_SHA256" }, failed{"GetPublicKey", signer.Malformed, ""}},
		{"PSS", func(a map[string]any) { a["algorithm"] = "RSA_SIGN_PSS_2048_SHA256" }, failed{"GetPublicKey", signer.Refused, ""}},
		{"RAW", func(a map[string]any) { a["algorithm"] = "RSA_SIGN_RAW_PKCS1_2048" }, failed{"GetPublicKey", signer.Refused, ""}},
		{"secp256k1", func(a map[string]any) { a["algorithm"] = "EC_SIGN_SECP256K1_SHA256" }, failed{"GetPublicKey", signer.Refused, ""}},
		{"no algorithm", func(a map[string]any) { delete(a, "algorithm") }, failed{"GetPublicKey", signer.Refused, ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStandin()
			service, version := serve(t, s), s.add("k", "EC_SIGN_P256_SHA256").name
			s.set(func() { s.tamper = func(_ string, answer map[string]any) { tt.tamper(answer) } })
			got, err := gcpkms.New(t.Context(), service, version, nil)
			if diff := cmp.Diff(tt.want, failureOf(err)); diff != "" || got != nil {
				t.Errorf("New: %v, %v (-want +got):\n%s", got, err, diff)
			}
		})
	}
}

// A version that cannot sign yet and one that cannot sign any more have
// different kinds.
func TestNewState(t *testing.T) {
	for _, tt := range []struct {
		state string
		want  failed
	}{
		{"PENDING_GENERATION", failed{"GetPublicKey", signer.Unavailable, "FAILED_PRECONDITION"}},
		{"DISABLED", failed{"GetPublicKey", signer.Gone, "FAILED_PRECONDITION"}},
		{"DESTROY_SCHEDULED", failed{"GetPublicKey", signer.Gone, "FAILED_PRECONDITION"}},
		{"DESTROYED", failed{"GetPublicKey", signer.Gone, "FAILED_PRECONDITION"}},
	} {
		s := newStandin()
		service, v := serve(t, s), s.add("k", "EC_SIGN_P256_SHA256")
		v.state = tt.state
		_, err := gcpkms.New(t.Context(), service, v.name, nil)
		if diff := cmp.Diff(tt.want, failureOf(err)); diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", tt.state, err, diff)
		}
	}
}
