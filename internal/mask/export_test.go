package mask

// PatternsOf is what a Set looks for in folded text on behalf of secret.
func PatternsOf(secret string) []string {
	var all []string
	for _, p := range patternsOf(secret) {
		all = append(all, p.text)
	}
	return all
}

// Sizes returns how many bytes the patterns of secret have, and how many of them
// are kept until one is seen.
func Sizes(secret string) (all, kept int) {
	for _, p := range patternsOf(secret) {
		all += len(p.text)
		kept += p.kept()
	}
	return all, kept
}
