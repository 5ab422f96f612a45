package expr_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/expr"
)

// BenchmarkExpand shows, by MB/s, that the time of each shape is linear: 4 MiB cost at most 4.4
// times as much as 1 MiB. "openers" ends at the depth limit.
func BenchmarkExpand(b *testing.B) {
	many := func(size int) string {
		return strings.Repeat("<+stage.name>"+strings.Repeat("x", size/expr.MaxExpressions-13), expr.MaxExpressions)
	}
	for _, shape := range []struct {
		name  string
		text  func(size int) string
		fails bool
	}{
		{"plain", fill("", "echo a < b > c + d ' \" \\\n", ""), false},
		{"less", fill("", "<", ""), false},
		{"openers", fill("", "<+", ""), true},
		{"openers at the end", fill("", "\n", strings.Repeat("<+", expr.MaxDepth+1)), true},
		{"quotes", fill("<+x ", `"'" '"' `, ">"), false},
		{"one string", fill("<+x '", "abc>", "'>"), false},
		{"grammar", fill("<+stage.name.concat(", " ", "'x')>"), false},
		{"open string", fill("<+x '", "abc>", ""), true},
		{"expressions", many, false},
	} {
		for _, size := range []int{1 << 20, 2 << 20, 4 << 20} {
			b.Run(fmt.Sprintf("%s/%dMiB", shape.name, size>>20), func(b *testing.B) {
				text := shape.text(size)
				var h host
				env := h.env()
				b.ReportAllocs()
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					if _, err := expr.Expand(b.Context(), text, env); (err != nil) != shape.fails {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
