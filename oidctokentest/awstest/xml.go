package awstest

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/xml"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
)

// awsError is an error of STS.
type awsError struct {
	status        int
	code, message string
}

func badRequest(code, message string) *awsError {
	return &awsError{http.StatusBadRequest, code, message}
}

func forbidden(code, message string) *awsError {
	return &awsError{http.StatusForbidden, code, message}
}

// readAWSForm reads a request of the query protocol: a POST of a form, in which
// each field stands once. It also returns the body, which a signature covers.
func readAWSForm(w http.ResponseWriter, r *http.Request) (url.Values, []byte, *awsError) {
	if r.Method != http.MethodPost || r.URL.Path != "/" || r.URL.RawQuery != "" {
		return nil, nil, badRequest("InvalidAction", "Could not find operation for the request")
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" || len(r.Header["Content-Type"]) != 1 {
		return nil, nil, badRequest("MissingAction", "Missing Action")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAWSRequest))
	if err != nil {
		return nil, nil, &awsError{http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "The request is too long or was cut off"}
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, nil, badRequest("MalformedQueryString", "The query string is malformed")
	}
	for name, values := range form {
		if len(values) != 1 {
			return nil, nil, badRequest("MalformedQueryString", "A parameter stands more than once: "+name)
		}
	}
	return form, body, nil
}

// serve runs the operation of the form.
func (a *Server) serve(w http.ResponseWriter, r *http.Request, form url.Values, body []byte) *awsError {
	action, version := form.Get("Action"), form.Get("Version")
	switch {
	case action == "":
		return badRequest("MissingAction", "Missing Action")
	case version != awsVersion, action != actionAssume && action != actionIdentity:
		return badRequest("InvalidAction", "Could not find operation "+action+" for version "+version)
	case action == actionIdentity:
		return a.serveIdentity(w, r, form, body)
	}
	return a.serveAssume(w, r, form)
}

// onlyParameters refuses parameters that the operation does not have.
func onlyParameters(form url.Values, known ...string) *awsError {
	for name := range form {
		if name != "Action" && name != "Version" && !slices.Contains(known, name) {
			return badRequest("UnknownParameter", "The parameter "+name+" is not known")
		}
	}
	return nil
}

type responseMetadata struct {
	RequestID string `xml:"RequestId"`
}

type assumedRoleUser struct {
	ARN string `xml:"Arn"`
	ID  string `xml:"AssumedRoleId"`
}

type awsCredentials struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      string
}

type assumeResponse struct {
	XMLName xml.Name         `xml:"https://sts.amazonaws.com/doc/2011-06-15/ AssumeRoleWithWebIdentityResponse"`
	Result  assumeResult     `xml:"AssumeRoleWithWebIdentityResult"`
	Meta    responseMetadata `xml:"ResponseMetadata"`
}

type assumeResult struct {
	Audience                    string
	AssumedRoleUser             assumedRoleUser
	Provider                    string
	Credentials                 awsCredentials
	SubjectFromWebIdentityToken string
	SourceIdentity              string `xml:",omitempty"`
	PackedPolicySize            int    `xml:",omitempty"`
}

type identityResponse struct {
	XMLName xml.Name         `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetCallerIdentityResponse"`
	Result  identityResult   `xml:"GetCallerIdentityResult"`
	Meta    responseMetadata `xml:"ResponseMetadata"`
}

type identityResult struct {
	ARN     string `xml:"Arn"`
	UserID  string `xml:"UserId"`
	Account string
}

type errorResponse struct {
	XMLName   xml.Name    `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
	Error     errorDetail `xml:"Error"`
	RequestID string      `xml:"RequestId"`
}

type errorDetail struct {
	Type    string
	Code    string
	Message string
}

// requestID returns a random UUID, as AWS's are.
func requestID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: the program ends without entropy
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// writeAWS writes an answer. Its value is one of ours, which can be encoded.
func writeAWS(w http.ResponseWriter, status int, id string, value any) {
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("X-Amzn-RequestId", id)
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(value) // who went away needs no error
}

func writeAWSError(w http.ResponseWriter, e *awsError) {
	id := requestID()
	writeAWS(w, e.status, id, errorResponse{Error: errorDetail{"Sender", e.code, e.message}, RequestID: id})
}
