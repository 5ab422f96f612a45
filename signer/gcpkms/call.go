package gcpkms

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"

	"google.golang.org/api/cloudkms/v1"

	"github.com/oidctoken/oidctoken/signer"
)

const serviceName = "gcpkms"

// caller makes the calls of a service under a guard.
type caller struct {
	service *cloudkms.Service
	guard   *signer.Guard
}

func newCaller(service *cloudkms.Service, guard *signer.Guard) (caller, error) {
	if service == nil {
		return caller{}, errors.New("service is nil")
	}
	if guard == nil {
		guard = signer.NewGuard(signer.Limits{})
	}
	return caller{service, guard}, nil
}

// forKey returns a caller that remembers no refusal of another key.
func (c caller) forKey() caller { return caller{c.service, c.guard.ForKey()} }

func (c caller) keys() *cloudkms.ProjectsLocationsKeyRingsCryptoKeysService {
	return c.service.Projects.Locations.KeyRings.CryptoKeys
}

// call makes one call. The client decodes the answer "null" as nil.
func call[T any](ctx context.Context, c caller, op string, f func(context.Context) (*T, error)) (*T, error) {
	var answer *T
	err := c.guard.Do(ctx, serviceName, op, func(ctx context.Context) error {
		got, err := f(ctx)
		switch {
		case err != nil:
			return failure(op, err)
		case got == nil:
			return malformed(op, "it is null")
		}
		answer = got
		return nil
	})
	if err != nil {
		return nil, err // answer is not read: the client may still write to it
	}
	return answer, nil
}

func refused(op string, err error) error {
	return &signer.Error{Service: serviceName, Op: op, Kind: signer.Refused, Err: err}
}

func malformed(op, why string, values ...any) error {
	return &signer.Error{Service: serviceName, Op: op, Kind: signer.Malformed, Err: fmt.Errorf(why, values...)}
}

// castagnoli is never written to.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is the service's CRC-32C. In JSON, a checksum of 0 is "0", which the
// client sends only for a field of ForceSendFields; without one the service
// would verify nothing.
func checksum[T string | []byte](data T) int64 {
	return int64(crc32.Checksum([]byte(data), castagnoli))
}
