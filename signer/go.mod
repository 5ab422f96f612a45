module github.com/oidctoken/oidctoken/signer

go 1.26.0

replace github.com/oidctoken/oidctoken => ..

require (
	github.com/google/go-cmp v0.7.0
	github.com/oidctoken/oidctoken v0.0.0
	go.uber.org/goleak v1.3.0
	golang.org/x/time v0.16.0
	pgregory.net/rapid v1.3.0
)

require (
	github.com/go-jose/go-jose/v4 v4.1.9 // indirect
	golang.org/x/crypto v0.58.0 // indirect
)
