package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Limits of a file.
const (
	maxSize   = 4 << 20 // bytes
	maxDepth  = 32
	maxValues = 100_000 // an alias counts as the value that it names
)

// whole is the field of an error that is not about one key.
const whole = "file"

// parse parses the one document of a file.
func parse(data []byte) (*node, error) {
	if len(data) > maxSize {
		return nil, &Error{Line: 1, Field: whole, Reason: "is larger than 4 MiB"}
	}
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return nil, &Error{Line: lineAt(data, i), Field: whole, Reason: "has a NUL byte"}
	}
	if i := invalidUTF8(data); i >= 0 {
		return nil, &Error{Line: lineAt(data, i), Field: whole, Reason: "is not UTF-8"}
	}
	lines := &lineReader{data: data}
	decoder := yaml.NewDecoder(lines)
	var document, another yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, &Error{Line: 1, Field: whole, Reason: "is empty"}
	case err != nil:
		return nil, syntaxError(err, lines)
	}
	switch err := decoder.Decode(&another); {
	case err == nil:
		return nil, &Error{Line: another.Line, Field: whole, Reason: "has a second document"}
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(err, lines)
	}
	c := converter{left: maxValues}
	root, err := c.convert(document.Content[0], "", 0)
	if err != nil {
		return nil, err
	}
	if root.null {
		return nil, &Error{Line: 1, Field: whole, Reason: "is empty"}
	}
	if root.kind != mapping {
		return nil, &Error{Line: max(root.line, 1), Field: whole, Reason: "is " + root.kind.String() + ", not a mapping"}
	}
	return root, nil
}

// lineReader hands a file out line by line, so that it is known how far the
// YAML parser came: the errors that name no line, or the one where the block
// around the mistake begins, are of where it stopped.
type lineReader struct {
	data []byte
	next int
}

func (l *lineReader) Read(p []byte) (int, error) {
	rest := l.data[l.next:]
	if len(rest) == 0 {
		return 0, io.EOF
	}
	if i := bytes.IndexByte(rest, '\n'); i >= 0 {
		rest = rest[:i+1]
	}
	n := copy(p, rest)
	l.next += n
	return n, nil
}

// syntaxError makes one line of an error of the YAML parser.
func syntaxError(err error, lines *lineReader) error {
	reason := strings.TrimPrefix(err.Error(), "yaml: ")
	line := lineAt(lines.data, max(lines.next-1, 0))
	if rest, ok := strings.CutPrefix(reason, "line "); ok {
		number, rest, _ := strings.Cut(rest, ": ")
		if n, err := strconv.Atoi(number); err == nil {
			reason = rest
			if !strings.HasPrefix(reason, "did not find expected") {
				line = min(max(n, 1), line)
			}
		}
	}
	return &Error{Line: line, Field: whole, Reason: "is not YAML: " + reason}
}

// lineAt returns the line of the byte data[i], by what YAML 1.1 takes for the end
// of one (section 5.4).
func lineAt(data []byte, i int) int {
	n := 1
	for text := string(data[:i]); ; n++ {
		end := strings.IndexAny(text, "\n\r\u0085\u2028\u2029")
		if end < 0 {
			return n
		}
		_, size := utf8.DecodeRuneInString(text[end:])
		if strings.HasPrefix(text[end:], "\r\n") {
			size = 2
		}
		text = text[end+size:]
	}
}

// invalidUTF8 returns the index of the first byte that is not UTF-8, -1 if all are.
func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// converter makes nodes of YAML's, within the limits.
type converter struct{ left int }

func (c *converter) convert(y *yaml.Node, path string, depth int) (*node, error) {
	fail := func(format string, args ...any) (*node, error) {
		field := path
		if field == "" {
			field = whole
		}
		return nil, &Error{Line: y.Line, Field: field, Reason: fmt.Sprintf(format, args...)}
	}
	if c.left--; c.left < 0 {
		return nil, &Error{Line: y.Line, Field: whole, Reason: fmt.Sprintf("has more than %d values", maxValues)}
	}
	if depth > maxDepth { // as an alias within itself is
		return nil, &Error{Line: y.Line, Field: whole, Reason: fmt.Sprintf("is more than %d levels deep", maxDepth)}
	}
	n := &node{line: y.Line}
	switch y.Kind {
	case yaml.AliasNode:
		return c.convert(y.Alias, path, depth+1)
	case yaml.ScalarNode:
		n.text, n.null = y.Value, y.ShortTag() == "!!null"
		switch y.ShortTag() {
		case "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp":
		case "!!merge": // a plain <<, which is a text like any other as a value
		default:
			return fail("has its own YAML tag, %.40q", y.Tag)
		}
		if strings.IndexByte(y.Value, 0) >= 0 {
			return fail("has a NUL character")
		}
	case yaml.SequenceNode:
		n.kind = list
		if y.ShortTag() != "!!seq" {
			return fail("has its own YAML tag, %.40q", y.Tag)
		}
		for i, item := range y.Content {
			converted, err := c.convert(item, path+"["+strconv.Itoa(i)+"]", depth+1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, converted)
		}
	case yaml.MappingNode:
		n.kind = mapping
		if y.ShortTag() != "!!map" {
			return fail("has its own YAML tag, %.40q", y.Tag)
		}
		return n, c.entries(n, y, path, depth)
	default:
		return fail("is of no known kind")
	}
	return n, nil
}

// entries fills in a mapping.
func (c *converter) entries(n *node, y *yaml.Node, path string, depth int) error {
	lines := make(map[string]int)
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, value := y.Content[i], y.Content[i+1]
		line := key.Line
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if path == "" && (key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str") {
			path = whole
		}
		switch {
		case key.Kind != yaml.ScalarNode:
			return &Error{Line: line, Field: path, Reason: "has a key that is not a text"}
		case key.ShortTag() == "!!merge":
			return &Error{Line: line, Field: path, Reason: "has a merge key (<<): write its members out"}
		case key.ShortTag() != "!!str":
			return &Error{Line: line, Field: path, Reason: fmt.Sprintf("has the key %+.40q, which YAML does not take for a text: quote it", key.Value)}
		}
		at := join(path, key.Value)
		if first, ok := lines[key.Value]; ok {
			return &Error{Line: line, Field: at, Reason: fmt.Sprintf("is given twice, first in line %d", first)}
		}
		lines[key.Value] = line
		converted, err := c.convert(value, at, depth+1)
		if err != nil {
			return err
		}
		n.entries = append(n.entries, entry{key.Value, line, converted})
	}
	return nil
}
