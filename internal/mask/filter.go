package mask

import (
	"encoding/binary"
	"math/bits"
)

// gram is the number of bytes that the filter looks at. No pattern is shorter.
const gram = MinLength

// filter rules out most positions of a text as the beginning of a pattern.
type filter struct {
	// A Bloom filter of the first eight bytes (the gram) of the patterns. Both bits of a gram
	// are in one word.
	words []uint64
	shift uint // shifts a hash to the index of a word
	grams map[uint64]struct{}

	// A bit for the hash of every four consecutive bytes in a gram. If the last four of eight
	// bytes of a text have no bit here, no pattern begins at the first five of them.
	quads     []uint64
	quadShift uint // shifts a hash to the index of a bit

	// For the end of a text, which is shorter than a gram: a bit for each first byte, for each
	// first two bytes, and for the hash of each first three bytes.
	firsts  [1 << 8 / 64]uint64
	pairs   [1 << 16 / 64]uint64
	triples [1 << 16 / 64]uint64
}

const (
	// gramsPerWord keeps the false positives of words below 1 %.
	gramsPerWord = 3
	// quadWords is the number of words of quads for each of words. It keeps false positives
	// below 12 %.
	quadWords = 2
	// skip is the number of positions that one look at quads rules out.
	skip = gram - 4 + 1
)

func newFilter() filter {
	f := filter{grams: make(map[uint64]struct{})}
	f.resize(10)
	return f
}

// resize allocates 1<<log2 words.
func (f *filter) resize(log2 uint) {
	f.words, f.shift = make([]uint64, 1<<log2), 64-log2
	f.quads = make([]uint64, quadWords<<log2)
	f.quadShift = 64 - uint(bits.Len(uint(64*len(f.quads)-1)))
	for g := range f.grams {
		f.set(g)
	}
}

func (f *filter) add(pattern []byte) {
	g := binary.LittleEndian.Uint64(pattern)
	f.grams[g] = struct{}{}
	setBit(f.firsts[:], uint(pattern[0]))
	setBit(f.pairs[:], pair(pattern))
	setBit(f.triples[:], hashTriple(pattern))
	if len(f.grams) > len(f.words)*gramsPerWord {
		f.resize(64 - f.shift + 2)
	} else {
		f.set(g)
	}
}

func (f *filter) set(g uint64) {
	h := hash(g)
	f.words[h>>f.shift] |= 1<<(h>>32%64) | 1<<(h>>26%64)
	for i := range skip {
		setBit(f.quads, hashQuad(uint32(g>>(8*i)), f.quadShift))
	}
}

// next returns the first index in text, from i on, at which a pattern may begin and at least
// gram bytes follow. If there is no such index, it returns the start of the last few bytes of
// the text. A pattern may begin only at or after that index.
func (f *filter) next(text []byte, i int) int {
	words, shift := f.words, f.shift%64
	quads, quadShift := f.quads, f.quadShift%64
	for i+gram <= len(text) {
		g := binary.LittleEndian.Uint64(text[i:])
		if !hasBit(quads, hashQuad(uint32(g>>32), quadShift)) {
			i += skip
			continue
		}
		h := hash(g)
		// The two bits come from the middle of the hash, and the index of the word from its
		// upper end, so they are independent.
		word := words[h>>shift]
		if word>>(h>>32%64)&(word>>(h>>26%64))&1 != 0 {
			return i
		}
		i++
	}
	if last := len(text) - 4; i <= last && !hasBit(quads, hashQuad(binary.LittleEndian.Uint32(text[last:]), quadShift)) {
		return last + 1
	}
	return i
}

// admits reports whether a pattern may begin with text, which is not empty and shorter than a
// gram. For one and two bytes, the answer is exact.
func (f *filter) admits(text []byte) bool {
	switch len(text) {
	case 1:
		return hasBit(f.firsts[:], uint(text[0]))
	case 2:
		return hasBit(f.pairs[:], pair(text))
	}
	return hasBit(f.triples[:], hashTriple(text))
}

// hash spreads g over the upper bits.
func hash(g uint64) uint64 { return g * 0x9E3779B97F4A7C15 }

// hashQuad returns the index of the bit for four bytes.
func hashQuad(q uint32, shift uint) uint { return uint(hash(uint64(q)) >> shift) }

func pair(b []byte) uint { return uint(b[0]) | uint(b[1])<<8 }

// hashTriple spreads the first three bytes of b over 16 bits.
func hashTriple(b []byte) uint {
	return uint(uint32(pair(b)|uint(b[2])<<16) * 0x9E3779B1 >> 16)
}

func setBit(bits []uint64, i uint) { bits[i/64] |= 1 << (i % 64) }

func hasBit(bits []uint64, i uint) bool { return bits[i/64]>>(i%64)&1 != 0 }
