package gcpkms

import "time"

// Status returns the parts of an error's body that are read.
func Status(body []byte) (status string, reasons []string, retryDelay time.Duration) {
	s := parseStatus(body)
	return s.status, s.reasons, s.retryDelay
}

var (
	IsNamed  = isNamed
	Checksum = checksum[[]byte]
)

const (
	KeyVersion = keyVersion
	MaxAnswer  = maxAnswer
)
