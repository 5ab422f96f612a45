package azure_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken/azure"
)

// Two Exchangers are the same if their configurations are, clocks aside.
func TestSameConfig(t *testing.T) {
	base := azure.Config{TenantID: "72f988bf-86f1-41af-91ab-2d7cd011db47", ClientID: "a1b2c3d4-0000-0000-0000-000000000000"}
	first, err := azure.New(base)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*azure.Config)
		want   bool
	}{
		{"the same", func(*azure.Config) {}, true},
		{"a clock", func(c *azure.Config) { c.Now = func() time.Time { return time.Time{} } }, true},
		{"another client", func(c *azure.Config) { c.ClientID = "a1b2c3d4-0000-0000-0000-000000000001" }, false},
		{"another scope", func(c *azure.Config) { c.Scopes = []string{"https://vault.azure.net/.default"} }, false},
		{"another subject", func(c *azure.Config) { c.Subject = "account/{account_id}" }, false},
		{"a transport", func(c *azure.Config) { c.Transport = http.DefaultTransport }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := base
			tt.change(&config)
			second, err := azure.New(config)
			if err != nil {
				t.Fatal(err)
			}
			if first.SameConfig(second) != tt.want || second.SameConfig(first) != tt.want {
				t.Errorf("SameConfig is not %v", tt.want)
			}
		})
	}
	if first.SameConfig(nil) || first.SameConfig((*azure.Exchanger)(nil)) {
		t.Error("it is the same as nothing")
	}
}
