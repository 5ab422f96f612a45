package conformance_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken/internal/needs"
)

// azureClient is a foreign program that lists subscriptions with the
// environment of a step.
type azureClient struct {
	name    string
	version func(*testing.T) string // skips the test if the client is missing
	env     func(*testing.T) map[string]string
	files   map[string]string
	run     string // prints the subscription's name

	// undelivered is a client that has to do with what its environment names,
	// without the connector's variables and files.
	undelivered bool
}

func azureSDKGo(credential string) azureClient {
	return azureClient{
		name: "azidentity." + credential,
		version: func(t *testing.T) string {
			const sdk = "github.com/Azure/azure-sdk-for-go/sdk/"
			return moduleVersion(t, sdk+"azidentity") + ", azcore " + moduleVersion(t, sdk+"azcore")
		},
		env: func(*testing.T) map[string]string { return map[string]string{"GO_AZURE": goAzure} },
		run: `"$GO_AZURE" ` + credential,
	}
}

func azureSDKPython(credential string) azureClient {
	return azureClient{
		name: "azure-identity " + credential,
		version: func(t *testing.T) string {
			return output(t, python(t), "-c", "import importlib.metadata as m; print(m.version('azure-identity') + ', msal ' + m.version('msal'))")
		},
		env: func(t *testing.T) map[string]string {
			return map[string]string{"PYTHON": python(t), "SCRIPT": absolute(t, "python", "subscriptions.py")}
		},
		run: `"$PYTHON" "$SCRIPT" ` + credential,
	}
}

// azureCurl knows nothing of Azure.
func azureCurl() azureClient {
	return azureClient{
		name: "curl with getAzureAccessToken", undelivered: true,
		version: func(t *testing.T) string {
			needs.Program(t, "curl")
			return output(t, "sh", "-c", "curl --version | head -n 1")
		},
		env: func(*testing.T) map[string]string {
			return map[string]string{"TOKEN": `<+secrets.getAzureAccessToken("` + azureConnector + `")>`}
		},
		run: `printf 'header = "Authorization: Bearer %s"\n' "$TOKEN" |
			curl -sS --fail -K - "$RESOURCE_MANAGER/subscriptions?api-version=2022-12-01" |
			sed -n 's/.*"displayName":"\([^"]*\)".*/\1\n/p'`,
	}
}

func azureClients() []azureClient {
	return []azureClient{
		azureSDKGo("ClientAssertionCredential"), azureSDKGo("WorkloadIdentityCredential"), azureSDKGo("DefaultAzureCredential"),
		azureSDKPython("WorkloadIdentityCredential"), azureSDKPython("DefaultAzureCredential"),
		azureCurl(),
	}
}

// step returns a step that runs the client with an authority.
func (c azureClient) step(t *testing.T, a azureAuthority, id string, env map[string]string) step {
	t.Helper()
	s := step{ID: id, Connectors: []string{azureConnector}, Env: c.env(t), Files: c.files, Run: c.run}
	if c.undelivered {
		s.Connectors = nil
	}
	maps.Copy(s.Env, a.env)
	maps.Copy(s.Env, env)
	return s
}

// Every client gets an access token with the environment that the runner gives
// a step, from its own authority and from Microsoft's, and is authenticated
// with it. Two steps that run one after the other with one home directory each
// get a token of their own: X11 X14 D05
func TestAzureClients(t *testing.T) {
	t.Parallel()
	for _, c := range azureClients() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			version := c.version(t)
			for _, way := range []func(*entra) azureAuthority{(*entra).private, (*entra).public} {
				e := newEntra(t)
				a := way(e)
				t.Run(a.name, func(t *testing.T) {
					t.Parallel()
					o := e.run(t, a, nil, e.pipeline(a, c.step(t, a, "first", nil), c.step(t, a, "second", nil)))
					if o.code != 0 || countLines(o.stdout, subscription) != 2 {
						t.Errorf("want two lines %q of stdout; %v", subscription, o)
					}
					want := []azureCaller{{"first", ledger}, {"second", ledger}}
					if diff := cmp.Diff(want, e.callers(subscriptionsAPI)); diff != "" {
						t.Errorf("callers (-want +got):\n%s", diff)
					}
					e.checkNothingElse(t)
					row(t, c.name, version, "two steps, "+a.name+": "+subscriptionsAPI)
				})
			}
		})
	}
}

// strayAzure returns credentials of the machine's own that win over a workload's.
func strayAzure() map[string]string {
	return map[string]string{
		"AZURE_CLIENT_SECRET": "stray-secret", "AZURE_CLIENT_CERTIFICATE_PATH": "/stray", "AZURE_USERNAME": "stray", "AZURE_PASSWORD": "stray",
		"AZURE_TENANT_ID": "stray", "AZURE_CLIENT_ID": "stray", "AZURE_FEDERATED_TOKEN_FILE": "/stray", "AZURE_AUTHORITY_HOST": "https://stray.invalid",
		"ARM_CLIENT_SECRET": "stray-secret", "ARM_CLIENT_CERTIFICATE_PATH": "/stray", "ARM_OIDC_TOKEN": "stray", "ARM_USE_MSI": "stray",
	}
}

// The machine's own credentials in the runner's environment do not affect the
// clients of a step. Credentials that a step's author sets win, as the control
// shows: D05
func TestAzureStrayCredentials(t *testing.T) {
	t.Parallel()
	for _, c := range []azureClient{azureSDKGo("DefaultAzureCredential"), azureSDKPython("DefaultAzureCredential")} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			version := c.version(t)
			e := newEntra(t)
			a := e.private()
			control := c.step(t, a, "control", map[string]string{"AZURE_CLIENT_SECRET": "stray-secret"})
			o := e.run(t, a, assignments(stray()), e.pipeline(a, c.step(t, a, "judge", nil), control))
			if o.code == 0 || countLines(o.stdout, subscription) != 1 {
				t.Errorf("want a line %q of stdout, and a control that fails; %v", subscription, o)
			}
			if diff := cmp.Diff([]azureCaller{{"judge", ledger}}, e.callers(subscriptionsAPI)); diff != "" {
				t.Errorf("callers (-want +got):\n%s", diff)
			}
			row(t, c.name, version, "the machine's own secrets take no part; control: a step's own do")
		})
	}
}

// Entra refuses a project without a federated credential, with every client:
// X11
func TestAzureOtherProject(t *testing.T) {
	t.Parallel()
	for _, c := range []azureClient{azureSDKGo("WorkloadIdentityCredential"), azureSDKPython("WorkloadIdentityCredential"), azureCurl()} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			version := c.version(t)
			e := newEntra(t)
			a := e.private()
			p := e.pipeline(a, c.step(t, a, "judge", nil))
			p.Project = "other"
			o := e.run(t, a, nil, p)
			if o.code == 0 || (o.code == 3) != c.undelivered || !strings.Contains(o.stderr, "AADSTS700213") {
				t.Errorf("want AADSTS700213, and the exit code 3 if the runner asked; %v", o)
			}
			if callers := e.callers(subscriptionsAPI); len(callers) > 0 {
				t.Errorf("%v called", callers)
			}
			row(t, c.name, version, "a project without a federated credential: AADSTS700213")
		})
	}
}
