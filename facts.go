package oidctoken

// facts is a Scope laid flat: every part by value, zero where the Scope has
// none, so that a row of the table is one field access.
type facts struct {
	account, organization, project Entity

	context   Context
	pipeline  Pipeline
	execution Execution
	trigger   Trigger
	source    Source
	runner    Runner
	template  Template
	connector Connector

	stageType, stageID, stageExecutionID string

	service        Entity
	environment    Environment
	infrastructure Infrastructure
	artifact       Artifact
	workspace      Workspace

	step     Step
	database Database
}

// read fills f from s. The error is a *ScopeError.
func (f *facts) read(s *Scope) error {
	*f = facts{account: s.Account, organization: s.Organization, project: s.Project, context: s.Context}
	if f.context == "" {
		f.context = ConnectorValidation
		if s.Pipeline != nil || s.Execution != nil || s.Stage != nil {
			f.context = PipelineExecution
		}
	}
	set(&f.pipeline, s.Pipeline)
	set(&f.execution, s.Execution)
	set(&f.trigger, s.Trigger)
	set(&f.source, s.Source)
	set(&f.runner, s.Runner)
	set(&f.template, s.Template)
	set(&f.connector, s.Connector)
	set(&f.step, s.Step)
	set(&f.database, f.step.Database)
	if err := f.readStage(s.Stage); err != nil {
		return err
	}
	return f.checkIDs(s)
}

func (f *facts) readStage(s Stage) error {
	switch s := s.(type) {
	case nil:
	case CI:
		f.stageType, f.stageID, f.stageExecutionID = "CI", s.ID, s.ExecutionID
		set(&f.artifact, s.Artifact)
	case Deployment:
		f.stageType, f.stageID, f.stageExecutionID = "Deployment", s.ID, s.ExecutionID
		set(&f.service, s.Service)
		set(&f.environment, s.Environment)
		set(&f.infrastructure, s.Infrastructure)
		set(&f.artifact, s.Artifact)
		return firstError(
			needID("Stage.Service.ID", s.Service != nil, f.service.ID),
			needID("Stage.Environment.ID", s.Environment != nil, f.environment.ID),
			needID("Stage.Infrastructure.ID", s.Infrastructure != nil, f.infrastructure.ID),
		)
	case Custom:
		f.stageType, f.stageID, f.stageExecutionID = "Custom", s.ID, s.ExecutionID
		set(&f.environment, s.Environment)
		return firstError(needID("Stage.Environment.ID", s.Environment != nil, f.environment.ID))
	case Approval:
		f.stageType, f.stageID, f.stageExecutionID = "Approval", s.ID, s.ExecutionID
	case IACM:
		f.stageType, f.stageID, f.stageExecutionID = "IACM", s.ID, s.ExecutionID
		set(&f.workspace, s.Workspace)
		return firstError(needID("Stage.Workspace.ID", s.Workspace != nil, f.workspace.ID))
	case SecurityTests:
		f.stageType, f.stageID, f.stageExecutionID = "SecurityTests", s.ID, s.ExecutionID
		set(&f.artifact, s.Artifact)
	case FeatureFlag:
		f.stageType, f.stageID, f.stageExecutionID = "FeatureFlag", s.ID, s.ExecutionID
	default:
		return &ScopeError{"Stage", "is not a stage type of this package, by value"}
	}
	return nil
}

// checkIDs refuses what is there but has no identifier: its absence would
// move a subject up to the level above.
func (f *facts) checkIDs(s *Scope) error {
	return firstError(
		needID("Account.ID", true, f.account.ID),
		needID("Organization.ID", f.organization != (Entity{}), f.organization.ID),
		needID("Project.ID", f.project != (Entity{}), f.project.ID),
		needID("Pipeline.ID", s.Pipeline != nil, f.pipeline.ID),
		needID("Template.ID", s.Template != nil, f.template.ID),
		needID("Connector.ID", s.Connector != nil, f.connector.ID),
	)
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func needID(field string, there bool, id string) *ScopeError {
	if there && id == "" {
		return &ScopeError{field, "is required"}
	}
	return nil
}

func firstError(errs ...*ScopeError) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
