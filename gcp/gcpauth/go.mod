module github.com/oidctoken/oidctoken/gcp/gcpauth

go 1.26.0

require (
	cloud.google.com/go/auth v0.24.3
	github.com/google/go-cmp v0.7.0
	github.com/oidctoken/oidctoken v0.0.0
	golang.org/x/oauth2 v0.37.0
)

require (
	cloud.google.com/go/compute/metadata v0.10.0 // indirect
	github.com/go-jose/go-jose/v4 v4.1.9 // indirect
	github.com/googleapis/enterprise-certificate-proxy v0.3.23 // indirect
	github.com/googleapis/gax-go/v2 v2.27.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/oidctoken/oidctoken => ../..
