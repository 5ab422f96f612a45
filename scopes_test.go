package oidctoken_test

import "github.com/oidctoken/oidctoken"

// full is a scope with everything in it but a stage.
func full() oidctoken.Scope {
	return oidctoken.Scope{
		Audience:     "https://sts.example.com/full",
		Account:      oidctoken.Entity{ID: "acme", UID: "acc-0001", Name: "never a claim"},
		Organization: oidctoken.Entity{ID: "payments", UID: "org-0002", Name: "never a claim"},
		Project:      oidctoken.Entity{ID: "ledger", UID: "prj-0003", Name: "never a claim"},
		Pipeline:     &oidctoken.Pipeline{ID: "release", UID: "pl-0004", Ref: "refs/heads/main", SHA: "0a1b2c"},
		Execution:    &oidctoken.Execution{ID: "x-0005", Sequence: "42", Attempt: "1", ParentID: "x-0001", RootID: "x-0000", IsRollback: ptr(false), Matrix: "os=linux,zone=eu"},
		Trigger: &oidctoken.Trigger{
			Type: "WEBHOOK", ID: "on push", ByID: "usr-0006",
			ByName: `Zoë "Z" O'Neil \ team`, ByEmail: "zoe@example.com",
		},
		Source: &oidctoken.Source{
			Repository: "acme/ledger", RepositoryID: "r-0007", Ref: "refs/pull/7/merge", RefType: "branch",
			SHA: "3d4e5f", BaseRef: "main", HeadRef: "fix/überlauf", IsFork: ptr(false), RefProtected: ptr(true), RepositoryVisibility: "private",
		},
		Runner:           &oidctoken.Runner{Environment: "self-hosted", ID: "runner-8"},
		Template:         &oidctoken.Template{ID: "golden", Version: "v1.2", Level: oidctoken.OrganizationLevel, SHA: "6a7b8c"},
		PipelineTemplate: &oidctoken.Template{ID: "golden_pipeline", Version: "v7", Level: oidctoken.AccountLevel, SHA: "9d0e1f"},
		Connector:        &oidctoken.Connector{ID: "cloud_prod", UID: "con-0009", Name: "Cloud (prod)", Level: oidctoken.AccountLevel},
		Step: &oidctoken.Step{
			ID: "migrate", Type: "Liquibase", ExecutionID: "se-0010",
			Database: &oidctoken.Database{SchemaID: "ledger_schema", InstanceID: "ledger_eu"},
		},
	}
}

func service() *oidctoken.Entity {
	return &oidctoken.Entity{ID: "checkout", UID: "svc-0012", Name: "Checkout"}
}

func artifact() *oidctoken.Artifact {
	return &oidctoken.Artifact{ID: "image", Type: "Docker", Name: "acme/ledger", Digest: "sha256:00ff", Tag: "1.4.0"}
}

func environment() *oidctoken.Environment {
	return &oidctoken.Environment{ID: "prod", UID: "env-0011", Type: oidctoken.Production, GroupID: "all prod", Protected: ptr(true)}
}

// stages has a filled stage of each type.
func stages() map[string]oidctoken.Stage {
	return map[string]oidctoken.Stage{
		"none": nil,
		"ci":   oidctoken.CI{ID: "build", ExecutionID: "st-1", Artifact: artifact()},
		"deployment": oidctoken.Deployment{
			ID: "deploy", ExecutionID: "st-2",
			Service:        service(),
			Environment:    environment(),
			Infrastructure: &oidctoken.Infrastructure{ID: "k8s_eu", Type: "KubernetesDirect"},
			Artifact:       artifact(),
		},
		"custom":        oidctoken.Custom{ID: "custom", ExecutionID: "st-3", Service: service(), Environment: environment()},
		"approval":      oidctoken.Approval{ID: "consent", ExecutionID: "st-4"},
		"iacm":          oidctoken.IACM{ID: "infra", ExecutionID: "st-5", Workspace: &oidctoken.Workspace{ID: "network", Phase: "plan"}},
		"securitytests": oidctoken.SecurityTests{ID: "scan", ExecutionID: "st-6", Artifact: artifact()},
		"featureflag":   oidctoken.FeatureFlag{ID: "flags", ExecutionID: "st-7"},
		"pipeline":      oidctoken.PipelineStage{ID: "child", ExecutionID: "st-8"},
		"open": oidctoken.OpenStage{
			Kind: "Release_Train", ID: "train", ExecutionID: "st-9",
			Service:        service(),
			Environment:    environment(),
			Infrastructure: &oidctoken.Infrastructure{ID: "k8s_eu", Type: "KubernetesDirect"},
			Artifact:       artifact(),
			Workspace:      &oidctoken.Workspace{ID: "network", Phase: "plan"},
		},
	}
}

// inStage is full in a stage of that name.
func inStage(name string) oidctoken.Scope {
	s := full()
	s.Stage = stages()[name]
	return s
}
