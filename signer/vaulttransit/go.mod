module github.com/oidctoken/oidctoken/signer/vaulttransit

go 1.26.0

require (
	github.com/google/go-cmp v0.7.0
	github.com/oidctoken/oidctoken v0.0.0
	github.com/oidctoken/oidctoken/signer v0.0.0
	go.uber.org/goleak v1.3.0
)

require (
	github.com/go-jose/go-jose/v4 v4.1.9 // indirect
	golang.org/x/crypto v0.58.0 // indirect
)

replace (
	github.com/oidctoken/oidctoken => ../..
	github.com/oidctoken/oidctoken/signer => ..
)
