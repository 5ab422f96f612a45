package exchange_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
)

// toy is a cloud that accepts every JWT for its audience.
type toy struct{}

func (toy) Profile() oidctoken.Profile { return oidctoken.Profile{Algorithms: []string{"ES256"}} }

func (toy) Audience() string { return "https://toy.example" }

func (t toy) Exchange(ctx context.Context, r exchange.Request) (*exchange.Credential, error) {
	jwt, err := r.Subject(ctx, t.Audience())
	if err != nil {
		return nil, err
	}
	if jwt == "" {
		return nil, &exchange.Error{
			Provider: "toy", Op: "sts:token", Status: 400, Code: "invalid_grant",
			Description: "the assertion is empty", Hint: "let Request.Subject return a JWT",
		}
	}
	return exchange.NewCredential(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), map[string]string{"TOY_TOKEN": "s3cret"}), nil
}

// A host hands the Exchanger a function that mints, and the variables of the
// credential to a step.
func ExampleExchanger() {
	var exchanger exchange.Exchanger = toy{}
	credential, err := exchanger.Exchange(context.Background(), exchange.Request{
		Subject: func(_ context.Context, audience string) (string, error) {
			return "a JWT for " + audience, nil // minted by an issuer
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(credential)
	for name, value := range credential.Env() {
		fmt.Printf("%s has %d bytes\n", name, len(value))
	}
	// Output:
	// credential [REDACTED] until 2026-03-01T12:00:00Z
	// TOY_TOKEN has 6 bytes
}

// A refusal tells who must change which setting, and whether to try again
// later.
func ExampleError() {
	_, err := toy{}.Exchange(context.Background(), exchange.Request{
		Subject: func(context.Context, string) (string, error) { return "", nil },
	})
	if refused, ok := errors.AsType[*exchange.Error](err); ok {
		fmt.Println(refused.Code, refused.Temporary())
	}
	fmt.Println(err)
	// Output:
	// invalid_grant false
	// toy: sts:token: invalid_grant (400): the assertion is empty; let Request.Subject return a JWT
}

func ExampleError_Error() {
	fmt.Println(&exchange.Error{Provider: "aws", Op: "sts:AssumeRoleWithWebIdentity", Status: 403, Code: "AccessDenied"})
	fmt.Println(&exchange.Error{Provider: "azure", Op: "token", Status: 502})
	fmt.Println(&exchange.Error{Provider: "gcp", Op: "sts:token", Err: io.ErrUnexpectedEOF, Retryable: true})
	// Output:
	// aws: sts:AssumeRoleWithWebIdentity: AccessDenied (403)
	// azure: token: HTTP 502
	// gcp: sts:token: unexpected EOF
}

func ExampleError_Temporary() {
	err := &exchange.Error{Provider: "gcp", Op: "sts:token", Status: 503, RetryAfter: 7 * time.Second, Retryable: true}
	fmt.Println(err.Temporary(), err.RetryAfter)
	// Output:
	// true 7s
}

func ExampleError_Unwrap() {
	err := &exchange.Error{Provider: "gcp", Op: "sts:token", Err: io.ErrUnexpectedEOF}
	fmt.Println(errors.Is(err, io.ErrUnexpectedEOF))
	// Output:
	// true
}

func ExampleNewCredential() {
	credential := exchange.NewCredential(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), map[string]string{
		"TOY_TOKEN": "s3cret",
		"TOY_URL":   "https://toy.example",
	})
	fmt.Printf("%v\n%+v\n", credential, credential)
	fmt.Println(credential.Value("TOY_URL"))
	// Output:
	// credential [REDACTED] until 2026-03-01T12:00:00Z
	// credential [REDACTED] until 2026-03-01T12:00:00Z
	// https://toy.example
}

func ExampleCredential_Value() {
	credential := exchange.NewCredential(time.Now().Add(time.Hour), map[string]string{"TOY_TOKEN": "s3cret"})
	fmt.Println(credential.Value("TOY_TOKEN"))
	fmt.Printf("%q\n", credential.Value("OTHER"))
	// Output:
	// s3cret
	// ""
}

func ExampleCredential_Env() {
	credential := exchange.NewCredential(time.Now().Add(time.Hour), map[string]string{"TOY_TOKEN": "s3cret"})
	env := []string{"PATH=/usr/bin"} // of a child process
	for name, value := range credential.Env() {
		env = append(env, name+"="+value)
	}
	fmt.Println(env)
	// Output:
	// [PATH=/usr/bin TOY_TOKEN=s3cret]
}

func ExampleCredential_Expires() {
	credential := exchange.NewCredential(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), nil)
	now := time.Date(2026, 3, 1, 11, 45, 0, 0, time.UTC)
	fmt.Println(credential.Expires().Sub(now))
	// Output:
	// 15m0s
}

func ExampleSessionName() {
	fmt.Println(exchange.SessionName("release 42", "acme", "step-7"))
	fmt.Println(exchange.SessionName("release/42", "acme", "step-7"))
	// Output:
	// release-42-kv2trmjybtvsssrj7dqgu3kypm
	// release-42-l74wpw2pamwevrkkwpwip6qysm
}
