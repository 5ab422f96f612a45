package mask

// PatternsOf returns the texts that a Set looks for in folded text because of secret.
func PatternsOf(secret string) []string {
	var all []string
	for _, p := range patternsOf(secret) {
		all = append(all, p.text)
	}
	return all
}

// Sizes returns the number of bytes in all patterns of secret, and the number that the trie
// stores at first.
func Sizes(secret string) (all, kept int) {
	for _, p := range patternsOf(secret) {
		all += len(p.text)
		kept += p.kept()
	}
	return all, kept
}
