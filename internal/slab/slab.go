// Package slab keeps very many small rows by their hash, in memory without
// pointers, which the garbage collector does not scan.
//
// The package is own code because it was measured: a cached ES256 token takes 151
// bytes, and a full collection with a million of them 1.1 ms. Maps and cache
// libraries took 1,427 to 1,633 bytes and 386 to 2,100 ms.
package slab

import (
	"encoding/binary"
	"iter"
)

// Hash is the key of a row. All of its bits are as good as random.
type Hash [16]byte

// Table is a table of rows, each with a value and a few bytes. A T must have no
// pointers, otherwise the garbage collector scans all of them. The zero Table
// is empty. Only one goroutine may use it at a time.
type Table[T any] struct {
	index []uint32 // a row's place and 1, in the slot that its hash points to or behind; 0: free
	rows  blocks[row[T]]
	free  []uint32 // places of rows
	live  int
	hand  uint32 // where the search for an unused row continues
	bytes map[int]*class
}

// Place is the position of a row, until the row is removed.
type Place uint32

type row[T any] struct {
	hash  Hash
	value T
	bytes uint32 // their place in their class
	size  uint16 // how many they are
	used  bool   // since the hand passed
	live  bool
}

// class has the bytes of those rows that have so many.
type class struct {
	blocks blocks[byte]
	free   []uint32
	live   int
}

// blocks is a slice that does not move when it grows.
type blocks[T any] struct {
	list [][]T
	n    uint32 // elements; the user gives the number of Ts in each
}

const perBlock = 1024 // elements

// at returns the element of that place.
func (b *blocks[T]) at(place uint32, size int) []T {
	i := int(place%perBlock) * size
	return b.list[place/perBlock][i : i+size : i+size]
}

// grow makes room for one more element.
func (b *blocks[T]) grow(size int) (place uint32) {
	if b.n%perBlock == 0 {
		b.list = append(b.list, make([]T, perBlock*size))
	}
	b.n++
	return b.n - 1
}

func (t *Table[T]) row(place Place) *row[T] { return &t.rows.at(uint32(place), 1)[0] }

// Len returns the number of rows.
func (t *Table[T]) Len() int { return t.live }

// Find finds the row of a hash.
func (t *Table[T]) Find(h Hash) (place Place, ok bool) {
	if len(t.index) == 0 {
		return 0, false
	}
	taken := t.index[t.slot(h)]
	return Place(taken - 1), taken != 0
}

// Value returns the value of a row, which can be written to.
func (t *Table[T]) Value(place Place) *T { return &t.row(place).value }

// Bytes returns the bytes of a row. The Table owns them and may change them.
func (t *Table[T]) Bytes(place Place) []byte {
	r := t.row(place)
	return t.bytes[int(r.size)].blocks.at(r.bytes, int(r.size))
}

// Use marks a row as used.
func (t *Table[T]) Use(place Place) { t.row(place).used = true }

// All returns the places of all rows. Any row may be removed meanwhile.
func (t *Table[T]) All() iter.Seq[Place] {
	return func(yield func(Place) bool) {
		for place := Place(0); uint32(place) < t.rows.n; place++ {
			if t.row(place).live && !yield(place) {
				return
			}
		}
	}
}

// slot returns the place of that hash's row in the index, or the free place for
// it.
func (t *Table[T]) slot(h Hash) int {
	i := t.home(h)
	for t.index[i] != 0 && t.row(Place(t.index[i]-1)).hash != h {
		i = t.next(i)
	}
	return i
}

// home returns the slot that a hash points to.
func (t *Table[T]) home(h Hash) int {
	return int(binary.LittleEndian.Uint64(h[:]) & uint64(len(t.index)-1))
}

func (t *Table[T]) next(slot int) int { return (slot + 1) & (len(t.index) - 1) }

// Add adds a row with a copy of those bytes, fewer than 65,536. No row has that
// hash.
func (t *Table[T]) Add(h Hash, value T, bytes []byte) {
	if 4*(t.live+1) > 3*len(t.index) {
		t.double()
	}
	place, ok := pop(&t.free)
	if !ok {
		place = t.rows.grow(1)
	}
	*t.row(Place(place)) = row[T]{hash: h, value: value, bytes: t.addBytes(bytes), size: uint16(len(bytes)), live: true}
	t.index[t.slot(h)] = place + 1
	t.live++
}

func (t *Table[T]) addBytes(bytes []byte) (place uint32) {
	c := t.bytes[len(bytes)]
	if c == nil {
		if t.bytes == nil {
			t.bytes = make(map[int]*class)
		}
		c = &class{}
		t.bytes[len(bytes)] = c
	}
	place, ok := pop(&c.free)
	if !ok {
		place = c.blocks.grow(len(bytes))
	}
	copy(c.blocks.at(place, len(bytes)), bytes)
	c.live++
	return place
}

func pop(places *[]uint32) (place uint32, ok bool) {
	last := len(*places) - 1
	if last < 0 {
		return 0, false
	}
	place, *places = (*places)[last], (*places)[:last]
	return place, true
}

// double doubles the index.
func (t *Table[T]) double() {
	t.index = make([]uint32, max(16, 2*len(t.index)))
	for place := range t.All() {
		t.index[t.slot(t.row(place).hash)] = uint32(place) + 1
	}
}

// Remove removes a row. The memory of many goes with the last of them.
func (t *Table[T]) Remove(place Place) {
	r := t.row(place)
	t.vacate(t.slot(r.hash))
	c := t.bytes[int(r.size)]
	c.free = append(c.free, r.bytes)
	if c.live--; c.live == 0 && c.blocks.n > perBlock {
		delete(t.bytes, int(r.size))
	}
	*r = row[T]{}
	t.free = append(t.free, uint32(place))
	if t.live--; t.live == 0 && t.rows.n > perBlock {
		*t = Table[T]{}
	}
}

// vacate frees a slot of the index. It moves the later entries that were
// displaced by it.
func (t *Table[T]) vacate(free int) {
	mask := len(t.index) - 1
	for i := t.next(free); t.index[i] != 0; i = t.next(i) {
		home := t.home(t.row(Place(t.index[i] - 1)).hash)
		if (i-home)&mask >= (i-free)&mask {
			t.index[free] = t.index[i]
			free = i
		}
	}
	t.index[free] = 0
}

// Unused returns the place of a row that was not used since the search for one passed
// it last. The table has a row.
func (t *Table[T]) Unused() Place {
	for {
		place := Place(t.hand % t.rows.n)
		t.hand = uint32(place) + 1
		switch r := t.row(place); {
		case !r.live:
		case r.used:
			r.used = false
		default:
			return place
		}
	}
}
