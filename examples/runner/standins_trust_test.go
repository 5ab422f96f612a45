package main_test

import (
	"strings"
	"testing"
)

// trustFile returns a file with one connector, account.x, and a deployment to
// prod that requests its credential.
func trustFile(connector, expression string) string {
	return `account: acme
organization: payments
project: ledger
pipeline: release
connectors:
- id: account.x
` + indent(connector) + `
stages:
- id: deploy
  type: Deployment
  environment: {id: prod, type: Production}
  steps:
  - id: list
    env: {TOKEN: '<+secrets.` + expression + `>'}
    run: echo "${#TOKEN}" >/dev/null
`
}

const (
	gcpConnector   = "gcp: {provider: " + provider + "}"
	awsConnector   = `aws: {roleARN: "arn:aws:iam::123456789012:role/deployer", region: eu-west-1}`
	azureConnector = "azure: {tenantID: 00000000-0000-0000-0000-000000000001, clientID: 11111111-1111-1111-1111-111111111111, scope: 'https://vault.azure.net/.default'}"
)

// A file states the trust of a stand-in, so that a mismatch shows without the
// cloud.
func TestTrust(t *testing.T) {
	const (
		google = `getGCPAccessToken("account.x")`
		amazon = `getAWSCredentials("account.x").accessKeyId`
		entra  = `getAzureAccessToken("account.x")`
	)
	for _, tt := range []struct {
		name, connector, expression string
		code                        int
		reason                      string // in the one line on stderr
	}{
		{"gcp admits", gcpConnector + "\ntrust: {condition: assertion.environment_id == 'prod' && assertion.project_id == 'ledger'}", google, 0, ""},
		{"gcp refuses", gcpConnector + "\ntrust: {condition: assertion.environment_id == 'staging'}", google, 3, "The given credential is rejected by the attribute condition."},
		{"gcp admits a mapping", gcpConnector + "\ntrust: {mapping: {google.subject: assertion.sub, attribute.environment: assertion.environment_id}}", google, 0, ""},
		{"gcp refuses a mapping of an absent claim", gcpConnector + "\ntrust: {mapping: {google.subject: assertion.workspace_id}}", google, 3, "unauthorized_client"},
		{"gcp, a condition that is none", gcpConnector + "\ntrust: {condition: assertion.environment_id}", google, 2, "f.yaml:8: connectors[account.x].trust.condition: needs CEL"},
		{"gcp, a mapping that is none", gcpConnector + "\ntrust: {mapping: {google.subject: assertion.sub, attribute.X: assertion.sub}}", google, 2, "f.yaml:8: connectors[account.x].trust.mapping: attribute.X "},
		{"gcp, a mapping without a subject", gcpConnector + "\ntrust: {mapping: {attribute.x: assertion.sub}}", google, 2, "f.yaml:8: connectors[account.x].trust.mapping: has no google.subject, which Google requires"},
		{"gcp with a server of its own", "gcp: {provider: " + provider + ", tokenURL: 'http://127.0.0.1:1/'}\ntrust: {condition: assertion.x == 'y'}", google, 2, "f.yaml:8: connectors[account.x].trust: is for the stand-in, and gcp.tokenURL leads to another server"},

		{"aws admits", awsConnector + "\ntrust: {stringEquals: {sub: 'account/acme:org/payments:project/ledger', aud: sts.amazonaws.com}}", amazon, 0, ""},
		{"aws admits a pattern", awsConnector + "\ntrust: {stringLike: {sub: ['account/other:*', 'account/acme:*']}}", amazon, 0, ""},
		{"aws refuses", awsConnector + "\ntrust: {stringEquals: {sub: 'account/acme:org/payments:project/other'}}", amazon, 3, "Not authorized to perform sts:AssumeRoleWithWebIdentity"},
		{"aws, no condition key", awsConnector + "\ntrust: {stringEquals: {project_id: ledger}}", amazon, 2, "f.yaml:8: connectors[account.x].trust.stringEquals: project_id is not a condition key of a private issuer"},
		{"aws, no values", awsConnector + "\ntrust: {stringLike: {sub: []}}", amazon, 2, "f.yaml:8: connectors[account.x].trust.stringLike.sub: is empty"},
		{"aws with a server of its own", strings.Replace(awsConnector, "}", ", endpoint: 'http://127.0.0.1:1/'}", 1) + "\ntrust: {stringLike: {sub: x}}", amazon, 2, "trust: is for the stand-in, and aws.endpoint leads to another server"},
		{"aws, another cloud's key", awsConnector + "\ntrust: {subject: x}", amazon, 2, "f.yaml:8: connectors[account.x].trust.subject: is not for aws, which has stringEquals and stringLike"},

		{"azure admits", azureConnector + "\ntrust: {subject: 'account/acme:org/payments:project/ledger'}", entra, 0, ""},
		{"azure refuses", azureConnector + "\ntrust: {subject: 'account/acme:org/payments'}", entra, 3, "AADSTS"},
		{"azure, no subject", azureConnector + "\ntrust: {subject: 'two words'}", entra, 2, "f.yaml:8: connectors[account.x].trust.subject: is not of 1 to 600 characters"},
		{"azure with a server of its own", strings.Replace(azureConnector, "}", ", authorityHost: 'http://127.0.0.1:1/'}", 1) + "\ntrust: {subject: x}", entra, 2, "trust: is for the stand-in, and azure.authorityHost leads to another server"},

		{"oidc", "oidc: {audiences: [x]}\ntrust: {subject: x}", `getJWT("account.x")`, 2, "f.yaml:8: connectors[account.x].trust: is for the stand-in of a cloud, and oidc has no stand-in"},
		{"empty", gcpConnector + "\ntrust: {}", google, 2, "f.yaml:8: connectors[account.x].trust: is empty"},
		{"unknown key", gcpConnector + "\ntrust: {conditions: x}", google, 2, `trust.conditions: is not a key here: was "condition" meant?`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := run(t, trustFile(tt.connector, tt.expression))
			if reasons := r.reasons(); r.code != tt.code || len(reasons) != min(tt.code, 1) || tt.code != 0 && !strings.Contains(reasons[0], tt.reason) {
				t.Errorf("exit code %d, %q; want %d, %q", r.code, reasons, tt.code, tt.reason)
			}
		})
	}
}

// Two connectors to one provider cannot state different conditions for it.
func TestTrustOfOneProvider(t *testing.T) {
	file := trustFile(gcpConnector+"\ntrust: {condition: assertion.project_id == 'ledger'}", `getGCPAccessToken("account.x")`)
	other := "- id: other\n" + indent(gcpConnector) + "\n"
	r := run(t, strings.Replace(file, "stages:", other+"stages:", 1))
	const want = "connectors[other].gcp: differs from the value of another connector to the same provider"
	if reasons := r.reasons(); r.code != 2 || len(reasons) != 1 || !strings.Contains(reasons[0], want) {
		t.Errorf("%+v, want %q", r, want)
	}
}

// A step that expects a refusal succeeds if it is refused, and at nothing else.
func TestExpectRefusal(t *testing.T) {
	refuses := gcpConnector + "\ntrust: {condition: assertion.environment_id == 'staging'}"
	expect := func(file string) string {
		return strings.Replace(file, "  - id: list\n", "  - id: list\n    expectRefusal: true\n", 1)
	}
	const expression = `getGCPAccessToken("account.x")`
	for _, tt := range []struct {
		name, file string
		flags      []string
		code       int
		text       string // in stderr
	}{
		{"refused", expect(trustFile(refuses, expression)), nil, 0, "--- refused, as expected: f.yaml:16: stages[deploy].steps[list].env.TOKEN: "},
		{"admitted", expect(trustFile(gcpConnector, expression)), nil, 1, "f.yaml:13: stages[deploy].steps[list].expectRefusal: the step was refused nothing"},
		{"refused by rules", expect(trustFile(gcpConnector+"\nrules: {stageTypes: [CI]}", expression)), nil, 0, "--- refused, as expected: "},
		{"an untrusted execution", expect(trustFile(gcpConnector, expression)) + "untrusted: true\n", nil, 0, "--- refused, as expected: "},
		{"no such connector", expect(trustFile(gcpConnector, `getGCPAccessToken("account.y")`)), nil, 2, "account.y"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := run(t, tt.file, tt.flags...)
			if r.code != tt.code || !strings.Contains(r.stderr, tt.text) {
				t.Errorf("%+v; want the exit code %d and %q", r, tt.code, tt.text)
			}
		})
	}
}
