package oidctoken

import "maps"

// facts is a Scope laid flat: every part is there, a zero one where the Scope
// has none, so that a row of the table is one field access. Parts are the
// Scope's own memory.
type facts struct {
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
	f.account, f.organization, f.project = s.Account, s.Organization, s.Project
	if f.context = s.Context; f.context == "" {
		f.context = ConnectorValidation
		if s.Pipeline != nil || s.Execution != nil || s.Stage != nil {
			f.context = PipelineExecution
		}
	}
	f.pipeline, f.execution, f.trigger = s.Pipeline, s.Execution, s.Trigger
	f.source, f.runner, f.template, f.connector = s.Source, s.Runner, s.Template, s.Connector
	if f.step = s.Step; f.step != nil {
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
	fill(&f.pipeline, &none.pipeline)
	fill(&f.execution, &none.execution)
	fill(&f.trigger, &none.trigger)
	fill(&f.source, &none.source)
	fill(&f.runner, &none.runner)
	fill(&f.template, &none.template)
	fill(&f.connector, &none.connector)
	fill(&f.service, &none.service)
	fill(&f.environment, &none.environment)
	fill(&f.infrastructure, &none.infrastructure)
	fill(&f.artifact, &none.artifact)
	fill(&f.workspace, &none.workspace)
	fill(&f.step, &none.step)
	fill(&f.database, &none.database)
}

func fill[T any](part **T, none *T) {
	if *part == nil {
		*part = none
	}
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
