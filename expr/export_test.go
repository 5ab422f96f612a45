package expr

// Steps returns the number of bytes that Parse looks at until it succeeds or fails, and whether
// it succeeds. A byte counts each time that Parse looks at it.
func Steps(text string) (steps int, whole bool) { return StepsFor(Angle, text) }

// StepsFor is like Steps, for the delimiters d.
func StepsFor(d Delimiters, text string) (steps int, whole bool) {
	t, f := d.parse(text)
	return t.steps, f == nil
}

const MaxOperands = maxOperands

// PlaceholderSteps returns the number of bytes that are looked at to find the placeholders of
// text, and whether all of them are well formed.
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
