package expr

// opaque is a value that may only be placed into text.
type opaque struct {
	name    string // the function that returns it, or the path that passes through
	opacity opacity
}

// opacity is why. The later forbids what the earlier does.
type opacity uint8

const (
	deferred      opacity = iota // a call that Plan puts off; it may be joined with others
	passedThrough                // an expression that passes through
	secret                       // what a function with Secret returns
)

// refuse says why the value at offset at may not be used so.
func (o *opaque) refuse(at int, use string) *fault {
	reason := ""
	switch o.opacity {
	case deferred:
		reason = "the call is put off: its result may be placed into text, but not " + use +
			", because it is not known before the step runs"
	case passedThrough:
		reason = "this expression passes through: it may be placed into text, but not " + use +
			", because its value is not known here"
	case secret:
		reason = "the result is a secret: it may be placed into text, but not " + use +
			", because what is made of it could not be masked any more"
	}
	return &fault{at: at, name: o.name, reason: reason}
}

// plain checks nodes whose values are to be used, not placed.
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

// joinable checks nodes that an operator joins into one value, which is put off
// when one of them is.
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

// checkAll checks nodes that become one value, which is as opaque as the most
// opaque of them: one secret among them makes it a secret.
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
