package mask_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/internal/mask"
)

// fakeJWT returns a text of about 1.2 KB that looks like a token of one issuer: the same
// header, claims with the same beginning, a random signature.
func fakeJWT(r *rand.Rand) string {
	signature := make([]byte, 256)
	for i := range signature {
		signature[i] = byte(r.Uint32())
	}
	claims := fmt.Sprintf(`{"iss":"https://oidc.example.com/account","aud":"https://vault.example.com","account_id":"acme",`+
		`"organization_id":"payments","project_id":"ledger","pipeline_id":"release","jti":"%016x%016x","padding":"%s"}`,
		r.Uint64(), r.Uint64(), strings.Repeat("x", 200+r.IntN(100)))
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs","typ":"JWT"}`)) +
		"." + base64.RawURLEncoding.EncodeToString([]byte(claims)) +
		"." + base64.RawURLEncoding.EncodeToString(signature)
}

// logText returns n bytes of typical build output.
func logText(r *rand.Rand, n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		switch r.IntN(8) {
		case 0:
			fmt.Fprintf(&b, "2026-01-02T15:04:05.%06dZ INFO  [worker-%d] downloaded https://repo.example.com/maven2/org/apache/commons/commons-lang3/3.%d/commons-lang3-3.%d.jar (%d kB at %d kB/s)\n", r.IntN(1e6), r.IntN(16), i%20, i%20, r.IntN(5000), r.IntN(900))
		case 1:
			fmt.Fprintf(&b, "ok  \tgithub.com/example/project/internal/pkg%d\t%d.%03ds\tcoverage: %d.%d%% of statements\n", r.IntN(500), r.IntN(30), r.IntN(1000), r.IntN(100), r.IntN(10))
		case 2:
			fmt.Fprintf(&b, `{"level":"info","ts":%d.%04d,"caller":"server/server.go:%d","msg":"request served","method":"GET","path":"/api/v1/items/%d","status":200,"bytes":%d}`+"\n", 1700000000+i, r.IntN(10000), r.IntN(900), r.IntN(1e6), r.IntN(1e5))
		case 3:
			fmt.Fprintf(&b, "Step %d/40 : RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl git\n ---> Running in %012x\n", r.IntN(40), r.Uint64()>>16)
		case 4:
			fmt.Fprintf(&b, "commit %016x%016x%08x\nAuthor: Jane Doe <jane@example.com>\n\n    Fix the thing that was broken in the other thing\n\n", r.Uint64(), r.Uint64(), r.Uint32())
		case 5:
			fmt.Fprintf(&b, "sha256:%016x%016x%016x%016x: Pull complete\n", r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64())
		case 6:
			b.WriteString("The quick brown fox jumps over the lazy dog, and then has to explain itself to the committee.\n")
		case 7:
			fmt.Fprintf(&b, "warning: unused variable: `value%d`\n  --> src/main.rs:%d:%d\n   |\n", r.IntN(100), r.IntN(1000), r.IntN(80))
		}
	}
	return b.Bytes()[:n]
}

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
