package pkcs11

import (
	"encoding/binary"

	cryptoki "github.com/miekg/pkcs11"
)

// library has the functions of a PKCS #11 library that this package uses, and
// session those of a session with one of its tokens. They are interfaces so
// that tests can return wrong answers, and they hide cgo from the rest of the
// package. The results of the library are a [returned].
type library interface {
	initialize() error
	finalize() error
	tokens() ([]tokenInfo, error)
	open(slot uint) (session, error)
}

type session interface {
	loggedIn() (bool, error)
	login(pin []byte) error
	// find returns no more than maxFound objects.
	find(template []attribute) ([]uint, error)
	// read returns one value per kind.
	read(object uint, kinds ...uint) ([][]byte, error)
	sign(mechanism, key uint, data []byte) ([]byte, error)
	// encrypt returns the initialization vector, too: some modules choose it.
	encrypt(key uint, iv, plaintext, additional []byte) (usedIV, sealed []byte, err error)
	decrypt(key uint, iv, sealed, additional []byte) ([]byte, error)
	generate(mechanism uint, public, private []attribute) error
	destroy(object uint) error
	close() error
}

// maxFound is more objects than a search of ours has to find.
const maxFound = 256

// tokenInfo is a slot with a token in it, or why its token cannot be asked.
type tokenInfo struct {
	slot          uint
	label, serial string
	err           error
}

// attribute is an attribute of an object. Its value is a bool, a uint
// (CK_ULONG), a string or []byte.
type attribute struct {
	kind  uint
	value any
}

// What version 3.0 has added, for Ed25519 (sections 2.3.5 and 2.3.14 there).
const (
	ckkECEdwards           = 0x40
	ckmECEdwardsKeyPairGen = 0x1055
	ckmEdDSA               = 0x1057
)

// withID returns the template for objects of that class and CKA_ID.
func withID(class uint, id string) []attribute {
	return []attribute{
		{cryptoki.CKA_CLASS, class},
		{cryptoki.CKA_TOKEN, true},
		{cryptoki.CKA_ID, []byte(id)},
	}
}

// ulong reads a CK_ULONG, which is as wide and ordered as the machine has it.
func ulong(value []byte) (n uint64, ok bool) {
	switch len(value) {
	case 4:
		return uint64(binary.NativeEndian.Uint32(value)), true
	case 8:
		return binary.NativeEndian.Uint64(value), true
	}
	return 0, false
}
