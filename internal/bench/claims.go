//go:build unix

package main

import (
	"crypto/rand"
	"encoding/base64"

	"github.com/oidctoken/oidctoken"
)

// A host without a library would write the code of this file. It has the claims of a
// deployment step and checks nothing, which is an advantage for the other libraries.

// hostClaims holds all claims except the registered claims.
type hostClaims struct {
	AccountID          string `json:"account_id,omitempty"`
	AccountUID         string `json:"account_uid,omitempty"`
	OrganizationID     string `json:"organization_id,omitempty"`
	ProjectID          string `json:"project_id,omitempty"`
	PipelineID         string `json:"pipeline_id,omitempty"`
	PipelineRef        string `json:"pipeline_ref,omitempty"`
	ExecutionID        string `json:"execution_id,omitempty"`
	ExecutionSequence  string `json:"execution_sequence,omitempty"`
	Context            string `json:"context,omitempty"`
	ConnectorID        string `json:"connector_id,omitempty"`
	ConnectorName      string `json:"connector_name,omitempty"`
	ConnectorScope     string `json:"connector_scope,omitempty"`
	StageType          string `json:"stage_type,omitempty"`
	StageID            string `json:"stage_id,omitempty"`
	StepID             string `json:"step_id,omitempty"`
	StepType           string `json:"step_type,omitempty"`
	ServiceID          string `json:"service_id,omitempty"`
	ServiceName        string `json:"service_name,omitempty"`
	EnvironmentID      string `json:"environment_id,omitempty"`
	EnvironmentType    string `json:"environment_type,omitempty"`
	InfrastructureID   string `json:"infrastructure_id,omitempty"`
	InfrastructureType string `json:"infrastructure_type,omitempty"`
	Tag                string `json:"tag,omitempty"`
	TriggerType        string `json:"trigger_type,omitempty"`
	TriggeredByID      string `json:"triggered_by_id,omitempty"`
}

func hostClaimsOf(s *oidctoken.Scope, d *oidctoken.Deployment) hostClaims {
	return hostClaims{
		AccountID:          s.Account.ID,
		AccountUID:         s.Account.UID,
		OrganizationID:     s.Organization.ID,
		ProjectID:          s.Project.ID,
		PipelineID:         s.Pipeline.ID,
		PipelineRef:        s.Pipeline.Ref,
		ExecutionID:        s.Execution.ID,
		ExecutionSequence:  s.Execution.Sequence,
		Context:            oidctoken.PipelineExecution,
		ConnectorID:        s.Connector.ID,
		ConnectorName:      s.Connector.Name,
		ConnectorScope:     string(s.Connector.Level),
		StageType:          "Deployment",
		StageID:            d.ID,
		StepID:             s.Step.ID,
		StepType:           s.Step.Type,
		ServiceID:          d.Service.ID,
		ServiceName:        d.Service.Name,
		EnvironmentID:      d.Environment.ID,
		EnvironmentType:    d.Environment.Type,
		InfrastructureID:   d.Infrastructure.ID,
		InfrastructureType: d.Infrastructure.Type,
		Tag:                d.Artifact.Tag,
		TriggerType:        s.Trigger.Type,
		TriggeredByID:      s.Trigger.ByID,
	}
}

// hostMapOf returns the same claims in a map with room for the registered claims.
func hostMapOf(s *oidctoken.Scope, d *oidctoken.Deployment) map[string]any {
	m := make(map[string]any, 32)
	m["account_id"] = s.Account.ID
	m["account_uid"] = s.Account.UID
	m["organization_id"] = s.Organization.ID
	m["project_id"] = s.Project.ID
	m["pipeline_id"] = s.Pipeline.ID
	m["pipeline_ref"] = s.Pipeline.Ref
	m["execution_id"] = s.Execution.ID
	m["execution_sequence"] = s.Execution.Sequence
	m["context"] = oidctoken.PipelineExecution
	m["connector_id"] = s.Connector.ID
	m["connector_name"] = s.Connector.Name
	m["connector_scope"] = string(s.Connector.Level)
	m["stage_type"] = "Deployment"
	m["stage_id"] = d.ID
	m["step_id"] = s.Step.ID
	m["step_type"] = s.Step.Type
	m["service_id"] = d.Service.ID
	m["service_name"] = d.Service.Name
	m["environment_id"] = d.Environment.ID
	m["environment_type"] = d.Environment.Type
	m["infrastructure_id"] = d.Infrastructure.ID
	m["infrastructure_type"] = d.Infrastructure.Type
	m["tag"] = d.Artifact.Tag
	m["trigger_type"] = s.Trigger.Type
	m["triggered_by_id"] = s.Trigger.ByID
	return m
}

func subjectOf(s *oidctoken.Scope) string {
	return "account/" + s.Account.ID + ":org/" + s.Organization.ID + ":project/" + s.Project.ID
}

// newID returns a new "jti".
func newID() string {
	var id [16]byte
	rand.Read(id[:])
	return base64.RawURLEncoding.EncodeToString(id[:])
}
