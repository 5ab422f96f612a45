package main_test

import (
	"strings"
	"testing"
)

// W05: a step's own NO_PROXY stays, and a delivered connector adds the
// endpoint's hosts.
func TestNoProxy(t *testing.T) {
	const script = "printf '%s|%s\\n' \"$NO_PROXY\" \"$no_proxy\""
	for _, tt := range []struct {
		name string
		more []string
		want string
	}{
		{"delivered", []string{"connectors: [mine]"}, "127.0.0.1,localhost|127.0.0.1,localhost"},
		{"delivered, own", []string{"  NO_PROXY: a.example.com", "  no_proxy: b.example.com", "connectors: [mine]"},
			"127.0.0.1,localhost,a.example.com,b.example.com|127.0.0.1,localhost,a.example.com,b.example.com"},
		{"delivered, every host", []string{"  NO_PROXY: '*'", "connectors: [mine]"}, "127.0.0.1,localhost,*|*"},
		{"not delivered, own", []string{"  NO_PROXY: a.example.com"}, "a.example.com|"},
		{"not delivered", nil, "|"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file, _ := step(t, script, tt.more...)
			if r := run(t, file); r.code != 0 || strings.TrimSpace(r.stdout) != tt.want {
				t.Errorf("got %+v, want %s", r, tt.want)
			}
		})
	}
}
