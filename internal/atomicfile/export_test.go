package atomicfile

import "path/filepath"

// ReplaceFailing is Write where the operation op calls fault and returns its
// error instead of doing its work. A failing "write" has written half of the data.
func ReplaceFailing(path string, data []byte, op string, fault func() error) error {
	d, err := openDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.close()
	return replace(failingDir{d, op, fault}, filepath.Base(path), data)
}

type failingDir struct {
	*directory
	op    string
	fault func() error
}

func (d failingDir) create() (tempFile, string, error) {
	if d.op == "create" {
		return nil, "", d.fault()
	}
	f, name, err := d.directory.create()
	return failingFile{f, d.op, d.fault}, name, err
}

func (d failingDir) rename(from, to string) error {
	if d.op == "rename" {
		return d.fault()
	}
	return d.directory.rename(from, to)
}

func (d failingDir) sync() error {
	if d.op == "sync directory" {
		return d.fault()
	}
	return d.directory.sync()
}

type failingFile struct {
	tempFile
	op    string
	fault func() error
}

func (f failingFile) makePrivate() error {
	if f.op == "chmod" {
		return f.fault()
	}
	return f.tempFile.makePrivate()
}

func (f failingFile) Write(p []byte) (int, error) {
	if f.op != "write" {
		return f.tempFile.Write(p)
	}
	n, err := f.tempFile.Write(p[:len(p)/2])
	if err != nil {
		return n, err
	}
	return n, f.fault()
}

func (f failingFile) Sync() error {
	if f.op == "sync" {
		return f.fault()
	}
	return f.tempFile.Sync()
}

// CreateTemp makes a temporary file in dir as Write does. The file stays open,
// as in a living writer, until closeFile is called, as in a dead one.
func CreateTemp(dir string) (name string, closeFile func() error, err error) {
	d, err := openDir(dir)
	if err != nil {
		return "", nil, err
	}
	defer d.close()
	f, name, err := d.create()
	if err != nil {
		return "", nil, err
	}
	return name, f.Close, nil
}

// NewTempName returns a name that Write might choose for a temporary file.
func NewTempName() string { return newTempName() }
