module github.com/oidctoken/oidctoken/conformance

go 1.26.0

require github.com/oidctoken/oidctoken v0.0.0

replace github.com/oidctoken/oidctoken => ..
