module github.com/oidctoken/oidctoken/internal/bench

go 1.26.0

require (
	github.com/go-jose/go-jose/v4 v4.1.9
	github.com/golang-jwt/jwt/v5 v5.3.1
	github.com/google/go-cmp v0.7.0
	github.com/oidctoken/oidctoken v0.0.0
)

require golang.org/x/crypto v0.58.0 // indirect

replace github.com/oidctoken/oidctoken => ../..
