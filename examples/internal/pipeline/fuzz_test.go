package pipeline_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/oidctoken/oidctoken/examples/internal/pipeline"
)

// For every input the result is a file, or an error of one line that names a
// line of the file or a -set.
func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/*.[yj]*")
	if err != nil || len(files) == 0 {
		f.Fatalf("%d files in testdata, %v", len(files), err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "")
		f.Add(data, "stages[build].steps[list].run=x")
	}
	f.Add([]byte(head+tail), "issuer.tls.cert=x")
	f.Add([]byte(bomb()), "a[b].c[[d]]=e")
	f.Add([]byte("a: &a [*a]\n"), "")
	f.Add([]byte("account: a\r\nx: b\u2028y: c\rz: [\u0085"), "")
	f.Fuzz(func(t *testing.T, data []byte, set string) {
		var sets []string
		if set != "" {
			sets = []string{set}
		}
		file, err := pipeline.Read("f.yaml", data, sets)
		if err == nil {
			for i := range file.Stages {
				for j := range file.Stages[i].Steps {
					preview(t, file.Scope(&file.Stages[i], &file.Stages[i].Steps[j]))
				}
			}
			return
		}
		var e *pipeline.Error
		if !errors.As(err, &e) {
			t.Fatalf("Read = %v, want a *pipeline.Error", err)
		}
		if lines := countLines(string(data)); e.Line > lines || e.Line < 0 || e.Line == 0 && set == "" {
			t.Errorf("line %d of %d: %v", e.Line, lines, e)
		}
		if e.Field == "" || e.Reason == "" || strings.ContainsFunc(e.Error(), unicode.IsControl) {
			t.Errorf("Error = %q", e.Error())
		}
	})
}

// countLines knows the ends of lines of YAML 1.1 (section 5.4).
func countLines(s string) int {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	return 1 + strings.Count(s, "\n") + strings.Count(s, "\r") + strings.Count(s, "\u0085") + strings.Count(s, "\u2028") + strings.Count(s, "\u2029")
}
