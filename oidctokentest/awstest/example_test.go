package awstest_test

import (
	"context"
	"encoding/xml"
	"fmt"
	"log"
	"net/http/httptest"
	"net/url"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/oidctokentest/awstest"
	"github.com/oidctoken/oidctoken/oidctokentest/internal/standintest"
)

// A program that serves the stand-in, and exchanges a JWT as a client of AWS does.
func ExampleNew() {
	issuer, server := standintest.ServeIssuer()
	defer server.Close()
	aws, err := awstest.New(awstest.Config{
		Providers: []awstest.Provider{{Account: "123456789012", Issuer: server.URL, ClientIDs: []string{"sts.amazonaws.com"}}},
		Roles: []awstest.Role{{
			ARN: "arn:aws:iam::123456789012:role/deployer",
			Trust: []awstest.Trust{{
				Provider:     server.URL,
				StringEquals: map[string][]string{"aud": {"sts.amazonaws.com"}},
				StringLike:   map[string][]string{"sub": {"account/acme:org/payments:*"}},
			}},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	cloud := httptest.NewServer(aws)
	defer cloud.Close()

	token, err := issuer.Mint(context.Background(), oidctoken.Scope{
		Audience: "sts.amazonaws.com",
		Account:  oidctoken.Entity{ID: "acme"}, Organization: oidctoken.Entity{ID: "payments"}, Project: oidctoken.Entity{ID: "ledger"},
	})
	if err != nil {
		log.Fatal(err)
	}
	answer, err := cloud.Client().PostForm(cloud.URL, url.Values{
		"Action":           {"AssumeRoleWithWebIdentity"},
		"Version":          {"2011-06-15"},
		"RoleArn":          {"arn:aws:iam::123456789012:role/deployer"},
		"RoleSessionName":  {"release-42"},
		"WebIdentityToken": {token.JWT()},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	var got struct {
		AccessKeyID string `xml:"AssumeRoleWithWebIdentityResult>Credentials>AccessKeyId"`
	}
	if err := xml.NewDecoder(answer.Body).Decode(&got); err != nil {
		log.Fatal(err)
	}
	session, _ := aws.Session(got.AccessKeyID)
	fmt.Println(session.ARN)
	fmt.Println(session.Subject)
	// Output:
	// arn:aws:sts::123456789012:assumed-role/deployer/release-42
	// account/acme:org/payments:project/ledger
}

func exampleAWS() *awstest.Server {
	aws, err := awstest.New(awstest.Config{
		Providers: []awstest.Provider{{Account: "123456789012", Issuer: "https://ci.example.com", ClientIDs: []string{"sts.amazonaws.com"}}},
		Roles:     []awstest.Role{{ARN: "arn:aws:iam::123456789012:role/deployer"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	return aws
}

func ExampleServer_Session() {
	_, known := exampleAWS().Session("ASIAEXAMPLEEXAMPLE12")
	fmt.Println(known)
	// Output: false
}

func ExampleServer_Requests() {
	aws := exampleAWS()
	r := httptest.NewRequest("POST", "/", nil)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	aws.ServeHTTP(httptest.NewRecorder(), r) // has no action
	fmt.Println(aws.Requests("AssumeRoleWithWebIdentity"))
	// Output: 0
}
