//go:build unix

package sqlstore_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(childLog) != "" {
		child()
	}
	goleak.VerifyTestMain(m)
}
