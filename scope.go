package oidctoken

import (
	"maps"
	"slices"

	"github.com/oidctoken/oidctoken/internal/text"
)

// Scope describes one execution: who runs, where, and for which audience a
// token is wanted. Only the host fills it, from what it has authenticated
// itself; nothing that a step's user controls may decide a field.
//
// What the host does not know stays empty or nil: the claim is then left out,
// or null where the [Profile] says so.
//
// Fields named ID are identifiers unless their comment calls them free text: 1
// to 128 characters of A-Z a-z 0-9 _ - . $, and not "." or "..". An account's
// has no "$" where Config.URL has {account_id}; a connector's has no dot. All
// other texts have 1 to 1024 bytes of UTF-8 without control characters. A value
// that breaks its rule is refused with a [*ScopeError] that names the field.
//
// Some claims are for audit only: those of names and e-mail addresses,
// Source.HeadRef and Execution.Matrix. They never stop a token. A value that
// breaks the rule is left out of the token, and [Event] names the claim. It is
// refused only if the profile's subject names the claim.
type Scope struct {
	// Audience is the token's one "aud", a string of printable ASCII without
	// spaces, of at most 600 bytes. Required.
	Audience string

	// Profile is how the token looks for this audience's relying party. Nil
	// means the issuer's own.
	Profile *Profile

	// Untrusted marks an execution of code that the account has not admitted,
	// as a pull request from a fork. It is no claim; it makes Mint refuse,
	// with ErrDenied, unless Config.Allow decides otherwise. A Source with
	// IsFork true counts as marked.
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
	Template  *Template  // the innermost one, if several apply
	Connector *Connector // nil if the token is not minted for a connector

	// PipelineTemplate is the outermost template, which the pipeline as a whole
	// was made from. It may be the same as Template.
	PipelineTemplate *Template

	// Stage is the kind of stage and what only that kind knows: a value of
	// type CI, Deployment, Custom, Approval, IACM, SecurityTests, FeatureFlag,
	// PipelineStage or OpenStage, not a pointer to one. Nil outside a stage.
	Stage Stage
	Step  *Step // nil outside a step

	// Extra holds the host's own claims, by name. Each name begins with
	// Config.ExtraPrefix. Subject templates and session tags can name them, as
	// they name claims of the table.
	Extra map[string]string
}

// Entity is something of the platform that has an identifier, which its users
// choose, and a UID, which the platform assigned and never gives again: the
// UID is what a trust policy should pin. Name is for people and may change;
// only a service's is a claim. That of an account, an organization or a project
// is any UTF-8.
type Entity struct {
	ID, UID, Name string
}

// Values of [Scope].Context.
const (
	ConnectorValidation   = "CONNECTOR_VALIDATION"
	PipelineConfiguration = "PIPELINE_CONFIGURATION"
	PipelineExecution     = "PIPELINE_EXECUTION"
	PerpetualTask         = "PERPETUAL_TASK"
)

// Pipeline is the definition that runs. ID is required.
type Pipeline struct {
	ID, UID string
	Ref     string // Git ref of the definition
	SHA     string // commit of the definition
}

// Execution is one run of a pipeline. Its texts are free text; a nil bool is
// unknown.
type Execution struct {
	ID         string
	Sequence   string // the run's number, in decimal
	Attempt    string // 1 for the first try
	ParentID   string // the execution that started this one
	RootID     string // the first execution of the chain that led to this one
	IsRollback *bool  // whether it undoes an earlier execution
	Matrix     string // for audit: the combination, such as [MatrixText] writes it
}

// MatrixText returns the canonical text of a matrix's combination: axis=value,
// sorted by axis and separated by commas, with all bytes percent-encoded except
// A-Z a-z 0-9 - . _ ~ . Two combinations never have the same text. That of an
// empty one is empty.
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

// Trigger is what started an execution.
type Trigger struct {
	// Type is the way in which the execution was started: MANUAL, WEBHOOK,
	// WEBHOOK_CUSTOM, SCHEDULER_CRON, ARTIFACT, MANIFEST, or another value of the
	// form ^[A-Z][A-Z0-9_]{0,63}$.
	Type   string
	ID     string // of the trigger's definition; free text
	ByID   string // immutable id of whoever started it; free text
	ByName string // for audit: names change hands
	// ByEmail is for audit, and set only where a user started the execution.
	ByEmail string
}

// Source is the codebase that an execution builds. It is free text; a nil
// bool is unknown.
type Source struct {
	Repository   string // name; it changes when a repository moves
	RepositoryID string // immutable id at the Git provider
	Ref, RefType string
	SHA          string
	BaseRef      string // of a pull request
	HeadRef      string // of a pull request, for audit: its author chooses the name
	IsFork       *bool
	RefProtected *bool

	RepositoryVisibility string // such as "public", "private" or "internal"
}

// Runner is the machine that the step runs on. Both are free text.
type Runner struct {
	Environment string // such as "hosted" or "self-hosted"
	ID          string
}

// Template is the source of a step, a stage or a pipeline. ID is required;
// Version and SHA are free text.
type Template struct {
	ID      string
	Version string
	Level   Level
	SHA     string
}

// Level is where in the platform's hierarchy a thing is defined.
type Level string

// The levels.
const (
	AccountLevel      Level = "account"
	OrganizationLevel Level = "org"
	ProjectLevel      Level = "project"
)

// Connector is the connector that a token is minted for. ID is required. Its
// Level says nothing about the execution that uses it: an account-level
// connector serves every project, and the token names the project.
type Connector struct {
	ID, UID, Name string
	Level         Level
}

// Step is one step of a stage.
type Step struct {
	ID          string
	Type        string // free text, such as "Run"
	ExecutionID string // free text
	Database    *Database
}

// Database is what a database step changes, in any stage.
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
