package oidctoken

import (
	"slices"

	"github.com/oidctoken/oidctoken/internal/text"
)

// Stage is implemented by the stage types of this package and by no others. A claim
// that belongs to one kind of stage cannot be set for another: a CI has no field for
// an environment. [OpenStage] is for all kinds that have no type here.
type Stage interface{ isStage() }

// CI describes a stage that builds and tests.
type CI struct {
	ID, ExecutionID string    // ExecutionID is free text
	Artifact        *Artifact // set after build-and-push
}

// Deployment describes a stage that deploys a service to an environment.
type Deployment struct {
	ID, ExecutionID string // ExecutionID is free text
	Service         *Entity
	Environment     *Environment
	Infrastructure  *Infrastructure
	Artifact        *Artifact
}

// Custom describes a stage whose purpose the platform does not know.
type Custom struct {
	ID, ExecutionID string // ExecutionID is free text
	Service         *Entity
	Environment     *Environment
}

// Approval describes a stage that waits for a person to approve.
type Approval struct {
	ID, ExecutionID string // ExecutionID is free text
}

// IACM describes a stage that plans or applies infrastructure as code.
type IACM struct {
	ID, ExecutionID string // ExecutionID is free text
	Workspace       *Workspace
}

// SecurityTests describes a stage that scans an artifact or a codebase.
type SecurityTests struct {
	ID, ExecutionID string // ExecutionID is free text
	Artifact        *Artifact
}

// FeatureFlag describes a stage that changes feature flags.
type FeatureFlag struct {
	ID, ExecutionID string // ExecutionID is free text
}

// PipelineStage describes a stage that runs another pipeline. Its stage_type is
// "Pipeline".
type PipelineStage struct {
	ID, ExecutionID string // ExecutionID is free text
}

// OpenStage describes a stage of a kind that has no type in this package, for
// platforms whose stages have no fixed kinds. It may have any of the entities.
type OpenStage struct {
	// Kind is the claim stage_type, of the form ^[A-Za-z][A-Za-z0-9_]{0,63}$. It must
	// not equal the stage_type of another stage type, in any letter case. Required.
	Kind string

	ID, ExecutionID string // ExecutionID is free text
	Service         *Entity
	Environment     *Environment
	Infrastructure  *Infrastructure
	Artifact        *Artifact
	Workspace       *Workspace
}

func (CI) isStage()            {}
func (Deployment) isStage()    {}
func (Custom) isStage()        {}
func (Approval) isStage()      {}
func (IACM) isStage()          {}
func (SecurityTests) isStage() {}
func (FeatureFlag) isStage()   {}
func (PipelineStage) isStage() {}
func (OpenStage) isStage()     {}

// Environment identifies the environment to which a stage deploys. ID is required.
type Environment struct {
	ID, UID string

	// Type is Production, PreProduction, or another value of the form
	// ^[A-Za-z][A-Za-z0-9_]{0,63}$. A value that differs from a constant only in
	// letter case is refused.
	Type string

	GroupID   string // free text
	Protected *bool  // nil: unknown
}

// These are the known values of [Environment].Type.
const (
	Production    = "Production"
	PreProduction = "PreProduction"
)

// Infrastructure identifies the machines or clusters of an environment. ID is
// required. Type is free text, such as "KubernetesDirect".
type Infrastructure struct {
	ID, Type string
}

// Artifact identifies an artifact that was built or is deployed. All fields are free
// text.
type Artifact struct {
	ID, Type, Name string
	Digest         string // algorithm:hex
	Tag            string
}

// Workspace identifies a set of infrastructure code and its state. ID is required.
// Phase is free text, such as "plan" or "apply".
type Workspace struct {
	ID    string
	Phase string
}

// readStage fills the parts of f that a stage has.
func (f *flatScope) readStage(s Stage) error {
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

// stageKinds holds the values of stage_type that have a type of their own.
var stageKinds = []string{"CI", "Deployment", "Custom", "Approval", "IACM", "SecurityTests", "FeatureFlag", "Pipeline"}

// checkKind returns why an OpenStage cannot have that Kind, or "" if it can.
func checkKind(kind string) string {
	switch {
	case kind == "":
		return "is required"
	case !text.Word.Has(kind):
		return "is not of the form " + text.Word.String()
	case slices.Contains(stageKinds, kind):
		return "is the kind of another stage type: use that type"
	}
	return text.DiffersInCase(kind, stageKinds)
}

// cloneStage returns a copy of s that shares no memory with s.
func cloneStage(s Stage) Stage {
	switch stage := s.(type) {
	case CI:
		stage.Artifact = clone(stage.Artifact)
		return stage
	case Deployment:
		stage.Service, stage.Infrastructure = clone(stage.Service), clone(stage.Infrastructure)
		stage.Environment, stage.Artifact = stage.Environment.clone(), clone(stage.Artifact)
		return stage
	case Custom:
		stage.Service, stage.Environment = clone(stage.Service), stage.Environment.clone()
		return stage
	case IACM:
		stage.Workspace = clone(stage.Workspace)
		return stage
	case SecurityTests:
		stage.Artifact = clone(stage.Artifact)
		return stage
	case OpenStage:
		stage.Service, stage.Infrastructure = clone(stage.Service), clone(stage.Infrastructure)
		stage.Environment, stage.Artifact = stage.Environment.clone(), clone(stage.Artifact)
		stage.Workspace = clone(stage.Workspace)
		return stage
	}
	return s
}

func (e *Environment) clone() *Environment {
	if e = clone(e); e != nil {
		e.Protected = clone(e.Protected)
	}
	return e
}
