package oidctoken

import (
	"maps"
	"strings"
)

// facts is a Scope laid flat: every part is there, a zero one where the Scope
// has none, so that a row of the table is one field access. Parts are the
// Scope's own memory.
type facts struct {
	known parts // which are there

	account, organization, project Entity

	context   Context
	pipeline  *Pipeline
	execution *Execution
	trigger   *Trigger
	source    *Source
	runner    *Runner
	template  *Template
	connector *Connector

	stageType, stageID, stageExecutionID string

	service        *Entity
	environment    *Environment
	infrastructure *Infrastructure
	artifact       *Artifact
	workspace      *Workspace

	step     *Step
	database *Database
}

// read fills f from s. The error is a *ScopeError.
func (f *facts) read(s *Scope) error {
	*f = facts{
		account: s.Account, organization: s.Organization, project: s.Project,
		context:  s.Context,
		pipeline: s.Pipeline, execution: s.Execution, trigger: s.Trigger, source: s.Source,
		runner: s.Runner, template: s.Template, connector: s.Connector, step: s.Step,
	}
	if f.context == "" {
		f.context = ConnectorValidation
		if s.Pipeline != nil || s.Execution != nil || s.Stage != nil {
			f.context = PipelineExecution
		}
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
	f.fill()
	return nil
}

// fill gives f a zero part for each that is missing.
func (f *facts) fill() {
	fill(f, pipelinePart, &f.pipeline, &none.pipeline)
	fill(f, executionPart, &f.execution, &none.execution)
	fill(f, triggerPart, &f.trigger, &none.trigger)
	fill(f, sourcePart, &f.source, &none.source)
	fill(f, runnerPart, &f.runner, &none.runner)
	fill(f, templatePart, &f.template, &none.template)
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
	default:
		return &ScopeError{"Stage", "is not a stage type of this package, by value"}
	}
	return nil
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

// clone returns a copy of s that shares no memory with it that a host could
// write to, but for the Profile, which is not changed after its first use.
func (s Scope) clone() Scope {
	s.Pipeline, s.Execution, s.Trigger = clone(s.Pipeline), clone(s.Execution), clone(s.Trigger)
	s.Runner, s.Template, s.Connector = clone(s.Runner), clone(s.Template), clone(s.Connector)
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
		stage.Environment = stage.Environment.clone()
		s.Stage = stage
	case IACM:
		stage.Workspace = clone(stage.Workspace)
		s.Stage = stage
	case SecurityTests:
		stage.Artifact = clone(stage.Artifact)
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
