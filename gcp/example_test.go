package gcp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"maps"
	"slices"
	"time"

	"golang.org/x/oauth2/google/externalaccount"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/gcp"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

// newIssuer replaces the platform's issuer. It has a key for each of Google's
// algorithms.
func newIssuer() *oidctoken.Issuer {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		log.Fatal(err)
	}
	ecSigner, err := oidctoken.NewSigner(ec)
	if err != nil {
		log.Fatal(err)
	}
	rsaSigner, err := oidctoken.NewSigner(r)
	if err != nil {
		log.Fatal(err)
	}
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
		URL:  "https://ci.example.com/oidc",
		Keys: oidctoken.StaticKeys{{Signer: ecSigner}, {Signer: rsaSigner}},
	})
	if err != nil {
		log.Fatal(err)
	}
	return issuer
}

// subjectOf mints JWTs for one execution, with e's audience and profile.
func subjectOf(issuer *oidctoken.Issuer, e *gcp.Exchanger) exchange.SubjectToken {
	profile := e.Profile()
	return func(ctx context.Context, audience string) (string, error) {
		token, err := issuer.Mint(ctx, oidctoken.Scope{
			Audience: audience,
			Profile:  &profile,
			Account:  oidctoken.Entity{ID: "acme"},
			Pipeline: &oidctoken.Pipeline{ID: "release"},
		})
		if err != nil {
			return "", err
		}
		return token.JWT(), nil
	}
}

// newExample returns an Exchanger whose requests answers serve in this
// process, in place of Google.
func newExample(c gcp.Config, answers ...answer) *gcp.Exchanger {
	c.Provider = "projects/123/locations/global/workloadIdentityPools/ci/providers/acme"
	c.Transport = cloudtest.InProcess{Handler: &google{answers: answers}}
	e, err := gcp.New(c)
	if err != nil {
		log.Fatal(err)
	}
	return e
}

func ExampleNew() {
	_, err := gcp.New(gcp.Config{
		Provider:       "projects/my-project/locations/global/workloadIdentityPools/ci/providers/acme",
		ServiceAccount: "deployer@acme.iam.gserviceaccount.com",
	})
	var bad *oidctoken.ConfigError
	if errors.As(err, &bad) {
		fmt.Println(bad.Field)
	}
	fmt.Println(err)
	// Output:
	// Provider
	// gcp: Provider does not name the project by its number
}

func ExampleExchanger_Exchange() {
	e := newExample(gcp.Config{}, federated("ya29.secret", 899))
	credential, err := e.Exchange(context.Background(), exchange.Request{Subject: subjectOf(newIssuer(), e)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(slices.Sorted(maps.Keys(credential.Env())))
	fmt.Println(time.Until(credential.Expires()) > 14*time.Minute)
	// Output:
	// [CLOUDSDK_AUTH_ACCESS_TOKEN GOOGLE_OAUTH_ACCESS_TOKEN]
	// true
}

// A refusal by Google has a hint for the administrator of the connector.
func ExampleExchanger_Exchange_refused() {
	e := newExample(gcp.Config{ServiceAccount: "deployer@acme.iam.gserviceaccount.com"},
		federated("ya29.secret", 899),
		refusedIAM(403, "PERMISSION_DENIED", "Permission 'iam.serviceAccounts.getAccessToken' denied on resource."))
	_, err := e.Exchange(context.Background(), exchange.Request{Subject: subjectOf(newIssuer(), e)})
	var refused *exchange.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.Op, refused.Status, refused.Code, refused.Temporary())
		fmt.Println(refused.Hint)
	}
	// Output:
	// iamcredentials:generateAccessToken 403 PERMISSION_DENIED false
	// grant roles/iam.workloadIdentityUser on deployer@acme.iam.gserviceaccount.com to principal://iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/ci/subject/SUBJECT (the JWT's sub is account/acme) or principalSet://iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/ci/attribute.NAME/VALUE (a change takes up to 5 minutes)
}

func ExampleExchanger_IDToken() {
	e := newExample(gcp.Config{ServiceAccount: "deployer@acme.iam.gserviceaccount.com"},
		federated("ya29.secret", 899), idToken(nil))
	credential, err := e.IDToken(context.Background(), gcp.IDTokenRequest{
		Subject:  subjectOf(newIssuer(), e),
		Audience: "https://run.example.com",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(slices.Sorted(maps.Keys(credential.Env())))
	// Output: [GOOGLE_ID_TOKEN]
}

func ExampleExchanger_Profile() {
	e := newExample(gcp.Config{Subject: "account/{account_id}:pipeline/{pipeline_id}"})
	profile := e.Profile()
	claims, err := newIssuer().Preview(context.Background(), oidctoken.Scope{
		Audience: e.Audience(),
		Profile:  &profile,
		Account:  oidctoken.Entity{ID: "acme"},
		Pipeline: &oidctoken.Pipeline{ID: "release"},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(claims.Get("sub"))
	fmt.Println(profile.Algorithms, profile.MaxSubject)
	// Output:
	// account/acme:pipeline/release true
	// [ES256 RS256] 127
}

func ExampleExchanger_Audience() {
	e := newExample(gcp.Config{})
	fmt.Println(e.Audience())
	// Output: https://iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/ci/providers/acme
}

func ExampleExchanger_Config() {
	e := newExample(gcp.Config{TokenURL: "http://127.0.0.1:8080/v1/token"})
	fmt.Println(e.Config().TokenInfoURL)
	fmt.Println(e.Config().Scopes)
	// Output:
	// http://127.0.0.1:8080/v1/introspect
	// [https://www.googleapis.com/auth/cloud-platform]
}

func ExampleExchanger_Bundle() {
	e := newExample(gcp.Config{})
	bundle, err := e.Bundle("/run/step", "/run/step/jwt")
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(bundle.Env)) {
		fmt.Println(name + "=" + bundle.Env[name])
	}
	fmt.Println(slices.Sorted(maps.Keys(bundle.Files)), bundle.Dirs)
	// Output:
	// BOTO_CONFIG=/run/step/boto
	// CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE=/run/step/credentials.json
	// CLOUDSDK_CONFIG=/run/step/gcloud
	// GOOGLE_APPLICATION_CREDENTIALS=/run/step/credentials.json
	// KUBECONFIG=/run/step/kube/config
	// [boto credentials.json] [gcloud gsutil kube]
}

func ExampleExchanger_EndpointBundle() {
	e := newExample(gcp.Config{})
	bundle, err := e.EndpointBundle("/run/step", exchange.Endpoint{
		TokenURL:      "http://127.0.0.1:8080/token?audience=a",
		Authorization: func() string { return "Bearer 0123" },
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(bundle.Env["GOOGLE_APPLICATION_CREDENTIALS"])
	// Output: /run/step/credentials.json
}

// A loopback endpoint with a secret that only the step knows serves steps of
// any length.
func ExampleExchanger_CredentialFile() {
	e := newExample(gcp.Config{ServiceAccount: "deployer@acme.iam.gserviceaccount.com", Lifetime: 15 * time.Minute})
	file, err := e.CredentialFile(gcp.URLSource{
		URL:     "http://127.0.0.1:8080/jwt",
		Headers: func() map[string]string { return map[string]string{"Authorization": "Bearer 0123"} },
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(file))
	// Output:
	// {
	//   "universe_domain": "googleapis.com",
	//   "type": "external_account",
	//   "audience": "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/ci/providers/acme",
	//   "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
	//   "token_url": "https://sts.googleapis.com/v1/token",
	//   "credential_source": {
	//     "url": "http://127.0.0.1:8080/jwt",
	//     "headers": {
	//       "Authorization": "Bearer 0123"
	//     }
	//   },
	//   "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/deployer@acme.iam.gserviceaccount.com:generateAccessToken",
	//   "service_account_impersonation": {
	//     "token_lifetime_seconds": 900
	//   }
	// }
}

func ExampleExchanger_TokenSource() {
	e := newExample(gcp.Config{}, federated("ya29.first", 899), federated("ya29.second", 899))
	source := e.TokenSource(context.Background(), exchange.Request{Subject: subjectOf(newIssuer(), e)})
	for range 2 {
		token, err := source.Token()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(token.AccessToken)
	}
	// Output:
	// ya29.first
	// ya29.first
}

func ExampleExchanger_SubjectTokenSupplier() {
	e := newExample(gcp.Config{})
	config := externalaccount.Config{
		Audience:             "//iam.googleapis.com/" + e.Config().Provider,
		SubjectTokenType:     "urn:ietf:params:oauth:token-type:jwt",
		Scopes:               e.Config().Scopes,
		SubjectTokenSupplier: e.SubjectTokenSupplier(subjectOf(newIssuer(), e)),
	}
	source, err := externalaccount.NewTokenSource(context.Background(), config)
	fmt.Println(source != nil, err)
	// Output: true <nil>
}

// An issuer that Google cannot reach uploads its keys:
//
//	gcloud iam workload-identity-pools providers update-oidc acme --jwk-json-path=FILE ...
func ExampleJWKSet() {
	published, err := newIssuer().JWKSet(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	file, err := gcp.JWKSet(published)
	if err != nil {
		log.Fatal(err)
	}
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(file, &set); err != nil {
		log.Fatal(err)
	}
	for _, key := range set.Keys {
		fmt.Println(key["alg"], slices.Sorted(maps.Keys(key)))
	}
	// Unordered output:
	// ES256 [alg crv kid kty use x y]
	// RS256 [alg e kid kty n use]
}

func ExampleConfigError_Error() {
	e := newExample(gcp.Config{})
	_, err := e.CredentialFile(gcp.FileSource{Path: "jwt"})
	fmt.Println(err)
	// Output: gcp: FileSource.Path is not an absolute path
}
