package main_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	skipped "github.com/oidctoken/oidctoken/internal/skipped"
)

func TestReport(t *testing.T) {
	const pass = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- PASS: TestA (0.00s)\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p"}
`
	skip := func(test, reason string) string {
		return `{"Action":"output","Package":"p","Test":"` + test + `","Output":"=== RUN   ` + test + `\n"}
{"Action":"output","Package":"p","Test":"` + test + `","Output":"    x_test.go:12: ` + reason + `\n"}
{"Action":"output","Package":"p","Test":"` + test + `","Output":"--- SKIP: ` + test + ` (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"` + test + `"}
`
	}
	for _, tt := range []struct {
		name, input, want string
		failed            bool
	}{
		{"no skipped test", pass, "ok  \tp\t0.1s\n\nNo test was skipped.\n", false},
		{"nothing at all", "", "\nNo test was skipped.\n", false},
		{"a package without tests", `{"Action":"output","Package":"p","Output":"?   \tp\t[no test files]\n"}
{"Action":"skip","Package":"p"}
`, "?   \tp\t[no test files]\n\nNo test was skipped.\n", false},
		{"three", skip("TestB", "gcloud: not installed: it is not in PATH") + skip("TestC/x", "gcloud: not installed: it is not in PATH") + skip("TestD", "aws: not installed: it is not in PATH") + pass,
			`ok  	p	0.1s

3 tests were skipped:

     2  gcloud: not installed: it is not in PATH
     1  aws: not installed: it is not in PATH

Install the missing programs, or run .ci/run, which installs them, and run the tests again.
`, false},
		{"without a reason", `{"Action":"skip","Package":"p","Test":"TestE"}
`, `
1 tests were skipped:

     1  without a reason

Install the missing programs, or run .ci/run, which installs them, and run the tests again.
`, false},
		{"a failure", `{"Action":"output","Package":"p","Test":"TestF","Output":"    x_test.go:3: wrong\n"}
{"Action":"fail","Package":"p","Test":"TestF"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}
`, "    x_test.go:3: wrong\nFAIL\tp\t0.1s\n\nNo test was skipped.\n", true},
		{"a build that fails", `{"ImportPath":"p","Action":"build-output","Output":"x.go:1: syntax error\n"}
{"ImportPath":"p","Action":"build-fail"}
`, "x.go:1: syntax error\n\nNo test was skipped.\n", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got strings.Builder
			failed, err := skipped.Report(strings.NewReader(tt.input), &got)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got.String()); diff != "" || failed != tt.failed {
				t.Errorf("failed is %v, want %v (-want +got):\n%s", failed, tt.failed, diff)
			}
		})
	}
}

func TestReportRefuses(t *testing.T) {
	_, err := skipped.Report(strings.NewReader("ok  \tp\t0.1s\n"), new(strings.Builder))
	const want = `a line is not from go test -json: "ok  \tp\t0.1s"`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
