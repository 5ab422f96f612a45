package awstest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxWebIdentity   = 20000
	minDuration      = 900
	maxDuration      = 43200
	defaultDuration  = 3600
	maxPolicy        = 2048 // characters, of all session policies together
	maxAWSPolicyARNs = 10
)

// assumption is a request to assume a role, of the right shape.
type assumption struct {
	roleARN, sessionName, token string
	duration                    time.Duration
	policy                      string
	policyARNs                  []string
}

// serveAssume is AssumeRoleWithWebIdentity. It is not signed: a request that is
// comes from a client that found other credentials first.
func (a *Server) serveAssume(w http.ResponseWriter, r *http.Request, form url.Values) *awsError {
	if len(r.Header["Authorization"])+len(r.Header["X-Amz-Security-Token"]) > 0 {
		return forbidden("InvalidClientTokenId", "The security token included in the request is invalid.")
	}
	asked, refused := readAssumption(form)
	if refused != nil {
		return refused
	}
	account := strings.Split(asked.roleARN, ":")[4]
	identity, refused := a.verifyWebIdentity(r.Context(), account, asked.token)
	if refused != nil {
		return refused
	}
	role, refused := a.authorize(identity, asked)
	if refused != nil {
		return refused
	}
	a.writeSession(w, role, identity, asked)
	return nil
}

// authorize returns the role that the JWT may assume.
func (a *Server) authorize(identity *webIdentity, asked *assumption) (*awsRole, *awsError) {
	denied := forbidden("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
	// The roles claim refuses every other role before the trust policy.
	if identity.roles != nil && !slices.Contains(identity.roles, asked.roleARN) {
		return nil, denied
	}
	role := a.roles[asked.roleARN]
	if role == nil || !slices.ContainsFunc(role.Trust, func(t Trust) bool { return t.admits(identity, role.ARN) }) {
		return nil, denied
	}
	if asked.duration > role.MaxSessionDuration {
		return nil, validation("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	return role, nil
}

func (a *Server) writeSession(w http.ResponseWriter, role *awsRole, identity *webIdentity, asked *assumption) {
	s := Session{
		RoleARN:           role.ARN,
		ARN:               "arn:" + role.partition + ":sts::" + role.account + ":assumed-role/" + role.name + "/" + asked.sessionName,
		UserID:            role.id + ":" + asked.sessionName,
		Account:           role.account,
		Provider:          identity.issuer,
		Subject:           identity.subject,
		Tags:              identity.tags,
		TransitiveTagKeys: identity.transitive,
		SourceIdentity:    identity.sourceIdentity,
		Policy:            asked.policy,
		PolicyARNs:        asked.policyARNs,
		Expires:           a.config.Now().Add(asked.duration).Truncate(time.Second),
	}
	id := requestID()
	accessKeyID, secret, token := a.issue(s)
	writeAWS(w, http.StatusOK, id, assumeResponse{
		Result: assumeResult{
			Audience:        identity.audience,
			AssumedRoleUser: assumedRoleUser{s.ARN, s.UserID},
			// STS names a private issuer by the ARN of its provider.
			Provider:                    "arn:" + role.partition + ":iam::" + role.account + ":oidc-provider/" + withoutScheme(identity.issuer),
			Credentials:                 awsCredentials{accessKeyID, secret, token, s.Expires.UTC().Format(time.RFC3339)},
			SubjectFromWebIdentityToken: identity.subject,
			SourceIdentity:              identity.sourceIdentity,
			PackedPolicySize:            policySize(asked) * 100 / maxPolicy,
		},
		Meta: responseMetadata{id},
	})
}

func withoutScheme(issuer string) string {
	_, rest, _ := strings.Cut(issuer, "://")
	return rest
}

func validation(message string) *awsError { return badRequest("ValidationError", message) }

// constraint returns the query APIs' error for a parameter of the wrong form. AWS's
// own text repeats the value.
func constraint(parameter, rule string) *awsError {
	return validation("1 validation error detected: Value at '" + parameter + "' failed to satisfy constraint: Member must " + rule)
}

func readAssumption(form url.Values) (*assumption, *awsError) {
	known := []string{"RoleArn", "RoleSessionName", "WebIdentityToken", "DurationSeconds", "Policy"}
	for i := 1; i <= maxAWSPolicyARNs+1; i++ { // one more, to be refused for its number
		known = append(known, policyARN(i))
	}
	if refused := onlyParameters(form, known...); refused != nil {
		return nil, refused
	}
	asked := &assumption{
		roleARN:     form.Get("RoleArn"),
		sessionName: form.Get("RoleSessionName"),
		token:       form.Get("WebIdentityToken"),
		duration:    defaultDuration * time.Second,
	}
	switch {
	case !isARN(asked.roleARN):
		return nil, constraint("roleArn", "have length between 20 and 2048")
	case !isRoleARN(asked.roleARN):
		return nil, validation("Request ARN is invalid")
	case !isSessionName(asked.sessionName):
		return nil, constraint("roleSessionName", `satisfy regular expression pattern: [\w+=,.@-]{2,64}`)
	case len(asked.token) < 4:
		return nil, constraint("webIdentityToken", "have length greater than or equal to 4")
	case len(asked.token) > maxWebIdentity:
		return nil, constraint("webIdentityToken", "have length less than or equal to 20000")
	}
	if form.Has("DurationSeconds") {
		seconds, err := strconv.Atoi(form.Get("DurationSeconds"))
		if err != nil || seconds < minDuration || seconds > maxDuration {
			return nil, constraint("durationSeconds", "have value between 900 and 43200")
		}
		asked.duration = time.Duration(seconds) * time.Second
	}
	return asked, asked.readPolicies(form)
}

func policyARN(i int) string { return fmt.Sprintf("PolicyArns.member.%d.arn", i) }

func (asked *assumption) readPolicies(form url.Values) *awsError {
	if form.Has("Policy") {
		asked.policy = form.Get("Policy")
		if n := utf8.RuneCountInString(asked.policy); n < 1 || n > maxPolicy {
			return constraint("policy", "have length between 1 and 2048")
		}
		if refused := checkPolicyDocument(asked.policy); refused != nil {
			return refused
		}
	}
	account := strings.Split(asked.roleARN, ":")[4]
	for i := 1; form.Has(policyARN(i)); i++ {
		p := strings.SplitN(form.Get(policyARN(i)), ":", 6)
		if len(p) != 6 || p[2] != "iam" || p[4] != account && p[4] != "aws" || !strings.HasPrefix(p[5], "policy/") {
			return validation("The specified managed policy ARN is invalid")
		}
		asked.policyARNs = append(asked.policyARNs, form.Get(policyARN(i)))
	}
	if len(asked.policyARNs) > maxAWSPolicyARNs {
		return constraint("policyArns", "have length less than or equal to 10")
	}
	if policySize(asked) > maxPolicy {
		return badRequest("PackedPolicyTooLarge", fmt.Sprintf("Packed policy consumes %d%% of allotted space, please use smaller policy.",
			policySize(asked)*100/maxPolicy))
	}
	return nil
}

// policySize returns the plain size of the session policies; how AWS packs them, and
// tags, is not documented.
func policySize(asked *assumption) int {
	size := utf8.RuneCountInString(asked.policy)
	for _, arn := range asked.policyARNs {
		size += len(arn)
	}
	return size
}

// checkPolicyDocument requires the members of every IAM policy.
func checkPolicyDocument(text string) *awsError {
	var policy struct {
		Version   string
		Statement json.RawMessage
	}
	err := json.Unmarshal([]byte(text), &policy)
	if err != nil || policy.Version != "2012-10-17" && policy.Version != "2008-10-17" || len(policy.Statement) == 0 ||
		policy.Statement[0] != '[' && policy.Statement[0] != '{' {
		return badRequest("MalformedPolicyDocument", "Syntax errors in policy.")
	}
	return nil
}

func isRoleARN(s string) bool {
	p := strings.SplitN(s, ":", 6)
	return len(p) == 6 && p[0] == "arn" && p[2] == "iam" && p[3] == "" && isAccount(p[4]) && strings.HasPrefix(p[5], "role/")
}
