package awskms

import (
	"strings"

	"github.com/oidctoken/oidctoken"
)

// configError reports a setting or an argument that cannot work.
func configError(field, reason string) *oidctoken.ConfigError {
	return &oidctoken.ConfigError{Package: "awskms", Field: field, Reason: reason}
}

// maxKeyID is KMS's limit for what names a key.
const maxKeyID = 2048

// checkKeyID refuses a text that is not the ID or the ARN of a key.
func checkKeyID(id string) error {
	switch {
	case id == "":
		return configError("keyID", "is required")
	case strings.HasPrefix(id, "alias/"), strings.Contains(id, ":alias/"):
		return configError("keyID", "is an alias, which can be moved to another key: the ARN of the key is needed")
	case isKeyARN(id), len(id) <= maxKeyID && isName(id):
		return nil
	}
	return configError("keyID", "is neither the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID, nor its ID")
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
