package oidctoken_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
)

var update = flag.Bool("update", false, "rewrite testdata and docs/claims.md")

// The payloads of full scopes do not change by a byte: the names, values and order of
// the members are a contract with every trust policy.
func TestGolden(t *testing.T) {
	for stage := range stages() {
		for _, form := range []struct {
			name        string
			nullUnknown bool
		}{{"omit", false}, {"null", true}} {
			name := stage + "_" + form.name
			t.Run(name, func(t *testing.T) {
				issuer := newIssuer(t, oidctoken.Config{
					ExtraPrefix: "acme_",
					Profile:     oidctoken.Profile{Algorithms: []string{"EdDSA"}, NullUnknown: form.nullUnknown},
				})
				s := inStage(stage)
				s.Extra = map[string]string{"acme_region": "eu", "acme_cell": "7"}
				token := mint(t, issuer, s)
				_, payload, _, _ := parts(t, token.JWT())
				checkGolden(t, filepath.Join("testdata", name+".json"), bytes.Replace(payload, []byte(token.ID()), []byte("JTI"), 1))
			})
		}
	}
}

// checkGolden compares a payload with a file: first the claims, then the bytes without
// white space.
func checkGolden(t *testing.T, file string, payload []byte) {
	t.Helper()
	var got bytes.Buffer
	if err := json.Indent(&got, payload, "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(object(t, want), object(t, payload)); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(members(t, want), members(t, payload)); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if !bytes.Equal(want, got.Bytes()) {
		t.Errorf("%s differs in its bytes from\n%s", file, got.Bytes())
	}
}

// specified lists the claims that relying parties rely on, by entity. The list is
// written by hand; it is not made from the table.
var specified = map[string]string{
	"account":        "account_id account_uid",
	"organization":   "organization_id organization_uid",
	"project":        "project_id project_uid",
	"pipeline":       "pipeline_id pipeline_uid pipeline_ref pipeline_sha",
	"execution":      "execution_id execution_sequence execution_attempt parent_execution_id root_execution_id is_rollback matrix",
	"context":        "context",
	"connector":      "connector_id connector_name connector_uid connector_scope",
	"stage":          "stage_type stage_id stage_execution_id",
	"step":           "step_type step_execution_id step_id",
	"service":        "service_id service_name service_uid",
	"environment":    "environment_id environment_type environment_uid environment_group_id environment_protected",
	"infrastructure": "infrastructure_id infrastructure_type",
	"artifact":       "artifact_id artifact_type artifact_name artifact_digest tag",
	"trigger":        "trigger_type trigger_id triggered_by_id triggered_by_name trigger_by_email",
	"source":         "repository repository_id ref ref_type sha base_ref head_ref is_fork ref_protected repository_visibility",
	"runner":         "runner_environment runner_id",
	"template":       "template_id template_version template_scope template_sha pipeline_template_id pipeline_template_version pipeline_template_scope pipeline_template_sha",
	"database":       "db_schema_id db_instance_id",
	"workspace":      "workspace_id run_phase",
}

// T21
func TestClaimNames(t *testing.T) {
	var want, got []string
	for _, names := range specified {
		want = append(want, strings.Fields(names)...)
	}
	for _, row := range oidctoken.ClaimTable() {
		got = append(got, row.Name)
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

// A token has the claims of its kind of stage, and no others.
func TestClaimsOfStage(t *testing.T) {
	everywhere := "account organization project pipeline execution context connector step trigger source runner template database"
	for stage, more := range map[string]string{
		"none":          "",
		"ci":            "stage artifact",
		"deployment":    "stage service environment infrastructure artifact",
		"custom":        "stage service environment",
		"approval":      "stage",
		"iacm":          "stage workspace",
		"securitytests": "stage artifact",
		"featureflag":   "stage",
		"pipeline":      "stage",
		"open":          "stage service environment infrastructure artifact workspace",
	} {
		t.Run(stage, func(t *testing.T) {
			want := map[string]bool{}
			for _, entity := range strings.Fields(everywhere + " " + more) {
				for _, name := range strings.Fields(specified[entity]) {
					want[name] = true
				}
			}
			claims, err := newIssuer(t, oidctoken.Config{}).Preview(t.Context(), inStage(stage))
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]bool{}
			for _, row := range oidctoken.ClaimTable() {
				value, known := claims.Get(row.Name)
				if known != (value != "") {
					t.Errorf("Get(%q) = %q, %t", row.Name, value, known)
				}
				if known {
					got[row.Name] = true
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("known claims (-want +got):\n%s", diff)
			}
		})
	}
}
