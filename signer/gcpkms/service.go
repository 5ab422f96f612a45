package gcpkms

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"google.golang.org/api/cloudkms/v1"
	"google.golang.org/api/option"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// NewService returns a client of the service that sends with client, which must
// authorize the requests, as the clients of
// [cloud.google.com/go/auth/httptransport.NewClient] and golang.org/x/oauth2
// do. It does not change client. For another address than
// https://cloudkms.googleapis.com/, set BasePath of the result; it ends with a
// slash.
//
// It differs from what cloudkms.NewService returns, which [New], [NewProvisioner]
// and [NewWrapper] take as well, in three things. It follows no redirect, where
// a client that authorizes would send a request and its token to the second
// host. It reads at most 1 MiB of an answer. And it logs nothing; the other logs
// data keys in clear if the environment has GOOGLE_SDK_GO_LOGGING_LEVEL=debug.
func NewService(ctx context.Context, client *http.Client) (*cloudkms.Service, error) {
	if client == nil {
		return nil, refused("NewService", errors.New("client is nil"))
	}
	base := client.Transport
	if base == nil {
		base = http.DefaultTransport
	}
	bounded := *client
	bounded.Transport = boundedTransport{base}
	bounded.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	service, err := cloudkms.NewService(ctx,
		option.WithHTTPClient(&bounded), option.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, fmt.Errorf("gcpkms: NewService: %w", err)
	}
	return service, nil
}

// maxAnswer is several times a full page of a listing.
const maxAnswer = 1 << 20

// boundedTransport limits the answers, because the generated client reads them
// to their end.
type boundedTransport struct{ base http.RoundTripper }

func (t boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := tokenhttp.Resend(r, t.base.RoundTrip)
	if err == nil && answer.Body != nil {
		answer.Body = &boundedBody{answer.Body, maxAnswer}
	}
	return answer, err
}

type boundedBody struct {
	io.ReadCloser
	left int // bytes
}

var errTooLong = fmt.Errorf("the answer has more than %d bytes", maxAnswer)

func (b *boundedBody) Read(p []byte) (int, error) {
	if len(p) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if n > b.left {
		return b.left, errTooLong
	}
	b.left -= n
	if err != nil && err != io.EOF {
		err = &cutOffError{err}
	}
	return n, err
}

// cutOffError marks a broken connection, as opposed to a malformed answer.
type cutOffError struct{ err error }

func (e *cutOffError) Error() string { return "the answer was cut off: " + e.err.Error() }

func (e *cutOffError) Unwrap() error { return e.err }
