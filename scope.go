package oidctoken

// Scope describes one execution: who runs, where, and for which audience a
// token is wanted. Only the host fills it, from what it has authenticated
// itself; nothing that a step's user controls may decide a field.
//
// What the host does not know stays empty or nil: the claim is then left out,
// or null where the [Profile] says so. All values are UTF-8 without control
// characters, 1 to 256 bytes; those named ID match
// ^[A-Za-z_][0-9A-Za-z_]{0,127}$ unless their comment says otherwise. Whatever
// breaks a rule is reported by a [*ScopeError] that names the field.
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

	// Context is the kind of work. The zero value means PipelineExecution if
	// Pipeline, Execution or Stage is set, else ConnectorValidation.
	Context Context

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

	// Stage is the kind of stage and what only that kind knows: a value of
	// type CI, Deployment, Custom, Approval, IACM, SecurityTests or
	// FeatureFlag, not a pointer to one. Nil outside a stage.
	Stage Stage
	Step  *Step // nil outside a step

	// Extra holds the host's own claims, by name. Each name begins with
	// Config.ExtraPrefix.
	Extra map[string]string
}

// Entity is something of the platform that has an identifier, which its users
// choose, and a UID, which the platform assigned and never gives again: the
// UID is what a trust policy should pin. Name is for people and may change;
// only a service's is a claim.
type Entity struct {
	ID, UID, Name string
}

// Context is the kind of work that a token is minted for.
type Context string

// The contexts.
const (
	ConnectorValidation   Context = "CONNECTOR_VALIDATION"
	PipelineConfiguration Context = "PIPELINE_CONFIGURATION"
	PipelineExecution     Context = "PIPELINE_EXECUTION"
	PerpetualTask         Context = "PERPETUAL_TASK"
)

// Pipeline is the definition that runs. ID is required.
type Pipeline struct {
	ID, UID string
	Ref     string // Git ref of the definition
	SHA     string // commit of the definition
}

// Execution is one run of a pipeline. All of it is free text.
type Execution struct {
	ID       string
	Sequence string // the run's number, in decimal
	Attempt  string // 1 for the first try
	ParentID string // the execution that started this one
}

// Trigger is what started an execution.
type Trigger struct {
	Type   TriggerType
	ID     string // of the trigger's definition; free text
	ByID   string // immutable id of whoever started it; free text
	ByName string // for audit: names change hands
	// ByEmail is for audit, and set only where a user started the execution.
	ByEmail string
}

// TriggerType is the way in which an execution was started.
type TriggerType string

// The trigger types.
const (
	TriggerManual        TriggerType = "MANUAL"
	TriggerWebhook       TriggerType = "WEBHOOK"
	TriggerWebhookCustom TriggerType = "WEBHOOK_CUSTOM"
	TriggerSchedulerCron TriggerType = "SCHEDULER_CRON"
	TriggerArtifact      TriggerType = "ARTIFACT"
)

// Source is the codebase that an execution builds. It is free text; a nil
// bool is unknown.
type Source struct {
	Repository   string // name; it changes when a repository moves
	RepositoryID string // immutable id at the Git provider
	Ref, RefType string
	SHA          string
	BaseRef      string // of a pull request
	HeadRef      string // of a pull request: its author chooses the name
	IsFork       *bool
	RefProtected *bool
}

// Runner is the machine that the step runs on. Both are free text.
type Runner struct {
	Environment string // such as "hosted" or "self-hosted"
	ID          string
}

// Template is what a step, stage or pipeline was made from. ID is required.
type Template struct {
	ID      string
	Version string
	Scope   Level
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
// home (Scope) says nothing about the execution that uses it: an account-level
// connector serves every project, and the token names the project.
type Connector struct {
	ID, UID, Name string
	Scope         Level
}

// Stage is one of the stage types of this package. The set is closed, so that
// a claim which belongs to one kind of stage cannot be given to another: a CI
// has no environment to carry.
type Stage interface{ isStage() }

// CI is a stage that builds and tests.
type CI struct {
	ID, ExecutionID string    // ExecutionID is free text
	Artifact        *Artifact // after build-and-push
}

// Deployment is a stage that brings a service to an environment.
type Deployment struct {
	ID, ExecutionID string // ExecutionID is free text
	Service         *Entity
	Environment     *Environment
	Infrastructure  *Infrastructure
	Artifact        *Artifact
}

// Custom is a stage without a purpose known to the platform.
type Custom struct {
	ID, ExecutionID string // ExecutionID is free text
	Environment     *Environment
}

// Approval is a stage that waits for somebody's consent.
type Approval struct {
	ID, ExecutionID string // ExecutionID is free text
}

// IACM is a stage that plans or applies infrastructure as code.
type IACM struct {
	ID, ExecutionID string // ExecutionID is free text
	Workspace       *Workspace
}

// SecurityTests is a stage that scans an artifact or a codebase.
type SecurityTests struct {
	ID, ExecutionID string // ExecutionID is free text
	Artifact        *Artifact
}

// FeatureFlag is a stage that changes feature flags.
type FeatureFlag struct {
	ID, ExecutionID string // ExecutionID is free text
}

func (CI) isStage()            {}
func (Deployment) isStage()    {}
func (Custom) isStage()        {}
func (Approval) isStage()      {}
func (IACM) isStage()          {}
func (SecurityTests) isStage() {}
func (FeatureFlag) isStage()   {}

// Environment is where a deployment goes. ID is required.
type Environment struct {
	ID, UID   string
	Type      EnvironmentType
	GroupID   string // free text
	Protected *bool  // nil: unknown
}

// EnvironmentType tells production from everything else.
type EnvironmentType string

// The environment types.
const (
	Production    EnvironmentType = "Production"
	PreProduction EnvironmentType = "PreProduction"
)

// Infrastructure is what a deployment's environment consists of. ID is
// required; Type is free text, such as "KubernetesDirect".
type Infrastructure struct {
	ID, Type string
}

// Artifact is what was built or is deployed. All of it is free text.
type Artifact struct {
	ID, Type, Name string
	Digest         string // algorithm:hex
	Tag            string
}

// Workspace is a set of infrastructure code and its state. ID is required;
// Phase is free text, such as "plan" or "apply".
type Workspace struct {
	ID    string
	Phase string
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
