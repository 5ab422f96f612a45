package oidctoken

import (
	"slices"
	"strings"

	"github.com/oidctoken/oidctoken/internal/text"
)

const maxClaimName = 256 // bytes

// claim is a row of the claim table. Only the table knows a claim's name, its
// values and their source. The order of the rows is the order of the claims in a
// token. Tokens, Preview, claims_supported, subject templates and docs/claims.md
// are all made from it.
type claim struct {
	name   string
	field  string // of Scope, for errors
	format text.Format
	value  func(*flatScope) string // returns "" if the claim is unknown
	known  string                  // when the value is known, for docs/claims.md
	doc    string
}

var (
	boolean = text.OneOf("true", "false")
	level   = text.OneOf(string(AccountLevel), string(OrganizationLevel), string(ProjectLevel))

	contextName     = text.OpenList(text.UpperWord, ConnectorValidation, PipelineConfiguration, PipelineExecution, PerpetualTask)
	triggerType     = text.OpenList(text.UpperWord, "MANUAL", "WEBHOOK", "WEBHOOK_CUSTOM", "SCHEDULER_CRON", "ARTIFACT", "MANIFEST")
	environmentType = text.OpenList(text.Word, Production, PreProduction)
)

const (
	always         = "always"
	inOrganization = "unless the run is at the account's level"
	inProject      = "unless the run is above projects"
	inPipeline     = "in every pipeline execution"
	inExecution    = "in every execution"
	forConnector   = "if minted for a connector"
	inStage        = "inside a stage"
	inStep         = "inside a step"
	withService    = "Deployment; Custom or OpenStage with a service"
	inDeployment   = "Deployment; OpenStage with an infrastructure"
	inEnvironment  = "Deployment; Custom or OpenStage with an environment"
	ofArtifact     = "Deployment or OpenStage with an artifact; CI after build-and-push; SecurityTests"
	ofTrigger      = "if the trigger is known"
	ofSource       = "CI with a codebase, and other stages if the host knows it"
	ofRunner       = "if the host knows it"
	ofTemplate     = "if the step, stage or pipeline was made from a template"
	ofDatabase     = "database steps, in any stage"
	inWorkspace    = "IACM; OpenStage with a workspace"
)

// registered holds the registered claims (RFC 7519, section 4.1), which every token
// has.
var registered = []string{"iss", "sub", "aud", "iat", "nbf", "exp", "jti"}

var table = []claim{
	{"account_id", "Account.ID", text.IdentifierFormat, func(f *flatScope) string { return f.account.ID }, always, "the account that the execution belongs to"},
	{"account_uid", "Account.UID", text.FreeFormat, func(f *flatScope) string { return f.account.UID }, always, "immutable id of the account"},
	{"organization_id", "Organization.ID", text.IdentifierFormat, func(f *flatScope) string { return f.organization.ID }, inOrganization, "the organization of the execution, never of the connector"},
	{"organization_uid", "Organization.UID", text.FreeFormat, func(f *flatScope) string { return f.organization.UID }, inOrganization, "immutable id of the organization"},
	{"project_id", "Project.ID", text.IdentifierFormat, func(f *flatScope) string { return f.project.ID }, inProject, "the project of the execution, never of the connector"},
	{"project_uid", "Project.UID", text.FreeFormat, func(f *flatScope) string { return f.project.UID }, inProject, "immutable id of the project"},

	{"pipeline_id", "Pipeline.ID", text.IdentifierFormat, func(f *flatScope) string { return f.pipeline.ID }, inPipeline, "the pipeline that runs"},
	{"pipeline_uid", "Pipeline.UID", text.FreeFormat, func(f *flatScope) string { return f.pipeline.UID }, inPipeline, "immutable id of the pipeline"},
	{"pipeline_ref", "Pipeline.Ref", text.FreeFormat, func(f *flatScope) string { return f.pipeline.Ref }, inPipeline, "Git ref of the pipeline's definition"},
	{"pipeline_sha", "Pipeline.SHA", text.FreeFormat, func(f *flatScope) string { return f.pipeline.SHA }, inPipeline, "commit of the pipeline's definition"},

	{"execution_id", "Execution.ID", text.FreeFormat, func(f *flatScope) string { return f.execution.ID }, inExecution, "this run of the pipeline"},
	{"execution_sequence", "Execution.Sequence", text.FreeFormat, func(f *flatScope) string { return f.execution.Sequence }, inExecution, "the run's number"},
	{"execution_attempt", "Execution.Attempt", text.FreeFormat, func(f *flatScope) string { return f.execution.Attempt }, inExecution, "1 for the first try"},
	{"parent_execution_id", "Execution.ParentID", text.FreeFormat, func(f *flatScope) string { return f.execution.ParentID }, inExecution, "the execution that started this one"},
	{"root_execution_id", "Execution.RootID", text.FreeFormat, func(f *flatScope) string { return f.execution.RootID }, inExecution, "the first execution of the chain that led to this one"},
	{"is_rollback", "Execution.IsRollback", boolean, func(f *flatScope) string { return boolText(f.execution.IsRollback) }, inExecution, "whether the execution undoes an earlier one"},
	{"matrix", "Execution.Matrix", text.AuditFormat, func(f *flatScope) string { return f.execution.Matrix }, inExecution, "for audit: the combination of a matrix, whose values the author of the pipeline chooses"},

	{"context", "Context", contextName, func(f *flatScope) string { return f.context }, always, "the kind of work"},

	{"connector_id", "Connector.ID", text.ConnectorFormat, func(f *flatScope) string { return f.connector.ID }, forConnector, "the connector that the token is minted for"},
	{"connector_uid", "Connector.UID", text.FreeFormat, func(f *flatScope) string { return f.connector.UID }, forConnector, "immutable id of the connector"},
	{"connector_name", "Connector.Name", text.AuditFormat, func(f *flatScope) string { return f.connector.Name }, forConnector, "for audit: names change"},
	{"connector_scope", "Connector.Level", level, func(f *flatScope) string { return string(f.connector.Level) }, forConnector, "the level at which the connector is defined, not the level of the execution"},

	{"stage_type", "Stage", text.FreeFormat, func(f *flatScope) string { return f.stageType }, inStage, "the kind of stage, such as \"CI\" or \"Deployment\""},
	{"stage_id", "Stage.ID", text.IdentifierFormat, func(f *flatScope) string { return f.stageID }, inStage, "the stage"},
	{"stage_execution_id", "Stage.ExecutionID", text.FreeFormat, func(f *flatScope) string { return f.stageExecutionID }, inStage, "this run of the stage"},

	{"step_id", "Step.ID", text.IdentifierFormat, func(f *flatScope) string { return f.step.ID }, inStep, "the step"},
	{"step_type", "Step.Type", text.FreeFormat, func(f *flatScope) string { return f.step.Type }, inStep, "the kind of step"},
	{"step_execution_id", "Step.ExecutionID", text.FreeFormat, func(f *flatScope) string { return f.step.ExecutionID }, inStep, "this run of the step"},

	{"service_id", "Stage.Service.ID", text.IdentifierFormat, func(f *flatScope) string { return f.service.ID }, withService, "the service that is deployed"},
	{"service_uid", "Stage.Service.UID", text.FreeFormat, func(f *flatScope) string { return f.service.UID }, withService, "immutable id of the service"},
	{"service_name", "Stage.Service.Name", text.AuditFormat, func(f *flatScope) string { return f.service.Name }, withService, "for audit: names change"},

	{"environment_id", "Stage.Environment.ID", text.IdentifierFormat, func(f *flatScope) string { return f.environment.ID }, inEnvironment, "the environment that is deployed to"},
	{"environment_uid", "Stage.Environment.UID", text.FreeFormat, func(f *flatScope) string { return f.environment.UID }, inEnvironment, "immutable id of the environment"},
	{"environment_type", "Stage.Environment.Type", environmentType, func(f *flatScope) string { return f.environment.Type }, inEnvironment, "whether it is production"},
	{"environment_group_id", "Stage.Environment.GroupID", text.FreeFormat, func(f *flatScope) string { return f.environment.GroupID }, inEnvironment, "the group from which the environment was chosen"},
	{"environment_protected", "Stage.Environment.Protected", boolean, func(f *flatScope) string { return boolText(f.environment.Protected) }, inEnvironment, "whether deployments to it need an approval"},

	{"infrastructure_id", "Stage.Infrastructure.ID", text.IdentifierFormat, func(f *flatScope) string { return f.infrastructure.ID }, inDeployment, "the infrastructure that is deployed to"},
	{"infrastructure_type", "Stage.Infrastructure.Type", text.FreeFormat, func(f *flatScope) string { return f.infrastructure.Type }, inDeployment, "the kind of infrastructure"},

	{"artifact_id", "Stage.Artifact.ID", text.FreeFormat, func(f *flatScope) string { return f.artifact.ID }, ofArtifact, "the artifact"},
	{"artifact_type", "Stage.Artifact.Type", text.FreeFormat, func(f *flatScope) string { return f.artifact.Type }, ofArtifact, "the kind of artifact"},
	{"artifact_name", "Stage.Artifact.Name", text.AuditFormat, func(f *flatScope) string { return f.artifact.Name }, ofArtifact, "for audit: names change"},
	{"artifact_digest", "Stage.Artifact.Digest", text.FreeFormat, func(f *flatScope) string { return f.artifact.Digest }, ofArtifact, "digest of the artifact"},
	{"tag", "Stage.Artifact.Tag", text.FreeFormat, func(f *flatScope) string { return f.artifact.Tag }, ofArtifact, "the artifact's tag, which can be moved"},

	{"trigger_type", "Trigger.Type", triggerType, func(f *flatScope) string { return f.trigger.Type }, ofTrigger, "how the execution was started"},
	{"trigger_id", "Trigger.ID", text.FreeFormat, func(f *flatScope) string { return f.trigger.ID }, ofTrigger, "the trigger's definition"},
	{"triggered_by_id", "Trigger.ByID", text.FreeFormat, func(f *flatScope) string { return f.trigger.ByID }, ofTrigger, "immutable id of the user or system that started the execution"},
	{"triggered_by_name", "Trigger.ByName", text.AuditFormat, func(f *flatScope) string { return f.trigger.ByName }, ofTrigger, "for audit: a name can pass to another user"},
	{"trigger_by_email", "Trigger.ByEmail", text.AuditFormat, func(f *flatScope) string { return f.trigger.ByEmail }, "if a user started the execution", "for audit: an address can pass to another user"},

	{"repository", "Source.Repository", text.FreeFormat, func(f *flatScope) string { return f.source.Repository }, ofSource, "the repository's name, which changes when it moves"},
	{"repository_id", "Source.RepositoryID", text.FreeFormat, func(f *flatScope) string { return f.source.RepositoryID }, ofSource, "immutable id of the repository at its Git provider"},
	{"ref", "Source.Ref", text.FreeFormat, func(f *flatScope) string { return f.source.Ref }, ofSource, "the Git ref that is built"},
	{"ref_type", "Source.RefType", text.FreeFormat, func(f *flatScope) string { return f.source.RefType }, ofSource, "branch, tag and so on"},
	{"sha", "Source.SHA", text.FreeFormat, func(f *flatScope) string { return f.source.SHA }, ofSource, "the commit that is built"},
	{"base_ref", "Source.BaseRef", text.FreeFormat, func(f *flatScope) string { return f.source.BaseRef }, ofSource, "the ref into which a pull request would be merged"},
	{"head_ref", "Source.HeadRef", text.AuditFormat, func(f *flatScope) string { return f.source.HeadRef }, ofSource, "the branch of a pull request: its author chooses the name, so no policy may rest on it"},
	{"is_fork", "Source.IsFork", boolean, func(f *flatScope) string { return boolText(f.source.IsFork) }, ofSource, "whether a fork's code is built"},
	{"ref_protected", "Source.RefProtected", boolean, func(f *flatScope) string { return boolText(f.source.RefProtected) }, ofSource, "whether the Git provider protects the ref"},
	{"repository_visibility", "Source.RepositoryVisibility", text.FreeFormat, func(f *flatScope) string { return f.source.RepositoryVisibility }, ofSource, "public, private and so on"},

	{"runner_environment", "Runner.Environment", text.FreeFormat, func(f *flatScope) string { return f.runner.Environment }, ofRunner, "the kind of machine"},
	{"runner_id", "Runner.ID", text.FreeFormat, func(f *flatScope) string { return f.runner.ID }, ofRunner, "the machine"},

	{"template_id", "Template.ID", text.IdentifierFormat, func(f *flatScope) string { return f.template.ID }, ofTemplate, "the innermost template"},
	{"template_version", "Template.Version", text.FreeFormat, func(f *flatScope) string { return f.template.Version }, ofTemplate, "the template's version"},
	{"template_scope", "Template.Level", level, func(f *flatScope) string { return string(f.template.Level) }, ofTemplate, "the level at which the template is defined"},
	{"template_sha", "Template.SHA", text.FreeFormat, func(f *flatScope) string { return f.template.SHA }, ofTemplate, "commit of the template"},

	{"pipeline_template_id", "PipelineTemplate.ID", text.IdentifierFormat, func(f *flatScope) string { return f.pipelineTemplate.ID }, ofTemplate, "the outermost template; a policy that requires approved pipelines matches it"},
	{"pipeline_template_version", "PipelineTemplate.Version", text.FreeFormat, func(f *flatScope) string { return f.pipelineTemplate.Version }, ofTemplate, "its version"},
	{"pipeline_template_scope", "PipelineTemplate.Level", level, func(f *flatScope) string { return string(f.pipelineTemplate.Level) }, ofTemplate, "the level at which it is defined"},
	{"pipeline_template_sha", "PipelineTemplate.SHA", text.FreeFormat, func(f *flatScope) string { return f.pipelineTemplate.SHA }, ofTemplate, "its commit"},

	{"db_schema_id", "Step.Database.SchemaID", text.IdentifierFormat, func(f *flatScope) string { return f.database.SchemaID }, ofDatabase, "the database schema that is changed"},
	{"db_instance_id", "Step.Database.InstanceID", text.IdentifierFormat, func(f *flatScope) string { return f.database.InstanceID }, ofDatabase, "the database instance that is changed"},

	{"workspace_id", "Stage.Workspace.ID", text.IdentifierFormat, func(f *flatScope) string { return f.workspace.ID }, inWorkspace, "the workspace"},
	{"run_phase", "Stage.Workspace.Phase", text.FreeFormat, func(f *flatScope) string { return f.workspace.Phase }, inWorkspace, "plan, apply and so on"},
}

// shown returns the claim's value as a token shows it. It returns "" if the claim
// is unknown, or if it is for audit and its value is invalid.
func (c *claim) shown(f *flatScope) string {
	v := c.value(f)
	if c.format.Audit && c.format.Check(v) != "" {
		return ""
	}
	return v
}

// entity returns the part of a Scope that the claim belongs to, such as
// "Organization" or "Stage.Service".
func (c *claim) entity() string {
	if i := strings.LastIndexByte(c.field, '.'); i >= 0 {
		return c.field[:i]
	}
	return c.field
}

// ClaimNames returns the names of the table's claims, in the order in which they
// stand in a token. The caller may change the slice.
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

// checkClaimName returns why a claim outside the table cannot have that name, or
// "". A name that differs from one of the table only in letter case would shadow
// it in a careless verifier (RFC 7519, section 4).
func checkClaimName(name string) string {
	if name == "" || len(name) > maxClaimName || !text.All(name, text.Plain) {
		return "is not a claim's name: 1 to 256 bytes of printable ASCII"
	}
	lower := strings.ToLower(name)
	if rowOf[lower] != nil || slices.Contains(registered, lower) {
		return "is the name of a claim of this package"
	}
	return ""
}

// members holds, for each row of the table, what appendTable needs.
var members = func() []member {
	members := make([]member, len(table))
	for i, c := range table {
		members[i] = member{`,"` + c.name + `":"`, partOf(c.field)}
	}
	return members
}()

type member struct {
	key  string // as it stands in a payload, with the quote that begins the value
	part parts  // the part of a Scope that has the value
}

// appendTable appends the claims of the table as JSON members, each with a comma
// before it. The error is a *[ScopeError].
func (f *flatScope) appendTable(dst []byte, nullUnknown bool) ([]byte, error) {
	for i := range table {
		c, m, v := &table[i], &members[i], ""
		if m.part&^f.present == 0 {
			v = c.value(f)
		}
		plain := v != "" && v[0] != '.' && len(v) <= c.format.MaxLen && text.All(v, c.format.Class)
		if v != "" && !plain {
			if reason := c.format.Check(v); reason != "" && c.format.Audit {
				v = ""
			} else if reason != "" {
				return nil, &ScopeError{c.field, reason}
			}
		}
		switch {
		case plain:
			dst = append(append(append(dst, m.key...), v...), '"')
		case v != "":
			dst = append(text.AppendJSON(append(dst, m.key...), v), '"')
		case nullUnknown:
			dst = append(dst, m.key...)
			dst = append(dst[:len(dst)-1], "null"...)
		}
	}
	return dst, nil
}

// Claims holds the claims of a token, except "iat", "nbf", "exp" and "jti", which
// differ from one token to the next.
type Claims struct {
	scope           flatScope
	issuer, subject string
	audience        string
	nullUnknown     bool
	added           []byte // members outside the table, as JSON, each with a comma before it
}

// Get returns the value of the claim with that name: a claim of the table, a claim
// of Scope.Extra, or "iss", "sub" or "aud". It returns false if the claim is
// unknown or left out.
func (c *Claims) Get(name string) (value string, known bool) {
	switch name {
	case "iss":
		value = c.issuer
	case "sub":
		value = c.subject
	case "aud":
		value = c.audience
	default:
		if row := rowOf[name]; row != nil {
			value = row.shown(&c.scope)
		} else {
			value = c.scope.extra[name]
		}
	}
	return value, value != ""
}

// Omitted returns the names of the audit claims that the Scope has and the token
// does not, because their values are longer than 1024 bytes, are not UTF-8 or have
// control characters. The caller may change the slice.
func (c *Claims) Omitted() (names []string) {
	for i := range table {
		row := &table[i]
		if row.format.Audit && row.value(&c.scope) != row.shown(&c.scope) {
			names = append(names, row.name)
		}
	}
	return names
}

// MarshalJSON returns the claims in the same form and order as the payload of a
// token.
func (c *Claims) MarshalJSON() ([]byte, error) {
	b := append([]byte(`{"iss":"`), c.issuer...)
	b = append(append(b, `","sub":"`...), c.subject...)
	b = append(text.AppendJSON(append(b, `","aud":"`...), c.audience), '"')
	b, err := c.scope.appendTable(b, c.nullUnknown)
	if err != nil {
		return nil, err
	}
	return append(append(b, c.added...), '}'), nil
}
