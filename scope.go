package oidctoken

import (
	"maps"
	"slices"

	"github.com/oidctoken/oidctoken/internal/text"
)

// Scope describes one execution: which code runs, where, and for which audience it
// needs a token. Only the host fills in a Scope, with values that it has
// authenticated itself. A step's user must not control any field.
//
// The host leaves a field empty or nil if it does not know the value. The claim is
// then left out of the token, or is null if the [Profile] sets NullUnknown.
//
// Fields named ID are identifiers, unless their comment calls them free text. An
// identifier has 1 to 128 characters of A-Z a-z 0-9 _ - . $, and is not "." or "..".
// The ID of an account must not have a "$" if Config.URL has {account_id}. The ID of
// a connector must not have a dot. All other texts have 1 to 1024 bytes of UTF-8
// without control characters. A value that breaks its rule is refused with a
// [*ScopeError] that names the field.
//
// Some claims are only for audit: names, e-mail addresses, Source.HeadRef and
// Execution.Matrix. They never stop a token. A value that breaks its rule is left
// out of the token, and [Event] names the claim. The value is refused only if the
// profile's subject names the claim.
type Scope struct {
	// Audience is the only "aud" of the token. It has at most 600 bytes of printable
	// ASCII without spaces. Required.
	Audience string

	// Profile adapts the token to the relying party. Optional, Config.Profile by
	// default.
	Profile *Profile

	// Untrusted marks an execution of code that the account has not admitted, such
	// as a pull request from a fork. It does not become a claim. Mint refuses an
	// untrusted execution with ErrDenied, unless Config.Allow decides otherwise. A
	// Source whose IsFork is true also makes the execution untrusted.
	Untrusted bool

	// Context is the kind of work: ConnectorValidation, PipelineConfiguration,
	// PipelineExecution, PerpetualTask, or another value of the form
	// ^[A-Z][A-Z0-9_]{0,63}$.
	//
	// The default is PipelineExecution if Pipeline, Execution, Source, Template,
	// PipelineTemplate, Stage or Step is set, and ConnectorValidation otherwise. A
	// Scope that sets one of these and has ConnectorValidation is refused: a
	// connector is validated outside pipelines.
	Context string

	Account      Entity // Required.
	Organization Entity // zero for a run at the account's level
	Project      Entity // zero for a run above projects

	Pipeline  *Pipeline
	Execution *Execution
	Trigger   *Trigger
	Source    *Source
	Runner    *Runner
	Template  *Template  // the innermost template, if several apply
	Connector *Connector // nil if the token is not minted for a connector

	// PipelineTemplate is the outermost template, from which the whole pipeline was
	// made. It may be the same as Template.
	PipelineTemplate *Template

	// Stage is a value (not a pointer) of type CI, Deployment, Custom, Approval,
	// IACM, SecurityTests, FeatureFlag, PipelineStage or OpenStage. The type is the
	// kind of stage and has the fields that only this kind has. Nil outside a stage.
	Stage Stage
	Step  *Step // nil outside a step

	// Extra holds the host's own claims by name. Each name begins with
	// Config.ExtraPrefix. Subject templates and session tags can name them like
	// claims of the table.
	Extra map[string]string
}

// Entity identifies an account, an organization, a project or a service. Users
// choose the ID. The platform assigns the UID and never assigns it twice, so a
// trust policy should match the UID. Name is for people and may change. Only the
// Name of a service is a claim; the other names may be any UTF-8.
type Entity struct {
	ID, UID, Name string
}

// These are the known values of [Scope].Context.
const (
	ConnectorValidation   = "CONNECTOR_VALIDATION"
	PipelineConfiguration = "PIPELINE_CONFIGURATION"
	PipelineExecution     = "PIPELINE_EXECUTION"
	PerpetualTask         = "PERPETUAL_TASK"
)

// Pipeline identifies the definition that runs. ID is required.
type Pipeline struct {
	ID, UID string
	Ref     string // Git ref of the definition
	SHA     string // commit of the definition
}

// Execution describes one run of a pipeline. Its strings are free text. A nil bool
// means unknown.
type Execution struct {
	ID         string
	Sequence   string // the run's number, in decimal
	Attempt    string // 1 for the first try
	ParentID   string // the execution that started this one
	RootID     string // the first execution of the chain that led to this one
	IsRollback *bool  // whether it undoes an earlier execution
	Matrix     string // for audit: the combination, as [MatrixText] returns it
}

// MatrixText returns the canonical text of one combination of a matrix: axis=value
// for each axis, sorted by axis and separated by commas. All bytes except A-Z a-z
// 0-9 - . _ ~ are percent-encoded. Two different combinations never have the same
// text. An empty combination gives an empty text.
func MatrixText(combination map[string]string) string {
	var b []byte
	for _, axis := range slices.Sorted(maps.Keys(combination)) {
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = append(text.AppendPercent(b, axis), '=')
		b = text.AppendPercent(b, combination[axis])
	}
	return string(b)
}

// Trigger describes how an execution was started.
type Trigger struct {
	// Type is the way in which the execution was started: MANUAL, WEBHOOK,
	// WEBHOOK_CUSTOM, SCHEDULER_CRON, ARTIFACT, MANIFEST, or another value of the
	// form ^[A-Z][A-Z0-9_]{0,63}$.
	Type string

	ID      string // of the trigger's definition; free text
	ByID    string // immutable id of the user or system that started it; free text
	ByName  string // for audit: a name can pass to another user
	ByEmail string // for audit; empty unless a user started the execution
}

// Source describes the code that an execution builds. Its strings are free text. A
// nil bool means unknown.
type Source struct {
	Repository   string // name, which changes when the repository moves
	RepositoryID string // immutable id at the Git provider
	Ref, RefType string
	SHA          string
	BaseRef      string // of a pull request
	HeadRef      string // of a pull request; for audit: its author chooses the name
	IsFork       *bool
	RefProtected *bool

	RepositoryVisibility string // such as "public", "private" or "internal"
}

// Runner describes the machine on which the step runs. Both fields are free text.
type Runner struct {
	Environment string // such as "hosted" or "self-hosted"
	ID          string
}

// Template identifies the template from which a step, a stage or a pipeline was
// made. ID is required. Version and SHA are free text.
type Template struct {
	ID      string
	Version string
	Level   Level
	SHA     string
}

// Level is the level of the platform's hierarchy at which a connector or template is
// defined.
type Level string

// These are all levels.
const (
	AccountLevel      Level = "account"
	OrganizationLevel Level = "org"
	ProjectLevel      Level = "project"
)

// Connector identifies the connector for which a token is minted. ID is required.
// Level does not describe the execution: every project can use an account-level
// connector, and the token names the project that does.
type Connector struct {
	ID, UID, Name string
	Level         Level
}

// Step identifies one step of a stage.
type Step struct {
	ID          string
	Type        string // free text, such as "Run"
	ExecutionID string // free text
	Database    *Database
}

// Database identifies the database that a step changes, in any kind of stage.
type Database struct {
	SchemaID, InstanceID string
}

// clone returns a copy of s that shares no memory with s, except the Profile, which
// is not changed after its first use.
func (s Scope) clone() Scope {
	s.Pipeline, s.Trigger, s.Runner, s.Connector = clone(s.Pipeline), clone(s.Trigger), clone(s.Runner), clone(s.Connector)
	s.Template, s.PipelineTemplate = clone(s.Template), clone(s.PipelineTemplate)
	if s.Execution = clone(s.Execution); s.Execution != nil {
		s.Execution.IsRollback = clone(s.Execution.IsRollback)
	}
	if s.Source = clone(s.Source); s.Source != nil {
		s.Source.IsFork, s.Source.RefProtected = clone(s.Source.IsFork), clone(s.Source.RefProtected)
	}
	if s.Step = clone(s.Step); s.Step != nil {
		s.Step.Database = clone(s.Step.Database)
	}
	s.Stage = cloneStage(s.Stage)
	s.Extra = maps.Clone(s.Extra)
	return s
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
