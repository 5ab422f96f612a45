package broker_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// X14: steps that use one connector at once each get the credential for their own token. So
// does each set of scopes of a step.
func TestStepsShareNothing(t *testing.T) {
	google := newCloud("gcp")
	b := newBroker(t, google)
	keys := [][2]string{{"payments", "ledger"}, {"payments", "other"}, {"risk", "ledger"}, {"risk", ""}, {"", ""}}
	scopes := []string{"", `, "a b"`, `, "a"`, `, "b a"`}
	got := make([][]string, len(keys))
	var group sync.WaitGroup
	for i, key := range keys {
		step := newStep(t, b, scope(key[0], key[1]))
		got[i] = make([]string, len(scopes))
		for j, s := range scopes {
			group.Go(func() {
				text, err := step.Expand(t.Context(), `<+secrets.getGCPAccessToken("account.gcp_prod"`+s+`)>`)
				if err != nil {
					t.Error(err)
				}
				got[i][j] = text
			})
		}
	}
	group.Wait()
	subjects := []string{"account/acme:org/payments:project/ledger", "account/acme:org/payments:project/other",
		"account/acme:org/risk:project/ledger", "account/acme:org/risk", "account/acme"}
	asked := []string{"", "a+b", "a", "b+a"}
	for i, subject := range subjects {
		for j, want := range asked {
			if !strings.HasSuffix(got[i][j], fmt.Sprintf("-%s-%s", subject, want)) {
				t.Errorf("%v with the scopes %q: %s", keys[i], want, got[i][j])
			}
		}
	}
	if n := int(google.count.Load()); n != len(keys)*len(scopes) {
		t.Errorf("%d exchanges for %d credentials", n, len(keys)*len(scopes))
	}
}
