package azurekeys_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/signer/azurekeys"
)

func FuzzParseKeyID(f *testing.F) {
	version := strings.Repeat("0a", 16)
	for _, seed := range []string{
		"", vaultURL, vaultURL + "/keys/tokens", vaultURL + "/keys/tokens/" + version, hsmURL + ":443/keys/t/" + version,
		"https://[::1]:8443/keys/t/" + version, "https://u@h/keys/t", "https://h/keys/%74", "https://H/keys/T", "https:opaque", "https://h/keys/t?", "https://h/keys/t#",
	} {
		f.Add(seed)
	}
	form := regexp.MustCompile(`\Ahttps://[^/?#@]+/keys/[0-9A-Za-z-]{1,127}(?:/[0-9A-Za-z-]{32})?\z`)
	f.Fuzz(func(t *testing.T, text string) {
		id, err := azurekeys.ParseKeyID(text)
		if err != nil {
			return
		}
		if !form.MatchString(id) || !strings.EqualFold(strings.Replace(text, ":443/", "/", 1), id) {
			t.Errorf("%q is read as %q", text, id)
		}
		if again, err := azurekeys.ParseKeyID(id); err != nil || again != id {
			t.Errorf("%q is read as %q, %v", id, again, err)
		}
	})
}

func FuzzParseSealed(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(append([]byte("\x01"+strings.Repeat("0a", 16)), make([]byte, 60)...))
	f.Add(append([]byte("\x02"+strings.Repeat("0a", 16)), make([]byte, 60)...))
	f.Fuzz(func(t *testing.T, wrapped []byte) {
		again, err := azurekeys.ParseSealed(wrapped)
		if err == nil && !bytes.Equal(again, wrapped) {
			t.Errorf("%x is read as %x", wrapped, again)
		}
	})
}

func FuzzErrorCodes(f *testing.F) {
	f.Add([]byte(`{"error":{"code":"Forbidden","message":"m","innererror":{"code":"ForbiddenByRbac","innererror":{"code":"X"}}}}`))
	f.Add([]byte(`{"error":{"code":"Forbidden","innererror":7}}`))
	f.Add([]byte(`{"error":null}`))
	f.Add([]byte(`{"error":{"code":"a b"}}`))
	code := regexp.MustCompile(`\A[0-9A-Za-z._-]{0,64}\z`)
	f.Fuzz(func(t *testing.T, body []byte) {
		outer, inner := azurekeys.ErrorCodes(body)
		if !code.MatchString(outer) || !code.MatchString(inner) || (outer == "") != (inner == "") {
			t.Errorf("the codes of %q are %q and %q", body, outer, inner)
		}
	})
}
