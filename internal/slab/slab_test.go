package slab_test

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken/internal/slab"
)

// hashOf returns the hash of a number.
func hashOf(n int) slab.Hash {
	sum := sha256.Sum256(binary.LittleEndian.AppendUint64(nil, uint64(n)))
	return slab.Hash(sum[:16])
}

// crowded hashes all point to the same few slots.
func crowded(n int) slab.Hash {
	h := slab.Hash{}
	binary.LittleEndian.PutUint64(h[:], uint64(n%3)-1)
	binary.LittleEndian.PutUint64(h[8:], uint64(n))
	return h
}

type content struct {
	Value int64
	Bytes string
}

// After any additions and removals a table equals a map, and it reuses its
// memory.
func TestTableIsAMap(t *testing.T) {
	for _, tt := range []struct {
		name string
		hash func(int) slab.Hash
		most int // rows
	}{
		{"spread", hashOf, 1500}, // more than a block, so that blocks come and go
		{"crowded", crowded, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				var table slab.Table[int64]
				want := map[slab.Hash]content{}
				numbers := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
				sizes := []int{0, 1, 64, 256}
				check := func(t *rapid.T) {
					got := map[slab.Hash]content{}
					for h := range want {
						place, ok := table.Find(h)
						if !ok {
							t.Fatalf("%x is not in the table", h)
						}
						got[h] = content{*table.Value(place), string(table.Bytes(place))}
					}
					if !maps.Equal(want, got) { // which is fast
						t.Fatalf("table (-want +got):\n%s", cmp.Diff(want, got))
					}
					if n := len(slices.Collect(table.All())); n != len(want) || table.Len() != n {
						t.Fatalf("All has %d rows, Len is %d, want %d", n, table.Len(), len(want))
					}
				}
				add := func(t *rapid.T) {
					for range rapid.IntRange(1, 4).Draw(t, "quarters") * tt.most / 4 {
						n := numbers.IntN(tt.most)
						h := tt.hash(n)
						if place, ok := table.Find(h); ok != (want[h] != content{}) {
							t.Fatalf("Find(%x) = %v", h, ok)
						} else if ok {
							table.Remove(place)
						}
						c := content{int64(n) + 1, string(make([]byte, sizes[n%len(sizes)]))}
						table.Add(h, c.Value, []byte(c.Bytes))
						want[h] = c
					}
				}
				remove := func(t *rapid.T) {
					share := rapid.IntRange(1, 4).Draw(t, "share")
					for n := range tt.most {
						if h := tt.hash(n); want[h] != (content{}) && n%share == 0 {
							place, _ := table.Find(h)
							table.Remove(place)
							delete(want, h)
						}
					}
				}
				t.Repeat(map[string]func(*rapid.T){
					"": check, "add": add, "remove": remove,
					"remove in a loop": func(t *rapid.T) {
						odd := rapid.Int64Range(0, 1).Draw(t, "odd")
						for place := range table.All() {
							if *table.Value(place)%2 == odd {
								table.Remove(place)
							}
						}
						maps.DeleteFunc(want, func(_ slab.Hash, c content) bool { return c.Value%2 == odd })
					},
				})
			})
		})
	}
}

// A row that was used since the last search stays, once.
func TestUnused(t *testing.T) {
	var table slab.Table[int64]
	for n := range 5 {
		table.Add(hashOf(n), int64(n), nil)
	}
	use := func(numbers ...int) {
		for _, n := range numbers {
			place, _ := table.Find(hashOf(n))
			table.Use(place)
		}
	}
	unused := func() int64 {
		place := table.Unused()
		n := *table.Value(place)
		table.Remove(place)
		return n
	}
	var got []int64
	use(0, 1, 3)
	got = append(got, unused(), unused()) // past 0, 1 and 3, which are unused from now on
	use(1)
	got = append(got, unused(), unused(), unused())
	if diff := cmp.Diff([]int64{2, 4, 0, 3, 1}, got); diff != "" {
		t.Errorf("unused rows (-want +got):\n%s", diff)
	}
}

// A table in which rows come and go takes no more memory than it did when they
// were most, and none when it is empty.
func TestMemoryComesBack(t *testing.T) {
	const rows = 10_000
	var table slab.Table[[5]int64]
	before := heap()
	fill := func(size int) int64 {
		for n := range rows {
			if _, ok := table.Find(hashOf(n)); !ok {
				table.Add(hashOf(n), [5]int64{}, make([]byte, size))
			}
		}
		return heap() - before
	}
	drain := func(left int) int64 {
		for place := range table.All() {
			if table.Len() > left {
				table.Remove(place)
			}
		}
		return heap() - before
	}
	full := fill(64)
	for range 5 {
		drain(10)
		if got := fill(64); got > full*11/10 {
			t.Errorf("%d bytes after rows came and went, %d before", got, full)
		}
	}
	for size := range 5 { // of one size after another, as when a key of another kind signs
		for n := range rows {
			place, _ := table.Find(hashOf(n))
			table.Remove(place)
			table.Add(hashOf(n), [5]int64{}, make([]byte, 65+size))
		}
		if got := heap() - before; got > full*12/10 {
			t.Errorf("%d bytes after all had bytes of another size, %d before", got, full)
		}
	}
	if left := drain(0); left > full/100 {
		t.Errorf("%d bytes are left of %d", left, full)
	}
	runtime.KeepAlive(&table)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
