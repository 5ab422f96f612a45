package expr

// Steps returns how many bytes Parse looks at in text until it is done or fails,
// those counted again that it looks at again, and whether it is done.
func Steps(text string) (steps int, whole bool) { return StepsFor(Angle, text) }

// StepsFor is Steps for other delimiters.
func StepsFor(d Delimiters, text string) (steps int, whole bool) {
	t, f := d.parse(text)
	return t.steps, f == nil
}

const MaxOperands = maxOperands

// PlaceholderSteps returns how many bytes are looked at to find the placeholders
// of text, and whether there is nothing wrong with them.
func PlaceholderSteps(text string) (steps int, whole bool) {
	_, steps, f := findPlaceholders(text)
	return steps, f == nil
}

func AppendStrings(list []string) []byte { return appendStrings(nil, list) }

func CutStrings(b []byte) ([]string, bool) { return cutStrings(b) }

const (
	MaxPlaceholders = maxPlaceholders
	MaxSealed       = maxSealed
	PlaceholderWord = placeholderWord
)
