package pipeline_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken/examples/internal/pipeline"
)

// The parts of a bad file begin or end with these lines: four lines at the
// beginning, one at the end.
const (
	head = `account: acme
organization: payments
project: ledger
pipeline: release
`
	tail = `stages: [{id: build, type: CI, steps: [{id: list, run: "true"}]}]
`
)

// stageTypes are the known types.
const stageTypes = "CI, Deployment, Custom, Approval, IACM, SecurityTests, FeatureFlag, Pipeline"

type bad struct{ name, text, want string }

// testBad reads bad files named f.yaml.
func testBad(t *testing.T, tests []bad) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := pipeline.Read("f.yaml", []byte(tt.text), nil)
			if f != nil {
				t.Errorf("Read returned a file beside the error")
			}
			var e *pipeline.Error
			if !errors.As(err, &e) {
				t.Fatalf("Read = %v, want a *pipeline.Error", err)
			}
			if diff := cmp.Diff(tt.want, e.Error()); diff != "" {
				t.Errorf("Error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadBadYAML(t *testing.T) {
	testBad(t, []bad{
		{"nothing", "", "f.yaml:1: file: is empty"},
		{"comment", "# nothing\n", "f.yaml:1: file: is empty"},
		{"null", "---\n...\n", "f.yaml:1: file: is empty"},
		{"empty mapping", "{}\n", "f.yaml:1: file: is empty"},
		{"scalar", "account\n", "f.yaml:1: file: is a scalar, not a mapping"},
		{"list", "\n- account: acme\n", "f.yaml:2: file: is a list, not a mapping"},
		{"two documents", head + tail + "---\na: b\n", "f.yaml:6: file: has a second document"},
		{"bad second document", head + tail + "---\n}\n", "f.yaml:7: file: is not YAML: did not find expected node content"},
		{"tab", "account: acme\n\tpipeline: x\n", "f.yaml:2: file: is not YAML: found a tab character that violates indentation"},
		{"indentation", "account: acme\nstages:\n  - id: x\n   type: CI\n", "f.yaml:4: file: is not YAML: did not find expected '-' indicator"},
		{"open bracket", "account: acme\nstages: [{id: x\n", "f.yaml:2: file: is not YAML: did not find expected ',' or '}'"},
		{"open quote", "account: acme\npipeline: \"x\nz: y\n", "f.yaml:2: file: is not YAML: found unexpected end of stream"},
		{"control character", "account: acme\npipeline: \x01\n", "f.yaml:2: file: is not YAML: control characters are not allowed"},
		{"unknown alias", "account: acme\npipeline: *x\n", "f.yaml:2: file: is not YAML: unknown anchor 'x' referenced"},
		{"NUL", "account: acme\npipeline: \x00\n", "f.yaml:2: file: has a NUL byte"},
		{"escaped NUL", "account: acme\npipeline: \"a\\0\"\n", "f.yaml:2: pipeline: has a NUL character"},
		{"Latin-1", "account: acme\n\npipeline: \xe9\n", "f.yaml:3: file: is not UTF-8"},
		{"UTF-16", "\xff\xfea\x00", "f.yaml:1: file: has a NUL byte"},
		{"size", head + "# " + strings.Repeat("x", 4<<20) + "\n" + tail, "f.yaml:1: file: is larger than 4 MiB"},
		{"depth", "account: acme\nx: " + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "\n", "f.yaml:2: file: is more than 32 levels deep"},
		{"alias within itself", "account: acme\nx: &x\n  y: *x\n", "f.yaml:2: file: is more than 32 levels deep"},
		{"bomb", bomb(), "f.yaml:2: file: has more than 100000 values"},
		{"merge key", head + "x: &x {a: b}\nexecution:\n  <<: *x\n" + tail, "f.yaml:7: execution: has a merge key (<<): write its members out"},
		{"key twice", "account: acme\nproject: a\naccount: acme\n", "f.yaml:3: account: is given twice, first in line 1"},
		{"inner key twice", head + "execution: {id: a, id: b}\n" + tail, "f.yaml:5: execution.id: is given twice, first in line 5"},
		{"key in two ways", head + "trigger:\n  by_id: a\n  triggeredById: a\n" + tail, "f.yaml:7: trigger.triggeredById: is given twice, first as by_id"},
		{"key of a number", head + "variables: {1: a}\n" + tail, `f.yaml:5: variables: has the key "1", which YAML does not take for a text: quote it`},
		{"key of a truth value", "true: a\n", `f.yaml:1: file: has the key "true", which YAML does not take for a text: quote it`},
		{"key of a list", head + "? [a]\n: b\n", "f.yaml:5: file: has a key that is not a text"},
		{"binary", head + "variables: {a: !!binary aGk=}\n" + tail, `f.yaml:5: variables.a: has its own YAML tag, "!!binary"`},
		{"tag", head + "variables:\n  a: !env HOME\n" + tail, `f.yaml:6: variables.a: has its own YAML tag, "!env"`},
		{"tagged mapping", head + "variables: !!omap {a: b}\n" + tail, `f.yaml:5: variables: has its own YAML tag, "!!omap"`},
		{"tagged list", head + "stages: !x []\n", `f.yaml:5: stages: has its own YAML tag, "!x"`},
	})
}

// bomb returns ten lines that stand for more than a thousand million values.
func bomb() string {
	text := "a0: &a0 x\n"
	for i := '1'; i <= '9'; i++ {
		item := "*a" + string(i-1) + ", "
		text += "a" + string(i) + ": &a" + string(i) + " [" + strings.Repeat(item, 10) + "]\n"
	}
	return text
}

func TestReadBadExecution(t *testing.T) {
	testBad(t, []bad{
		{"no account", "project: ledger\n" + tail, "f.yaml:1: account: is required"},
		{"empty account", "project: ledger\naccount: ''\n" + tail, "f.yaml:2: account: is empty: leave the key out if the value is unknown"},
		{"null account", "account:\n" + tail, "f.yaml:1: account: is empty"},
		{"account", "account: acme!\n" + tail, "f.yaml:1: account: is not an identifier: 1 to 128 characters of A-Z a-z 0-9 _ - . $, and not . or .."},
		{"account without id", "account: {uid: a-1}\n" + tail, "f.yaml:1: account.id: is required"},
		{"account in the issuer's URL", "account: a$b\nissuer: {url: \"https://i.example/{account_id}\"}\n" + tail, "f.yaml:1: account: has a $, which the issuer's URL cannot contain"},
		{"null account", "account: null\n" + tail, "f.yaml:1: account: is empty"},
		{"null for an id", "account: {id: null}\n" + tail, "f.yaml:1: account.id: is empty: leave the key out if the value is unknown"},
		{"long ref", head + "source: {ref: " + strings.Repeat("b", 1025) + "}\n" + tail, "f.yaml:5: source.ref: is longer than 1024 bytes"},
		{"pipeline template without id", head + "pipelineTemplate: {version: v1}\n" + tail, "f.yaml:5: pipelineTemplate.id: is required"},
		{"visibility as a truth value", head + "source: {is_fork: internal}\n" + tail, "f.yaml:5: source.is_fork: is neither true nor false"},
		{"organization", "account: acme\norganization: {uid: o-1, id: a/b}\n" + tail, "f.yaml:2: organization.id: is not an identifier: 1 to 128 characters of A-Z a-z 0-9 _ - . $, and not . or .."},
		{"null organization", "account: acme\norganization: null\n" + tail, "f.yaml:2: organization: is empty"},
		{"empty project", "account: acme\nproject: {}\n" + tail, "f.yaml:2: project: is empty"},
		{"list for an entity", "account: acme\nproject: [ledger]\n" + tail, "f.yaml:2: project: is a list, where a mapping is wanted"},
		{"mapping for a text", "account: acme\nproject:\n  id: {a: b}\n" + tail, "f.yaml:3: project.id: is a mapping, where a text is wanted"},
		{"name that is no claim", "account: {id: acme, name: \"a\\nb\"}\n" + tail, "f.yaml:1: account.name: has a control character"},
		{"long uid", "account:\n  id: acme\n  uid: " + strings.Repeat("é", 513) + "\n" + tail, "f.yaml:3: account.uid: is longer than 1024 bytes"},
		{"pipeline without id", "account: acme\npipeline:\n  name: x\n" + tail, "f.yaml:2: pipeline.id: is required"},
		{"context", head + "context: pipeline\n" + tail, `f.yaml:5: context: is not one of "CONNECTOR_VALIDATION", "PIPELINE_CONFIGURATION", "PIPELINE_EXECUTION", "PERPETUAL_TASK", nor another of the form ^[A-Z][A-Z0-9_]{0,63}$`},
		{"context of no pipeline", "account: acme\ncontext: CONNECTOR_VALIDATION\n" + tail, "f.yaml:2: context: is CONNECTOR_VALIDATION, but the Scope has a Stage: connectors are validated outside pipelines"},
		{"trigger type", head + "trigger:\n  triggerType: Cron\n" + tail, `f.yaml:6: trigger.triggerType: is not one of "MANUAL", "WEBHOOK", "WEBHOOK_CUSTOM", "SCHEDULER_CRON", "ARTIFACT", "MANIFEST", nor another of the form ^[A-Z][A-Z0-9_]{0,63}$`},
		{"untrusted", head + "untrusted: perhaps\n" + tail, "f.yaml:5: untrusted: is neither true nor false"},
		{"fork", head + "source: {is_fork: [true]}\n" + tail, "f.yaml:5: source.is_fork: is neither true nor false"},
		{"source without id", head + "source: acme/ledger\n" + tail, "f.yaml:5: source: is a scalar, and it has no id to mean: a mapping is wanted"},
		{"template level", head + "template: {id: t, scope: global}\n" + tail, `f.yaml:5: template.scope: is not one of "account", "org", "project"`},
		{"unknown key", head + "organisation: payments\n" + tail, `f.yaml:5: organisation: is not a key here: was "organization" meant?`},
		{"unknown key like nothing", head + "approvers: 2\n" + tail, "f.yaml:5: approvers: is not a key here"},
		{"unknown member", head + "source: {repo: x, branch: y}\n" + tail, `f.yaml:5: source.repo: is not a key here: was "repository" meant?`},
		{"misspelt member", head + "execution: {sequnce: 1}\n" + tail, `f.yaml:5: execution.sequnce: is not a key here: was "sequence" meant?`},
		{"key with odd characters", head + "\"a\\nb: c\": x\n" + tail, `f.yaml:5: ["a\nb: c"]: is not a key here`},
		{"key of a stage", head + "environment: prod\n" + tail, "f.yaml:5: environment: is not a key here: it belongs to a stage of type Deployment or Custom"},
		{"key of a step", head + "database: {schema_id: a}\n" + tail, "f.yaml:5: database: is not a key here: it belongs to a step"},
		{"variables", head + "variables: [a]\n" + tail, "f.yaml:5: variables: is a list, where a mapping is wanted"},
		{"variable", head + "variables: {a: {b: c}}\n" + tail, "f.yaml:5: variables.a: is a mapping, where a text is wanted"},
		{"null variable", head + "variables: {a: ~}\n" + tail, "f.yaml:5: variables.a: is ~: write it in quotes, or nothing"},
		{"no stages", head, "f.yaml:1: stages: is required"},
		{"empty stages", head + "stages: []\n", "f.yaml:5: stages: is required"},
		{"stages", head + "stages: {id: build}\n", "f.yaml:5: stages: is a mapping, where a list is wanted"},
	})
}

func TestReadBadStage(t *testing.T) {
	stage := func(lines ...string) string {
		return head + "stages:\n- " + strings.Join(lines, "\n  ") + "\n"
	}
	step := func(lines ...string) string {
		return stage("id: build", "type: CI", "steps:", "- "+strings.Join(lines, "\n    "))
	}
	const run = "steps: [{id: list, run: x}]"
	testBad(t, []bad{
		{"text for a stage", stage("build"), "f.yaml:6: stages[0]: is a scalar, where a mapping is wanted"},
		{"no type", stage("id: build", run), "f.yaml:6: stages[build].type: is required"},
		{"type", stage("id: build", "type: ci", run), "f.yaml:7: stages[build].type: is not one of " + stageTypes + `: was "CI" meant?`},
		{"type beside another", stage("id: d", "type: Deploy", run), "f.yaml:7: stages[d].type: is not one of " + stageTypes + `: was "Deployment" meant?`},
		{"type that is no word", stage("id: d", "type: Release-Train", run), "f.yaml:7: stages[d].type: is not of the form ^[A-Za-z][A-Za-z0-9_]{0,63}$"},
		{"type by the name in Go", stage("id: d", "type: open stage", run), "f.yaml:7: stages[d].type: is not of the form ^[A-Za-z][A-Za-z0-9_]{0,63}$"},
		{"kind beside the type", stage("id: d", "type: Train", "kind: CI", run), "f.yaml:8: stages[d].kind: is not a key here: was \"id\" meant?"},
		{"workspace of a pipeline", stage("id: d", "type: Pipeline", "workspace: w", run), "f.yaml:8: stages[d].workspace: is not a key here: it belongs to a stage of type IACM"},
		{"two types", stage("id: build", "type: CI", "stage_type: CI", run), "f.yaml:8: stages[build].stage_type: is given twice, first as type"},
		{"no id", stage("type: CI", run), "f.yaml:6: stages[0].id: is required"},
		{"id", stage("type: CI", "id: a/b", run), "f.yaml:7: stages[a/b].id: is not an identifier: 1 to 128 characters of A-Z a-z 0-9 _ - . $, and not . or .."},
		{"id twice", stage("id: a", "type: CI", run) + "- {type: Approval, id: a}\n", "f.yaml:9: stages[a]: has an id that is given twice, first in line 6"},
		{"no steps", stage("id: build", "type: CI"), "f.yaml:6: stages[build].steps: is required"},
		{"null steps", stage("id: build", "type: Custom", "steps:"), "f.yaml:8: stages[build].steps: is required"},
		{"environment of CI", stage("id: build", "type: CI", "environment: prod", run), "f.yaml:8: stages[build].environment: is not a key here: it belongs to a stage of type Deployment or Custom"},
		{"workspace of a deployment", stage("id: d", "workspace: w", "type: Deployment", run), "f.yaml:7: stages[d].workspace: is not a key here: it belongs to a stage of type IACM"},
		{"source of a deployment", stage("id: d", "type: Deployment", "source: {ref: x}", run), "f.yaml:8: stages[d].source: is not a key here: it belongs to the top level, or a stage of type CI"},
		{"execution of a stage", stage("id: d", "type: CI", "execution: {id: x}", run), "f.yaml:8: stages[d].execution: is not a key here: it belongs to the top level"},
		{"environment", stage("id: d", "type: Deployment", "environment:", "  id: prod", "  type: production", run), `f.yaml:10: stages[d].environment.type: differs from "Production" in letter case only`},
		{"environment without id", stage("id: d", "type: Deployment", "environment:", "  type: Production", run), "f.yaml:8: stages[d].environment.id: is required"},
		{"infrastructure", stage("id: d", "type: Deployment", "infrastructure: k8s/eu", run), "f.yaml:8: stages[d].infrastructure: is not an identifier: 1 to 128 characters of A-Z a-z 0-9 _ - . $, and not . or .."},
		{"variables of a stage", stage("id: d", "type: CI", "variables: {a: [b]}", run), "f.yaml:8: stages[d].variables.a: is a list, where a text is wanted"},
		{"template without id", head + "template: {id: golden}\nstages:\n- {id: b, type: CI, steps: [{id: l, run: x, template: {version: v1}}]}\n", "f.yaml:7: stages[b].steps[l].template.id: is required"},

		{"no step id", step("run: x"), "f.yaml:9: stages[build].steps[0].id: is required"},
		{"step id", step("id: ..", "run: x"), "f.yaml:9: stages[build].steps[..].id: is not an identifier: 1 to 128 characters of A-Z a-z 0-9 _ - . $, and not . or .."},
		{"step id twice", step("id: a", "run: x") + "  - id: a\n    run: x\n", "f.yaml:11: stages[build].steps[a]: has an id that is given twice, first in line 9"},
		{"database as a scalar", step("id: a", "run: x", "database: main"), "f.yaml:11: stages[build].steps[a].database: is a scalar, and it has no id to mean: a mapping is wanted"},
		{"schema", step("id: a", "run: x", "database: {schema_id: a/9}"), "f.yaml:11: stages[build].steps[a].database.schema_id: is not an identifier: 1 to 128 characters of A-Z a-z 0-9 _ - . $, and not . or .."},
		{"service of a step", step("id: a", "run: x", "service: s"), "f.yaml:11: stages[build].steps[a].service: is not a key here: it belongs to a stage of type Deployment or Custom"},
		{"unknown key of a step", step("id: a", "command: x"), "f.yaml:10: stages[build].steps[a].command: is not a key here"},
		{"no run", step("id: a", "files: {a: b}"), "f.yaml:9: stages[build].steps[a].run: is required"},
		{"empty run", step("id: a", "run: ''"), "f.yaml:10: stages[build].steps[a].run: is required"},
		{"list for run", step("id: a", "run: [echo, x]"), "f.yaml:10: stages[build].steps[a].run: is a list, where a text is wanted"},
		{"env", step("id: a", "run: x", "env: [A=b]"), "f.yaml:11: stages[build].steps[a].env: is a list, where a mapping is wanted"},
		{"env name", step("id: a", "run: x", "env:", "  A-B: c"), "f.yaml:12: stages[build].steps[a].env[A-B]: is not a variable's name, ^[A-Za-z_][A-Za-z0-9_]*$"},
		{"env value", step("id: a", "run: x", "env:", "  A: [c]"), "f.yaml:12: stages[build].steps[a].env.A: is a list, where a text is wanted"},
		{"absolute file", step("id: a", "run: x", "files: {/etc/passwd: b}"), `f.yaml:11: stages[build].steps[a].files[/etc/passwd]: is not a relative path with slashes, without "." and ".."`},
		{"file above", step("id: a", "run: x", "files: {a/../../b: b}"), `f.yaml:11: stages[build].steps[a].files[a/../../b]: is not a relative path with slashes, without "." and ".."`},
		{"file without a name", step("id: a", "run: x", "files: {'': b}"), `f.yaml:11: stages[build].steps[a].files[]: is not a relative path with slashes, without "." and ".."`},
		{"file of the runner", step("id: a", "run: x", "files: {.oidctoken/run.sh: b}"), `f.yaml:11: stages[build].steps[a].files[.oidctoken/run.sh]: is in .oidctoken, which is not the step's`},
		{"file and directory", step("id: a", "run: x", "files:", "  a/b/c: x", "  a/b: x"), "f.yaml:12: stages[build].steps[a].files[a/b/c]: is below a/b, which is a file, too"},
	})
}

func TestReadBadConnector(t *testing.T) {
	connectors := func(lines ...string) string {
		return head + "connectors:\n- " + strings.Join(lines, "\n  ") + "\n" + tail
	}
	delivered := func(refs string) string {
		return head + `connectors:
- {id: account.one, oidc: {audiences: [a]}}
- {id: two, azure: {tenantID: t, clientID: d}}
- {id: three, azure: {tenantID: t, clientID: c}}
stages:
- id: build
  type: CI
  steps:
  - id: list
    run: x
    connectors: ` + refs + "\n"
	}
	const oidc = "oidc: {audiences: [a]}"
	const at = "stages[build].steps[list].connectors"
	testBad(t, []bad{
		{"connectors", head + "connectors: {a: b}\n" + tail, "f.yaml:5: connectors: is a mapping, where a list is wanted"},
		{"no id", connectors(oidc), "f.yaml:6: connectors[0].id: is required"},
		{"level", connectors("id: project.a", oidc), "f.yaml:6: connectors[project.a].id: begins with something other than account. or org."},
		{"id", connectors("id: account.", oidc), "f.yaml:6: connectors[account.].id: has an id that is not an identifier: 1 to 128 characters of A-Z a-z 0-9 _ - . $, and not . or .."},
		{"id twice", connectors("id: a", oidc, "name: x\n- id: a", oidc), "f.yaml:9: connectors[a]: has an id that is given twice, first in line 6"},
		{"name", connectors("id: a", oidc, "name: "), "f.yaml:8: connectors[a].name: is empty: leave the key out if the value is unknown"},
		{"no cloud", connectors("id: a"), "f.yaml:6: connectors[a]: needs exactly one of gcp, aws, azure and oidc: it has 0"},
		{"two clouds", connectors("id: a", oidc, "azure: {tenantID: t, clientID: c}"), "f.yaml:6: connectors[a]: needs exactly one of gcp, aws, azure and oidc: it has 2"},
		{"unknown cloud", connectors("id: a", "azur: {}"), `f.yaml:7: connectors[a].azur: is not a key here: was "azure" meant?`},
		{"unknown setting", connectors("id: a", "gcp: {tokenUrl: x}"), `f.yaml:7: connectors[a].gcp.tokenUrl: is not a key here: was "tokenURL" meant?`},
		{"null cloud", connectors("id: a", "gcp:"), "f.yaml:7: connectors[a].gcp: is empty"},
		{"no provider", connectors("id: a", "gcp:", "  lifetime: 1h"), "f.yaml:7: connectors[a].gcp.provider: is required"},
		{"empty role", connectors("id: a", "aws:", "  region: x", "  roleARN: ''"), "f.yaml:9: connectors[a].aws.roleARN: is required"},
		{"no client", connectors("id: a", "azure: {tenantID: t}"), "f.yaml:7: connectors[a].azure.clientID: is required"},
		{"no tenant", connectors("id: a", "azure: {clientID: t}"), "f.yaml:7: connectors[a].azure.tenantID: is required"},
		{"no audiences", connectors("id: a", "oidc: {audiences: []}"), "f.yaml:7: connectors[a].oidc.audiences: is required"},
		{"audiences", connectors("id: a", "oidc: {audiences: a}"), "f.yaml:7: connectors[a].oidc.audiences: is a scalar, where a list is wanted"},
		{"audience with a space", connectors("id: a", "oidc:", "  audiences:", "  - a", "  - b c"), "f.yaml:10: connectors[a].oidc.audiences[1]: is not printable ASCII without spaces"},
		{"rule", connectors("id: a", oidc, "rules: {project: [p]}"), `f.yaml:8: connectors[a].rules.project: is not a key here: was "projects" meant?`},
		{"rules", connectors("id: a", oidc, "rules: {untrusted: maybe}"), "f.yaml:8: connectors[a].rules.untrusted: is neither true nor false"},
		{"audience twice", connectors("id: a", "oidc: {audiences: [a, a]}"), "f.yaml:7: connectors[a].oidc.audiences[1]: is given twice"},
		{"audience of a cloud", connectors("id: a", "gcp:", "  provider: p", "  audience: é"), "f.yaml:9: connectors[a].gcp.audience: is not printable ASCII without spaces"},
		{"lifetime", connectors("id: a", "aws: {roleARN: r, lifetime: 3600}"), "f.yaml:7: connectors[a].aws.lifetime: is not a duration, such as 1h or 30m"},
		{"negative lifetime", connectors("id: a", "aws: {roleARN: r, lifetime: -1h}"), "f.yaml:7: connectors[a].aws.lifetime: is not a positive number of whole seconds"},
		{"session tags", connectors("id: a", "aws: {roleARN: r, sessionTags: [a, '']}"), "f.yaml:7: connectors[a].aws.sessionTags[1]: is empty"},
		{"of no organization", "account: acme\nconnectors: [{id: org.a, oidc: {audiences: [a]}}]\n" + tail, "f.yaml:2: connectors[org.a]: refers to an organization, and the file has no organization"},
		{"of no project", "account: acme\nconnectors: [{id: a, oidc: {audiences: [a]}}]\n" + tail, "f.yaml:2: connectors[a]: refers to a project, and the file has no project: put account. before the id of an account's connector"},

		{"unknown", delivered("[account.won]"), "f.yaml:15: " + at + `: unknown connector account.won: was "account.one" meant?`},
		{"of another level", delivered("\n    - account.one\n    - account.two"), "f.yaml:17: " + at + `: unknown connector account.two: was "account.one" meant?`},
		{"no reference", delivered("[.one]"), "f.yaml:15: " + at + `: the reference ".one" begins with something other than account. or org.`},
		{"two of a cloud", delivered("[two, account.one, three]"), "f.yaml:15: " + at + ": two and three are of one cloud (azure): a step can be given one"},
		{"one twice", delivered("[three, three]"), "f.yaml:15: " + at + "[1]: is given twice"},
		{"text for a list", delivered("three"), "f.yaml:15: " + at + ": is a scalar, where a list is wanted"},
	})
}

func TestReadBadIssuer(t *testing.T) {
	issuer := func(settings string) string { return head + "issuer: {" + settings + "}\n" + tail }
	testBad(t, []bad{
		{"text", head + "issuer: https://x\n" + tail, "f.yaml:5: issuer: is a scalar, where a mapping is wanted"},
		{"url", issuer("url: http://issuer.example.com"), "f.yaml:5: issuer.url: is neither https nor http for a loopback host"},
		{"slash", issuer("url: https://issuer.example.com/"), "f.yaml:5: issuer.url: has a trailing slash"},
		{"lifetime", issuer("lifetime: 25h"), "f.yaml:5: issuer.lifetime: is longer than Config.MaxLifetime"},
		{"algorithm", issuer("algorithms: [HS256]"), `f.yaml:5: issuer.algorithms: has "HS256", which is not one of RS256, RS384, RS512, ES256, ES384, ES512, EdDSA`},
		{"algorithms", issuer("algorithms: []"), "f.yaml:5: issuer.algorithms: is empty"},
		{"algorithm twice", issuer("algorithms: [RS256, RS256]"), "f.yaml:5: issuer.algorithms[1]: is given twice"},
		{"half of tls", issuer("tls: {cert: a.pem}"), "f.yaml:5: issuer.tls: has one of cert and key: it needs both, or neither"},
		{"address", issuer("listen: 127.0.0.1"), "f.yaml:5: issuer.listen: is not host:port"},
		{"port", issuer("listen: '127.0.0.1:65536'"), "f.yaml:5: issuer.listen: has a port that is not a number up to 65535"},
		{"open address", issuer("listen: ':8080'"), "f.yaml:5: issuer.listen: is not a loopback address: then issuer.url or issuer.tls is needed"},
		{"null unknown", issuer("nullUnknown: maybe"), "f.yaml:5: issuer.nullUnknown: is neither true nor false"},
	})
}
