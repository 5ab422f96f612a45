// Package pipeline reads pipeline files: their steps, the scopes of the steps,
// and the connectors. It checks everything that can be checked without running
// the file, so that nothing is started for a wrong file.
package pipeline

import (
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/oidctoken/oidctoken"
)

// File is a pipeline file that was read and checked.
type File struct {
	Name                           string // as given to Read
	Account, Organization, Project oidctoken.Entity
	PipelineName                   string          // for people; it is not in tokens
	Variables                      map[string]Text // the pipeline's, by name
	Expressions                    Expressions
	Issuer                         Issuer
	Connectors                     []Connector
	Stages                         []Stage

	scope  oidctoken.Scope
	places places
	lines  map[string]int
}

// places has the file's key for each field of a Scope: paths such as
// "Stage.Environment.ID", and "stages[deploy].environment.id".
type places map[string]string

// Issuer is the address and the signing of the file's issuer.
type Issuer struct {
	Line        int           // 1 if the file has no issuer
	Listen      string        `key:"listen"`      // host:port; 127.0.0.1:0 by default
	URL         string        `key:"url"`         // empty: the scheme that TLS decides, and the listener's address
	Algorithms  []string      `key:"algorithms"`  // preferred first; RS256, ES256 by default
	TLS         TLS           `key:"tls"`         // zero: plain http
	NullUnknown bool          `key:"nullUnknown"` // unknown claims are null instead of absent
	Lifetime    time.Duration `key:"lifetime"`    // of the tokens; 0: the issuer's default
}

// Expressions has the settings for the texts of steps and variables.
type Expressions struct {
	Delimiters   []string `key:"delimiters"`   // "<+ >", "${{ }}" or both; nil is the former
	Strict       bool     `key:"strict"`       // an expression that would stay text is an error
	ForeignRoots []string `key:"foreignRoots"` // roots of expressions that stay text although they resemble a known root
}

// TLS names PEM files: both or neither.
type TLS struct {
	Cert string `key:"cert"`
	Key  string `key:"key"`
}

// Connector is a connector that steps may refer to. One of the four pointers
// is set.
type Connector struct {
	Line      int
	Ref       string // as written: account.x, org.x or x
	Level     oidctoken.Level
	ID        string // without the level
	UID, Name string

	GCP   *GCP
	AWS   *AWS
	Azure *Azure
	OIDC  *OIDC

	Rules      Rules `key:"rules"`      // zero: every trusted step may use it
	ByEndpoint bool  `key:"byEndpoint"` // its tools ask the step's endpoint, instead of reading files
	Trust      Trust `key:"trust"`      // zero: the stand-in admits the file's account

	places places
}

// Rules limit which steps may use a connector, by the ids of their entities.
type Rules struct {
	Accounts      []string `key:"accounts"`
	Organizations []string `key:"organizations"`
	Projects      []string `key:"projects"`
	Pipelines     []string `key:"pipelines"`
	StageTypes    []string `key:"stageTypes"`
	Environments  []string `key:"environments"`
	Untrusted     bool     `key:"untrusted"`
}

// GCP is a connector to Google Cloud. Empty fields have the cloud's defaults,
// as in the other clouds.
type GCP struct {
	Provider         string        `key:"provider"` // always set
	Audience         string        `key:"audience"`
	ServiceAccount   string        `key:"serviceAccount"`
	TokenURL         string        `key:"tokenURL"`
	ImpersonationURL string        `key:"impersonationURL"`
	Project          string        `key:"project"`
	QuotaProject     string        `key:"quotaProject"`
	UniverseDomain   string        `key:"universeDomain"`
	Lifetime         time.Duration `key:"lifetime"`
}

// AWS is a connector to Amazon Web Services.
type AWS struct {
	RoleARN     string            `key:"roleARN"` // always set
	Region      string            `key:"region"`
	Endpoint    string            `key:"endpoint"`
	Audience    string            `key:"audience"`
	SessionTags []string          `key:"sessionTags"` // names of claims
	UnfitTags   map[string]string `key:"unfitTags"`   // by claim: "fail", "omit" or "encode" a value that no tag can have
	Lifetime    time.Duration     `key:"lifetime"`
}

// Azure is a connector to Microsoft Entra.
type Azure struct {
	TenantID      string `key:"tenantID"` // always set
	ClientID      string `key:"clientID"` // always set
	AuthorityHost string `key:"authorityHost"`
	Scope         string `key:"scope"`
	Audience      string `key:"audience"`
}

// OIDC is a connector whose relying party takes the token itself.
type OIDC struct {
	Audiences []string `key:"audiences"` // at least one; the first is the default
}

// Stage is a stage, with its steps in order.
type Stage struct {
	Line      int
	ID, Name  string
	Scope     oidctoken.Stage
	Variables map[string]Text // by name
	Steps     []Step

	over   oidctoken.Scope // what replaces the pipeline's
	places places
}

// Step is a step of a stage.
type Step struct {
	Line       int
	ID, Name   string
	Scope      oidctoken.Step
	Connectors []Ref  // whose whole environment and files the step gets
	Env        []Text // in the file's order
	Files      []Text // in the file's order; the names are paths that fs.ValidPath accepts
	Run        string // empty for a step of an Approval stage that runs nothing
	RunLine    int

	KeepGoing     bool `key:"keepGoing"`     // the script continues after a command that fails
	ExpectRefusal bool `key:"expectRefusal"` // the step succeeds if it is refused a token or credential, and fails if not

	over   oidctoken.Scope // what replaces the stage's
	places places
}

// Ref is a reference to one of the file's connectors.
type Ref struct {
	Text string
	Line int
}

// Text is a text that may hold expressions.
type Text struct {
	Name string
	Text string
	Line int // where the text begins; 0 if it was set from outside the file, by a user
}

// Texts returns all texts of the step that may hold expressions, in the order
// in which they are resolved. The names are fields, as File.Error takes them.
func (s *Step) Texts() []Text {
	var texts []Text
	for _, t := range s.Env {
		texts = append(texts, Text{join("env", t.Name), t.Text, t.Line})
	}
	for _, t := range s.Files {
		texts = append(texts, Text{join("files", t.Name), t.Text, t.Line})
	}
	if s.Run != "" {
		texts = append(texts, Text{"run", s.Run, s.RunLine})
	}
	return texts
}

// Scope returns the scope of a step, without Audience, Profile and Connector.
// The file owns the values that it points to; they must not be changed. A nil
// step means the stage, a nil stage the pipeline.
func (f *File) Scope(stage *Stage, step *Step) oidctoken.Scope {
	s := f.scope
	if stage != nil {
		s.Stage = stage.Scope
		overlay(&s, &stage.over)
	}
	if step != nil {
		s.Step = &step.Scope
		overlay(&s, &step.over)
	}
	return s
}

// overlay replaces in s what over has, as a whole: half of a template and half
// of another would be none that exists.
func overlay(s, over *oidctoken.Scope) {
	if over.Source != nil {
		s.Source = over.Source
	}
	if over.Runner != nil {
		s.Runner = over.Runner
	}
	if over.Template != nil {
		s.Template = over.Template
	}
}

// Error is a mistake in a pipeline file, with its place. The file's author must
// correct it.
type Error struct {
	File   string
	Line   int    // 1 and up; 0 if the field was set from outside the file
	Field  string // such as "stages[build].steps[list].run"
	Reason string

	cause error // what Reason is the text of, if anything
}

// Error returns one line: "FILE:LINE: FIELD: reason".
func (e *Error) Error() string {
	where := fmt.Sprintf("%s:%d: ", e.File, e.Line)
	if e.Line == 0 {
		where = "-set "
	}
	return oneLine(where + e.Field + ": " + e.Reason)
}

// Unwrap returns the error that File.Error was given.
func (e *Error) Unwrap() error { return e.cause }

// oneLine returns s without line breaks and other control characters.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, unicode.IsControl), " ")
}

// Error returns an *Error about a field of a step, of a stage if step is nil, or of
// the file if stage is nil, too. It wraps err.
func (f *File) Error(line int, stage *Stage, step *Step, field string, err error) error {
	if step != nil {
		field = "steps[" + step.ID + "]." + field
	}
	if stage != nil {
		field = "stages[" + stage.ID + "]." + field
	}
	return &Error{File: f.Name, Line: line, Field: field, Reason: err.Error(), cause: err}
}

// ConnectorError returns an *Error about a connector. field is a field of a
// cloud's Config, such as "TokenURL" or "SessionTags[0]", or of a broker's
// Connector, such as "Rules.Projects"; empty means the connector as a whole. A
// field that is missing in the file is reported at the line of its parent. The
// result wraps err.
func (f *File) ConnectorError(c *Connector, field string, err error) error {
	path := "connectors" + selector(c.Ref)
	cloud, _ := c.cloud()
	at, line := path+"."+cloud, c.Line
	if l, ok := f.lines[at]; ok {
		line = l
	}
	member, _, _ := strings.Cut(field, "[")
	for _, owner := range []string{path + "." + cloud, path} {
		if key := f.givenKey(owner, member); key != "" && member != "" {
			return &Error{File: f.Name, Line: f.lines[key], Field: key, Reason: err.Error(), cause: err}
		}
	}
	if key := c.settingKey(cloud, member); key != "" {
		at += "." + key
	}
	return &Error{File: f.Name, Line: line, Field: at, Reason: err.Error(), cause: err}
}

// givenKey returns the path of a member that the file gives below owner, or "".
// The letter case of member does not count.
func (f *File) givenKey(owner, member string) string {
	for at := range f.lines {
		if key, ok := strings.CutPrefix(at, owner+"."); ok && strings.EqualFold(key, member) {
			return at
		}
	}
	return ""
}

// settingKey returns the key of a cloud's settings for the field of that cloud's
// Config, or "" if the file has no key for it.
func (c *Connector) settingKey(cloud, field string) string {
	for _, settings := range []struct {
		cloud string
		of    any
	}{{"gcp", GCP{}}, {"aws", AWS{}}, {"azure", Azure{}}, {"oidc", OIDC{}}} {
		t := reflect.TypeOf(settings.of)
		for i := range t.NumField() {
			if key := t.Field(i).Tag.Get("key"); settings.cloud == cloud && strings.EqualFold(key, field) {
				return key
			}
		}
	}
	return ""
}

// cloud returns the key of c's relying party, and how many it has.
func (c *Connector) cloud() (key string, n int) {
	for _, k := range []struct {
		key string
		set bool
	}{{"gcp", c.GCP != nil}, {"aws", c.AWS != nil}, {"azure", c.Azure != nil}, {"oidc", c.OIDC != nil}} {
		if k.set {
			key = k.key
			n++
		}
	}
	return key, n
}
