package awskms

import (
	"strings"
)

// ConfigError says which of the host's values cannot work, and why. No request
// was made with it.
type ConfigError struct {
	Field  string // of a [ProvisionerConfig], or the name of a parameter
	Reason string // continues the field's name
}

// Error names the field.
func (e *ConfigError) Error() string { return "awskms: " + e.Field + " " + e.Reason }

// maxKeyID is KMS's limit for what names a key.
const maxKeyID = 2048

// checkKeyID refuses what is neither the ID nor the ARN of a key.
func checkKeyID(id string) error {
	switch {
	case id == "":
		return &ConfigError{"keyID", "is required"}
	case strings.HasPrefix(id, "alias/"), strings.Contains(id, ":alias/"):
		return &ConfigError{"keyID", "is an alias, which can be moved to another key: the ARN of the key is needed"}
	case isKeyARN(id), len(id) <= maxKeyID && isName(id):
		return nil
	}
	return &ConfigError{"keyID", "is neither the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID, nor its ID"}
}

// isKeyARN reports whether arn names one key. Partitions are aws, aws-cn and
// others.
func isKeyARN(arn string) bool {
	parts := strings.Split(arn, ":")
	if len(arn) > maxKeyID || len(parts) != 6 || parts[0] != "arn" || parts[2] != "kms" {
		return false
	}
	id, ok := strings.CutPrefix(parts[5], "key/")
	return ok && isName(parts[1]) && isName(parts[3]) && isName(parts[4]) && isName(id)
}

// isName reports whether s is made of what partitions, Regions, accounts and key
// IDs are made of.
func isName(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
