// Package azurekeys signs with keys that never leave Azure Key Vault or a
// Managed HSM, through the Azure SDK's own client.
//
// [New] uses one version of a key. With [NewProvisioner] a keyring makes and
// retires versions. With [NewWrapper] a keyring encrypts its data key with a
// key of a Managed HSM and signs in memory. The host makes the client, with a
// credential of package azcred or azidentity. Give the client [HTTPClient],
// which limits the service's answers:
//
//	client, err := azkeys.NewClient("https://ci.vault.azure.net", credential, &azkeys.ClientOptions{
//		ClientOptions: azcore.ClientOptions{Transport: azurekeys.HTTPClient(nil)},
//	})
//
// The SDK retries nothing that this package asks of the vault, whatever the
// client's options say: a retry would hide from the [signer.Guard] that the
// service throttles. How often a credential of azidentity asks for an access
// token is set with that; it has no longer than the guard gives the call.
//
// Failures are [*signer.Error]. Code is the innermost code of the service, such
// as ForbiddenByRbac or KeyDisabled. The rest of the service's answer is not
// shown, but the SDK logs it on request (azcore/log, EventResponseError). Never
// set Logging.IncludeBody of the client's options together with a wrapper:
// bodies hold the data key.
package azurekeys
