// Package aws exchanges a pipeline's JWT for temporary credentials of an IAM role,
// with AssumeRoleWithWebIdentity of the AWS Security Token Service (STS).
//
// An [Exchanger] stands for one role in one Region. The role's account has an
// IAM OpenID Connect identity provider whose URL is the JWT's "iss", byte for
// byte, with the audience among its client ids, and the role's trust policy
// admits the JWT's "sub":
//
//	{"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
//	 "Principal": {"Federated": "arn:aws:iam::123456789012:oidc-provider/ci.example.com/oidc"},
//	 "Condition": {"StringEquals": {
//	   "ci.example.com/oidc:aud": "sts.amazonaws.com",
//	   "ci.example.com/oidc:sub": "account/acme:org/payments:project/ledger"}}}
//
// Of a private issuer's claims, a trust policy knows "sub", "aud" and "amr" and
// no other. Whatever else a policy is to depend on becomes a session tag
// ([Config.SessionTags]), or a part of the subject ([Config.Subject]).
//
// A program gets the credentials in one of four ways. [Exchanger.Exchange]
// returns the variables of one session. [Exchanger.Bundle] returns the
// variables of a JWT file, with which the AWS CLI and the SDKs exchange JWTs by
// themselves. [ContainerCredentials] and [CredentialProcess] return the
// responses of the two protocols by which the tools fetch credentials. The
// nested module awscreds serves Go programs.
//
// A setting or an argument that cannot work is refused before any request, with
// an [*oidctoken.ConfigError]. Its Field is a field of [Config], such as
// "RoleARN" or "PolicyARNs[1]", a field of an exchange.Request, such as
// "Request.SessionName", or the name of a parameter.
//
// A refusal by STS is an [*exchange.Error], whose Hint tells which setting to
// change. No error holds any part of a JWT or of a credential.
package aws
