package conformance_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken/internal/needs"
)

// awsClient is a foreign program that calls GetCallerIdentity of AWS.
type awsClient struct {
	name    string
	version func(*testing.T) string // skips the test if the client is missing
	env     func(*testing.T) map[string]string
	files   map[string]string
	run     string // prints the ARN

	// fileOnly is a client that trades the JWT in the file, and takes no
	// credentials.
	fileOnly bool
}

func awsCLI() awsClient {
	return awsClient{
		name: "aws", version: awsVersion, env: func(*testing.T) map[string]string { return pyenv() },
		run: "aws sts get-caller-identity --query Arn --output text",
	}
}

func boto3() awsClient {
	return awsClient{
		name: "boto3",
		version: func(t *testing.T) string {
			return output(t, python(t), "-c", "import boto3; print(boto3.__version__)")
		},
		env: func(t *testing.T) map[string]string {
			return map[string]string{"PYTHON": python(t), "SCRIPT": absolute(t, "python", "identity.py")}
		},
		run: `"$PYTHON" "$SCRIPT"`,
	}
}

func awsSDK(chain string) awsClient {
	return awsClient{
		name: "aws-sdk-go-v2 " + chain,
		version: func(t *testing.T) string {
			const sdk = "github.com/aws/aws-sdk-go-v2"
			return moduleVersion(t, sdk) + ", config " + moduleVersion(t, sdk+"/config") + ", sts " + moduleVersion(t, sdk+"/service/sts")
		},
		env:      func(*testing.T) map[string]string { return map[string]string{"GO_AWS": goAWS} },
		run:      `"$GO_AWS" ` + chain,
		fileOnly: chain == "webidentity",
	}
}

// terraformAWS returns terraform's provider with an empty configuration.
func terraformAWS() awsClient {
	return awsClient{
		name: "terraform's provider aws", version: terraformAWSVersion,
		env: func(*testing.T) map[string]string {
			return map[string]string{"PLUGINS": os.Getenv("OIDCTOKEN_TERRAFORM_PLUGINS"), "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
		},
		files: map[string]string{"main.tf": `
			terraform {
			  required_providers {
			    aws = { source = "hashicorp/aws" }
			  }
			}
			provider "aws" {}
			data "aws_caller_identity" "step" {}
			output "arn" {
			  value = data.aws_caller_identity.step.arn
			}
		`},
		run: `cd "$STEP_DIR" && terraform init -input=false -no-color -plugin-dir="$PLUGINS" &&
			terraform apply -input=false -no-color -auto-approve &&
			terraform output -raw arn && echo`,
	}
}

func awsClients() []awsClient {
	return []awsClient{awsCLI(), boto3(), awsSDK("default"), awsSDK("webidentity"), terraformAWS()}
}

func awsVersion(t *testing.T) string {
	t.Helper()
	needs.Program(t, "aws")
	return output(t, "aws", "--version")
}

func terraformAWSVersion(t *testing.T) string {
	t.Helper()
	plugins := os.Getenv("OIDCTOKEN_TERRAFORM_PLUGINS")
	versions, err := filepath.Glob(filepath.Join(plugins, "*", "hashicorp", "aws", "*"))
	if err != nil {
		t.Fatal(err)
	}
	if plugins == "" || len(versions) == 0 {
		needs.Missing(t, "terraform-provider-aws", "OIDCTOKEN_TERRAFORM_PLUGINS is the directory of providers that has it")
	}
	return filepath.Base(versions[0]) + ", terraform " + terraformVersion(t)
}

// Every client is authenticated with the environment that the runner gives a
// step. Two steps that run one after the other with one home directory each get
// a session of their own, which names the step's execution: X10 X14 D05
func TestAWSClients(t *testing.T) {
	t.Parallel()
	for _, c := range awsClients() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			version := c.version(t)
			for _, how := range []func(*amazon) delivery{(*amazon).delivered, (*amazon).expressions} {
				a := newAmazon(t, 1)
				d := how(a)
				if c.fileOnly && d.connectors == nil {
					continue
				}
				t.Run(d.name, func(t *testing.T) {
					t.Parallel()
					testAWSClient(t, a, c, d)
					row(t, c.name, version, "two steps, "+d.name+": sts:GetCallerIdentity")
				})
			}
		})
	}
}

func testAWSClient(t *testing.T, a *amazon, c awsClient, d delivery) {
	p := a.pipeline(0, deployer, d.step(t, c, "first", nil), d.step(t, c, "second", nil))
	o := start(t, []string{"HOME=" + t.TempDir()}, p.write(t))
	sessions := a.callers()
	want := []awsCaller{awsSession(deployer, "ledger", "first"), awsSession(deployer, "ledger", "second")}
	if diff := cmp.Diff(want, awsCallers(sessions)); diff != "" || o.code != 0 {
		t.Errorf("callers (-want +got):\n%s\n%v", diff, o)
	}
	if diff := cmp.Diff(arns(t, sessions), printedARNs(o)); diff != "" {
		t.Errorf("who the client says it is (-STS +client):\n%s", diff)
	}
	// The three expressions share one set of credentials.
	if n := a.Requests("AssumeRoleWithWebIdentity"); d.connectors == nil && n != 2 {
		t.Errorf("the runner assumed the role %d times for two steps", n)
	}
}
