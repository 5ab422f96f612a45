package oidctoken

import (
	"slices"
	"strings"

	"github.com/oidctoken/oidctoken/internal/ident"
)

// claim is a row of the table: the only place that knows a claim's name, what
// its value is and where that comes from. The rows' order is their order in a
// token. Rendering, Preview, claims_supported, subject templates and the
// reference page all read it.
type claim struct {
	name   string
	field  string // of Scope, for errors
	format format
	value  func(*facts) string // "" is unknown
	known  string              // when the value is known
	doc    string
}

// format says what a claim's value may look like.
type format struct {
	name  string
	check func(string) string // why a value is refused; "" if it is not

	// class and most take a short cut: a value of at most so many bytes, all of
	// the class, is good and needs no escape in JSON, unless it begins with a dot.
	class uint8
	most  int

	// audit marks a claim that no policy rests on. A value that is refused is
	// then left out, and does not stop the token.
	audit bool
}

var (
	identifier  = format{"identifier", ident.Check, identifierByte, ident.Max, false}
	connectorID = format{"identifier without a dot", ident.CheckConnector, connectorByte, ident.Max, false}
	text        = format{"text", checkText, plainByte, maxText, false}
	auditText   = format{"text", checkText, plainByte, maxText, true}
	boolean     = oneOf("true", "false")
	level       = oneOf(string(AccountLevel), string(OrganizationLevel), string(ProjectLevel))

	contextName     = openList(upperWord, ConnectorValidation, PipelineConfiguration, PipelineExecution, PerpetualTask)
	triggerType     = openList(upperWord, "MANUAL", "WEBHOOK", "WEBHOOK_CUSTOM", "SCHEDULER_CRON", "ARTIFACT", "MANIFEST")
	environmentType = openList(word, Production, PreProduction)
)

func oneOf(values ...string) format {
	quoted := `"` + strings.Join(values, `", "`) + `"`
	return format{name: quoted, check: func(s string) string {
		if slices.Contains(values, s) {
			return ""
		}
		return "is not one of " + quoted
	}}
}

// openList is the format of the known values, and of others of the same form.
func openList(f form, known ...string) format {
	quoted := `"` + strings.Join(known, `", "`) + `"`
	return format{name: quoted + `, or another of the form "` + f.String() + `"`, check: func(s string) string {
		if slices.Contains(known, s) {
			return ""
		}
		if !f.has(s) {
			return "is not one of " + quoted + ", nor another of the form " + f.String()
		}
		return shadows(s, known)
	}}
}

// shadows says which of the known values s differs from in letter case only, or
// returns "". A reader would take the two for one.
func shadows(s string, known []string) string {
	for _, k := range known {
		if strings.EqualFold(k, s) {
			return `differs from "` + k + `" in letter case only`
		}
	}
	return ""
}

// form is the form of a value that a host adds to an open list.
type form string

const (
	upperWord form = "A-Z" // the letters
	word      form = "A-Za-z"
)

// String returns the form as a regular expression.
func (f form) String() string { return "^[" + string(f) + "][" + string(f) + "0-9_]{0,63}$" }

// has reports whether s is of the form.
func (f form) has(s string) bool {
	for i := range len(s) {
		b := s[i]
		letter := 'A' <= b && b <= 'Z' || f == word && 'a' <= b && b <= 'z'
		if !letter && (i == 0 || b != '_' && (b < '0' || b > '9')) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

const (
	always         = "always"
	inOrganization = "unless the run is at the account's level"
	inProject      = "unless the run is above projects"
	inPipeline     = "in every pipeline execution"
	inExecution    = "in every execution"
	forConnector   = "minted for a connector"
	inStage        = "inside a stage"
	inStep         = "inside a step"
	withService    = "Deployment; Custom or OpenStage with a service"
	inDeployment   = "Deployment; OpenStage with an infrastructure"
	inEnvironment  = "Deployment; Custom or OpenStage with an environment"
	ofArtifact     = "Deployment or OpenStage with an artifact; CI after build-and-push; SecurityTests"
	ofTrigger      = "where the trigger is known"
	ofSource       = "CI with a codebase, and wherever else the host knows it"
	ofRunner       = "where the host knows it"
	ofTemplate     = "step, stage or pipeline from a template"
	ofDatabase     = "database steps, in any stage"
	inWorkspace    = "IACM; OpenStage with a workspace"
)

// registered are the claims of RFC 7519, section 4.1, that every token has.
var registered = []string{"iss", "sub", "aud", "iat", "nbf", "exp", "jti"}

var table = []claim{
	{"account_id", "Account.ID", identifier, func(f *facts) string { return f.account.ID }, always, "the account that the execution belongs to"},
	{"account_uid", "Account.UID", text, func(f *facts) string { return f.account.UID }, always, "immutable id of the account"},
	{"organization_id", "Organization.ID", identifier, func(f *facts) string { return f.organization.ID }, inOrganization, "the organization of the execution, never that of the connector"},
	{"organization_uid", "Organization.UID", text, func(f *facts) string { return f.organization.UID }, inOrganization, "immutable id of the organization"},
	{"project_id", "Project.ID", identifier, func(f *facts) string { return f.project.ID }, inProject, "the project of the execution, never that of the connector"},
	{"project_uid", "Project.UID", text, func(f *facts) string { return f.project.UID }, inProject, "immutable id of the project"},

	{"pipeline_id", "Pipeline.ID", identifier, func(f *facts) string { return f.pipeline.ID }, inPipeline, "the pipeline that runs"},
	{"pipeline_uid", "Pipeline.UID", text, func(f *facts) string { return f.pipeline.UID }, inPipeline, "immutable id of the pipeline"},
	{"pipeline_ref", "Pipeline.Ref", text, func(f *facts) string { return f.pipeline.Ref }, inPipeline, "Git ref of the pipeline's definition"},
	{"pipeline_sha", "Pipeline.SHA", text, func(f *facts) string { return f.pipeline.SHA }, inPipeline, "commit of the pipeline's definition"},

	{"execution_id", "Execution.ID", text, func(f *facts) string { return f.execution.ID }, inExecution, "this run of the pipeline"},
	{"execution_sequence", "Execution.Sequence", text, func(f *facts) string { return f.execution.Sequence }, inExecution, "the run's number"},
	{"execution_attempt", "Execution.Attempt", text, func(f *facts) string { return f.execution.Attempt }, inExecution, "how often the run was tried"},
	{"parent_execution_id", "Execution.ParentID", text, func(f *facts) string { return f.execution.ParentID }, inExecution, "the execution that started this one"},
	{"root_execution_id", "Execution.RootID", text, func(f *facts) string { return f.execution.RootID }, inExecution, "the first execution of the chain that led to this one"},
	{"is_rollback", "Execution.IsRollback", boolean, func(f *facts) string { return boolText(f.execution.IsRollback) }, inExecution, "whether the execution undoes an earlier one"},
	{"matrix", "Execution.Matrix", auditText, func(f *facts) string { return f.execution.Matrix }, inExecution, "for audit: the combination of a matrix, whose values the pipeline's author chooses"},

	{"context", "Context", contextName, func(f *facts) string { return f.context }, always, "the kind of work"},

	{"connector_id", "Connector.ID", connectorID, func(f *facts) string { return f.connector.ID }, forConnector, "the connector that the token is minted for"},
	{"connector_uid", "Connector.UID", text, func(f *facts) string { return f.connector.UID }, forConnector, "immutable id of the connector"},
	{"connector_name", "Connector.Name", auditText, func(f *facts) string { return f.connector.Name }, forConnector, "for audit: names change"},
	{"connector_scope", "Connector.Level", level, func(f *facts) string { return string(f.connector.Level) }, forConnector, "where the connector is defined, which says nothing about who uses it"},

	{"stage_type", "Stage", text, func(f *facts) string { return f.stageType }, inStage, "the kind of stage, such as \"CI\" or \"Deployment\""},
	{"stage_id", "Stage.ID", identifier, func(f *facts) string { return f.stageID }, inStage, "the stage"},
	{"stage_execution_id", "Stage.ExecutionID", text, func(f *facts) string { return f.stageExecutionID }, inStage, "this run of the stage"},

	{"step_id", "Step.ID", identifier, func(f *facts) string { return f.step.ID }, inStep, "the step"},
	{"step_type", "Step.Type", text, func(f *facts) string { return f.step.Type }, inStep, "the kind of step"},
	{"step_execution_id", "Step.ExecutionID", text, func(f *facts) string { return f.step.ExecutionID }, inStep, "this run of the step"},

	{"service_id", "Stage.Service.ID", identifier, func(f *facts) string { return f.service.ID }, withService, "the service that is deployed"},
	{"service_uid", "Stage.Service.UID", text, func(f *facts) string { return f.service.UID }, withService, "immutable id of the service"},
	{"service_name", "Stage.Service.Name", auditText, func(f *facts) string { return f.service.Name }, withService, "for audit: names change"},

	{"environment_id", "Stage.Environment.ID", identifier, func(f *facts) string { return f.environment.ID }, inEnvironment, "the environment that is deployed to"},
	{"environment_uid", "Stage.Environment.UID", text, func(f *facts) string { return f.environment.UID }, inEnvironment, "immutable id of the environment"},
	{"environment_type", "Stage.Environment.Type", environmentType, func(f *facts) string { return f.environment.Type }, inEnvironment, "production or not"},
	{"environment_group_id", "Stage.Environment.GroupID", text, func(f *facts) string { return f.environment.GroupID }, inEnvironment, "the group that the environment was chosen by"},
	{"environment_protected", "Stage.Environment.Protected", boolean, func(f *facts) string { return boolText(f.environment.Protected) }, inEnvironment, "whether deployments there need a consent"},

	{"infrastructure_id", "Stage.Infrastructure.ID", identifier, func(f *facts) string { return f.infrastructure.ID }, inDeployment, "the infrastructure that is deployed to"},
	{"infrastructure_type", "Stage.Infrastructure.Type", text, func(f *facts) string { return f.infrastructure.Type }, inDeployment, "the kind of infrastructure"},

	{"artifact_id", "Stage.Artifact.ID", text, func(f *facts) string { return f.artifact.ID }, ofArtifact, "the artifact"},
	{"artifact_type", "Stage.Artifact.Type", text, func(f *facts) string { return f.artifact.Type }, ofArtifact, "the kind of artifact"},
	{"artifact_name", "Stage.Artifact.Name", auditText, func(f *facts) string { return f.artifact.Name }, ofArtifact, "for audit: names change"},
	{"artifact_digest", "Stage.Artifact.Digest", text, func(f *facts) string { return f.artifact.Digest }, ofArtifact, "what the artifact consists of"},
	{"tag", "Stage.Artifact.Tag", text, func(f *facts) string { return f.artifact.Tag }, ofArtifact, "the artifact's tag, which can be moved"},

	{"trigger_type", "Trigger.Type", triggerType, func(f *facts) string { return f.trigger.Type }, ofTrigger, "how the execution was started"},
	{"trigger_id", "Trigger.ID", text, func(f *facts) string { return f.trigger.ID }, ofTrigger, "the trigger's definition"},
	{"triggered_by_id", "Trigger.ByID", text, func(f *facts) string { return f.trigger.ByID }, ofTrigger, "immutable id of whoever started the execution"},
	{"triggered_by_name", "Trigger.ByName", auditText, func(f *facts) string { return f.trigger.ByName }, ofTrigger, "for audit: names change hands"},
	{"trigger_by_email", "Trigger.ByEmail", auditText, func(f *facts) string { return f.trigger.ByEmail }, "where a user started the execution", "for audit: addresses change hands"},

	{"repository", "Source.Repository", text, func(f *facts) string { return f.source.Repository }, ofSource, "the repository's name, which changes when it moves"},
	{"repository_id", "Source.RepositoryID", text, func(f *facts) string { return f.source.RepositoryID }, ofSource, "immutable id of the repository at its Git provider"},
	{"ref", "Source.Ref", text, func(f *facts) string { return f.source.Ref }, ofSource, "the Git ref that is built"},
	{"ref_type", "Source.RefType", text, func(f *facts) string { return f.source.RefType }, ofSource, "branch, tag and so on"},
	{"sha", "Source.SHA", text, func(f *facts) string { return f.source.SHA }, ofSource, "the commit that is built"},
	{"base_ref", "Source.BaseRef", text, func(f *facts) string { return f.source.BaseRef }, ofSource, "what a pull request would be merged into"},
	{"head_ref", "Source.HeadRef", auditText, func(f *facts) string { return f.source.HeadRef }, ofSource, "a pull request's branch: its author chooses the name, so no policy may rest on it"},
	{"is_fork", "Source.IsFork", boolean, func(f *facts) string { return boolText(f.source.IsFork) }, ofSource, "whether a fork's code is built"},
	{"ref_protected", "Source.RefProtected", boolean, func(f *facts) string { return boolText(f.source.RefProtected) }, ofSource, "whether the Git provider protects the ref"},
	{"repository_visibility", "Source.RepositoryVisibility", text, func(f *facts) string { return f.source.RepositoryVisibility }, ofSource, "public, private and so on"},

	{"runner_environment", "Runner.Environment", text, func(f *facts) string { return f.runner.Environment }, ofRunner, "the kind of machine"},
	{"runner_id", "Runner.ID", text, func(f *facts) string { return f.runner.ID }, ofRunner, "the machine"},

	{"template_id", "Template.ID", identifier, func(f *facts) string { return f.template.ID }, ofTemplate, "the innermost template"},
	{"template_version", "Template.Version", text, func(f *facts) string { return f.template.Version }, ofTemplate, "the template's version"},
	{"template_scope", "Template.Level", level, func(f *facts) string { return string(f.template.Level) }, ofTemplate, "where the template is defined"},
	{"template_sha", "Template.SHA", text, func(f *facts) string { return f.template.SHA }, ofTemplate, "commit of the template"},

	{"pipeline_template_id", "PipelineTemplate.ID", identifier, func(f *facts) string { return f.pipelineTemplate.ID }, ofTemplate, "the outermost template, which a policy on golden pipelines checks"},
	{"pipeline_template_version", "PipelineTemplate.Version", text, func(f *facts) string { return f.pipelineTemplate.Version }, ofTemplate, "its version"},
	{"pipeline_template_scope", "PipelineTemplate.Level", level, func(f *facts) string { return string(f.pipelineTemplate.Level) }, ofTemplate, "where it is defined"},
	{"pipeline_template_sha", "PipelineTemplate.SHA", text, func(f *facts) string { return f.pipelineTemplate.SHA }, ofTemplate, "its commit"},

	{"db_schema_id", "Step.Database.SchemaID", identifier, func(f *facts) string { return f.database.SchemaID }, ofDatabase, "the database schema that is changed"},
	{"db_instance_id", "Step.Database.InstanceID", identifier, func(f *facts) string { return f.database.InstanceID }, ofDatabase, "the database instance that is changed"},

	{"workspace_id", "Stage.Workspace.ID", identifier, func(f *facts) string { return f.workspace.ID }, inWorkspace, "the workspace"},
	{"run_phase", "Stage.Workspace.Phase", text, func(f *facts) string { return f.workspace.Phase }, inWorkspace, "plan, apply and so on"},
}

// of returns the claim's value as a token shows it: "" if f does not know it, or
// if it is left out because it does not fit and no policy rests on it.
func (c *claim) of(f *facts) string {
	v := c.value(f)
	if c.format.audit && c.format.check(v) != "" {
		return ""
	}
	return v
}

// entity names what of a Scope the claim belongs to, such as "Organization" or
// "Stage.Service". A host-defined claim is an entity of its own.
func (c *claim) entity() string {
	if strings.HasPrefix(c.field, "Extra[") { // which may be cut
		return "Extra." + c.name
	}
	if i := strings.LastIndexByte(c.field, '.'); i >= 0 {
		return c.field[:i]
	}
	return c.field
}

// ClaimNames returns the names of the table's claims, in the order in which
// they stand in a token. The slice is the caller's.
func ClaimNames() []string {
	names := make([]string, len(table))
	for i, c := range table {
		names[i] = c.name
	}
	return names
}

// rowOf finds rows of the table by name.
var rowOf = func() map[string]*claim {
	rows := make(map[string]*claim, len(table))
	for i := range table {
		rows[table[i].name] = &table[i]
	}
	return rows
}()

func boolText(b *bool) string {
	switch {
	case b == nil:
		return ""
	case *b:
		return "true"
	default:
		return "false"
	}
}
