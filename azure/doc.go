// Package azure exchanges a pipeline's JWT for an access token of Microsoft Entra,
// through workload identity federation.
//
// An [Exchanger] stands for one application, or one user-assigned managed
// identity, of one tenant. It needs a federated credential whose issuer,
// subject and audience equal the JWT's byte for byte: there are no wildcards,
// and an application has at most 20. [Config].Subject should therefore name
// little: what few pipelines share, and never an execution.
//
// There are three ways to hand the result to a program. [Exchanger.Exchange]
// gives an access token that ends when it ends. [Exchanger.Bundle] gives the
// variables with which the Azure SDKs and Terraform exchange JWTs by themselves.
// The nested module azcred serves Go programs that use the Azure SDK.
//
// A setting or an argument that cannot work is refused before any request, with
// an [*oidctoken.ConfigError]. Its Field is a field of [Config], such as
// "TenantID" or "Scopes[0]", a field of an exchange.Request, such as
// "Request.Scopes[0]", or the name of a parameter.
//
// A refusal by Entra is an [*exchange.Error], whose Hint tells which setting to
// change. No error holds any part of a JWT's text or of an access token. It may
// show the issuer, the subject and the audience of the JWT.
package azure
