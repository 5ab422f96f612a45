package broker_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken/exchange"

	"github.com/oidctoken/oidctoken/broker"
)

// W05: both variables keep the endpoint's secret away from proxies. They contain every host of
// either variable of the step.
func TestNoProxy(t *testing.T) {
	b := newBroker(t, newCloud("gcp"))
	step := newStep(t, b, scope("payments", "ledger"))
	given := []string{"PATH=/bin", "NO_PROXY=a.example.com"}
	if got := step.NoProxy(given); !cmp.Equal(got, given) {
		t.Errorf("before anything was delivered: %q", got)
	}
	deliver(t, step, "account.vault")
	for _, tt := range []struct {
		name         string
		env          []string
		upper, lower string
	}{
		{"no variables", nil, "127.0.0.1,localhost", "127.0.0.1,localhost"},
		{"upper", []string{"NO_PROXY=a"}, "a,127.0.0.1,localhost", "a,127.0.0.1,localhost"},
		{"lower", []string{"no_proxy=a"}, "a,127.0.0.1,localhost", "a,127.0.0.1,localhost"},
		{"both differ", []string{"no_proxy=.b,c:80", "NO_PROXY=a,.b"}, ".b,c:80,a,127.0.0.1,localhost", ".b,c:80,a,127.0.0.1,localhost"},
		{"empty", []string{"NO_PROXY=", "no_proxy=,"}, "127.0.0.1,localhost", "127.0.0.1,localhost"},
		{"white space", []string{"NO_PROXY= a , b"}, "a,b,127.0.0.1,localhost", "a,b,127.0.0.1,localhost"},
		{"complete already", []string{"NO_PROXY=localhost,127.0.0.1,a"}, "localhost,127.0.0.1,a", "localhost,127.0.0.1,a"},
		{"one of the hosts", []string{"NO_PROXY=localhost"}, "localhost,127.0.0.1", "localhost,127.0.0.1"},
		{"a longer host", []string{"NO_PROXY=x127.0.0.1"}, "x127.0.0.1,127.0.0.1,localhost", "x127.0.0.1,127.0.0.1,localhost"},
		{"an equals sign", []string{"NO_PROXY=a=b"}, "a=b,127.0.0.1,localhost", "a=b,127.0.0.1,localhost"},
		{"all hosts", []string{"NO_PROXY=*"}, "*,127.0.0.1,localhost", "*"},
		{"all hosts, in one of them", []string{"NO_PROXY=a", "no_proxy=*"}, "a,*,127.0.0.1,localhost", "*"},
		{"a pattern", []string{"NO_PROXY=*.example.com"}, "*.example.com,127.0.0.1,localhost", "*.example.com,127.0.0.1,localhost"},
		{"twice", []string{"NO_PROXY=a", "NO_PROXY=b"}, "a,b,127.0.0.1,localhost", "a,b,127.0.0.1,localhost"},
		{"with what is delivered", append([]string{"NO_PROXY=a"}, step.Environ()...), "a,127.0.0.1,localhost", "a,127.0.0.1,localhost"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := append([]string{"HTTP_PROXY=http://p:1", "NO_PROXY_X=y"}, tt.env...)
			before := slices.Clone(env)
			want := []string{"HTTP_PROXY=http://p:1", "NO_PROXY_X=y", "NO_PROXY=" + tt.upper, "no_proxy=" + tt.lower}
			got := slices.DeleteFunc(step.NoProxy(env), func(v string) bool {
				return slices.Contains(step.Environ(), v) && !strings.Contains(strings.ToUpper(v), "NO_PROXY=")
			})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("NoProxy (-want +got):\n%s", diff)
			}
			if !slices.Equal(env, before) {
				t.Errorf("it changed its argument to %q", env)
			}
		})
	}
}

// Both results contain every host of either variable once. A second NoProxy changes nothing.
func TestNoProxyKeeps(t *testing.T) {
	step := newStep(t, newBroker(t, newCloud("gcp")), scope("payments", "ledger"))
	deliver(t, step, "account.vault")
	rapid.Check(t, func(t *rapid.T) {
		hosts := rapid.SliceOf(rapid.StringMatching(`[a-z.]{1,5}|localhost|127\.0\.0\.1`))
		upper, lower := hosts.Draw(t, "NO_PROXY"), hosts.Draw(t, "no_proxy")
		got := step.NoProxy([]string{"no_proxy=" + strings.Join(lower, ","), "X=1", "NO_PROXY=" + strings.Join(upper, ",")})
		for i, prefix := range []string{"X=", "NO_PROXY=", "no_proxy="} {
			value, ok := strings.CutPrefix(got[i], prefix)
			if !ok || len(got) != 3 {
				t.Fatalf("got %q", got)
			}
			if i == 0 {
				continue
			}
			list := strings.Split(value, ",")
			for _, host := range slices.Concat(upper, lower, []string{"127.0.0.1", "localhost"}) {
				if n := len(slices.DeleteFunc(slices.Clone(list), func(h string) bool { return h != host })); n != 1 {
					t.Errorf("%s is %d times in %s", host, n, got[i])
				}
			}
		}
		if diff := cmp.Diff(got, step.NoProxy(got)); diff != "" {
			t.Errorf("twice (-once +twice):\n%s", diff)
		}
	})
}

// byEndpoint is a cloud whose key file contains the endpoint's secret.
type byEndpoint struct{ *cloud }

func (byEndpoint) EndpointBundle(dir string, e exchange.Endpoint) (*exchange.Bundle, error) {
	return &exchange.Bundle{
		Files: map[string][]byte{"key.json": []byte(e.Authorization())},
		Env:   map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": dir + "/key.json"},
	}, nil
}

// W05: an expression may write a key file that points to the endpoint.
func TestNoProxyOfKeyFile(t *testing.T) {
	config := brokerConfig(t, newCloud("gcp"))
	config.Connectors.(broker.ConnectorMap)[broker.ConnectorKey{Account: "acme", ID: "gcp_prod"}] = &broker.Connector{Exchanger: byEndpoint{newCloud("gcp")}, ByEndpoint: true}
	step := newStep(t, start(t, config), scope("payments", "ledger"))
	expand(t, step, `<+secrets.getGCPCredentialsFile("account.gcp_prod")>`)
	want := []string{"NO_PROXY=127.0.0.1,localhost", "no_proxy=127.0.0.1,localhost"}
	if diff := cmp.Diff(want, step.Environ()); diff != "" {
		t.Errorf("Environ (-want +got):\n%s", diff)
	}
}
