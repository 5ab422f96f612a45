//go:build cgo

package pkcs11

import (
	"errors"
	"fmt"

	cryptoki "github.com/miekg/pkcs11"
)

// load maps the library into the process, where it stays: unloading it while
// one of its threads runs, or a call has not returned, would end the process.
func load(path string) (library, error) {
	ctx := cryptoki.New(path)
	if ctx == nil {
		return nil, fmt.Errorf("pkcs11: %s cannot be loaded: it is not there, or no PKCS #11 library for this machine", path)
	}
	return native{ctx}, nil
}

// native is a loaded library. It makes no decisions: its callers choose the
// functions and judge the results.
type native struct{ ctx *cryptoki.Ctx }

func (n native) initialize() error { return code(n.ctx.Initialize()) }
func (n native) finalize() error   { return code(n.ctx.Finalize()) }

func (n native) tokens() ([]tokenInfo, error) {
	slots, err := n.ctx.GetSlotList(true)
	if err != nil {
		return nil, code(err)
	}
	tokens := make([]tokenInfo, len(slots))
	for i, slot := range slots {
		info, err := n.ctx.GetTokenInfo(slot)
		tokens[i] = tokenInfo{slot, info.Label, info.SerialNumber, code(err)}
	}
	return tokens, nil
}

func (n native) open(slot uint) (session, error) {
	handle, err := n.ctx.OpenSession(slot, cryptoki.CKF_SERIAL_SESSION|cryptoki.CKF_RW_SESSION)
	if code(err) == returned(cryptoki.CKR_TOKEN_WRITE_PROTECTED) {
		handle, err = n.ctx.OpenSession(slot, cryptoki.CKF_SERIAL_SESSION)
	}
	if err != nil {
		return nil, code(err)
	}
	return nativeSession{n.ctx, handle}, nil
}

type nativeSession struct {
	ctx    *cryptoki.Ctx
	handle cryptoki.SessionHandle
}

func (s nativeSession) close() error { return code(s.ctx.CloseSession(s.handle)) }

func (s nativeSession) loggedIn() (bool, error) {
	info, err := s.ctx.GetSessionInfo(s.handle)
	return info.State == cryptoki.CKS_RO_USER_FUNCTIONS || info.State == cryptoki.CKS_RW_USER_FUNCTIONS, code(err)
}

func (s nativeSession) login(pin []byte) error {
	return code(s.ctx.Login(s.handle, cryptoki.CKU_USER, string(pin)))
}

func (s nativeSession) find(template []attribute) ([]uint, error) {
	if err := s.ctx.FindObjectsInit(s.handle, attributes(template)); err != nil {
		return nil, code(err)
	}
	var objects []uint
	var err error
	for len(objects) < maxFound {
		var some []cryptoki.ObjectHandle
		if some, _, err = s.ctx.FindObjects(s.handle, maxFound-len(objects)); err != nil || len(some) == 0 {
			break
		}
		for _, object := range some {
			objects = append(objects, uint(object))
		}
	}
	if final := s.ctx.FindObjectsFinal(s.handle); err == nil {
		err = final
	}
	return objects, code(err)
}

func (s nativeSession) read(object uint, kinds ...uint) ([][]byte, error) {
	wanted := make([]*cryptoki.Attribute, len(kinds))
	for i, kind := range kinds {
		wanted[i] = cryptoki.NewAttribute(kind, nil)
	}
	read, err := s.ctx.GetAttributeValue(s.handle, cryptoki.ObjectHandle(object), wanted)
	if err != nil {
		return nil, code(err)
	}
	values := make([][]byte, len(read))
	for i, a := range read {
		values[i] = a.Value
	}
	return values, nil
}

func (s nativeSession) sign(mechanism, key uint, data []byte) ([]byte, error) {
	if err := s.ctx.SignInit(s.handle, one(mechanism, nil), cryptoki.ObjectHandle(key)); err != nil {
		return nil, code(err)
	}
	signature, err := s.ctx.Sign(s.handle, data)
	return signature, code(err)
}

const tagBits = 128

func (s nativeSession) encrypt(key uint, iv, plaintext, additional []byte) (usedIV, sealed []byte, err error) {
	params := cryptoki.NewGCMParams(iv, additional, tagBits)
	defer params.Free()
	if err := s.ctx.EncryptInit(s.handle, one(cryptoki.CKM_AES_GCM, params), cryptoki.ObjectHandle(key)); err != nil {
		return nil, nil, code(err)
	}
	if sealed, err = s.ctx.Encrypt(s.handle, plaintext); err != nil {
		return nil, nil, code(err)
	}
	return params.IV(), sealed, nil
}

func (s nativeSession) decrypt(key uint, iv, sealed, additional []byte) ([]byte, error) {
	params := cryptoki.NewGCMParams(iv, additional, tagBits)
	defer params.Free()
	if err := s.ctx.DecryptInit(s.handle, one(cryptoki.CKM_AES_GCM, params), cryptoki.ObjectHandle(key)); err != nil {
		return nil, code(err)
	}
	plaintext, err := s.ctx.Decrypt(s.handle, sealed)
	return plaintext, code(err)
}

func (s nativeSession) generate(mechanism uint, public, private []attribute) error {
	_, _, err := s.ctx.GenerateKeyPair(s.handle, one(mechanism, nil), attributes(public), attributes(private))
	return code(err)
}

func (s nativeSession) destroy(object uint) error {
	return code(s.ctx.DestroyObject(s.handle, cryptoki.ObjectHandle(object)))
}

func one(mechanism uint, parameter any) []*cryptoki.Mechanism {
	return []*cryptoki.Mechanism{cryptoki.NewMechanism(mechanism, parameter)}
}

func attributes(template []attribute) []*cryptoki.Attribute {
	all := make([]*cryptoki.Attribute, len(template))
	for i, a := range template {
		all[i] = cryptoki.NewAttribute(a.kind, a.value)
	}
	return all
}

// code returns the value that a function of the library returned.
func code(err error) error {
	var e cryptoki.Error
	if errors.As(err, &e) {
		return returned(e)
	}
	return err
}
