package awskms_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/keyring"
	"github.com/oidctoken/oidctoken/signer"
)

// Retire succeeds for a key that is gone or scheduled, and touches only the
// ring's keys.
func TestRetire(t *testing.T) {
	setUp := func(t *testing.T) (*standin, keyring.Provisioner, *key) {
		s := newStandin(t)
		p := s.provisioner(t)
		must(p.Create(t.Context(), "ES256"))
		return s, p, s.keys[0]
	}
	t.Run("twice, and by another process", func(t *testing.T) {
		s, p, k := setUp(t)
		for _, p := range []keyring.Provisioner{p, p, s.provisioner(t)} {
			if err := p.Retire(t.Context(), k.arn); err != nil {
				t.Error(err)
			}
		}
		if k.state != "PendingDeletion" || s.count("ScheduleKeyDeletion") != 1 {
			t.Errorf("the key is %s after %d requests", k.state, s.count("ScheduleKeyDeletion"))
		}
	})
	t.Run("at once with another process", func(t *testing.T) {
		s, p, k := setUp(t)
		s.answer = func(op string, _ http.ResponseWriter, _ *http.Request) bool {
			if op == "ScheduleKeyDeletion" {
				s.with(func() { k.state = "PendingDeletion" })
			}
			return false
		}
		if err := p.Retire(t.Context(), k.arn); err != nil {
			t.Error(err)
		}
	})
	t.Run("gone", func(t *testing.T) {
		s, p, k := setUp(t)
		s.with(func() { s.keys = nil })
		if err := p.Retire(t.Context(), k.arn); err != nil {
			t.Error(err)
		}
	})
	t.Run("disabled", func(t *testing.T) {
		s, p, k := setUp(t)
		s.with(func() { k.state = "Disabled" })
		if err := p.Retire(t.Context(), k.arn); err != nil || k.state != "PendingDeletion" {
			t.Errorf("the key is %s, %v", k.state, err)
		}
	})
	t.Run("in a state of its own", func(t *testing.T) {
		s, p, k := setUp(t)
		s.answer = func(op string, w http.ResponseWriter, r *http.Request) bool {
			return op == "ScheduleKeyDeletion" && answers(400, errorBody("KMSInvalidStateException"))(op, w, r)
		}
		wantError(t, p.Retire(t.Context(), k.arn), "ScheduleKeyDeletion", signer.Gone, "KMSInvalidStateException")
		if diff := cmp.Diff([]string{k.arn}, versions(t, p)); diff != "" {
			t.Errorf("Versions (-want +got):\n%s", diff)
		}
	})
	t.Run("denied", func(t *testing.T) {
		s, p, k := setUp(t)
		s.deny = func(op string, _ *key) bool { return op == "ScheduleKeyDeletion" }
		wantError(t, p.Retire(t.Context(), k.arn), "ScheduleKeyDeletion", signer.Refused, "AccessDeniedException")
	})
	t.Run("no ARN", func(t *testing.T) {
		s, p, _ := setUp(t)
		before := s.count("DescribeKey")
		for _, id := range []string{"", "alias/ci", "1234abcd-12ab-34cd-56ef-1234567890ab", strings.Repeat("x\n", 600)} {
			wantError(t, p.Retire(t.Context(), id), "ScheduleKeyDeletion", signer.Refused, "")
		}
		if n := s.count("DescribeKey") - before; n != 0 {
			t.Errorf("%d requests were made", n)
		}
	})
}
