//go:build !unix

package atomicfile

import (
	"io/fs"
	"os"
)

// There is no owner and no mode to look at: access is by inherited lists.
func isOurs(fs.FileInfo) bool         { return true }
func isOpenToOthers(fs.FileInfo) bool { return false }

func setMode(*os.File, fs.FileMode) error { return nil }

// syncDir does nothing: a directory cannot be flushed here, and the file system
// journals a rename.
func syncDir(*os.File) error { return nil }
