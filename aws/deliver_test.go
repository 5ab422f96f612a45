package aws_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/aws"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

func TestSessionBundle(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config aws.Config
		beyond map[string]string
	}{
		{"default", aws.Config{}, nil},
		{"endpoint", aws.Config{Endpoint: "http://127.0.0.1:8080/"}, map[string]string{"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:8080"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := newExchanger(t, nil, tt.config).SessionBundle("/run/step/aws", "/run/step/jwt", sessionName)
			if err != nil {
				t.Fatal(err)
			}
			want := &exchange.Bundle{
				Files: map[string][]byte{"config": []byte("[default]\nregion = eu-west-1\n"), "credentials": {}},
				Env: map[string]string{
					"AWS_WEB_IDENTITY_TOKEN_FILE": "/run/step/jwt",
					"AWS_ROLE_ARN":                roleARN,
					"AWS_ROLE_SESSION_NAME":       sessionName,
					"AWS_REGION":                  region,
					"AWS_DEFAULT_REGION":          region,
					"AWS_STS_REGIONAL_ENDPOINTS":  "regional",
					"AWS_CONFIG_FILE":             "/run/step/aws/config",
					"AWS_SHARED_CREDENTIALS_FILE": "/run/step/aws/credentials",
					"AWS_EC2_METADATA_DISABLED":   "true",
				},
			}
			for name, value := range tt.beyond {
				want.Env[name] = value
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("SessionBundle (-want +got):\n%s", diff)
			}
		})
	}
}

// A session policy holds here, since the tools are given the session itself.
func TestEndpointBundle(t *testing.T) {
	e := newExchanger(t, nil, aws.Config{SessionPolicy: "{}", Endpoint: "http://127.0.0.1:8080/"})
	endpoint := exchange.Endpoint{CredentialsURL: "http://127.0.0.1:99/credentials", Authorization: func() string { return "Bearer 0123" }}
	got, err := e.EndpointBundle("/run/step/aws", endpoint)
	if err != nil {
		t.Fatal(err)
	}
	want := &exchange.Bundle{
		Files: map[string][]byte{"config": []byte("[default]\nregion = eu-west-1\n"), "credentials": {}, "authorization": []byte("Bearer 0123")},
		Env: map[string]string{
			"AWS_CONTAINER_CREDENTIALS_FULL_URI":     "http://127.0.0.1:99/credentials",
			"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/run/step/aws/authorization",
			"AWS_REGION":                             region,
			"AWS_DEFAULT_REGION":                     region,
			"AWS_STS_REGIONAL_ENDPOINTS":             "regional",
			"AWS_ENDPOINT_URL_STS":                   "http://127.0.0.1:8080",
			"AWS_CONFIG_FILE":                        "/run/step/aws/config",
			"AWS_SHARED_CREDENTIALS_FILE":            "/run/step/aws/credentials",
			"AWS_EC2_METADATA_DISABLED":              "true",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("EndpointBundle (-want +got):\n%s", diff)
	}

	for _, tt := range []struct {
		name, dir string
		endpoint  exchange.Endpoint
		want      oidctoken.ConfigError
	}{
		{"relative directory", "aws", endpoint, oidctoken.ConfigError{Package: "aws", Field: "dir", Reason: "is not an absolute path"}},
		{"no endpoint", "/run", exchange.Endpoint{}, oidctoken.ConfigError{Package: "aws", Field: "Endpoint", Reason: "has no CredentialsURL or no Authorization"}},
	} {
		_, err := e.EndpointBundle(tt.dir, tt.endpoint)
		if diff := cmp.Diff(&tt.want, configError(err)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestBundleRefuses(t *testing.T) {
	const lost = "would not apply, because a web identity file cannot name it: deliver credentials through a loopback endpoint instead"
	for _, tt := range []struct {
		name             string
		config           aws.Config
		dir, file, named string
		want             oidctoken.ConfigError
	}{
		{"no directory", aws.Config{}, "", "/run/step/jwt", sessionName, oidctoken.ConfigError{Package: "aws", Field: "dir", Reason: "is required"}},
		{"relative directory", aws.Config{}, "aws", "/run/step/jwt", sessionName, oidctoken.ConfigError{Package: "aws", Field: "dir", Reason: "is not an absolute path"}},
		{"directory with a line break", aws.Config{}, "/run/a\nb", "/run/step/jwt", sessionName, oidctoken.ConfigError{Package: "aws", Field: "dir", Reason: "has a control character"}},
		{"no file", aws.Config{}, "/run/step", "", sessionName, oidctoken.ConfigError{Package: "aws", Field: "tokenFile", Reason: "is required"}},
		{"relative file", aws.Config{}, "/run/step", "jwt", sessionName, oidctoken.ConfigError{Package: "aws", Field: "tokenFile", Reason: "is not an absolute path"}},
		{"file with NUL", aws.Config{}, "/run/step", "/run/\x00", sessionName, oidctoken.ConfigError{Package: "aws", Field: "tokenFile", Reason: "has a control character"}},
		{"no session name", aws.Config{}, "/run/step", "/run/step/jwt", "", oidctoken.ConfigError{Package: "aws", Field: "sessionName", Reason: "is not of 2 to 64 letters, digits and _+=,.@-"}},
		{"session policy", aws.Config{SessionPolicy: "{}"}, "/run/step", "/run/step/jwt", sessionName, oidctoken.ConfigError{Package: "aws", Field: "SessionPolicy", Reason: lost}},
		{"managed policy", aws.Config{PolicyARNs: []string{"arn:aws:iam::aws:policy/ReadOnlyAccess"}}, "/run/step", "/run/step/jwt", sessionName,
			oidctoken.ConfigError{Package: "aws", Field: "PolicyARNs", Reason: lost}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newExchanger(t, nil, tt.config)
			_, err := e.SessionBundle(tt.dir, tt.file, tt.named)
			if diff := cmp.Diff(&tt.want, configError(err)); diff != "" {
				t.Errorf("SessionBundle (-want +got):\n%s", diff)
			}
			if tt.want.Field == "sessionName" {
				return
			}
			_, err = e.Bundle(tt.dir, tt.file)
			if diff := cmp.Diff(&tt.want, configError(err)); diff != "" {
				t.Errorf("Bundle (-want +got):\n%s", diff)
			}
		})
	}
}

// X10: the session name of Bundle is one of its directory alone.
func TestBundleSessionName(t *testing.T) {
	e := newExchanger(t, nil, aws.Config{})
	name := func(dir string) string {
		b, err := e.Bundle(dir, "/run/step/jwt")
		if err != nil {
			t.Fatal(err)
		}
		return b.Env["AWS_ROLE_SESSION_NAME"]
	}
	if a, b := name("/run/step-1/aws"), name("/run/step-2/aws"); a == b || !strings.HasPrefix(a, "oidctoken-") {
		t.Errorf("session names = %q and %q", a, b)
	}
	if a, b := name("/run/step-1/aws"), name("/run/step-1/./aws/"); a != b {
		t.Errorf("session names of one directory = %q and %q", a, b)
	}
}

func TestCredentialFormats(t *testing.T) {
	s := &sts{answers: []answer{good(now.Add(time.Hour))}}
	c, err := newExchanger(t, s, aws.Config{Now: func() time.Time { return now }}).Exchange(t.Context(), (&minter{}).request())
	if err != nil {
		t.Fatal(err)
	}
	got, err := aws.CredentialProcess(c)
	want := `{"Version":1,"AccessKeyId":"` + accessKeyID + `","SecretAccessKey":"` + secretKey + `","SessionToken":"` + sessionToken +
		`","Expiration":"2030-01-02T04:04:05Z","AccountId":"123456789012"}`
	if err != nil || string(got) != want {
		t.Errorf("CredentialProcess = %s, %v; want %s", got, err, want)
	}
	got, err = aws.ContainerCredentials(c)
	want = `{"AccessKeyId":"` + accessKeyID + `","SecretAccessKey":"` + secretKey + `","Token":"` + sessionToken +
		`","Expiration":"2030-01-02T04:04:05Z","AccountId":"123456789012"}`
	if err != nil || string(got) != want {
		t.Errorf("ContainerCredentials = %s, %v; want %s", got, err, want)
	}
	var served exchange.ContainerSourced = newExchanger(t, nil, aws.Config{})
	if got, err = served.ContainerCredentials(c); err != nil || string(got) != want {
		t.Errorf("the Exchanger's ContainerCredentials = %s, %v; want %s", got, err, want)
	}
}

// An SDK takes a credential without an expiry for a permanent one, and one
// without a token for a user's.
func TestCredentialFormatsRefuse(t *testing.T) {
	all := map[string]string{"AWS_ACCESS_KEY_ID": accessKeyID, "AWS_SECRET_ACCESS_KEY": secretKey, "AWS_SESSION_TOKEN": sessionToken, "AWS_ACCOUNT_ID": "123456789012"}
	without := func(name string) *exchange.Credential {
		env := make(map[string]string)
		for n, v := range all {
			if n != name {
				env[n] = v
			}
		}
		return exchange.NewCredential(now, env)
	}
	for _, tt := range []struct {
		name string
		give *exchange.Credential
		want string
	}{
		{"nil", nil, "is nil"},
		{"of Google", exchange.NewCredential(now, map[string]string{"CLOUDSDK_AUTH_ACCESS_TOKEN": secretKey}), "is not one of AWS: it has no AWS_ACCESS_KEY_ID"},
		{"no secret", without("AWS_SECRET_ACCESS_KEY"), "is not one of AWS: it has no AWS_SECRET_ACCESS_KEY"},
		{"no token", without("AWS_SESSION_TOKEN"), "is not one of AWS: it has no AWS_SESSION_TOKEN"},
		{"no account", without("AWS_ACCOUNT_ID"), "is not one of AWS: it has no AWS_ACCOUNT_ID"},
		{"no expiry", exchange.NewCredential(time.Time{}, all), "has no expiry"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := &oidctoken.ConfigError{Package: "aws", Field: "Credential", Reason: tt.want}
			for name, format := range map[string]func(*exchange.Credential) ([]byte, error){
				"CredentialProcess": aws.CredentialProcess, "ContainerCredentials": aws.ContainerCredentials,
			} {
				got, err := format(tt.give)
				if diff := cmp.Diff(want, configError(err)); diff != "" || got != nil {
					t.Errorf("%s = %s (-want +got):\n%s", name, got, diff)
				}
				cloudtest.NoLeak(t, err, secretKey, sessionToken)
			}
		})
	}
}
