// Package gcp exchanges a pipeline's JWT for a Google Cloud access token, through
// Workload Identity Federation.
//
// An [Exchanger] stands for one provider of one workload identity pool and,
// optionally, one service account. Without a service account the step gets the
// federated token, which never outlives the JWT and which some Google APIs
// refuse. With a service account, the Exchanger exchanges the federated token
// for an access token of the account, which must grant
// roles/iam.workloadIdentityUser to the pipeline's principal:
//
//	principal://iam.googleapis.com/projects/N/locations/global/workloadIdentityPools/P/subject/SUB
//	principalSet://iam.googleapis.com/projects/N/locations/global/workloadIdentityPools/P/attribute.A/V
//
// There are three ways to hand the result to a program. [Exchanger.Exchange]
// gives an access token that ends when it ends. [Exchanger.Bundle] and
// [Exchanger.CredentialFile] give a file with which gcloud and Google's client
// libraries exchange JWTs by themselves. [Exchanger.TokenSource],
// [Exchanger.SubjectTokenSupplier] and the nested module gcpauth serve Go
// programs.
//
// A setting or an argument that cannot work is refused before any request, with
// an [*oidctoken.ConfigError]. Its Field is a field of [Config], such as
// "Provider" or "Delegates[1]", or begins with the name of another type, such as
// "FileSource.Path" or "Request.Scopes". It is "SubjectToken" for the JWT that
// exchange.Request.Subject returned, and a place in the document for [JWKSet],
// such as "keys[2].kid".
//
// A refusal by Google is an [*exchange.Error], whose Hint tells which setting
// to change. No error holds any part of a JWT or of an access token.
package gcp
