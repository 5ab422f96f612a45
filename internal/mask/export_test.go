package mask

// PatternsOf is what a Set looks for in folded text on behalf of secret.
func PatternsOf(secret string) []string { return patternsOf(secret) }
