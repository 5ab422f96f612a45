package mask

import (
	"encoding/binary"
	"math/bits"
)

// gram is the number of bytes that the filter looks at. No pattern is shorter.
const gram = MinLength

// filter says of most positions of a text that no pattern begins there.
type filter struct {
	// A Bloom filter of the first bytes of the patterns, with both bits of a gram
	// in one word.
	words []uint64
	shift uint // of a hash, so that it numbers the words
	grams map[uint64]struct{}

	// A bit for the hash of every four bytes in a row in a gram. Where the last
	// four of eight bytes of a text are none of these, no pattern begins at the
	// first five.
	quads     []uint64
	quadShift uint // of a hash, so that it numbers the bits

	// For the end of a text, which has no gram: a bit for each first byte, for
	// each first two, and for the hash of each first three.
	firsts  [1 << 8 / 64]uint64
	pairs   [1 << 16 / 64]uint64
	triples [1 << 16 / 64]uint64
}

const (
	// gramsPerWord keeps false alarms of words below 1 %.
	gramsPerWord = 3
	// quadWords is the number of words of quads for each of words. It keeps false
	// alarms below 12 %.
	quadWords = 2
	// skip is the number of positions that one look at quads rules out.
	skip = gram - 4 + 1
)

func newFilter() filter {
	f := filter{grams: make(map[uint64]struct{})}
	f.resize(10)
	return f
}

// resize makes 1<<log2 words.
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

// next is the first index in text, from i on, at which a pattern may begin and
// that gram bytes follow. If there is none, it is that of an end of text, of fewer
// bytes, at or after which alone a pattern may begin.
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
		// The bits come from the middle of the hash, where the number of the word
		// does not reach.
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

// admits says whether a pattern may begin with text, which is not empty and
// shorter than a gram. It is certain of one and of two bytes.
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

// hashQuad is the number of the bit for four bytes.
func hashQuad(q uint32, shift uint) uint { return uint(hash(uint64(q)) >> shift) }

func pair(b []byte) uint { return uint(b[0]) | uint(b[1])<<8 }

// hashTriple spreads the first three bytes of b over 16 bits.
func hashTriple(b []byte) uint {
	return uint(uint32(pair(b)|uint(b[2])<<16) * 0x9E3779B1 >> 16)
}

func setBit(bits []uint64, i uint) { bits[i/64] |= 1 << (i % 64) }

func hasBit(bits []uint64, i uint) bool { return bits[i/64]>>(i%64)&1 != 0 }
