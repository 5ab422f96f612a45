package pipeline_test

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/examples/internal/pipeline"
)

func TestSet(t *testing.T) {
	for _, tt := range []struct {
		name string
		sets []string
		got  func(*pipeline.File) any
		want any
	}{
		{
			"setting",
			[]string{"connectors[account.gcp_prod].gcp.tokenURL=http://127.0.0.1:9/v1/token?a=b"},
			func(f *pipeline.File) any { return f.Connectors[0].GCP.TokenURL },
			"http://127.0.0.1:9/v1/token?a=b",
		},
		{
			"the later one",
			[]string{"issuer.listen=127.0.0.1:1", "issuer.listen=127.0.0.1:2"},
			func(f *pipeline.File) any { return f.Issuer.Listen },
			"127.0.0.1:2",
		},
		{
			"back to the default",
			[]string{"connectors[org.aws_prod].aws.lifetime=", "connectors[org.aws_prod].aws.endpoint="},
			func(f *pipeline.File) any { return f.Connectors[1].AWS },
			&pipeline.AWS{
				RoleARN: "arn:aws:iam::123456789012:role/deployer", Region: "eu-west-1", Audience: "sts.example.com",
				SessionTags: []string{"project_id", "stage_id"},
			},
		},
		{
			"run",
			[]string{"stages[build].steps[list].run=echo \"a: b\"\nexit 3 # =[x]"},
			func(f *pipeline.File) any { return f.Stages[0].Steps[0].Run },
			"echo \"a: b\"\nexit 3 # =[x]",
		},
		{
			"line of what is set",
			[]string{"stages[build].steps[list].run=x", "stages[build].steps[list].env.NEW=y", "stages[build].steps[list].files[a/b.c]=z"},
			func(f *pipeline.File) any {
				texts := f.Stages[0].Steps[0].Texts()
				return []pipeline.Text{texts[4], texts[7], texts[8]}
			},
			[]pipeline.Text{{Name: "env.NEW", Text: "y"}, {Name: "files[a/b.c]", Text: "z"}, {Name: "run", Text: "x"}},
		},
		{
			"no number",
			[]string{"execution.sequence=007", "variables.release=1e3"},
			func(f *pipeline.File) any {
				return []string{f.Scope(nil, nil).Execution.Sequence, f.Variables["release"].Text}
			},
			[]string{"007", "1e3"},
		},
		{
			"bool",
			[]string{"issuer.nullUnknown=0", "untrusted=false"},
			func(f *pipeline.File) any { return []bool{f.Issuer.NullUnknown, f.Scope(nil, nil).Untrusted} },
			[]bool{false, false},
		},
		{
			"member of an entity that is a scalar",
			[]string{"stages[tidy].environment.type=PreProduction"},
			func(f *pipeline.File) any { return f.Stages[2].Scope },
			oidctoken.Custom{ID: "tidy", Environment: &oidctoken.Environment{ID: "staging", Type: oidctoken.PreProduction}},
		},
		{
			"new entity",
			[]string{"stages[infra].template.id=golden", "stages[infra].template.version=v2"},
			func(f *pipeline.File) any { return f.Scope(&f.Stages[4], nil).Template },
			&oidctoken.Template{ID: "golden", Version: "v2"},
		},
		{
			"by another name than the file's",
			[]string{"stages[deploy].environment.environmentGroupID=g_2"},
			func(f *pipeline.File) any { return f.Stages[1].Scope.(oidctoken.Deployment).Environment.GroupID },
			"g_2",
		},
		{
			"element that is a scalar",
			[]string{"issuer.algorithms[ES256]=ES384", "connectors[account.vault].oidc.audiences[https://vault.example.com]=other"},
			func(f *pipeline.File) any { return append(f.Issuer.Algorithms, f.Connectors[3].OIDC.Audiences...) },
			[]string{"ES384", "RS256", "other", "vault"},
		},
		{
			"id, and what has it",
			[]string{"stages[scan].id=scan_2", "stages[scan_2].name=Scan"},
			func(f *pipeline.File) any { return []string{f.Stages[5].ID, f.Stages[5].Name} },
			[]string{"scan_2", "Scan"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := readFile(t, "every.yaml", tt.sets...)
			if diff := cmp.Diff(tt.want, tt.got(f)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A value that is set for one step does not reach another step with the same
// alias.
func TestSetBehindAlias(t *testing.T) {
	f := readFile(t, "aliases.yaml", "stages[test].steps[list].env.ZONE=us")
	got := []string{f.Stages[0].Steps[0].Env[0].Text, f.Stages[1].Steps[0].Env[0].Text, f.Stages[1].Steps[0].Files[0].Text}
	if diff := cmp.Diff([]string{"eu", "us", "eu"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSetBad(t *testing.T) {
	data, err := os.ReadFile("testdata/every.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, set, want string }{
		{"no value", "account", `-set "account": is not KEY=VALUE, with a KEY such as stages[build].type`},
		{"nothing", "", `-set "": is not KEY=VALUE, with a KEY such as stages[build].type`},
		{"no key", "=x", `-set "=x": is not KEY=VALUE, with a KEY such as stages[build].type`},
		{"open bracket", "stages[build.type=x", `-set "stages[build.type=x": is not KEY=VALUE, with a KEY such as stages[build].type`},
		{"empty brackets", "stages[].type=x", `-set "stages[].type=x": is not KEY=VALUE, with a KEY such as stages[build].type`},
		{"two dots", "stages..type=x", `-set "stages..type=x": is not KEY=VALUE, with a KEY such as stages[build].type`},
		{"line break in the key", "a\nb=c", `-set "a\nb=c": is not KEY=VALUE, with a KEY such as stages[build].type`},
		{"no such stage", "stages[bild].type=CI", `-set stages[bild].type: there is no "bild" in stages`},
		{"no id", "stages.type=CI", "-set stages.type: the id of an element has to stand in brackets before .type"},
		{"key of a mapping in brackets", "account[x].uid=y", "-set account.x: is not a key here"},
		{"element of nothing", "stages[tidy].service[x].uid=y", `-set stages[tidy].service[x].uid: there is no "x" in service, which has no elements`},
		{"a mapping", "source=x", "-set source: is a mapping in the file: only a scalar can be set"},
		{"a list", "issuer.algorithms=RS256", "-set issuer.algorithms: is a list in the file: only a scalar can be set"},
		{"an element", "stages[build]=x", "-set stages[build]: is a mapping in the file: only a scalar can be set"},
		{"NUL", "account.id=a\x00", "-set account.id: is not text in UTF-8"},
		{"Latin-1", "account.id=\xe9", "-set account.id: is not text in UTF-8"},

		{"unknown key", "stages[build].color=red", "-set stages[build].color: is not a key here"},
		{"unknown top level", "colour.of=red", "-set colour: is not a key here"},
		{"foreign key", "stages[build].environment=prod", "-set stages[build].environment: is not a key here: it belongs to a stage of type Deployment or Custom"},
		{"identifier", "stages[deploy].service.id=a b", "-set stages[deploy].service.id: is not an identifier: 1 to 128 characters of A-Z a-z 0-9 _ - . $, and not . or .."},
		{"scalar identifier", "stages[tidy].environment=a:9", "-set stages[tidy].environment: is not an identifier: 1 to 128 characters of A-Z a-z 0-9 _ - . $, and not . or .."},
		{"member that is missing", "stages[infra].template.version=v1", "-set stages[infra].template.id: is required"},
		{"empty entity", "organization.id=", "-set organization.id: is empty: leave the key out if the value is unknown"},
		{"member of a text", "stages[build].steps[list].run.x=y", "-set stages[build].steps[list].run: is a mapping, where a text is wanted"},
		{"required", "connectors[account.gcp_prod].gcp.provider=", "-set connectors[account.gcp_prod].gcp.provider: is required"},
		{"audience", "connectors[account.gcp_prod].gcp.audience=a b", "-set connectors[account.gcp_prod].gcp.audience: is not printable ASCII without spaces"},
		{"half of tls", "issuer.tls.key=", "f.yaml:27: issuer.tls: has one of cert and key: it needs both, or neither"},
		{"url", "issuer.url=http://x", "-set issuer.url: is neither https nor http for a loopback host"},
		{"bool", "untrusted=no", "-set untrusted: is neither true nor false"},
		{"duration", "connectors[org.aws_prod].aws.lifetime=1 h", "-set connectors[org.aws_prod].aws.lifetime: is not a duration, such as 1h or 30m"},
		{"env name", "stages[build].steps[list].env[a.b]=x", "-set stages[build].steps[list].env[a.b]: is not a variable's name, ^[A-Za-z_][A-Za-z0-9_]*$"},
		{"file", "stages[build].steps[list].files[../x]=x", `-set stages[build].steps[list].files[../x]: is not a relative path with slashes, without "." and ".."`},
		{"reference", "stages[build].steps[list].connectors[azure_prod]=azur_prod", `-set stages[build].steps[list].connectors: unknown connector azur_prod: was "azure_prod" meant?`},
		{"id that is taken", "stages[tidy].id=deploy", "f.yaml:91: stages[deploy]: has an id that is given twice, first in line 83"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := pipeline.Read("f.yaml", data, []string{tt.set})
			if err == nil {
				t.Fatal("Read took it")
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("Error (-want +got):\n%s", diff)
			}
		})
	}
}
