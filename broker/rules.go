package broker

import (
	"fmt"
	"slices"
	"strings"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/ident"
)

// Rules say which steps may use a connector. A list that is empty admits every
// step. Any other list admits the steps that it names, and no step for which the
// host does not know the answer. A step has to be admitted by all lists.
//
// Lists hold identifiers, an Entity's ID. A project's is unique only in its
// organization, and a pipeline's in its project: a connector that is defined
// above has one of Organizations beside Projects, and one of Projects beside
// Pipelines. Environments are those of any project that is admitted.
//
// Rules that can never admit a step are refused with a *[ConnectorError]: an entry
// that is empty or no identifier, and a list of accounts, organizations or projects
// without the connector's own.
type Rules struct {
	Accounts      []string
	Organizations []string
	Projects      []string
	Pipelines     []string
	// StageTypes are as in the claim stage_type: "CI", "Deployment", ... A type
	// that is not one of package oidctoken's may be one of the host's own. It is
	// logged as a warning, with the nearest of these, once for each connector.
	StageTypes   []string
	Environments []string

	// Untrusted admits executions that are marked untrusted, such as those of a
	// fork's code. They still need the consent of the issuer's policy.
	Untrusted bool
}

// DeniedError says which of a connector's [Rules] refused a step. It is an
// oidctoken.ErrDenied. Whoever keeps the connector decides.
type DeniedError struct {
	Rule string // the field, such as "Environments"
}

// Error names the rule.
func (e *DeniedError) Error() string {
	return oidctoken.ErrDenied.Error() + ": the connector's Rules." + e.Rule + " does not admit the step"
}

// Is reports whether target is oidctoken.ErrDenied.
func (e *DeniedError) Is(target error) bool { return target == oidctoken.ErrDenied }

// rule is one list of Rules, and the claim that it is about.
type rule struct {
	name, claim string
	admitted    []string
}

func (r *Rules) lists() []rule {
	return []rule{
		{"Accounts", "account_id", r.Accounts},
		{"Organizations", "organization_id", r.Organizations},
		{"Projects", "project_id", r.Projects},
		{"Pipelines", "pipeline_id", r.Pipelines},
		{"StageTypes", "stage_type", r.StageTypes},
		{"Environments", "environment_id", r.Environments},
	}
}

// Admit returns nil if r admits the step of s, and else a *[DeniedError] that names
// the rule. It mints nothing and is not audited: a host can ask before it offers a
// connector. The claims are those of s, from [oidctoken.Issuer.Preview].
func (r Rules) Admit(s oidctoken.Scope, claims *oidctoken.Claims) error { return r.admit(&s, claims) }

func (r *Rules) admit(s *oidctoken.Scope, claims *oidctoken.Claims) error {
	for _, list := range r.lists() {
		value, known := claims.Get(list.claim)
		if len(list.admitted) != 0 && !(known && slices.Contains(list.admitted, value)) {
			return &DeniedError{list.name}
		}
	}
	// What an issuer takes for untrusted.
	fork := s.Source != nil && s.Source.IsFork != nil && *s.Source.IsFork
	if (s.Untrusted || fork) && !r.Untrusted {
		return &DeniedError{"Untrusted"}
	}
	return nil
}

// check finds rules of a connector of that home that would admit another project or
// pipeline of the same name, and entries that can never admit a step.
func (r *Rules) check(key ConnectorKey) error {
	switch {
	case len(r.Projects) != 0 && len(r.Organizations) != 1 && key.Organization == "":
		return &ConnectorError{Key: key, Field: "Rules.Projects", Reason: "would admit projects of that name in several organizations: name one of Organizations, too"}
	case len(r.Pipelines) != 0 && len(r.Projects) != 1 && key.Project == "":
		return &ConnectorError{Key: key, Field: "Rules.Pipelines", Reason: "would admit pipelines of that name in several projects: name one of Projects, too"}
	}
	own := map[string]string{"Accounts": key.Account, "Organizations": key.Organization, "Projects": key.Project}
	for _, list := range r.lists() {
		reason := impossible(list, own[list.name])
		if reason != "" {
			return &ConnectorError{Key: key, Field: "Rules." + list.name, Reason: reason}
		}
	}
	return nil
}

// impossible says why a list can never admit a step, "" if it can. All steps that can
// refer to the connector have the own value, unless that is "".
func impossible(list rule, own string) string {
	for _, entry := range list.admitted {
		reason := ident.Check(entry)
		if list.name == "StageTypes" {
			reason = impossibleStageType(entry)
		}
		if entry == "" {
			return "has an empty entry, which admits no step"
		}
		if reason != "" {
			return fmt.Sprintf("has %.64q, which %s", entry, reason)
		}
	}
	if own != "" && len(list.admitted) != 0 && !slices.Contains(list.admitted, own) {
		return fmt.Sprintf("does not have %q: only steps of that can refer to the connector", own)
	}
	return ""
}

// stageTypes are the values of the claim stage_type that package oidctoken has
// types for.
var stageTypes = []string{"CI", "Deployment", "Custom", "Approval", "IACM", "SecurityTests", "FeatureFlag", "Pipeline"}

const maxStageType = 64 // bytes

// impossibleStageType says why no stage has that type, "" if one can.
func impossibleStageType(s string) string {
	form := len(s) <= maxStageType
	for i := range len(s) {
		letter := 'a' <= s[i]|0x20 && s[i]|0x20 <= 'z'
		form = form && (letter || i > 0 && ('0' <= s[i] && s[i] <= '9' || s[i] == '_'))
	}
	if !form {
		return "is not of the form ^[A-Za-z][A-Za-z0-9_]{0,63}$"
	}
	for _, known := range stageTypes {
		if s != known && strings.EqualFold(s, known) {
			return fmt.Sprintf("differs from %q in letter case", known)
		}
	}
	return ""
}
