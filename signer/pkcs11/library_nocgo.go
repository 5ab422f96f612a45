//go:build !cgo

package pkcs11

import (
	"errors"
	"fmt"
)

func load(string) (library, error) {
	return nil, fmt.Errorf("pkcs11: this program was built without cgo, through which the library is called: "+
		"build it with CGO_ENABLED=1 and a C compiler: %w", errors.ErrUnsupported)
}
