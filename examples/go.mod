module github.com/oidctoken/oidctoken/examples

go 1.26.0

require (
	github.com/google/go-cmp v0.7.0
	github.com/oidctoken/oidctoken v0.0.0
	go.yaml.in/yaml/v3 v3.0.6
)

require (
	github.com/go-jose/go-jose/v4 v4.1.9 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/oauth2 v0.37.0 // indirect
)

replace github.com/oidctoken/oidctoken => ..
