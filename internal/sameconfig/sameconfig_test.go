package sameconfig_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/oidctoken/oidctoken/internal/sameconfig"
)

type config struct {
	Name      string
	Scopes    []string
	Lifetime  time.Duration
	Transport http.RoundTripper
	Shared    *int
	Now       func() time.Time
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestEqual(t *testing.T) {
	transport, number, same := new(http.Transport), 1, 1
	for _, tt := range []struct {
		name string
		a, b config
		want bool
	}{
		{"zero", config{}, config{}, true},
		{"text", config{Name: "a"}, config{Name: "a"}, true},
		{"another text", config{Name: "a"}, config{Name: "b"}, false},
		{"list", config{Scopes: []string{"a", "b"}}, config{Scopes: []string{"a", "b"}}, true},
		{"another order", config{Scopes: []string{"a", "b"}}, config{Scopes: []string{"b", "a"}}, false},
		{"the last field", config{Lifetime: 1}, config{Lifetime: 2}, false},
		{"one transport", config{Transport: transport}, config{Transport: transport}, true},
		{"two transports", config{Transport: transport}, config{Transport: new(http.Transport)}, false},
		{"no transport", config{Transport: transport}, config{}, false},
		{"a transport that cannot be compared", config{Transport: roundTrip(nil)}, config{Transport: roundTrip(nil)}, false},
		{"one pointer", config{Shared: &number}, config{Shared: &number}, true},
		{"two pointers", config{Shared: &number}, config{Shared: &same}, false},
		{"a function", config{Now: time.Now}, config{Now: time.Now}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := sameconfig.Equal(tt.a, tt.b); got != tt.want {
				t.Errorf("Equal = %v", got)
			}
		})
	}
}
