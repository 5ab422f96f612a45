package azure

import (
	"path/filepath"
	"strings"

	"github.com/oidctoken/oidctoken/exchange"
)

const configDir = "azure"

// Bundle returns the variables with which tools exchange the JWT in tokenFile by
// themselves: AZURE_CLIENT_ID, AZURE_TENANT_ID, AZURE_FEDERATED_TOKEN_FILE and
// AZURE_AUTHORITY_HOST for the Azure SDKs (WorkloadIdentityCredential, which
// DefaultAzureCredential tries, too); ARM_USE_OIDC, ARM_OIDC_TOKEN_FILE_PATH,
// ARM_CLIENT_ID and ARM_TENANT_ID for Terraform's providers, and, in a national
// cloud, ARM_ENVIRONMENT. It fails with a [*oidctoken.ConfigError].
//
// AZURE_CONFIG_DIR is a directory below dir, since the Azure CLI keeps its login
// there: in a shared one, a pipeline would find another's. The CLI reads none of
// the other variables; it wants az login --service-principal with
// --federated-token, an argument that other processes may see.
//
// The environment must not set AZURE_CLIENT_SECRET,
// AZURE_CLIENT_CERTIFICATE_PATH, AZURE_USERNAME, ARM_CLIENT_SECRET,
// ARM_CLIENT_CERTIFICATE, ARM_CLIENT_CERTIFICATE_PATH or ARM_OIDC_TOKEN: the
// tools prefer them. The SDKs refuse an AZURE_AUTHORITY_HOST that is not https.
//
// The SDKs go on to use the text of the file for 10 minutes after they read it,
// so it must be replaced by a new JWT when it has still more than that to live.
func (e *Exchanger) Bundle(dir, tokenFile string) (*exchange.Bundle, error) {
	for _, p := range []struct{ field, path string }{{"dir", dir}, {"tokenFile", tokenFile}} {
		if reason := checkPath(p.path); reason != "" {
			return nil, configError(p.field, reason)
		}
	}
	env := map[string]string{
		"AZURE_CLIENT_ID":            e.config.ClientID,
		"AZURE_TENANT_ID":            e.config.TenantID,
		"AZURE_FEDERATED_TOKEN_FILE": tokenFile,
		"AZURE_AUTHORITY_HOST":       e.config.AuthorityHost,
		"AZURE_CONFIG_DIR":           filepath.Join(dir, configDir),
		"ARM_USE_OIDC":               "true",
		"ARM_OIDC_TOKEN_FILE_PATH":   tokenFile,
		"ARM_CLIENT_ID":              e.config.ClientID,
		"ARM_TENANT_ID":              e.config.TenantID,
	}
	if environment := e.config.cloud().environment; environment != "" {
		env["ARM_ENVIRONMENT"] = environment
	}
	return &exchange.Bundle{Dirs: []string{configDir}, Env: env}, nil
}

// checkPath refuses a path that an environment variable or another working
// directory would change.
func checkPath(s string) (reason string) {
	switch {
	case s == "":
		return "is required"
	case !filepath.IsAbs(s):
		return "is not an absolute path"
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }):
		return "has a control character, or is not UTF-8"
	}
	return ""
}
