package azurekeys

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/oidctoken/oidctoken/signer"
)

// keyID is a key identifier, taken apart.
type keyID struct {
	vault   string // scheme and host, in lower case
	name    string
	version string // empty if the identifier names none
}

const (
	maxID       = 1024
	maxName     = 127
	versionSize = 32 // of every version's name
)

// parseKeyID takes https://HOST/keys/NAME or https://HOST/keys/NAME/VERSION and
// nothing else. azkeys.ID has methods for it, which panic on some texts and take
// most others.
func parseKeyID(text string) (keyID, error) {
	if len(text) > maxID {
		return keyID{}, fmt.Errorf("it has more than %d bytes", maxID)
	}
	u, err := url.Parse(text)
	if err != nil {
		return keyID{}, errors.New("it is not a URL")
	}
	vault, err := vaultOf(u)
	if err != nil {
		return keyID{}, err
	}
	parts := strings.Split(u.EscapedPath(), "/")
	if n := len(parts); n != 3 && n != 4 || parts[0] != "" || parts[1] != "keys" {
		return keyID{}, errors.New("its path is not /keys/NAME/VERSION")
	}
	id := keyID{vault: vault, name: parts[2]}
	if !isName(id.name) {
		return keyID{}, fmt.Errorf("its key name is not 1 to %d of A-Z a-z 0-9 -", maxName)
	}
	if len(parts) == 4 {
		id.version = parts[3]
		if len(id.version) != versionSize || !isName(id.version) {
			return keyID{}, fmt.Errorf("its version is not %d of A-Z a-z 0-9", versionSize)
		}
	}
	if u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#") {
		return keyID{}, errors.New("it has a query or a fragment")
	}
	return id, nil
}

// vaultOf returns the scheme and host of an identifier or a link. The service writes
// the port into links and not into identifiers.
func vaultOf(u *url.URL) (string, error) {
	host := strings.TrimSuffix(strings.ToLower(u.Host), ":443")
	if u.Scheme != "https" || u.User != nil || u.Opaque != "" || u.Hostname() == "" {
		return "", errors.New("it does not begin with https:// and a host")
	}
	return "https://" + host, nil
}

func isName(s string) bool {
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

// pinned returns a key identifier with a version.
func pinned(text string) (keyID, error) {
	id, err := parseKeyID(text)
	switch {
	case err != nil:
		return keyID{}, fmt.Errorf("the key identifier %.100q: %w", text, err)
	case id.version == "":
		return keyID{}, fmt.Errorf("the key identifier %.100q names no version, and the latest is another one after a rotation", text)
	}
	return id, nil
}

func (id keyID) String() string {
	if id.version == "" {
		return id.vault + "/keys/" + id.name
	}
	return id.vault + "/keys/" + id.name + "/" + id.version
}

// is reports whether both name one version. Key names differ in more than
// letter case.
func (id keyID) is(other keyID) bool {
	return id.vault == other.vault && strings.EqualFold(id.name, other.name) && id.version == other.version
}

// echoed checks that an answer belongs to the requested version. A text that
// names no key of the vault is not shown: it could be an echo of the request.
func (id keyID) echoed(kid *azkeys.ID) error {
	if kid == nil {
		return problem(signer.Malformed, "the answer names no key")
	}
	switch got, err := parseKeyID(string(*kid)); {
	case err != nil || got.vault != id.vault:
		return problem(signer.Malformed, "the answer belongs to another key, not to %s", id)
	case !id.is(got):
		return problem(signer.Malformed, "the answer belongs to another key: %.200q, not %s", got.String(), id)
	}
	return nil
}
