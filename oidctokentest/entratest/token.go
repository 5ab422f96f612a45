package entratest

import (
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken/internal/standin"
)

const (
	clientAssertion = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" // RFC 7523, section 2.2
	entraLifetime   = 3599 * time.Second                                       // as in Entra's usual answer
)

// serveToken is the token endpoint (RFC 6749, section 4.4; RFC 7523, section
// 2.2).
func (e *Server) serveToken(w http.ResponseWriter, r *http.Request, tenant string) *entraError {
	if r.Method != http.MethodPost {
		return &entraError{http.StatusMethodNotAllowed, "invalid_request", 900561,
			"The endpoint only accepts POST requests. Received a " + quoted(r.Method) + " request."}
	}
	if refused := e.checkTenant(tenant); refused != nil {
		return refused
	}
	form, refused := readEntraForm(r)
	if refused != nil {
		return refused
	}
	application, resource, refused := e.checkGrant(form)
	if refused != nil {
		return refused
	}
	grant, refused := e.authenticate(r.Context(), application, form["client_assertion"])
	if refused != nil {
		return refused
	}
	grant.Resource = resource
	grant.Expires = e.config.Now().Add(entraLifetime)
	seconds := int(entraLifetime / time.Second)
	standin.WriteJSON(w, http.StatusOK, map[string]any{
		"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": e.issue(grant),
	})
	return nil
}

// checkGrant checks all of a token request but the JWT. Parameters that are
// not known are ignored, as Entra does: clients send many.
func (e *Server) checkGrant(form map[string]string) (_ *entraApplication, resource string, _ *entraError) {
	for _, name := range []string{"grant_type", "client_id", "scope"} {
		if form[name] == "" {
			return nil, "", missing(name)
		}
	}
	if form["grant_type"] != "client_credentials" {
		return nil, "", badEntra("unsupported_grant_type", 70003, "The app requested an unsupported grant type '"+quoted(form["grant_type"])+"'.")
	}
	application := e.applications[strings.ToLower(form["client_id"])]
	if application == nil {
		return nil, "", badEntra("unauthorized_client", 700016, "Application with identifier '"+quoted(form["client_id"])+
			"' was not found in the directory '"+e.config.TenantID+"'. This can happen if the application has not been installed"+
			" by the administrator of the tenant or consented to by any user in the tenant."+
			" You may have sent your authentication request to the wrong tenant.")
	}
	resource, refused := e.checkScope(form["scope"])
	if refused != nil {
		return nil, "", refused
	}
	_, secret := form["client_secret"]
	switch {
	case secret:
		return nil, "", badClient(7000215, "Invalid client secret provided. Ensure the secret being sent in the request is"+
			" the client secret value, not the client secret ID, for a secret added to app '"+application.ClientID+"'.")
	case form["client_assertion"] == "":
		return nil, "", badClient(7000216, "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.")
	case form["client_assertion_type"] == "":
		return nil, "", missing("client_assertion_type")
	case form["client_assertion_type"] != clientAssertion:
		return nil, "", badEntra("invalid_request", 90023, "The value of 'client_assertion_type' is not '"+clientAssertion+"'.")
	}
	return application, resource, nil
}

// checkScope returns the one resource. Microsoft's libraries add scopes that
// are for users, which do nothing here.
func (e *Server) checkScope(scope string) (resource string, _ *entraError) {
	for s := range strings.SplitSeq(scope, " ") {
		if s == "openid" || s == "profile" || s == "offline_access" {
			continue
		}
		named, ok := strings.CutSuffix(s, "/.default")
		switch {
		case !ok || named == "":
			return "", badEntra("invalid_scope", 1002012, "The provided value for scope "+quoted(scope)+" is not valid."+
				" Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).")
		case resource != "":
			return "", badEntra("invalid_request", 28000, "Provided value for the input parameter scope is not valid"+
				" because it contains more than one resource. Scope "+quoted(scope)+" is not valid.")
		}
		resource = named
	}
	// A slash at the end is part of some services' audience.
	if !slices.Contains(e.config.Resources, strings.TrimSuffix(resource, "/")) {
		return "", badEntra("invalid_resource", 500011, "The resource principal named "+quoted(resource)+
			" was not found in the tenant named "+e.config.TenantID+". This can happen if the application has not been installed"+
			" by the administrator of the tenant or consented to by any user in the tenant."+
			" You might have sent your authentication request to the wrong tenant.")
	}
	return resource, nil
}

func missing(parameter string) *entraError {
	return badEntra("invalid_request", 900144, "The request body must contain the following parameter: '"+parameter+"'.")
}

// readEntraForm reads a body that is a form, each field of which stands once.
func readEntraForm(r *http.Request) (map[string]string, *entraError) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" || len(r.Header["Content-Type"]) != 1 {
		return nil, missing("grant_type")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, badEntra("invalid_request", 90013, "Invalid input received from the user: the request is too long or was cut off.")
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, badEntra("invalid_request", 90013, "Invalid input received from the user: the request is not a form.")
	}
	form := make(map[string]string)
	for name, all := range values {
		if len(all) != 1 { // RFC 6749, section 3.2
			return nil, badEntra("invalid_request", 9000411, "The request is not properly formatted. The parameter '"+quoted(name)+"' is duplicated.")
		}
		form[name] = all[0]
	}
	return form, nil
}
