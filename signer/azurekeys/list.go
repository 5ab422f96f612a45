package azurekeys

import (
	"context"
	"fmt"
	"net/url"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/oidctoken/oidctoken/signer"
)

// listedVersion is a version with what keeps it from being used now.
type listedVersion struct {
	id  keyID
	err error
}

// maxPages is more than a ring fills in centuries.
const maxPages = 1000

func (p *provisioner) list(ctx context.Context, key keyID) ([]listedVersion, error) {
	var listed []listedVersion
	pager := p.client().NewListKeyPropertiesVersionsPager(key.name, nil)
	for range maxPages {
		page, err := call(ctx, p.guard.ForKey(), opList, func(ctx context.Context) ([]listedVersion, error) {
			return nextPage(ctx, pager, key)
		})
		switch {
		case isGone(err):
			return nil, nil // a Managed HSM may return this for a key without a version
		case err != nil:
			return nil, err
		}
		if listed = append(listed, page...); !pager.More() {
			return listed, nil
		}
	}
	return nil, misuse(opList, fmt.Errorf("%s has more than %d pages of versions", key, maxPages))
}

const opList = "ListKeyPropertiesVersions"

func nextPage(ctx context.Context, pager *runtime.Pager[azkeys.ListKeyPropertiesVersionsResponse], key keyID) ([]listedVersion, error) {
	page, err := pager.NextPage(ctx)
	if err != nil {
		return nil, err
	}
	if page.NextLink != nil && *page.NextLink != "" {
		// The next request goes there, with the access token.
		u, err := url.Parse(*page.NextLink)
		if err != nil {
			return nil, problem(signer.Malformed, "the nextLink is not a URL")
		}
		if vault, err := vaultOf(u); err != nil || vault != key.vault {
			return nil, problem(signer.Malformed, "the nextLink leaves the vault: it goes to %.100q", u.Host)
		}
	}
	listed := make([]listedVersion, 0, len(page.Value))
	for _, v := range page.Value {
		if v == nil || v.KID == nil {
			return nil, problem(signer.Malformed, "a version is listed without kid")
		}
		id, err := pinned(string(*v.KID))
		if of := (keyID{id.vault, id.name, ""}); err != nil || !of.is(key) {
			return nil, problem(signer.Malformed, "%.200q is listed, which is not a version of %s", string(*v.KID), key)
		}
		id.name = key.name
		if v.Attributes == nil || v.Attributes.Enabled == nil {
			return nil, problem(signer.Malformed, "%s is listed without attributes", id)
		}
		listed = append(listed, listedVersion{id, active(v.Attributes)})
	}
	return listed, nil
}
