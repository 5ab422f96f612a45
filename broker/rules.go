package broker

import (
	"slices"

	"github.com/oidctoken/oidctoken"
)

// Rules say which steps may use a connector. A list that is empty admits every
// step; one that is not admits those that it names, and no step for which the
// host does not know the answer. A step has to be admitted by all of them.
//
// Lists hold identifiers, an Entity's ID. A project's is unique only in its
// organization, and a pipeline's in its project: a connector that is defined
// above has one of Organizations beside Projects, and one of Projects beside
// Pipelines. Environments are those of any project that is admitted.
type Rules struct {
	Accounts      []string
	Organizations []string
	Projects      []string
	Pipelines     []string
	StageTypes    []string // as the claim stage_type has them: "CI", "Deployment", ...
	Environments  []string

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

// admit refuses a step whose tokens would say claims.
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

// check finds rules of a connector of that home that would admit another
// project or pipeline of the same name.
func (r *Rules) check(home Home) error {
	switch {
	case len(r.Projects) != 0 && len(r.Organizations) != 1 && home.Organization == "":
		return &ConnectorError{home, "Rules.Projects", "would admit projects of that name in several organizations: name one of Organizations, too"}
	case len(r.Pipelines) != 0 && len(r.Projects) != 1 && home.Project == "":
		return &ConnectorError{home, "Rules.Pipelines", "would admit pipelines of that name in several projects: name one of Projects, too"}
	}
	return nil
}
