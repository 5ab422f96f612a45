package pipeline

import (
	"fmt"
	"strings"
)

// node is a value of a file: YAML without what makes it hard to read.
type node struct {
	kind    kind
	line    int     // 0 if it was set from outside the file
	text    string  // of a scalar, as written: 001 is not 1
	null    bool    // of a scalar: it is written as null, ~ or nothing
	entries []entry // of a mapping; no two have the same key
	items   []*node // of a list
}

type entry struct {
	key   string
	line  int
	value *node
}

type kind uint8

const (
	scalar kind = iota
	mapping
	list
)

func (k kind) String() string { return [...]string{"a scalar", "a mapping", "a list"}[k] }

// get returns the value of the first of n's keys that is in names, or nil.
func (n *node) get(names ...string) *node {
	for _, e := range n.entries {
		for _, name := range names {
			if e.key == name {
				return e.value
			}
		}
	}
	return nil
}

// join returns the path of a key of the mapping at path.
func join(path, key string) string {
	switch {
	case !isName(key):
		return path + selector(key)
	case path == "":
		return key
	}
	return path + "." + key
}

// selector returns the form of a list's element, or of a key that is not a
// name, in a path.
func selector(key string) string {
	for _, r := range key {
		if r <= ' ' || r > '~' || r == '[' || r == ']' || r == '"' || len(key) > 256 {
			return fmt.Sprintf("[%+.64q]", key)
		}
	}
	return "[" + key + "]"
}

// isName reports whether s is a name of a variable in the environment.
func isName(s string) bool {
	if s == "" || len(s) > 256 || '0' <= s[0] && s[0] <= '9' {
		return false
	}
	return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == ""
}
