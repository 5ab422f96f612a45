package mask_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/oidctoken/oidctoken/internal/mask"
)

// BenchmarkWriter masks ordinary output with a thousand tokens in the set.
func BenchmarkWriter(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var set mask.Set
	for range 1000 {
		set.Add(fakeJWT(r))
	}
	text := logText(r, 1<<20)
	for _, size := range []int{100, 4 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("writes of %d", size), func(b *testing.B) {
			w := set.Writer(io.Discard)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				for rest := text; len(rest) > 0; {
					n := min(size, len(rest))
					if _, err := w.Write(rest[:n]); err != nil {
						b.Fatal(err)
					}
					rest = rest[n:]
				}
			}
		})
	}
}

// BenchmarkAdd reports the time and the memory for one token in a set of a thousand.
func BenchmarkAdd(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var tokens []string
	for range 1000 {
		tokens = append(tokens, fakeJWT(r))
	}
	var before, after runtime.MemStats
	var set *mask.Set
	for b.Loop() {
		set = new(mask.Set)
		runtime.GC()
		runtime.ReadMemStats(&before)
		for _, token := range tokens {
			set.Add(token)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
	}
	runtime.KeepAlive(set)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1000, "B/token")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/token")
}
