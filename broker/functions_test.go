package broker_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/expr"
)

// unnamed is a third-party Exchanger without a cloud name.
type unnamed struct{ exchange.Exchanger }

// The error names the functions that fit the connector, and the cloud that the function needs.
func TestWrongCloud(t *testing.T) {
	google := newCloud("gcp")
	config := brokerConfig(t, google)
	connectors := config.Connectors.(broker.ConnectorMap)
	connectors[broker.ConnectorKey{Account: "acme", ID: "third"}] = &broker.Connector{Exchanger: unnamed{google}}
	connectors[broker.ConnectorKey{Account: "acme", ID: "ibm"}] = &broker.Connector{Exchanger: newCloud("ibm")}
	step := newStep(t, start(t, config), scope("payments", "ledger"))
	for _, tt := range []struct{ name, call, want string }{
		{"another cloud's", `getGCPAccessToken("account.aws_prod")`,
			"connector account.aws_prod leads to aws, and secrets.getGCPAccessToken needs a connector of gcp: use secrets.getAWSCredentials, or name a connector of gcp"},
		{"another cloud's with two functions", `getAWSCredentials("account.gcp_prod").sessionToken`,
			"connector account.gcp_prod leads to gcp, and secrets.getAWSCredentials needs a connector of aws: use secrets.getGCPAccessToken or secrets.getGCPAccessTokenFile or secrets.getGCPCredentialsFile, or name a connector of aws"},
		{"a file", `getGCPCredentialsFile("account.aws_prod")`,
			"connector account.aws_prod leads to aws, and secrets.getGCPCredentialsFile needs a connector of gcp: use secrets.getAWSCredentials, or name a connector of gcp"},
		{"no cloud", `getAzureAccessToken("account.vault")`,
			"connector account.vault gives a JWT and leads to no cloud, and secrets.getAzureAccessToken needs a connector of azure: use secrets.getJWT or secrets.getJWTFile, or name a connector of azure"},
		{"a third party's", `getGCPAccessToken("account.third")`,
			"connector account.third has an Exchanger that names no cloud, and secrets.getGCPAccessToken needs a connector of gcp: use secrets.getJWT or secrets.getJWTFile, or name a connector of gcp"},
		{"a cloud without functions", `getGCPAccessToken("account.ibm")`,
			"connector account.ibm leads to ibm, and secrets.getGCPAccessToken needs a connector of gcp: use secrets.getJWT, or name a connector of gcp"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := "<+secrets." + tt.call + ">"
			got, err := step.Expand(t.Context(), text)
			if err == nil || !strings.HasSuffix(err.Error(), "broker: "+tt.want) {
				t.Errorf("Expand = %q, %v\nwant %s", got, err, tt.want)
			}
			if _, previewErr := step.Preview(t.Context(), text); previewErr == nil || previewErr.Error() != err.Error() {
				t.Errorf("Preview: %v, Expand: %v", previewErr, err)
			}
		})
	}
	if n := google.count.Load(); n != 0 {
		t.Errorf("%d exchanges, want 0", n)
	}
}

func reader(values map[string]string) func(string) (string, bool) {
	return func(path string) (string, bool) {
		v, ok := values[path]
		return v, ok
	}
}

// All language settings of a host apply in one phase and in two.
func TestLanguageOfAStep(t *testing.T) {
	author := map[string]func(string) (string, bool){"pipeline": reader(map[string]string{
		"variables.token":      `<+secrets.getJWT(<+pipeline.variables.conn>)>`,
		"variables.conn":       `account.<+stage.variables.name>`,
		"variables.overridden": `<+secrets.getJWT("account.vault")>`,
		"variables.braces":     `${{ secrets.get_jwt("account.vault") }}`,
	})}
	users := map[string]func(string) (string, bool){
		"stage":    reader(map[string]string{"variables.name": "vault", "variables.hostile": `<+secrets.getJWT("account.vault")>`}),
		"pipeline": reader(map[string]string{"variables.overridden": `<+secrets.getJWT("mine")>`}),
	}
	const vault = "JWT of vault"
	for _, tt := range []struct {
		name, text string
		delimiters expr.Delimiters
		want       string
	}{
		{"an author's variable", "<+pipeline.variables.token>", 0, vault},
		{"a user's variable", "<+stage.variables.hostile>", 0, `<+secrets.getJWT("account.vault")>`},
		{"a user replaces an author's", "<+pipeline.variables.overridden>", 0, `<+secrets.getJWT("mine")>`},
		{"braces that are not chosen", `${{ secrets.get_jwt("account.vault") }}`, 0, `${{ secrets.get_jwt("account.vault") }}`},
		{"braces in a value that are not chosen", `<+pipeline.variables.braces>`, 0, `${{ secrets.get_jwt("account.vault") }}`},
		{"braces", `${{ secrets.get_jwt("account.vault") }}`, expr.Braces, vault},
		{"braces in a value", `${{ pipeline.variables.braces }}`, expr.Braces, vault},
		{"angle in a value that is not chosen", `${{ pipeline.variables.token }}`, expr.Braces, `<+secrets.getJWT(<+pipeline.variables.conn>)>`},
		{"both", `<+secrets.get_jwt("account.${{ stage.variables.name }}")>`, expr.Angle | expr.Braces, vault},
		{"an escape", `<\+secrets.getJWT("account.vault")>`, 0, `<+secrets.getJWT("account.vault")>`},
		{"a script", `bc <<<+5; awk '$1<+3 && $1<+$2'; sed 's/<+>//'`, 0, `bc <<<+5; awk '$1<+3 && $1<+$2'; sed 's/<+>//'`},
		{"a foreign root", `<+secret.x>`, 0, `<+secret.x>`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBroker(t, newCloud("gcp"))
			config := broker.StepConfig{
				Scope: scope("payments", "ledger"), Variables: users, AuthorVariables: author,
				Delimiters: tt.delimiters, ForeignRoots: []string{"secret"},
			}
			step, err := b.NewStep(config)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = step.Close() })
			if got := jwtName(expand(t, step, tt.text)); got != tt.want {
				t.Errorf("Expand = %q, want %q", got, tt.want)
			}
			path, err := step.WriteFile(t.Context(), "file", tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := jwtName(read(t, path)); got != tt.want {
				t.Errorf("the file holds %q, want %q", got, tt.want)
			}
			key := expr.NewPlanKey()
			planned, err := broker.Plan(t.Context(), broker.PlanConfig{
				Key: key, Variables: users, AuthorVariables: author,
				Delimiters: tt.delimiters, ForeignRoots: []string{"secret"},
			}, tt.text, "run")
			if err != nil {
				t.Fatal(err)
			}
			got, err := step.Resolve(t.Context(), key, planned, "run")
			if err != nil {
				t.Fatal(err)
			}
			if got := jwtName(got); got != tt.want {
				t.Errorf("Resolve = %q, want %q", got, tt.want)
			}
		})
	}
}

// jwtName replaces a JWT by the connector in its claims.
func jwtName(text string) string {
	if !strings.HasPrefix(text, "eyJ") {
		return text
	}
	return "JWT of " + payload(text)["connector_id"].(string)
}

// A misspelled root, and in strict mode every expression that would stay unresolved, fails in
// each phase that reads the text.
func TestTextThatWouldStay(t *testing.T) {
	user := map[string]func(string) (string, bool){"pipeline": reader(map[string]string{"variables.x": `<+secrets.getJWT("account.vault")>`})}
	for _, tt := range []struct {
		name, text string
		strict     bool
		want       string
	}{
		{"secret", `<+secret.getJWT("account.vault")>`, false, `unknown root "secret": did you mean "secrets"?`},
		{"piepline", `<+piepline.variables.x>`, false, `unknown root "piepline": did you mean "pipeline"?`},
		{"strict", `<+vault.x>`, true, "strict mode"},
		{"strict, in a value", `<+pipeline.variables.x>`, true, "strict mode"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			step, err := newBroker(t, newCloud("gcp")).NewStep(broker.StepConfig{Scope: scope("payments", "ledger"), Variables: user, Strict: tt.strict})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = step.Close() })
			_, expandErr := step.Expand(t.Context(), tt.text)
			_, previewErr := step.Preview(t.Context(), tt.text)
			_, fileErr := step.WriteFile(t.Context(), "f", tt.text)
			_, planErr := broker.Plan(t.Context(), broker.PlanConfig{Key: expr.NewPlanKey(), Variables: user, Strict: tt.strict}, tt.text, "run")
			for _, err := range []error{expandErr, previewErr, fileErr, planErr} {
				var e *expr.Error
				if !errors.As(err, &e) || !strings.Contains(e.Reason, tt.want) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
			}
		})
	}
}
