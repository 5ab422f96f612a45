package oidctoken_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
)

// The Kind of an OpenStage is the claim stage_type. It cannot be the stage_type of another
// type.
func TestOpenStageKind(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	const form = "is not of the form ^[A-Za-z][A-Za-z0-9_]{0,63}$"
	reasons := map[string]string{"": "is required"}
	for _, kind := range notWords {
		reasons[kind] = form
	}
	for _, kind := range []string{"CI", "Deployment", "Custom", "Approval", "IACM", "SecurityTests", "FeatureFlag", "Pipeline"} {
		reasons[kind] = "is the kind of another stage type: use that type"
		for _, spelled := range []string{strings.ToLower(kind), strings.ToUpper(kind), strings.ToLower(kind[:1]) + kind[1:]} {
			if spelled != kind {
				reasons[spelled] = `differs from "` + kind + `" in letter case only`
			}
		}
	}
	for kind, reason := range reasons {
		s := minimal()
		s.Stage = oidctoken.OpenStage{Kind: kind, ID: "s"}
		_, err := issuer.Mint(t.Context(), s)
		if diff := cmp.Diff(&oidctoken.ScopeError{Field: "Stage.Kind", Reason: reason}, scopeError(err)); diff != "" {
			t.Errorf("kind %.20q (-want +got):\n%s", kind, diff)
		}
	}
	for _, kind := range append(areWords, "Deploy", "CD", "PipelineStage", "OpenStage", "CI_") {
		s := minimal()
		s.Stage = oidctoken.OpenStage{Kind: kind, ID: "s"}
		if got := payloadOf(t, mint(t, issuer, s))["stage_type"]; got != kind {
			t.Errorf("stage_type = %v, want %s", got, kind)
		}
	}
}

// A Prepared keeps the claims of a stage that the host changes later.
func TestOpenStageIsCopied(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	s := inStage("open")
	want := must(issuer.Preview(t.Context(), s))
	text := must(want.MarshalJSON())
	stage := s.Stage.(oidctoken.OpenStage)
	stage.Service.ID, stage.Environment.ID, *stage.Environment.Protected = "x", "x", false
	stage.Infrastructure.ID, stage.Artifact.ID, stage.Workspace.ID = "x", "x", "x"
	s.PipelineTemplate.ID, *s.Execution.IsRollback = "x", true
	if diff := cmp.Diff(string(text), string(must(want.MarshalJSON()))); diff != "" {
		t.Errorf("claims after the scope changed (-want +got):\n%s", diff)
	}
	custom := inStage("custom")
	want = must(issuer.Preview(t.Context(), custom))
	custom.Stage.(oidctoken.Custom).Service.ID = "x"
	if got, _ := want.Get("service_id"); got != "checkout" {
		t.Errorf("service_id = %s after the scope changed", got)
	}
}

// A claim that belongs to another kind of stage does not compile.
func TestStageTypesAreClosed(t *testing.T) {
	const environment = `Environment: &oidctoken.Environment{ID: "prod"}`
	for _, tt := range []struct{ name, stage, want string }{
		{"a CI", `oidctoken.CI{ID: "build"}`, ""},
		{"a deployment to an environment", `oidctoken.Deployment{` + environment + `}`, ""},
		{"a custom stage with an environment", `oidctoken.Custom{` + environment + `}`, ""},
		{"a CI with an environment", `oidctoken.CI{` + environment + `}`,
			"unknown field Environment in struct literal of type oidctoken.CI"},
		{"a CI with a service", `oidctoken.CI{Service: nil}`,
			"unknown field Service in struct literal of type oidctoken.CI"},
		{"a CI with infrastructure", `oidctoken.CI{Infrastructure: nil}`,
			"unknown field Infrastructure in struct literal of type oidctoken.CI"},
		{"an approval with an environment", `oidctoken.Approval{` + environment + `}`,
			"unknown field Environment in struct literal of type oidctoken.Approval"},
		{"a custom stage with a service", `oidctoken.Custom{Service: nil}`, ""},
		{"an open stage with all", `oidctoken.OpenStage{Service: nil, Environment: nil, Infrastructure: nil, Artifact: nil, Workspace: nil}`, ""},
		{"a custom stage with infrastructure", `oidctoken.Custom{Infrastructure: nil}`,
			"unknown field Infrastructure in struct literal of type oidctoken.Custom"},
		{"a pipeline stage with an environment", `oidctoken.PipelineStage{` + environment + `}`,
			"unknown field Environment in struct literal of type oidctoken.PipelineStage"},
		{"a pipeline stage with a service", `oidctoken.PipelineStage{Service: nil}`,
			"unknown field Service in struct literal of type oidctoken.PipelineStage"},
		{"a deployment with a workspace", `oidctoken.Deployment{Workspace: nil}`,
			"unknown field Workspace in struct literal of type oidctoken.Deployment"},
		{"security tests with an environment", `oidctoken.SecurityTests{` + environment + `}`,
			"unknown field Environment in struct literal of type oidctoken.SecurityTests"},
		{"a stage of the host's own", `struct{ ID string }{"x"}`, "missing method isStage"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, err := compile(t, fmt.Sprintf("package probe\n\nimport %q\n\nvar _ oidctoken.Stage = %s\n",
				"github.com/oidctoken/oidctoken", tt.stage))
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("compile error: %v\n%s", err, out)
			case tt.want != "" && err == nil:
				t.Errorf("no compile error, want %q", tt.want)
			case !strings.Contains(out, tt.want):
				t.Errorf("compile error\n%s\nwant %q", out, tt.want)
			}
		})
	}
}

// compile compiles a package of this module that exists only in an overlay.
func compile(t *testing.T, source string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "probe.go")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{
		"Replace": map[string]string{filepath.Join(root, "internal", "probe", "probe.go"): file},
	})
	if err != nil {
		t.Fatal(err)
	}
	overlayFile := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlayFile, "./internal/probe").CombinedOutput()
	return string(out), err
}

// Mint refuses stages that do compile: a type that embeds a stage type, or a pointer to a
// stage.
func TestForeignStage(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	for name, stage := range map[string]oidctoken.Stage{
		"pointer":     &oidctoken.CI{ID: "build"},
		"nil pointer": (*oidctoken.Deployment)(nil),
		"embedded": struct {
			oidctoken.CI
			Environment string
		}{Environment: "prod"},
	} {
		t.Run(name, func(t *testing.T) {
			s := minimal()
			s.Stage = stage
			_, err := issuer.Mint(t.Context(), s)
			if got := scopeError(err); got == nil || got.Field != "Stage" {
				t.Errorf("Mint: %v, want a *ScopeError for Stage", err)
			}
		})
	}
}
