package mask

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// node is a node of a compressed trie. The text up to the node is key. The edge to the node is
// the part of key after the parent's key. An insertion may put a new node between a node and
// its parent, but it never changes a key. So an open match, which consists of a node and the
// number of matched bytes, stays valid.
type node struct {
	key   []byte
	isEnd bool    // key is a pattern
	short []form  // patterns that begin with key and whose rest is not yet in the trie
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

// insert returns the node for key below n. n's own key must be a prefix of key.
func (n *node) insert(key []byte) *node {
	for len(n.key) < len(key) {
		i := bytes.IndexByte(n.first, key[len(n.key)])
		if i < 0 {
			c := &node{key: key}
			n.addChild(c)
			return c
		}
		c := n.next[i]
		common := len(n.key) + commonPrefix(c.key[len(n.key):], key[len(n.key):])
		if common < len(c.key) {
			mid := &node{key: c.key[:common]}
			mid.addChild(c)
			n.next[i] = mid
			c = mid
		}
		n = c
	}
	return n
}

// commonPrefix returns the length of the longest common prefix of a and b.
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
