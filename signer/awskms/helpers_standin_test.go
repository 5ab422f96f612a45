package awskms_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	region  = "eu-west-1"
	account = "111122223333"
)

// The credentials of the client under test, which nothing may show.
var credentials = aws.Credentials{
	AccessKeyID:     "AKIAIOSFODNN7EXAMPLE",
	SecretAccessKey: "the-secret-access-key-of-a-test",
	SessionToken:    "the-session-token-of-a-test/0123456789abcdef",
}

// standin answers as KMS does, by its JSON protocol, for one account and Region.
type standin struct {
	*httptest.Server

	mu    sync.Mutex
	keys  []*key
	calls map[string]int
	// lag is how many requests of an operation do not see a new key.
	lag map[string]int
	// deny refuses an operation, on a key if it has one.
	deny func(op string, k *key) bool
	// answer replaces an operation's answer if it writes one.
	answer func(op string, w http.ResponseWriter, r *http.Request) bool
	// change alters the members of an answer.
	change func(op string, out map[string]any)
	// alter replaces a signature, of a digest or of a raw message.
	alter func(digest, signature []byte) []byte
}

// key is a KMS key.
type key struct {
	id, arn, spec, usage, state, origin, description string
	tags                                             map[string]string
	private                                          crypto.Signer
	secret                                           []byte // of a symmetric one
	hidden                                           map[string]int
	window                                           int // days, once its deletion is scheduled
}

func newStandin(tb testing.TB) *standin {
	s := &standin{calls: make(map[string]int)}
	s.start()
	tb.Cleanup(s.Close)
	return s
}

func (s *standin) start() { s.Server = httptest.NewServer(s) }

// client returns the real one.
func (s *standin) client(tb testing.TB, options ...func(*kms.Options)) *kms.Client {
	transport := &http.Transport{}
	tb.Cleanup(transport.CloseIdleConnections)
	return s.connect(transport, options...)
}

func (s *standin) connect(transport http.RoundTripper, options ...func(*kms.Options)) *kms.Client {
	return kms.New(kms.Options{
		Region:       region,
		BaseEndpoint: &s.URL,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return credentials, nil
		}),
		HTTPClient: &http.Client{Transport: transport},
	}, options...)
}

func (s *standin) count(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[op]
}

// with changes the stand-in while no request is served.
func (s *standin) with(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// enabled returns the ARNs of the keys that can sign.
func (s *standin) enabled() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var arns []string
	for _, k := range s.keys {
		if k.state == "Enabled" {
			arns = append(arns, k.arn)
		}
	}
	return slices.Sorted(slices.Values(arns))
}

// apiError is an error of KMS.
type apiError struct {
	status        int
	code, message string
}

func refuse(code, format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

func (e *apiError) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-RequestId", "7a1b2c3d-0000-4000-8000-000000000000")
	w.WriteHeader(e.status)
	json.NewEncoder(w).Encode(map[string]string{"__type": e.code, "message": e.message})
}

func (s *standin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return // the client has gone
	}
	op, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "TrentService.")
	if !ok || r.Method != http.MethodPost || r.URL.RequestURI() != "/" || r.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
		refuse("UnknownOperationException", "").write(w)
		return
	}
	s.mu.Lock()
	s.calls[op]++
	answer, change := s.answer, s.change
	s.mu.Unlock()
	if answer != nil {
		r.Body = io.NopCloser(bytes.NewReader(body))
		if answer(op, w, r) {
			return
		}
	}
	if refused := authenticate(r, body); refused != nil {
		refused.write(w)
		return
	}
	s.mu.Lock()
	out, refused := s.serve(op, body)
	s.mu.Unlock()
	if refused != nil {
		refused.write(w)
		return
	}
	if change != nil {
		change(op, out)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	json.NewEncoder(w).Encode(out)
}

// authenticate verifies the Signature Version 4: it signs the covered parts
// again and compares.
func authenticate(r *http.Request, body []byte) *apiError {
	header := r.Header.Get("Authorization")
	_, rest, ok := strings.Cut(header, "SignedHeaders=")
	covered, _, more := strings.Cut(rest, ",")
	if !ok || !more {
		return refuse("MissingAuthenticationTokenException", "Request is missing Authentication Token")
	}
	for _, name := range []string{"content-type", "host", "x-amz-date", "x-amz-security-token", "x-amz-target"} {
		if !slices.Contains(strings.Split(covered, ";"), name) {
			return refuse("IncompleteSignatureException", "%s is not signed", name)
		}
	}
	signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || time.Since(signed).Abs() > 5*time.Minute {
		return refuse("InvalidSignatureException", "Signature expired")
	}
	again, err := http.NewRequest(r.Method, "http://"+r.Host+"/", bytes.NewReader(body))
	if err != nil {
		return refuse("IncompleteSignatureException", "%v", err)
	}
	for _, name := range strings.Split(covered, ";") {
		again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
	}
	again.Header.Del("Host")
	again.Header.Del("Content-Length")
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(r.Context(), credentials, again, hex.EncodeToString(sum[:]), "kms", region, signed); err != nil {
		return refuse("IncompleteSignatureException", "%v", err)
	}
	if again.Header.Get("Authorization") != header {
		return refuse("InvalidSignatureException", "The request signature we calculated does not match the signature you provided.")
	}
	return nil
}

// read decodes a request. An unknown member is an error, because KMS may give
// it a meaning.
func read(body []byte, in any) *apiError {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(in); err != nil {
		return refuse("SerializationException", "%v", err)
	}
	return nil
}

// find returns the key that id names, as seen by op.
func (s *standin) find(op, id string) (*key, *apiError) {
	for _, k := range s.keys {
		if id != k.arn && id != k.id {
			continue
		}
		if s.deny != nil && s.deny(op, k) {
			return nil, refuse("AccessDeniedException",
				"User: arn:aws:sts::%s:assumed-role/ci/host is not authorized to perform: kms:%s on resource: %s", account, op, k.arn)
		}
		if !k.visible(op) {
			break
		}
		return k, nil
	}
	return nil, refuse("NotFoundException", "Key '%s' does not exist", id)
}

func (k *key) visible(op string) bool {
	if k.hidden[op] > 0 {
		k.hidden[op]--
		return false
	}
	return true
}

// usable returns the error for a key that is disabled or scheduled for
// deletion.
func (k *key) usable() *apiError {
	switch k.state {
	case "Enabled":
		return nil
	case "Disabled":
		return refuse("DisabledException", "%s is disabled.", k.arn)
	}
	return refuse("KMSInvalidStateException", "%s is pending deletion.", k.arn)
}

func (s *standin) add(k *key) *key {
	k.id = fmt.Sprintf("%08d-12ab-34cd-56ef-1234567890ab", len(s.keys)+1)
	k.arn = "arn:aws:kms:" + region + ":" + account + ":key/" + k.id
	k.state, k.hidden = "Enabled", maps.Clone(s.lag)
	if k.origin == "" {
		k.origin = "AWS_KMS"
	}
	s.keys = append(s.keys, k)
	return k
}
