//go:build !unix

package keyring

import (
	"fmt"
	"io/fs"
	"os"
)

// openOwn opens a regular file. There is no owner to look at: access is by
// inherited lists.
func openOwn(path string, flag int) (*os.File, error) {
	if fi, err := os.Lstat(path); err != nil {
		return nil, err
	} else if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	return os.OpenFile(path, flag, 0o600)
}

// exposure returns "": there is no mode to look at.
func exposure(fs.FileInfo) string { return "" }
