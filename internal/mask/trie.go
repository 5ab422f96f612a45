package mask

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// node is a node of a compressed trie. It is reached when all of key has been
// seen; the edge to it is what key has beyond its parent's. An insertion may put a
// new node between a node and its parent but never changes a key, so an open match
// that has a node and the number of bytes seen stays valid.
type node struct {
	key   []byte
	isEnd bool    // key is a pattern
	first []byte  // the first byte of the edge to each child
	next  []*node // the children
}

func (n *node) child(c byte) *node {
	if i := bytes.IndexByte(n.first, c); i >= 0 {
		return n.next[i]
	}
	return nil
}

func (n *node) addChild(c *node) {
	n.first = append(n.first, c.key[len(n.key)])
	n.next = append(n.next, c)
}

// insert adds pattern below n, whose key must be a prefix of it.
func (n *node) insert(pattern []byte) {
	for len(n.key) < len(pattern) {
		i := bytes.IndexByte(n.first, pattern[len(n.key)])
		if i < 0 {
			n.addChild(&node{key: pattern, isEnd: true})
			return
		}
		c := n.next[i]
		common := len(n.key) + commonPrefix(c.key[len(n.key):], pattern[len(n.key):])
		if common < len(c.key) {
			mid := &node{key: c.key[:common]}
			mid.addChild(c)
			n.next[i] = mid
			c = mid
		}
		n = c
	}
	n.isEnd = true
}

// commonPrefix is the number of bytes in which a and b agree from the start.
func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		if differ := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); differ != 0 {
			return i + bits.TrailingZeros64(differ)/8
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// gram is the number of bytes that the filter looks at. No pattern is shorter.
const gram = MinLength

// filter says of most positions of a text that no pattern begins there. It is a
// Bloom filter of the first bytes of the patterns, with both bits of a gram in one word.
type filter struct {
	pairs [1 << 16 / 64]uint64 // a bit for each first two bytes, for the end of a text
	words []uint64
	shift uint // of a hash, so that it numbers the words
	grams map[uint64]struct{}
}

// gramsPerWord keeps false alarms below 1 %.
const gramsPerWord = 3

func newFilter() filter {
	const log2 = 10
	return filter{words: make([]uint64, 1<<log2), shift: 64 - log2, grams: make(map[uint64]struct{})}
}

func (f *filter) add(pattern []byte) {
	g := binary.LittleEndian.Uint64(pattern)
	f.grams[g] = struct{}{}
	f.set(g)
	pair := binary.LittleEndian.Uint16(pattern)
	f.pairs[pair/64] |= 1 << (pair % 64)
	if len(f.grams) <= len(f.words)*gramsPerWord {
		return
	}
	f.words = make([]uint64, 4*len(f.words))
	f.shift -= 2
	for g := range f.grams {
		f.set(g)
	}
}

func (f *filter) set(g uint64) {
	h := hash(g)
	f.words[h>>f.shift] |= 1<<(h>>32%64) | 1<<(h>>26%64)
}

// next is the first index in text, from i on, at which a pattern may begin, as it
// always may at the last byte; or the length of text.
func (f *filter) next(text []byte, i int) int {
	words, shift := f.words, f.shift%64
	for ; i+gram <= len(text); i++ {
		h := hash(binary.LittleEndian.Uint64(text[i:]))
		// The bits come from the middle of the hash, where the number of the word
		// does not reach.
		word := words[h>>shift]
		if word>>(h>>32%64)&(word>>(h>>26%64))&1 != 0 {
			return i
		}
	}
	for ; i+2 <= len(text); i++ {
		pair := binary.LittleEndian.Uint16(text[i:])
		if f.pairs[pair/64]>>(pair%64)&1 != 0 {
			return i
		}
	}
	return i
}

// hash spreads g over the upper bits.
func hash(g uint64) uint64 { return g * 0x9E3779B97F4A7C15 }
