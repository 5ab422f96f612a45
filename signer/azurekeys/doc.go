// Package azurekeys signs with keys that never leave Azure Key Vault or a
// Managed HSM, through the Azure SDK's own client.
//
// [New] is one version of a key; [NewProvisioner] lets a keyring make and end
// versions; [NewWrapper] lets a keyring encrypt its data key with a key of a
// Managed HSM, and sign in memory. The client is the host's, whose credential
// package azcred or azidentity makes; give it [HTTPClient], which bounds what
// the service may answer:
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
// Failures are [*signer.Error]. Code is the innermost that the service gave,
// such as ForbiddenByRbac or KeyDisabled; what the service wrote besides is not
// shown, but the SDK logs it when asked to (azcore/log, EventResponseError).
// Never set Logging.IncludeBody of the client's options together with a
// wrapper: bodies hold the data key.
package azurekeys
