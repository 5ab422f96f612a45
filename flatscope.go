package oidctoken

import (
	"strings"
	"unicode/utf8"
)

// flatScope holds the parts of a Scope side by side. A part that the Scope does not
// have points to a zero value, so that a row of the claim table is one field
// access. The other parts point to the Scope's own memory.
type flatScope struct {
	present parts // the parts that the Scope has

	account, organization, project Entity

	context   string
	pipeline  *Pipeline
	execution *Execution
	trigger   *Trigger
	source    *Source
	runner    *Runner
	template  *Template
	connector *Connector

	pipelineTemplate *Template

	stageType, stageID, stageExecutionID string

	service        *Entity
	environment    *Environment
	infrastructure *Infrastructure
	artifact       *Artifact
	workspace      *Workspace

	step     *Step
	database *Database

	extra map[string]string
}

// read fills f from s. The error is a *[ScopeError].
func (f *flatScope) read(s *Scope) error {
	*f = flatScope{
		account: s.Account, organization: s.Organization, project: s.Project,
		context:  s.Context,
		pipeline: s.Pipeline, execution: s.Execution, trigger: s.Trigger, source: s.Source,
		runner: s.Runner, template: s.Template, connector: s.Connector, step: s.Step,
		pipelineTemplate: s.PipelineTemplate, extra: s.Extra,
	}
	if field := partInPipeline(s); field == "" && f.context == "" {
		f.context = ConnectorValidation
	} else if f.context == "" {
		f.context = PipelineExecution
	} else if field != "" && f.context == ConnectorValidation {
		return &ScopeError{"Context", "is CONNECTOR_VALIDATION, but the Scope has a " + field + ": connectors are validated outside pipelines"}
	}
	if f.step != nil {
		f.database = f.step.Database
	}
	if err := f.readStage(s.Stage); err != nil {
		return err
	}
	if err := f.checkIDs(); err != nil {
		return err
	}
	if err := f.checkNames(); err != nil {
		return err
	}
	f.fill()
	return nil
}

// partInPipeline returns the name of a part of s that exists only in pipelines, or
// "".
func partInPipeline(s *Scope) (field string) {
	switch {
	case s.Stage != nil:
		return "Stage"
	case s.Step != nil:
		return "Step"
	case s.Pipeline != nil:
		return "Pipeline"
	case s.Execution != nil:
		return "Execution"
	case s.Source != nil:
		return "Source"
	case s.Template != nil:
		return "Template"
	case s.PipelineTemplate != nil:
		return "PipelineTemplate"
	}
	return ""
}

// fill points every part that the Scope does not have to a zero value.
func (f *flatScope) fill() {
	fill(f, pipelinePart, &f.pipeline, &zero.pipeline)
	fill(f, executionPart, &f.execution, &zero.execution)
	fill(f, triggerPart, &f.trigger, &zero.trigger)
	fill(f, sourcePart, &f.source, &zero.source)
	fill(f, runnerPart, &f.runner, &zero.runner)
	fill(f, templatePart, &f.template, &zero.template)
	fill(f, pipelineTemplatePart, &f.pipelineTemplate, &zero.template)
	fill(f, connectorPart, &f.connector, &zero.connector)
	fill(f, servicePart, &f.service, &zero.service)
	fill(f, environmentPart, &f.environment, &zero.environment)
	fill(f, infrastructurePart, &f.infrastructure, &zero.infrastructure)
	fill(f, artifactPart, &f.artifact, &zero.artifact)
	fill(f, workspacePart, &f.workspace, &zero.workspace)
	fill(f, stepPart, &f.step, &zero.step)
	fill(f, databasePart, &f.database, &zero.database)
}

func fill[T any](f *flatScope, p parts, part **T, zero *T) {
	if *part == nil {
		*part = zero
	} else {
		f.present |= p
	}
}

// parts is a set of the parts that a Scope need not have. appendTable skips the
// claims of a part that is missing.
type parts uint16

const (
	pipelinePart parts = 1 << iota
	executionPart
	triggerPart
	sourcePart
	runnerPart
	templatePart
	pipelineTemplatePart
	connectorPart
	servicePart
	environmentPart
	infrastructurePart
	artifactPart
	workspacePart
	stepPart
	databasePart
)

// partOf returns the part that a field of Scope belongs to, or 0 if every Scope has
// that part.
func partOf(field string) parts {
	field = strings.TrimPrefix(strings.TrimPrefix(field, "Stage."), "Step.")
	first, _, _ := strings.Cut(field, ".")
	switch first {
	case "Pipeline":
		return pipelinePart
	case "Execution":
		return executionPart
	case "Trigger":
		return triggerPart
	case "Source":
		return sourcePart
	case "Runner":
		return runnerPart
	case "Template":
		return templatePart
	case "PipelineTemplate":
		return pipelineTemplatePart
	case "Connector":
		return connectorPart
	case "Service":
		return servicePart
	case "Environment":
		return environmentPart
	case "Infrastructure":
		return infrastructurePart
	case "Artifact":
		return artifactPart
	case "Workspace":
		return workspacePart
	case "Step":
		return stepPart
	case "Database":
		return databasePart
	}
	return 0
}

// zero holds a zero value of each part. It is never written to.
var zero struct {
	pipeline       Pipeline
	execution      Execution
	trigger        Trigger
	source         Source
	runner         Runner
	template       Template
	connector      Connector
	service        Entity
	environment    Environment
	infrastructure Infrastructure
	artifact       Artifact
	workspace      Workspace
	step           Step
	database       Database
}

// checkIDs refuses a part that has no identifier. Without the identifier, the
// subject would be that of the level above.
func (f *flatScope) checkIDs() error {
	field := ""
	switch {
	case f.account.ID == "":
		field = "Account.ID"
	case f.organization.ID == "" && f.organization != (Entity{}):
		field = "Organization.ID"
	case f.project.ID == "" && f.project != (Entity{}):
		field = "Project.ID"
	case f.pipeline != nil && f.pipeline.ID == "":
		field = "Pipeline.ID"
	case f.template != nil && f.template.ID == "":
		field = "Template.ID"
	case f.pipelineTemplate != nil && f.pipelineTemplate.ID == "":
		field = "PipelineTemplate.ID"
	case f.connector != nil && f.connector.ID == "":
		field = "Connector.ID"
	case f.service != nil && f.service.ID == "":
		field = "Stage.Service.ID"
	case f.environment != nil && f.environment.ID == "":
		field = "Stage.Environment.ID"
	case f.infrastructure != nil && f.infrastructure.ID == "":
		field = "Stage.Infrastructure.ID"
	case f.workspace != nil && f.workspace.ID == "":
		field = "Stage.Workspace.ID"
	default:
		return nil
	}
	return &ScopeError{field, "is required"}
}

// checkNames refuses names that are not UTF-8, since a log may show two of them
// alike. No claim holds these names, so their length does not matter.
func (f *flatScope) checkNames() error {
	for _, e := range [...]struct{ field, name string }{
		{"Account.Name", f.account.Name}, {"Organization.Name", f.organization.Name}, {"Project.Name", f.project.Name},
	} {
		if !utf8.ValidString(e.name) {
			return &ScopeError{e.field, "is not valid UTF-8"}
		}
	}
	return nil
}

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
