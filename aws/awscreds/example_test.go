package awscreds_test

import (
	"context"
	"fmt"
	"log"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"

	"github.com/oidctoken/oidctoken/aws"
	"github.com/oidctoken/oidctoken/aws/awscreds"
	"github.com/oidctoken/oidctoken/exchange"
)

// A client of the SDK that comes as a role. Its credentials are fetched when it
// first needs them.
func ExampleNew() {
	e, err := aws.New(aws.Config{RoleARN: "arn:aws:iam::123456789012:role/deployer", Region: "eu-west-1"})
	if err != nil {
		log.Fatal(err)
	}
	client := awssdk.Config{
		Region: "eu-west-1",
		Credentials: awssdk.NewCredentialsCache(awscreds.New(e, exchange.Request{
			SessionName: exchange.SessionName("release", "acme", "execution-42", "step-7"),
			Subject: func(context.Context, string) (string, error) {
				return "", fmt.Errorf("no issuer in this example") // or mint a JWT
			},
		})),
	}
	_, err = client.Credentials.Retrieve(context.Background())
	fmt.Println(err)
	// Output: failed to refresh cached credentials, no issuer in this example
}
