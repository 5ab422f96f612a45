package awskms_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/signer"
	"github.com/oidctoken/oidctoken/signer/awskms"
)

// Versions leaves out keys of other owners and keys that cannot sign. It
// describes each of them once.
func TestVersionsAreTheRings(t *testing.T) {
	s := newStandin(t)
	describe := func(alg, ring string) string { return fmt.Sprintf("oidctoken: %s key of the ring %s", alg, ring) }
	s.symmetricKey()
	mine := must(s.provisioner(t).Create(t.Context(), "ES256"))
	larger := must(must(awskms.NewProvisioner(s.client(t), awskms.ProvisionerConfig{Ring: "ci", RSABits: 3072})).Create(t.Context(), "RS256"))
	for _, change := range []func(k *key){
		func(k *key) { k.description = "" },
		func(k *key) { k.description = describe("ES256", "ci2") },
		func(k *key) { k.description = describe("ES256", "CI") },
		func(k *key) { k.description = describe("ES256", "ci") + " " },
		func(k *key) { k.description = describe("HS256", "ci") },
		func(k *key) { k.tags = map[string]string{"oidctoken:ring": "ci"} },
		func(k *key) { k.description, k.state = describe("ES256", "ci"), "Disabled" },
		func(k *key) { k.description, k.state = describe("ES256", "ci"), "PendingDeletion" },
		func(k *key) { k.description, k.origin = describe("ES256", "ci"), "EXTERNAL" },
		func(k *key) { k.description, k.usage = describe("ES256", "ci"), "KEY_AGREEMENT" },
		func(k *key) { k.description = describe("RS256", "ci") },
		func(k *key) { k.description = describe("ES384", "ci") },
	} {
		k := s.signingKey("ECC_NIST_P256")
		s.with(func() { change(k) })
	}
	other := must(must(awskms.NewProvisioner(s.client(t), awskms.ProvisionerConfig{Ring: "other"})).Create(t.Context(), "ES256"))

	p := s.provisioner(t)
	want := []string{mine.ID, larger.ID}
	for _, list := range [][]string{versions(t, p), versions(t, s.provisioner(t))} {
		if diff := cmp.Diff(want, list); diff != "" {
			t.Errorf("Versions (-want +got):\n%s", diff)
		}
	}
	before, public := s.count("DescribeKey"), s.count("GetPublicKey")
	versions(t, p)
	if n, m := s.count("DescribeKey")-before, s.count("GetPublicKey")-public; n != 8 || m != 0 {
		t.Errorf("%d keys are described and %d are read another time, want 8, which are the ring's, and 0", n, m)
	}
	if err := p.Retire(t.Context(), other.ID); err == nil {
		t.Error("another ring's key was retired")
	} else {
		wantError(t, err, "ScheduleKeyDeletion", signer.Refused, "")
	}
	if n := s.count("ScheduleKeyDeletion"); n != 0 {
		t.Errorf("%d keys were retired", n)
	}
}

// An incomplete list would make a ring create keys that it already has.
func TestVersionsFail(t *testing.T) {
	page := 0
	for _, tt := range []struct {
		name   string
		op     string
		want   signer.Kind
		code   string
		answer func(string, http.ResponseWriter, *http.Request) bool
	}{
		{"list away", "ListKeys", signer.Unavailable, "", answers(503, "")},
		{"list denied", "ListKeys", signer.Refused, "AccessDeniedException", answers(400, errorBody("AccessDeniedException"))},
		{"no names", "ListKeys", signer.Malformed, "", answers(200, `{"Keys":[{}],"Truncated":false}`)},
		{"an alias", "ListKeys", signer.Malformed, "", answers(200, `{"Keys":[{"KeyArn":"arn:aws:kms:eu-west-1:111122223333:alias/ci"}]}`)},
		{"goes on nowhere", "ListKeys", signer.Malformed, "", answers(200, `{"Keys":[],"Truncated":true}`)},
		{"goes on in a circle", "ListKeys", signer.Malformed, "", answers(200, `{"Keys":[],"Truncated":true,"NextMarker":"x"}`)},
		{"goes on for ever", "ListKeys", signer.Malformed, "", func(_ string, w http.ResponseWriter, _ *http.Request) bool {
			page++
			fmt.Fprintf(w, `{"Keys":[],"Truncated":true,"NextMarker":"%d"}`, page)
			return true
		}},
		{"one key away", "DescribeKey", signer.Unavailable, "KMSInternalException", answers(500, errorBody("KMSInternalException"))},
		{"another key described", "DescribeKey", signer.Malformed, "",
			answers(200, `{"KeyMetadata":{"KeyId":"x","Arn":"arn:aws:kms:eu-west-1:111122223333:key/x"}}`)},
		{"nothing described", "DescribeKey", signer.Malformed, "", answers(200, `{}`)},
		{"one key pair away", "GetPublicKey", signer.Unavailable, "ThrottlingException", answers(400, errorBody("ThrottlingException"))},
		{"one key pair gone", "GetPublicKey", signer.Gone, "NotFoundException", answers(400, errorBody("NotFoundException"))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStandin(t)
			must(s.provisioner(t).Create(t.Context(), "ES256"))
			s.signingKey("ECC_NIST_P256")
			s.answer = func(op string, w http.ResponseWriter, r *http.Request) bool {
				return op == tt.op && tt.answer(op, w, r)
			}
			list, err := s.provisioner(t).Versions(t.Context())
			wantError(t, err, tt.op, tt.want, tt.code)
			if list != nil {
				t.Errorf("%d versions are listed", len(list))
			}
		})
	}
}
