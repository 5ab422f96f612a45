package expr

// Steps returns how many bytes Parse looks at in text until it is done or fails,
// those counted again that it looks at again, and whether it is done.
func Steps(text string) (steps int, whole bool) {
	t, f := parse(text)
	return t.steps, f == nil
}

const MaxOperands = maxOperands
