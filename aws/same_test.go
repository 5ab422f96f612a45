package aws_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken/aws"
)

// Two Exchangers are the same if their configurations are, clocks aside.
func TestSameConfig(t *testing.T) {
	base := aws.Config{RoleARN: "arn:aws:iam::123456789012:role/deployer", Region: "eu-west-1"}
	first, err := aws.New(base)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*aws.Config)
		want   bool
	}{
		{"the same", func(*aws.Config) {}, true},
		{"a clock", func(c *aws.Config) { c.Now = func() time.Time { return time.Time{} } }, true},
		{"another role", func(c *aws.Config) { c.RoleARN += "2" }, false},
		{"another policy", func(c *aws.Config) { c.SessionPolicy = "{}" }, false},
		{"tags", func(c *aws.Config) { c.SessionTags = []string{"project_id"} }, false},
		{"another lifetime", func(c *aws.Config) { c.Lifetime = 2 * time.Hour }, false},
		{"any role", func(c *aws.Config) { c.InsecureAnyRole = true }, false},
		{"a transport", func(c *aws.Config) { c.Transport = http.DefaultTransport }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := base
			tt.change(&config)
			second, err := aws.New(config)
			if err != nil {
				t.Fatal(err)
			}
			if first.SameConfig(second) != tt.want || second.SameConfig(first) != tt.want {
				t.Errorf("SameConfig is not %v", tt.want)
			}
		})
	}
	if first.SameConfig(nil) || first.SameConfig((*aws.Exchanger)(nil)) {
		t.Error("it is the same as nothing")
	}
}
