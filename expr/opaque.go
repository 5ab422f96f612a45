package expr

// opaque describes a value that may be placed into text but not used in any other way.
type opaque struct {
	name    string // the function that returns the value, or the path that passes through
	opacity opacity
}

// opacity is the reason why a value is opaque. A larger reason forbids everything that a
// smaller one forbids.
type opacity uint8

const (
	deferred      opacity = iota // a call that Plan defers; it may be joined with other values
	passedThrough                // an expression that passes through
	secret                       // the result of a function with Secret
)

// refuse returns the fault for a value at offset at that the text uses in a forbidden way. use
// names that way.
func (o *opaque) refuse(at int, use string) *fault {
	reason := ""
	switch o.opacity {
	case deferred:
		reason = "the call is deferred: its result may be placed into text, but not " + use +
			", because it is not known before the step runs"
	case passedThrough:
		reason = "this expression passes through: it may be placed into text, but not " + use +
			", because its value is not known here"
	case secret:
		reason = "the result is a secret: it may be placed into text, but not " + use +
			", because the new value could not be masked"
	}
	return &fault{at: at, name: o.name, reason: reason}
}

// checkUsable checks nodes whose values are used, and not only placed into text.
func checkUsable(b *binding, nodes []node, use string) *fault {
	for _, n := range nodes {
		o, f := n.check(b)
		if f != nil {
			return f
		}
		if o != nil {
			return o.refuse(n.offset(), use)
		}
	}
	return nil
}

// checkJoinable checks nodes that an operator joins into one value. The joined value is
// deferred if one of the nodes is.
func checkJoinable(b *binding, nodes []node, use string) (*opaque, *fault) {
	var all *opaque
	for _, n := range nodes {
		o, f := n.check(b)
		if f != nil {
			return nil, f
		}
		if o != nil && o.opacity != deferred {
			return nil, o.refuse(n.offset(), use)
		}
		if all == nil {
			all = o
		}
	}
	return all, nil
}

// checkAll checks nodes that become one value. That value is as opaque as the most opaque node:
// with one secret among the nodes, it is a secret.
func checkAll(b *binding, nodes []node) (*opaque, *fault) {
	var all *opaque
	for _, n := range nodes {
		o, f := n.check(b)
		if f != nil {
			return nil, f
		}
		if all == nil || o != nil && o.opacity > all.opacity {
			all = o
		}
	}
	return all, nil
}
