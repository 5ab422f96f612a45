package awstest

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	sigV4Algorithm = "AWS4-HMAC-SHA256"
	sigV4Time      = "20060102T150405Z"
	sigV4Skew      = 5 * time.Minute
	sigV4Service   = "sts"
)

// serveIdentity is GetCallerIdentity.
func (a *Server) serveIdentity(w http.ResponseWriter, r *http.Request, form url.Values, body []byte) *awsError {
	s, refused := a.authenticate(r, body)
	if refused == nil {
		refused = onlyParameters(form)
	}
	if refused != nil {
		return refused
	}
	id := requestID()
	writeAWS(w, http.StatusOK, id, identityResponse{
		Result: identityResult{s.ARN, s.UserID, s.Account},
		Meta:   responseMetadata{id},
	})
	return nil
}

// signature is the Authorization header of Signature Version 4.
type signature struct {
	accessKeyID, date, region string
	headers                   []string // signed, in order
	value                     string
}

func (s *signature) scope() string {
	return s.date + "/" + s.region + "/" + sigV4Service + "/aws4_request"
}

// parseSignature reads
// AWS4-HMAC-SHA256 Credential=ID/DATE/REGION/sts/aws4_request, SignedHeaders=a;b, Signature=hex.
func parseSignature(header string) (*signature, bool) {
	rest, ok := strings.CutPrefix(header, sigV4Algorithm+" ")
	parts := strings.Split(rest, ",")
	if !ok || len(parts) != 3 {
		return nil, false
	}
	var values [3]string
	for i, name := range []string{"Credential=", "SignedHeaders=", "Signature="} {
		if values[i], ok = strings.CutPrefix(strings.TrimSpace(parts[i]), name); !ok {
			return nil, false
		}
	}
	scope := strings.Split(values[0], "/")
	if len(scope) != 5 || scope[0] == "" || scope[2] == "" || scope[3] != sigV4Service || scope[4] != "aws4_request" {
		return nil, false
	}
	s := &signature{scope[0], scope[1], scope[2], strings.Split(values[1], ";"), values[2]}
	sorted := slices.IsSorted(s.headers) && len(slices.Compact(slices.Clone(s.headers))) == len(s.headers)
	return s, sorted && values[1] == strings.ToLower(values[1])
}

// authenticate verifies the Signature Version 4 of a request to the path "/"
// without a query, which covers the host, the time, the session token and the
// body at least.
func (a *Server) authenticate(r *http.Request, body []byte) (awsSession, *awsError) {
	incomplete := badRequest("IncompleteSignature", "Request must contain a complete Authorization header of Signature Version 4.")
	if len(r.Header["Authorization"]) == 0 {
		return awsSession{}, forbidden("MissingAuthenticationToken", "Request is missing Authentication Token")
	}
	sig, ok := parseSignature(strings.Join(r.Header["Authorization"], ","))
	if !ok || len(r.Header["X-Amz-Date"]) != 1 {
		return awsSession{}, incomplete
	}
	date := r.Header.Get("X-Amz-Date")
	signed, err := time.Parse(sigV4Time, date)
	if err != nil || !strings.HasPrefix(date, sig.date+"T") || !sig.covers(r.Header) {
		return awsSession{}, incomplete
	}
	s, ok := a.session(sig.accessKeyID)
	token := r.Header["X-Amz-Security-Token"]
	if !ok || len(token) != 1 || subtle.ConstantTimeCompare([]byte(token[0]), []byte(s.token())) != 1 {
		return awsSession{}, forbidden("InvalidClientTokenId", "The security token included in the request is invalid.")
	}
	want := sig.sign(s.secret(), date, canonicalRequest(r, sig.headers, body))
	if subtle.ConstantTimeCompare([]byte(want), []byte(sig.value)) != 1 {
		return awsSession{}, forbidden("SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided."+
			" Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	now := a.config.Now()
	switch {
	case now.Sub(signed).Abs() > sigV4Skew:
		return awsSession{}, forbidden("SignatureDoesNotMatch", "Signature expired: "+date+" is not within 5 min. of "+now.UTC().Format(sigV4Time))
	case !now.Before(s.Expires):
		return awsSession{}, forbidden("ExpiredToken", "The security token included in the request is expired")
	}
	return s, nil
}

// covers reports whether every header is signed that must be: what AWS gives a
// meaning to.
func (s *signature) covers(header http.Header) bool {
	needed := []string{"host", "x-amz-date", "x-amz-security-token"}
	for name := range header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") {
			needed = append(needed, lower)
		}
	}
	return !slices.ContainsFunc(needed, func(name string) bool { return !slices.Contains(s.headers, name) })
}

func canonicalRequest(r *http.Request, headers []string, body []byte) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n/\n\n")
	for _, name := range headers {
		values := r.Header.Values(name)
		switch name {
		case "host":
			values = []string{r.Host}
		case "content-length":
			// net/http removes it from the header; the signature covers it.
			values = []string{strconv.FormatInt(r.ContentLength, 10)}
		}
		trimmed := make([]string, len(values))
		for i, v := range values {
			trimmed[i] = strings.Join(strings.Fields(v), " ")
		}
		b.WriteString(name + ":" + strings.Join(trimmed, ",") + "\n")
	}
	b.WriteString("\n" + strings.Join(headers, ";") + "\n" + hexSHA256(body))
	return b.String()
}

// sign makes the signature that the secret's owner would.
func (s *signature) sign(secret, date, canonical string) string {
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.date, s.region, sigV4Service, "aws4_request"} {
		key = hmacSHA256(key, part)
	}
	return hex.EncodeToString(hmacSHA256(key, sigV4Algorithm+"\n"+date+"\n"+s.scope()+"\n"+hexSHA256([]byte(canonical))))
}

func hmacSHA256(key []byte, data string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(data))
	return h.Sum(nil)
}

func hexSHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
