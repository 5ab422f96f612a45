package gcp

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"time"

	"github.com/oidctoken/oidctoken/exchange"
)

// Source is the place where a program finds the JWT: a [FileSource], a
// [URLSource] or an [ExecutableSource].
type Source interface {
	// render checks the source and returns the value of credential_source.
	render() (credentialSource, error)
}

// FileSource is a file that holds the JWT and is kept fresh.
type FileSource struct {
	// Path is absolute. Required. The file must hold the JWT without a line break
	// at its end, because most clients send the file unchanged.
	Path string
	// FieldName is the member of the JSON object in the file that is the JWT.
	// Optional; by default the whole file is the JWT.
	FieldName string
}

// URLSource is an address that answers GET with the JWT.
type URLSource struct {
	// URL is https, or http for a loopback host. Required. It may hold no
	// secret: clients show it in errors.
	URL string
	// Headers returns the headers of the request, such as an Authorization that
	// only the step knows. It is a func so that no print verb shows the values.
	// Optional.
	Headers func() map[string]string
	// FieldName is the member of the JSON object in the answer that is the JWT.
	// Optional; by default the whole answer is the JWT.
	FieldName string
}

// ExecutableSource is a program that prints the JWT in the form of Google's
// "executable-sourced credentials". Clients start it only if
// GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES is 1, and some fail when it writes
// to its standard error: prefer the other sources.
type ExecutableSource struct {
	// Command is the absolute path of the program and its arguments, separated
	// by spaces. Required. It may hold no secret: every process can see it.
	Command string
	// Timeout is from 5 s to 2 min, in whole milliseconds. Optional, 30 s by
	// default.
	Timeout time.Duration
	// OutputFile is the absolute path of a file where the program keeps its
	// last answer. Optional.
	OutputFile string
}

// credentialFile has the members, and their order, of what gcloud's
// create-cred-config writes.
type credentialFile struct {
	UniverseDomain   string           `json:"universe_domain"`
	Type             string           `json:"type"`
	Audience         string           `json:"audience"`
	SubjectTokenType string           `json:"subject_token_type"`
	TokenURL         string           `json:"token_url"`
	CredentialSource credentialSource `json:"credential_source"`
	ImpersonationURL string           `json:"service_account_impersonation_url,omitempty"`
	Impersonation    *impersonation   `json:"service_account_impersonation,omitempty"`
	TokenInfoURL     string           `json:"token_info_url,omitempty"`
	QuotaProject     string           `json:"quota_project_id,omitempty"`
}

type impersonation struct {
	LifetimeSeconds int `json:"token_lifetime_seconds"`
}

type credentialSource struct {
	File       string            `json:"file,omitempty"`
	URL        string            `json:"url,omitempty"`
	Headers    map[string]string `json:"headers,omitempty"`
	Format     *format           `json:"format,omitempty"`
	Executable *executable       `json:"executable,omitempty"`
}

type format struct {
	Type      string `json:"type"`
	FieldName string `json:"subject_token_field_name"`
}

type executable struct {
	Command    string `json:"command"`
	Millis     int64  `json:"timeout_millis"`
	OutputFile string `json:"output_file,omitempty"`
}

// CredentialFile returns the credential configuration ("external_account" JSON)
// with which gcloud and Google's client libraries exchange JWTs from s by
// themselves. It equals the output of "gcloud iam workload-identity-pools
// create-cred-config" for the same settings. The caller owns it. It is as
// secret as the headers of a [URLSource]. CredentialFile fails with a
// [*oidctoken.ConfigError].
//
// Java's library refuses endpoints that are not https.
func (e *Exchanger) CredentialFile(s Source) ([]byte, error) {
	if len(e.config.Delegates) > 0 {
		return nil, configError("Delegates", "cannot be named in a credential file")
	}
	if s == nil {
		return nil, configError("Source", "is required")
	}
	source, err := s.render()
	if err != nil {
		return nil, err
	}
	f := credentialFile{
		UniverseDomain:   e.config.UniverseDomain,
		Type:             "external_account",
		Audience:         e.resource(),
		SubjectTokenType: tokenTypeJWT,
		TokenURL:         e.config.TokenURL,
		CredentialSource: source,
		QuotaProject:     e.config.QuotaProject,
	}
	if e.config.ServiceAccount == "" {
		f.TokenInfoURL = e.config.TokenInfoURL
	} else {
		f.ImpersonationURL = e.methodURL(opAccessToken)
		if e.config.Lifetime != 0 {
			f.Impersonation = &impersonation{int(e.config.Lifetime / time.Second)}
		}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(f); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

const (
	credentialsName = "credentials.json"
	botoName        = "boto"
	gcloudDir       = "gcloud"
	gsutilDir       = "gsutil"
	kubeDir         = "kube"
)

// Bundle returns a credential file for tokenFile, as [Exchanger.CredentialFile]
// makes it, and the variables that lead programs to it:
// CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE for gcloud and bq, BOTO_CONFIG for
// gsutil, which ignores the former, and GOOGLE_APPLICATION_CREDENTIALS for
// client libraries.
//
// CLOUDSDK_CONFIG, KUBECONFIG and the state directory in gsutil's configuration
// are below dir, because gcloud caches access tokens in the first by account,
// gke-gcloud-auth-plugin beside the second, and gsutil in the third: in a
// shared directory one pipeline would be served another's token. The file that
// KUBECONFIG names does not exist until a program writes it.
//
// With Config.Project, Config.QuotaProject and a Config.UniverseDomain that is not
// googleapis.com, Bundle returns their variables too.
//
// Bundle fails with a [*oidctoken.ConfigError].
func (e *Exchanger) Bundle(dir, tokenFile string) (*exchange.Bundle, error) {
	return e.bundle(dir, FileSource{Path: tokenFile})
}

// EndpointBundle is Bundle with a credential file that leads to the step's
// endpoint.
func (e *Exchanger) EndpointBundle(dir string, endpoint exchange.Endpoint) (*exchange.Bundle, error) {
	if endpoint.Authorization == nil {
		return nil, configError("Endpoint", "has no Authorization")
	}
	return e.bundle(dir, URLSource{
		URL:       endpoint.TokenURL,
		Headers:   func() map[string]string { return map[string]string{"Authorization": endpoint.Authorization()} },
		FieldName: "value",
	})
}

func (e *Exchanger) bundle(dir string, source Source) (*exchange.Bundle, error) {
	if reason := checkPath(dir); reason != "" {
		return nil, configError("dir", reason)
	}
	file, err := e.CredentialFile(source)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, credentialsName)
	env := e.config.projectEnv()
	env["CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE"] = path
	env["GOOGLE_APPLICATION_CREDENTIALS"] = path
	env["BOTO_CONFIG"] = filepath.Join(dir, botoName)
	env["CLOUDSDK_CONFIG"] = filepath.Join(dir, gcloudDir)
	env["KUBECONFIG"] = filepath.Join(dir, kubeDir, "config")
	if universe := e.config.UniverseDomain; universe != googleUniverse {
		env["CLOUDSDK_CORE_UNIVERSE_DOMAIN"] = universe
		env["GOOGLE_CLOUD_UNIVERSE_DOMAIN"] = universe
	}
	return &exchange.Bundle{
		Files: map[string][]byte{
			credentialsName: file,
			botoName:        botoConfig(path, filepath.Join(dir, gsutilDir)),
		},
		Dirs: []string{gcloudDir, gsutilDir, kubeDir},
		Env:  env,
	}, nil
}

// botoConfig returns a configuration of gsutil. A percent sign begins a reference in
// it.
func botoConfig(credentials, stateDir string) []byte {
	escape := strings.NewReplacer("%", "%%").Replace
	return []byte("[Credentials]\ngs_external_account_file = " + escape(credentials) +
		"\n[GSUtil]\nstate_dir = " + escape(stateDir) + "\n")
}

func (s FileSource) render() (credentialSource, error) {
	if reason := checkPath(s.Path); reason != "" {
		return credentialSource{}, configError("FileSource.Path", reason)
	}
	f, ok := formatOf(s.FieldName)
	if !ok {
		return credentialSource{}, configError("FileSource.FieldName", notText)
	}
	return credentialSource{File: s.Path, Format: f}, nil
}

func (s URLSource) render() (credentialSource, error) {
	if reason := checkURL(s.URL); reason != "" {
		return credentialSource{}, configError("URLSource.URL", reason)
	}
	f, ok := formatOf(s.FieldName)
	if !ok {
		return credentialSource{}, configError("URLSource.FieldName", notText)
	}
	source := credentialSource{URL: s.URL, Format: f}
	if s.Headers != nil {
		source.Headers = s.Headers()
	}
	for name, value := range source.Headers {
		if name == "" || !consists(name, headerNameByte) || hasControl(value) {
			return credentialSource{}, configError("URLSource.Headers", "has a name or a value that no header can have")
		}
	}
	return source, nil
}

func (s ExecutableSource) render() (credentialSource, error) {
	program, _, _ := strings.Cut(s.Command, " ")
	if reason := checkPath(program); reason != "" || hasControl(s.Command) {
		return credentialSource{}, configError("ExecutableSource.Command", "does not begin with an absolute path, or has a control character")
	}
	timeout := s.Timeout
	if timeout == 0 {
		timeout = 30 * time.Second
	}
	if timeout < 5*time.Second || timeout > 2*time.Minute || timeout%time.Millisecond != 0 {
		return credentialSource{}, configError("ExecutableSource.Timeout", "is not between 5 s and 2 min, in whole milliseconds")
	}
	if s.OutputFile != "" {
		if reason := checkPath(s.OutputFile); reason != "" {
			return credentialSource{}, configError("ExecutableSource.OutputFile", reason)
		}
	}
	return credentialSource{Executable: &executable{s.Command, timeout.Milliseconds(), s.OutputFile}}, nil
}

// formatOf returns nil for text, because clients treat an empty format
// differently.
func formatOf(field string) (*format, bool) {
	if field == "" {
		return nil, true
	}
	return &format{Type: "json", FieldName: field}, !hasControl(field)
}

// checkPath refuses a path that an environment variable, a JSON file or another
// working directory would change.
func checkPath(s string) (reason string) {
	switch {
	case s == "":
		return "is required"
	case !filepath.IsAbs(s):
		return "is not an absolute path"
	case hasControl(s):
		return notText
	}
	return ""
}

const notText = "has a control character, or is not UTF-8"

// hasControl reports whether s has a control character or is not UTF-8, which
// JSON cannot hold.
func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' })
}

// headerNameByte reports whether a header name may have b (RFC 9110, section
// 5.6.2).
func headerNameByte(b byte) bool {
	return visible(b) && !strings.ContainsRune(`"(),/:;<=>?@[\]{}`, rune(b))
}
