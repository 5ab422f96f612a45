package oidctoken

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// facts is a Scope laid flat: every part is there, a zero one where the Scope
// has none, so that a row of the table is one field access. Parts are the
// Scope's own memory.
type facts struct {
	known parts // which are there

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

// read fills f from s. The error is a *ScopeError.
func (f *facts) read(s *Scope) error {
	*f = facts{
		account: s.Account, organization: s.Organization, project: s.Project,
		context:  s.Context,
		pipeline: s.Pipeline, execution: s.Execution, trigger: s.Trigger, source: s.Source,
		runner: s.Runner, template: s.Template, connector: s.Connector, step: s.Step,
		pipelineTemplate: s.PipelineTemplate, extra: s.Extra,
	}
	if field := ofPipeline(s); field == "" && f.context == "" {
		f.context = ConnectorValidation
	} else if f.context == "" {
		f.context = PipelineExecution
	} else if field != "" && f.context == ConnectorValidation {
		return &ScopeError{"Context", "is CONNECTOR_VALIDATION, and the Scope has a " + field + ": connectors are validated outside pipelines"}
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

// ofPipeline names a part of s that exists in pipelines only, or returns "".
func ofPipeline(s *Scope) (field string) {
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

// fill gives f a zero part for each that is missing.
func (f *facts) fill() {
	fill(f, pipelinePart, &f.pipeline, &none.pipeline)
	fill(f, executionPart, &f.execution, &none.execution)
	fill(f, triggerPart, &f.trigger, &none.trigger)
	fill(f, sourcePart, &f.source, &none.source)
	fill(f, runnerPart, &f.runner, &none.runner)
	fill(f, templatePart, &f.template, &none.template)
	fill(f, pipelineTemplatePart, &f.pipelineTemplate, &none.template)
	fill(f, connectorPart, &f.connector, &none.connector)
	fill(f, servicePart, &f.service, &none.service)
	fill(f, environmentPart, &f.environment, &none.environment)
	fill(f, infrastructurePart, &f.infrastructure, &none.infrastructure)
	fill(f, artifactPart, &f.artifact, &none.artifact)
	fill(f, workspacePart, &f.workspace, &none.workspace)
	fill(f, stepPart, &f.step, &none.step)
	fill(f, databasePart, &f.database, &none.database)
}

func fill[T any](f *facts, p parts, part **T, none *T) {
	if *part == nil {
		*part = none
	} else {
		f.known |= p
	}
}

// parts is a set of those that may be missing. Rows of the table whose part is
// not there need not be asked.
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

// partOf is the part that a row's field belongs to; 0 if it is always there.
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

// none has a zero part of each type. Nobody writes to it.
var none struct {
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

func (f *facts) readStage(s Stage) error {
	switch s := s.(type) {
	case nil:
	case CI:
		f.stageType, f.stageID, f.stageExecutionID = "CI", s.ID, s.ExecutionID
		f.artifact = s.Artifact
	case Deployment:
		f.stageType, f.stageID, f.stageExecutionID = "Deployment", s.ID, s.ExecutionID
		f.service = s.Service
		f.environment = s.Environment
		f.infrastructure = s.Infrastructure
		f.artifact = s.Artifact
	case Custom:
		f.stageType, f.stageID, f.stageExecutionID = "Custom", s.ID, s.ExecutionID
		f.service = s.Service
		f.environment = s.Environment
	case Approval:
		f.stageType, f.stageID, f.stageExecutionID = "Approval", s.ID, s.ExecutionID
	case IACM:
		f.stageType, f.stageID, f.stageExecutionID = "IACM", s.ID, s.ExecutionID
		f.workspace = s.Workspace
	case SecurityTests:
		f.stageType, f.stageID, f.stageExecutionID = "SecurityTests", s.ID, s.ExecutionID
		f.artifact = s.Artifact
	case FeatureFlag:
		f.stageType, f.stageID, f.stageExecutionID = "FeatureFlag", s.ID, s.ExecutionID
	case PipelineStage:
		f.stageType, f.stageID, f.stageExecutionID = "Pipeline", s.ID, s.ExecutionID
	case OpenStage:
		if reason := checkKind(s.Kind); reason != "" {
			return &ScopeError{"Stage.Kind", reason}
		}
		f.stageType, f.stageID, f.stageExecutionID = s.Kind, s.ID, s.ExecutionID
		f.service = s.Service
		f.environment = s.Environment
		f.infrastructure = s.Infrastructure
		f.artifact = s.Artifact
		f.workspace = s.Workspace
	default:
		return &ScopeError{"Stage", "is not a stage type of this package, by value"}
	}
	return nil
}

// stageKinds are the values of stage_type that have a type of their own.
var stageKinds = []string{"CI", "Deployment", "Custom", "Approval", "IACM", "SecurityTests", "FeatureFlag", "Pipeline"}

// checkKind says why kind cannot be that of an OpenStage, "" if it can.
func checkKind(kind string) string {
	switch {
	case kind == "":
		return "is required"
	case !word.has(kind):
		return "is not of the form " + word.String()
	case slices.Contains(stageKinds, kind):
		return "is that of another stage type, which has to be used"
	}
	return shadows(kind, stageKinds)
}

// checkIDs refuses what is there but has no identifier: its absence would
// move a subject up to the level above.
func (f *facts) checkIDs() error {
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

// checkNames refuses names that are not UTF-8: a log shows two of them as one.
// No claim holds these names, so their length does not matter.
func (f *facts) checkNames() error {
	for _, e := range [...]struct{ field, name string }{
		{"Account.Name", f.account.Name}, {"Organization.Name", f.organization.Name}, {"Project.Name", f.project.Name},
	} {
		if !utf8.ValidString(e.name) {
			return &ScopeError{e.field, "is not valid UTF-8"}
		}
	}
	return nil
}

// clone returns a copy of s that shares no memory with it that a host could
// write to, but for the Profile, which is not changed after its first use.
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
	switch stage := s.Stage.(type) {
	case CI:
		stage.Artifact = clone(stage.Artifact)
		s.Stage = stage
	case Deployment:
		stage.Service, stage.Infrastructure = clone(stage.Service), clone(stage.Infrastructure)
		stage.Environment, stage.Artifact = stage.Environment.clone(), clone(stage.Artifact)
		s.Stage = stage
	case Custom:
		stage.Service, stage.Environment = clone(stage.Service), stage.Environment.clone()
		s.Stage = stage
	case IACM:
		stage.Workspace = clone(stage.Workspace)
		s.Stage = stage
	case SecurityTests:
		stage.Artifact = clone(stage.Artifact)
		s.Stage = stage
	case OpenStage:
		stage.Service, stage.Infrastructure = clone(stage.Service), clone(stage.Infrastructure)
		stage.Environment, stage.Artifact = stage.Environment.clone(), clone(stage.Artifact)
		stage.Workspace = clone(stage.Workspace)
		s.Stage = stage
	}
	s.Extra = maps.Clone(s.Extra)
	return s
}

func (e *Environment) clone() *Environment {
	if e = clone(e); e != nil {
		e.Protected = clone(e.Protected)
	}
	return e
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
