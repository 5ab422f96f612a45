package pkcs11

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"slices"

	cryptoki "github.com/miekg/pkcs11"
)

// fakeSession is the session behind a handle. It is looked up for each call,
// because the handle may belong to another session by then.
type fakeSession struct {
	fake   *Fake
	token  *FakeToken
	handle uint

	initialization int // the fake's, when it was opened
}

// run runs f for the session that has the handle now.
func (s *fakeSession) run(op string, data []byte, f func(t *FakeToken) ([]byte, error)) ([]byte, error) {
	s.fake.enter(op)
	var value []byte
	var err error
	if s.initialization != s.fake.Initialized {
		s.fake.Stale++
	}
	now := s.fake.sessions[s.handle]
	switch {
	case !s.fake.initialized:
		err = returned(cryptoki.CKR_CRYPTOKI_NOT_INITIALIZED)
	case now == nil:
		err = returned(cryptoki.CKR_SESSION_HANDLE_INVALID)
	case now.token.Away:
		err = returned(cryptoki.CKR_DEVICE_REMOVED)
	default:
		value, err = f(now.token)
	}
	return s.fake.answer(op, data, value, err)
}

func (s *fakeSession) close() error {
	_, err := s.run("C_CloseSession", nil, func(*FakeToken) ([]byte, error) {
		delete(s.fake.sessions, s.handle)
		return nil, nil
	})
	return err
}

func (s *fakeSession) loggedIn() (in bool, err error) {
	_, err = s.run("C_GetSessionInfo", nil, func(t *FakeToken) ([]byte, error) {
		in = t.loggedIn
		return nil, nil
	})
	return in, err
}

func (s *fakeSession) login(pin []byte) error {
	_, err := s.run("C_Login", nil, func(t *FakeToken) ([]byte, error) {
		s.fake.Logins++
		switch {
		case t.loggedIn:
			return nil, returned(cryptoki.CKR_USER_ALREADY_LOGGED_IN)
		case string(pin) != t.PIN:
			return nil, returned(cryptoki.CKR_PIN_INCORRECT)
		}
		t.loggedIn = true
		return nil, nil
	})
	return err
}

func (s *fakeSession) find(template []attribute) (found []uint, err error) {
	_, err = s.run("C_FindObjects", nil, func(t *FakeToken) ([]byte, error) {
		for _, o := range t.objects {
			if o.attrs[cryptoki.CKA_CLASS] != uint(cryptoki.CKO_PUBLIC_KEY) && !t.loggedIn || !o.matches(template) {
				continue
			}
			if o.handle == 0 {
				o.handle = s.fake.handle()
			}
			found = append(found, o.handle)
		}
		return nil, nil
	})
	return found, err
}

func (o *fakeObject) matches(template []attribute) bool {
	for _, a := range template {
		if !bytes.Equal(encoded(o.attrs[a.kind]), encoded(a.value)) {
			return false
		}
	}
	return true
}

// encoded returns the value of an attribute as the library sees it.
func encoded(value any) []byte {
	switch v := value.(type) {
	case bool:
		if v {
			return []byte{1}
		}
		return []byte{0}
	case uint:
		return binary.NativeEndian.AppendUint64(nil, uint64(v))
	case string:
		return []byte(v)
	case []byte:
		return v
	}
	return nil
}

func (t *FakeToken) object(handle uint) (*fakeObject, error) {
	for _, o := range t.objects {
		if o.handle == handle && handle != 0 {
			return o, nil
		}
	}
	return nil, returned(cryptoki.CKR_OBJECT_HANDLE_INVALID)
}

func (s *fakeSession) read(object uint, kinds ...uint) (values [][]byte, err error) {
	_, err = s.run("C_GetAttributeValue", nil, func(t *FakeToken) ([]byte, error) {
		o, err := t.object(object)
		if err != nil {
			return nil, err
		}
		for _, kind := range kinds {
			if _, ok := o.attrs[kind]; !ok {
				return nil, returned(cryptoki.CKR_ATTRIBUTE_TYPE_INVALID)
			}
			values = append(values, encoded(o.attrs[kind]))
		}
		return nil, nil
	})
	return values, err
}

func (s *fakeSession) sign(mechanism, key uint, data []byte) ([]byte, error) {
	return s.run("C_Sign", data, func(t *FakeToken) ([]byte, error) {
		s.fake.Signs++
		o, err := t.object(key)
		switch {
		case err != nil:
			return nil, err
		case !t.loggedIn:
			return nil, returned(cryptoki.CKR_USER_NOT_LOGGED_IN)
		}
		return Sign(o.key, mechanism, data)
	})
}

// Sign signs as a token does.
func Sign(key crypto.Signer, mechanism uint, data []byte) ([]byte, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if mechanism == cryptoki.CKM_RSA_PKCS {
			return rsa.SignPKCS1v15(nil, k, 0, data) // the caller made the DigestInfo
		}
	case *ecdsa.PrivateKey:
		if mechanism == cryptoki.CKM_ECDSA {
			r, s, err := ecdsa.Sign(rand.Reader, k, data)
			size := (k.Params().BitSize + 7) / 8
			return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...), err
		}
	case ed25519.PrivateKey:
		if mechanism == ckmEdDSA {
			return ed25519.Sign(k, data), nil
		}
	}
	return nil, returned(cryptoki.CKR_KEY_TYPE_INCONSISTENT)
}

func (t *FakeToken) gcm(key uint) (cipher.AEAD, error) {
	o, err := t.object(key)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(o.secret)
	if err != nil {
		return nil, returned(cryptoki.CKR_KEY_TYPE_INCONSISTENT)
	}
	return cipher.NewGCM(block)
}

func (s *fakeSession) encrypt(key uint, iv, plaintext, additional []byte) (usedIV, sealed []byte, err error) {
	sealed, err = s.run("C_Encrypt", nil, func(t *FakeToken) ([]byte, error) {
		aead, err := t.gcm(key)
		if err != nil {
			return nil, err
		}
		return aead.Seal(nil, iv, plaintext, additional), nil
	})
	return iv, sealed, err
}

func (s *fakeSession) decrypt(key uint, iv, sealed, additional []byte) ([]byte, error) {
	return s.run("C_Decrypt", nil, func(t *FakeToken) ([]byte, error) {
		aead, err := t.gcm(key)
		if err != nil {
			return nil, err
		}
		plaintext, err := aead.Open(nil, iv, sealed, additional)
		if err != nil {
			return nil, returned(cryptoki.CKR_ENCRYPTED_DATA_INVALID)
		}
		return plaintext, nil
	})
}

func (s *fakeSession) generate(_ uint, public, private []attribute) error {
	_, err := s.run("C_GenerateKeyPair", nil, func(t *FakeToken) ([]byte, error) {
		objects := [2]*fakeObject{{attrs: make(map[uint]any)}, {attrs: make(map[uint]any)}}
		for i, template := range [][]attribute{public, private} {
			for _, a := range template {
				objects[i].attrs[a.kind] = a.value
			}
		}
		key, err := generated(objects[0].attrs)
		if err != nil {
			return nil, err
		}
		describe(objects[0].attrs, key.Public())
		objects[1].key = key
		if t.Extractable {
			objects[1].attrs[cryptoki.CKA_EXTRACTABLE] = true
		}
		t.objects = append(t.objects, objects[:]...)
		return nil, nil
	})
	return err
}

func generated(public map[uint]any) (crypto.Signer, error) {
	if bits, ok := public[cryptoki.CKA_MODULUS_BITS].(uint); ok {
		return rsa.GenerateKey(rand.Reader, int(bits))
	}
	params := string(public[cryptoki.CKA_EC_PARAMS].([]byte))
	if params == paramsEd25519 {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return ecdsa.GenerateKey(map[string]elliptic.Curve{
		paramsP256: elliptic.P256(), paramsP384: elliptic.P384(), paramsP521: elliptic.P521(),
	}[params], rand.Reader)
}

func (s *fakeSession) destroy(object uint) error {
	_, err := s.run("C_DestroyObject", nil, func(t *FakeToken) ([]byte, error) {
		if _, err := t.object(object); err != nil {
			return nil, err
		}
		t.objects = slices.DeleteFunc(t.objects, func(o *fakeObject) bool { return o.handle == object })
		return nil, nil
	})
	return err
}
