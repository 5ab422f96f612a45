package oidctoken

import (
	"slices"
	"strings"
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
	// the class, is good and stands in JSON as it is.
	class uint8
	most  int
}

var (
	identifier = format{"identifier", checkIdentifier, identifierByte, maxIdentifier}
	text       = format{"text", checkText, plainByte, maxText}
	boolean    = oneOf("true", "false")
	level      = oneOf(string(AccountLevel), string(OrganizationLevel), string(ProjectLevel))
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

const (
	always         = "always"
	inOrganization = "unless the run is at the account's level"
	inProject      = "unless the run is above projects"
	inPipeline     = "in every pipeline execution"
	inExecution    = "in every execution"
	forConnector   = "minted for a connector"
	inStage        = "inside a stage"
	inStep         = "inside a step"
	inDeployment   = "Deployment"
	inEnvironment  = "Deployment; Custom with an environment"
	ofArtifact     = "Deployment with an artifact; CI after build-and-push; SecurityTests"
	ofTrigger      = "where the trigger is known"
	ofSource       = "CI with a codebase, and wherever else the host knows it"
	ofRunner       = "where the host knows it"
	ofTemplate     = "step, stage or pipeline from a template"
	ofDatabase     = "database steps, in any stage"
	inWorkspace    = "IACM"
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

	{"context", "Context", oneOf(string(ConnectorValidation), string(PipelineConfiguration), string(PipelineExecution), string(PerpetualTask)), func(f *facts) string { return string(f.context) }, always, "the kind of work"},

	{"connector_id", "Connector.ID", identifier, func(f *facts) string { return f.connector.ID }, forConnector, "the connector that the token is minted for"},
	{"connector_uid", "Connector.UID", text, func(f *facts) string { return f.connector.UID }, forConnector, "immutable id of the connector"},
	{"connector_name", "Connector.Name", text, func(f *facts) string { return f.connector.Name }, forConnector, "for audit: names change"},
	{"connector_scope", "Connector.Scope", level, func(f *facts) string { return string(f.connector.Scope) }, forConnector, "where the connector is defined, which says nothing about who uses it"},

	{"stage_type", "Stage", text, func(f *facts) string { return f.stageType }, inStage, "the kind of stage, such as \"CI\" or \"Deployment\""},
	{"stage_id", "Stage.ID", identifier, func(f *facts) string { return f.stageID }, inStage, "the stage"},
	{"stage_execution_id", "Stage.ExecutionID", text, func(f *facts) string { return f.stageExecutionID }, inStage, "this run of the stage"},

	{"step_id", "Step.ID", identifier, func(f *facts) string { return f.step.ID }, inStep, "the step"},
	{"step_type", "Step.Type", text, func(f *facts) string { return f.step.Type }, inStep, "the kind of step"},
	{"step_execution_id", "Step.ExecutionID", text, func(f *facts) string { return f.step.ExecutionID }, inStep, "this run of the step"},

	{"service_id", "Stage.Service.ID", identifier, func(f *facts) string { return f.service.ID }, inDeployment, "the service that is deployed"},
	{"service_uid", "Stage.Service.UID", text, func(f *facts) string { return f.service.UID }, inDeployment, "immutable id of the service"},
	{"service_name", "Stage.Service.Name", text, func(f *facts) string { return f.service.Name }, inDeployment, "for audit: names change"},

	{"environment_id", "Stage.Environment.ID", identifier, func(f *facts) string { return f.environment.ID }, inEnvironment, "the environment that is deployed to"},
	{"environment_uid", "Stage.Environment.UID", text, func(f *facts) string { return f.environment.UID }, inEnvironment, "immutable id of the environment"},
	{"environment_type", "Stage.Environment.Type", oneOf(string(Production), string(PreProduction)), func(f *facts) string { return string(f.environment.Type) }, inEnvironment, "production or not"},
	{"environment_group_id", "Stage.Environment.GroupID", text, func(f *facts) string { return f.environment.GroupID }, inEnvironment, "the group that the environment was chosen by"},
	{"environment_protected", "Stage.Environment.Protected", boolean, func(f *facts) string { return boolText(f.environment.Protected) }, inEnvironment, "whether deployments there need a consent"},

	{"infrastructure_id", "Stage.Infrastructure.ID", identifier, func(f *facts) string { return f.infrastructure.ID }, inDeployment, "the infrastructure that is deployed to"},
	{"infrastructure_type", "Stage.Infrastructure.Type", text, func(f *facts) string { return f.infrastructure.Type }, inDeployment, "the kind of infrastructure"},

	{"artifact_id", "Stage.Artifact.ID", text, func(f *facts) string { return f.artifact.ID }, ofArtifact, "the artifact"},
	{"artifact_type", "Stage.Artifact.Type", text, func(f *facts) string { return f.artifact.Type }, ofArtifact, "the kind of artifact"},
	{"artifact_name", "Stage.Artifact.Name", text, func(f *facts) string { return f.artifact.Name }, ofArtifact, "for audit: names change"},
	{"artifact_digest", "Stage.Artifact.Digest", text, func(f *facts) string { return f.artifact.Digest }, ofArtifact, "what the artifact consists of"},
	{"tag", "Stage.Artifact.Tag", text, func(f *facts) string { return f.artifact.Tag }, ofArtifact, "the artifact's tag, which can be moved"},

	{"trigger_type", "Trigger.Type", oneOf(string(TriggerManual), string(TriggerWebhook), string(TriggerWebhookCustom), string(TriggerSchedulerCron), string(TriggerArtifact)), func(f *facts) string { return string(f.trigger.Type) }, ofTrigger, "how the execution was started"},
	{"trigger_id", "Trigger.ID", text, func(f *facts) string { return f.trigger.ID }, ofTrigger, "the trigger's definition"},
	{"triggered_by_id", "Trigger.ByID", text, func(f *facts) string { return f.trigger.ByID }, ofTrigger, "immutable id of whoever started the execution"},
	{"triggered_by_name", "Trigger.ByName", text, func(f *facts) string { return f.trigger.ByName }, ofTrigger, "for audit: names change hands"},
	{"trigger_by_email", "Trigger.ByEmail", text, func(f *facts) string { return f.trigger.ByEmail }, "where a user started the execution", "for audit: addresses change hands"},

	{"repository", "Source.Repository", text, func(f *facts) string { return f.source.Repository }, ofSource, "the repository's name, which changes when it moves"},
	{"repository_id", "Source.RepositoryID", text, func(f *facts) string { return f.source.RepositoryID }, ofSource, "immutable id of the repository at its Git provider"},
	{"ref", "Source.Ref", text, func(f *facts) string { return f.source.Ref }, ofSource, "the Git ref that is built"},
	{"ref_type", "Source.RefType", text, func(f *facts) string { return f.source.RefType }, ofSource, "branch, tag and so on"},
	{"sha", "Source.SHA", text, func(f *facts) string { return f.source.SHA }, ofSource, "the commit that is built"},
	{"base_ref", "Source.BaseRef", text, func(f *facts) string { return f.source.BaseRef }, ofSource, "what a pull request would be merged into"},
	{"head_ref", "Source.HeadRef", text, func(f *facts) string { return f.source.HeadRef }, ofSource, "a pull request's branch: its author chooses the name, so no policy may rest on it"},
	{"is_fork", "Source.IsFork", boolean, func(f *facts) string { return boolText(f.source.IsFork) }, ofSource, "whether a fork's code is built"},
	{"ref_protected", "Source.RefProtected", boolean, func(f *facts) string { return boolText(f.source.RefProtected) }, ofSource, "whether the Git provider protects the ref"},

	{"runner_environment", "Runner.Environment", text, func(f *facts) string { return f.runner.Environment }, ofRunner, "the kind of machine"},
	{"runner_id", "Runner.ID", text, func(f *facts) string { return f.runner.ID }, ofRunner, "the machine"},

	{"template_id", "Template.ID", identifier, func(f *facts) string { return f.template.ID }, ofTemplate, "the template"},
	{"template_version", "Template.Version", text, func(f *facts) string { return f.template.Version }, ofTemplate, "the template's version"},
	{"template_scope", "Template.Scope", level, func(f *facts) string { return string(f.template.Scope) }, ofTemplate, "where the template is defined"},
	{"template_sha", "Template.SHA", text, func(f *facts) string { return f.template.SHA }, ofTemplate, "commit of the template"},

	{"db_schema_id", "Step.Database.SchemaID", identifier, func(f *facts) string { return f.database.SchemaID }, ofDatabase, "the database schema that is changed"},
	{"db_instance_id", "Step.Database.InstanceID", identifier, func(f *facts) string { return f.database.InstanceID }, ofDatabase, "the database instance that is changed"},

	{"workspace_id", "Stage.Workspace.ID", identifier, func(f *facts) string { return f.workspace.ID }, inWorkspace, "the workspace"},
	{"run_phase", "Stage.Workspace.Phase", text, func(f *facts) string { return f.workspace.Phase }, inWorkspace, "plan, apply and so on"},
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
