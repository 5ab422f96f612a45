//go:build unix

package main

import (
	"time"

	"github.com/oidctoken/oidctoken"
)

const (
	issuerURL = "https://tokens.example.com"
	// backdating and lifetime are the defaults of package oidctoken. The other libraries
	// use them, too.
	backdating = 55 * time.Second // of nbf, before iat
	lifetime   = 15 * time.Minute
)

// typical returns the scope of every token: a step of a deployment, whose payload has 945
// bytes, 7 registered claims and 25 others. The benchmark of the root package has the
// same scope.
func typical() oidctoken.Scope {
	return oidctoken.Scope{
		Audience:     "https://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/ci/providers/acme",
		Account:      oidctoken.Entity{ID: "acme", UID: "4d3f8a21"},
		Organization: oidctoken.Entity{ID: "payments"},
		Project:      oidctoken.Entity{ID: "ledger"},
		Pipeline:     &oidctoken.Pipeline{ID: "release", Ref: "refs/heads/main"},
		Execution:    &oidctoken.Execution{ID: "0190b2c4-6a1e-7f3d-9c5b-2d8e4f6a7b90", Sequence: "42"},
		Trigger:      &oidctoken.Trigger{Type: "MANUAL", ByID: "u-17"},
		Connector:    &oidctoken.Connector{ID: "gcp_prod", Name: "Production", Level: oidctoken.AccountLevel},
		Stage: oidctoken.Deployment{
			ID:             "deploy",
			Service:        &oidctoken.Entity{ID: "checkout", Name: "Checkout"},
			Environment:    &oidctoken.Environment{ID: "prod", Type: oidctoken.Production},
			Infrastructure: &oidctoken.Infrastructure{ID: "k8s_eu", Type: "Kubernetes"},
			Artifact:       &oidctoken.Artifact{Tag: "v1.4.2"},
		},
		Step: &oidctoken.Step{ID: "apply", Type: "Run"},
	}
}
