package broker

import (
	"fmt"
	"slices"
	"strings"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/ident"
)

// Rules restrict which steps may use a connector. An empty list admits every step. Any other
// list admits only the steps that it names, and no step for which the host does not know the
// value. A step must be admitted by all lists.
//
// A list contains identifiers, the ID of an Entity. A project's ID is unique only in its
// organization, and a pipeline's only in its project. So a connector of an account needs
// exactly one of Organizations if it has Projects. A connector above a project needs exactly
// one of Projects if it has Pipelines. Environments apply to every project that is admitted.
//
// Rules that can never admit a step are refused with a *[ConnectorError]: an empty entry, an
// entry that is not an identifier, or a list of accounts, organizations or projects without the
// connector's own.
type Rules struct {
	Accounts      []string
	Organizations []string
	Projects      []string
	Pipelines     []string
	// StageTypes lists values of the claim stage_type: "CI", "Deployment", ... A value that
	// package oidctoken does not know may belong to a stage type of the host. It is logged once
	// for each connector as a warning, with the nearest known value.
	StageTypes   []string
	Environments []string

	// Untrusted admits executions that are marked untrusted, and those of a fork's code. The
	// issuer's policy must allow them too.
	Untrusted bool
}

// DeniedError reports which of a connector's [Rules] denied a step. errors.Is(err,
// oidctoken.ErrDenied) is true for it. The owner of the connector decides whether to change the
// Rules.
type DeniedError struct {
	Rule string // the field of Rules, such as "Environments"
}

// Error returns the rule.
func (e *DeniedError) Error() string {
	return oidctoken.ErrDenied.Error() + ": the connector's Rules." + e.Rule + " does not admit the step"
}

// Is reports whether target is oidctoken.ErrDenied.
func (e *DeniedError) Is(target error) bool { return target == oidctoken.ErrDenied }

// rule is one list of Rules and the claim that it restricts.
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

// Admit returns nil if r admits the step of s. Otherwise it returns a *[DeniedError] with the
// rule. It mints nothing and audits nothing, so a host may call it before it offers a connector
// to a user. claims are the claims of s, from [oidctoken.Issuer.Preview].
func (r Rules) Admit(s oidctoken.Scope, claims *oidctoken.Claims) error { return r.admit(&s, claims) }

func (r *Rules) admit(s *oidctoken.Scope, claims *oidctoken.Claims) error {
	for _, list := range r.lists() {
		value, known := claims.Get(list.claim)
		if len(list.admitted) != 0 && !(known && slices.Contains(list.admitted, value)) {
			return &DeniedError{list.name}
		}
	}
	if s.IsUntrusted() && !r.Untrusted {
		return &DeniedError{"Untrusted"}
	}
	return nil
}

// check refuses rules that would admit another project or pipeline of the same name, and rules
// with entries that can never admit a step. key is the key of the connector.
func (r *Rules) check(key ConnectorKey) error {
	switch {
	case len(r.Projects) != 0 && len(r.Organizations) != 1 && key.Organization == "":
		return &ConnectorError{Key: key, Field: "Rules.Projects", Reason: "would admit projects of that name in several organizations: name exactly one of Organizations too"}
	case len(r.Pipelines) != 0 && len(r.Projects) != 1 && key.Project == "":
		return &ConnectorError{Key: key, Field: "Rules.Pipelines", Reason: "would admit pipelines of that name in several projects: name exactly one of Projects too"}
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

// impossible returns the reason why a list can never admit a step, or "". Every step that can
// refer to the connector has the value own, unless own is "".
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
		return fmt.Sprintf("does not have %q, but only steps of %[1]q can refer to the connector", own)
	}
	return ""
}

// stageTypes lists the values of the claim stage_type that package oidctoken has types for.
var stageTypes = []string{"CI", "Deployment", "Custom", "Approval", "IACM", "SecurityTests", "FeatureFlag", "Pipeline"}

const maxStageType = 64 // bytes

// impossibleStageType returns the reason why no stage can have that type, or "".
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
