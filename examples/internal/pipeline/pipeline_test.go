package pipeline_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken/examples/internal/pipeline"
)

func TestErrors(t *testing.T) {
	f := readFile(t, "every.yaml", "connectors[account.gcp_prod].gcp.tokenURL=http://x")
	stage := &f.Stages[0]
	step := &stage.Steps[0]
	gcp, aws := &f.Connectors[0], &f.Connectors[1]
	cause := errors.New("is\nno good")
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"file", f.Error(f.Issuer.Line, nil, nil, "issuer.listen", cause), "every.yaml:23: issuer.listen: is no good"},
		{"stage", f.Error(stage.Line, stage, nil, "type", cause), "every.yaml:53: stages[build].type: is no good"},
		{"step", f.Error(step.RunLine, stage, step, "run", cause), "every.yaml:80: stages[build].steps[list].run: is no good"},
		{"set", f.Error(0, stage, step, "run", cause), "-set stages[build].steps[list].run: is no good"},
		{"connector", f.ConnectorError(gcp, "", cause), "every.yaml:33: connectors[account.gcp_prod].gcp: is no good"},
		{"field of a connector", f.ConnectorError(gcp, "ServiceAccount", cause), "every.yaml:36: connectors[account.gcp_prod].gcp.serviceAccount: is no good"},
		{"set field", f.ConnectorError(gcp, "TokenURL", cause), "-set connectors[account.gcp_prod].gcp.tokenURL: is no good"},
		{"element", f.ConnectorError(aws, "SessionTags[1]", cause), "every.yaml:46: connectors[org.aws_prod].aws.sessionTags: is no good"},
		{"field that the file has not", f.ConnectorError(gcp, "Delegates", cause), "every.yaml:33: connectors[account.gcp_prod].gcp: is no good"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.err.Error()); diff != "" {
				t.Errorf("Error (-want +got):\n%s", diff)
			}
			if !errors.Is(tt.err, cause) {
				t.Errorf("the error does not wrap its cause")
			}
		})
	}
}

// Connectors whose ids differ in letter case only have errors of their own.
func TestConnectorErrorOfLetterCase(t *testing.T) {
	text := "account: a\nconnectors:\n- {id: account.X, oidc: {audiences: [x]}}\n- {id: account.x, oidc: {audiences: [x]}}\n" + tail
	f, err := pipeline.Read("f.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range f.Connectors {
		c := &f.Connectors[i]
		want := fmt.Sprintf("f.yaml:%d: connectors[%s].oidc.audiences: is no good", i+3, c.Ref)
		for range 20 { // the lines are in a map
			if got := f.ConnectorError(c, "Audiences", errors.New("is no good")).Error(); got != want {
				t.Fatalf("ConnectorError = %q, want %q", got, want)
			}
		}
	}
}
