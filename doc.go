// Package oidctoken makes a pipeline platform an OpenID Connect token issuer.
package oidctoken
