package gcp_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken/gcp"
)

// Two Exchangers are the same if their configurations are, clocks aside.
func TestSameConfig(t *testing.T) {
	base := gcp.Config{Provider: "projects/123/locations/global/workloadIdentityPools/ci/providers/acme"}
	first, err := gcp.New(base)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*gcp.Config)
		want   bool
	}{
		{"the same", func(*gcp.Config) {}, true},
		{"a clock", func(c *gcp.Config) { c.Now = func() time.Time { return time.Time{} } }, true},
		{"another provider", func(c *gcp.Config) { c.Provider += "2" }, false},
		{"another account", func(c *gcp.Config) { c.ServiceAccount = "a@p.iam.gserviceaccount.com" }, false},
		{"other scopes", func(c *gcp.Config) { c.Scopes = []string{"s"} }, false},
		{"another subject", func(c *gcp.Config) { c.Subject = "account/{account_id}" }, false},
		{"a transport", func(c *gcp.Config) { c.Transport = http.DefaultTransport }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := base
			tt.change(&config)
			second, err := gcp.New(config)
			if err != nil {
				t.Fatal(err)
			}
			if first.SameConfig(second) != tt.want || second.SameConfig(first) != tt.want {
				t.Errorf("SameConfig is not %v", tt.want)
			}
		})
	}
	if first.SameConfig(nil) || first.SameConfig((*gcp.Exchanger)(nil)) {
		t.Error("it is the same as nothing")
	}
}
