// Goaws asks AWS who it is, as a program that uses the AWS SDK for Go would:
// goaws default|webidentity. It prints the ARN.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(chain string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	if chain == "webidentity" {
		c.Credentials = aws.NewCredentialsCache(stscreds.NewWebIdentityRoleProvider(
			sts.NewFromConfig(c),
			os.Getenv("AWS_ROLE_ARN"),
			stscreds.IdentityTokenFile(os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE")),
			func(o *stscreds.WebIdentityRoleOptions) { o.RoleSessionName = os.Getenv("AWS_ROLE_SESSION_NAME") },
		))
	}
	identity, err := sts.NewFromConfig(c).GetCallerIdentity(ctx, nil)
	if err != nil {
		return err
	}
	fmt.Println(aws.ToString(identity.Arn))
	return nil
}
