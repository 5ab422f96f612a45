//go:build unix

package mask_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/oidctoken/oidctoken/internal/blocks"
	"github.com/oidctoken/oidctoken/internal/mask"
)

// BenchmarkSpeed reports the speed of masking with a thousand tokens in the set, in megabytes
// per second of processor time. It measures ordinary output in writes of several sizes, and
// output that looks much like tokens. Run it alone:
//
//	go test -run '^$' -bench Speed -benchtime 1x ./internal/mask
func BenchmarkSpeed(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	set := thousandTokens()
	noise := make([]byte, 750<<10)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	text := logText(r, 1<<20)
	encoded := []byte(wrap(base64.StdEncoding.EncodeToString(noise), 76, "\n"))
	for b.Loop() {
		plan := blocks.Plan{Rounds: 200, Tries: 5}
		result := plan.Compare(
			inWrites(b, set, text, "output", 4<<10),
			inWrites(b, set, text, "output", 64<<10),
			inWrites(b, set, text, "output", 1000),
			inWrites(b, set, text, "output", 100),
			inWrites(b, set, text, "output", 32),
			inWrites(b, set, encoded, "base64", 4<<10),
			inWrites(b, set, encoded, "base64", 100),
		)
		if err := result.Print(os.Stdout); err != nil {
			b.Fatal(err)
		}
		for i, name := range result.Names {
			b.ReportMetric(pieceSize/result.PerOp[i].Seconds()/1e6, name+"-MB/s")
		}
	}
}

// pieceSize is the number of bytes that one operation writes.
const pieceSize = 64 << 10

// inWrites writes text repeatedly, in writes of that size.
func inWrites(b *testing.B, set *mask.Set, text []byte, kind string, size int) blocks.Candidate {
	w, at := set.Writer(io.Discard), 0
	return blocks.Candidate{Name: fmt.Sprintf("%s/%d", kind, size), Run: func(n int) {
		for range n {
			for written := 0; written < pieceSize; {
				if at == len(text) {
					at = 0
				}
				k := min(size, len(text)-at, pieceSize-written)
				if _, err := w.Write(text[at : at+k]); err != nil {
					b.Fatal(err)
				}
				at += k
				written += k
			}
		}
	}}
}
