package pkcs11

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/asn1"
	"math/big"
	"slices"
	"sync"

	cryptoki "github.com/miekg/pkcs11"
)

// For the fuzz targets.
var (
	ParsePublicKey = parsePublicKey
	CutWrapped     = cutWrapped
)

// Returned is a CK_RV.
type Returned = returned

// Fake is a library with tokens in memory. It forgets as much as a library may:
// handles begin anew with each initialization, a search without a login finds
// nothing, and its answers can be changed.
type Fake struct {
	mu          sync.Mutex
	initialized bool
	all         []*FakeToken
	sessions    map[uint]*fakeSession
	last        uint // handle

	Logins      int // that were tried
	Initialized int // how often it was
	Opened      int // sessions
	Stale       int // calls with a session of an earlier initialization
	Signs       int // that were begun
	// Answer changes the result of a function. Its arguments are the function's
	// name, the data for C_Sign, and the correct result.
	Answer func(op string, data, value []byte, err error) ([]byte, error)
	// Wait is called, without a lock, before a function does anything.
	Wait func(op string)
}

// FakeToken is a token of a Fake.
type FakeToken struct {
	Label, Serial, PIN string
	Away               bool
	Extractable        bool // for every template

	fake     *Fake
	loggedIn bool
	objects  []*fakeObject
}

type fakeObject struct {
	handle uint // 0: none in this initialization, or since the logout
	attrs  map[uint]any
	key    crypto.Signer
	secret []byte
}

// NewFake returns a library with one token.
func NewFake() (*Fake, *FakeToken) {
	f := &Fake{sessions: make(map[uint]*fakeSession)}
	return f, f.Add("token", "0001")
}

// Add adds a token whose PIN is 1234.
func (f *Fake) Add(label, serial string) *FakeToken {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := &FakeToken{Label: label, Serial: serial, PIN: "1234", fake: f}
	f.all = append(f.all, t)
	return t
}

// Open opens the library as OpenModule does.
func (f *Fake) Open(ctx context.Context) (*Module, error) { return openModule(ctx, "fake", f) }

// Do changes the library while no call runs.
func (f *Fake) Do(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// Sessions returns the number of open sessions.
func (f *Fake) Sessions() (n int) {
	f.Do(func() { n = len(f.sessions) })
	return n
}

// CloseSessions closes all sessions, as another part of the process may.
func (f *Fake) CloseSessions() {
	f.Do(func() {
		clear(f.sessions)
		for _, t := range f.all {
			t.logout()
		}
	})
}

// Occupy gives the next handles to n sessions and to the private keys of a
// CKA_ID, as another part of the process may.
func (f *Fake) Occupy(id string, n int) {
	f.Do(func() {
		for range n {
			h := f.handle()
			f.sessions[h] = &fakeSession{f, f.all[0], h, f.Initialized}
		}
		for _, o := range f.all[0].objects {
			if o.attrs[cryptoki.CKA_ID] == id && o.key != nil {
				o.handle = f.handle()
			}
		}
		f.all[0].loggedIn = true
	})
}

// Logout ends the login, as another part of the process may.
func (t *FakeToken) Logout() { t.fake.Do(t.logout) }

// logout invalidates the handles of private objects (section 5.6).
func (t *FakeToken) logout() {
	t.loggedIn = false
	for _, o := range t.objects {
		if o.attrs[cryptoki.CKA_CLASS] != uint(cryptoki.CKO_PUBLIC_KEY) {
			o.handle = 0
		}
	}
}

// AddKey adds a key pair, or one AES key for []byte, and returns its public half.
func (t *FakeToken) AddKey(id string, key any) crypto.PublicKey {
	attrs := func(class uint) map[uint]any {
		return map[uint]any{cryptoki.CKA_CLASS: class, cryptoki.CKA_TOKEN: true, cryptoki.CKA_ID: id, cryptoki.CKA_LABEL: "x"}
	}
	t.fake.mu.Lock()
	defer t.fake.mu.Unlock()
	if secret, ok := key.([]byte); ok {
		o := &fakeObject{attrs: attrs(cryptoki.CKO_SECRET_KEY), secret: secret}
		o.attrs[cryptoki.CKA_KEY_TYPE] = uint(cryptoki.CKK_AES)
		t.objects = append(t.objects, o)
		return nil
	}
	signer := key.(crypto.Signer)
	public := &fakeObject{attrs: attrs(cryptoki.CKO_PUBLIC_KEY)}
	describe(public.attrs, signer.Public())
	t.objects = append(t.objects, &fakeObject{attrs: attrs(cryptoki.CKO_PRIVATE_KEY), key: signer}, public)
	return signer.Public()
}

// Remove removes the objects of a class (0: all), and returns them for Return.
func (t *FakeToken) Remove(class uint) (removed []*fakeObject) {
	t.fake.Do(func() {
		t.objects = slices.DeleteFunc(t.objects, func(o *fakeObject) bool {
			if class != 0 && o.attrs[cryptoki.CKA_CLASS] != class {
				return false
			}
			removed = append(removed, o)
			return true
		})
	})
	return removed
}

// Return adds the removed objects, with new handles.
func (t *FakeToken) Return(removed []*fakeObject) {
	t.fake.Do(func() {
		for _, o := range removed {
			o.handle = 0
			t.objects = append(t.objects, o)
		}
	})
}

// Set sets an attribute of all objects of a class.
func (t *FakeToken) Set(class, kind uint, value any) {
	t.fake.Do(func() {
		for _, o := range t.objects {
			if o.attrs[cryptoki.CKA_CLASS] == class {
				o.attrs[kind] = value
			}
		}
	})
}

// Objects returns the number of objects.
func (t *FakeToken) Objects() (n int) {
	t.fake.Do(func() { n = len(t.objects) })
	return n
}

func describe(attrs map[uint]any, public crypto.PublicKey) {
	switch k := public.(type) {
	case *rsa.PublicKey:
		attrs[cryptoki.CKA_KEY_TYPE] = uint(cryptoki.CKK_RSA)
		attrs[cryptoki.CKA_MODULUS] = k.N.Bytes()
		attrs[cryptoki.CKA_PUBLIC_EXPONENT] = big.NewInt(int64(k.E)).Bytes()
	case *ecdsa.PublicKey:
		point, _ := k.Bytes()
		attrs[cryptoki.CKA_KEY_TYPE] = uint(cryptoki.CKK_EC)
		attrs[cryptoki.CKA_EC_PARAMS] = []byte("\x06\x05\x2b\x81\x04\x00\x21") // P-224
		for params, curve := range curves {
			if curve == k.Curve {
				attrs[cryptoki.CKA_EC_PARAMS] = []byte(params)
			}
		}
		attrs[cryptoki.CKA_EC_POINT], _ = asn1.Marshal(point)
	case ed25519.PublicKey:
		attrs[cryptoki.CKA_KEY_TYPE] = uint(ckkECEdwards)
		attrs[cryptoki.CKA_EC_PARAMS] = []byte(paramsEd25519)
		attrs[cryptoki.CKA_EC_POINT], _ = asn1.Marshal([]byte(k))
	}
}

// enter begins a function. Its end is answer.
func (f *Fake) enter(op string) {
	f.mu.Lock()
	wait := f.Wait
	f.mu.Unlock()
	if wait != nil {
		wait(op)
	}
	f.mu.Lock()
}

func (f *Fake) answer(op string, data, value []byte, err error) ([]byte, error) {
	answer := f.Answer
	f.mu.Unlock()
	if answer == nil {
		return value, err
	}
	return answer(op, data, value, err)
}

func (f *Fake) initialize() error {
	f.enter("C_Initialize")
	var err error
	if f.initialized {
		err = returned(cryptoki.CKR_CRYPTOKI_ALREADY_INITIALIZED)
	}
	if _, err = f.answer("C_Initialize", nil, nil, err); err != nil {
		return err
	}
	f.Do(func() {
		f.initialized = true
		f.Initialized++
	})
	return nil
}

func (f *Fake) finalize() error {
	f.enter("C_Finalize")
	var err error
	if !f.initialized {
		err = returned(cryptoki.CKR_CRYPTOKI_NOT_INITIALIZED)
	}
	f.initialized, f.last = false, 0
	clear(f.sessions)
	for _, t := range f.all {
		t.loggedIn = false
		for _, o := range t.objects {
			o.handle = 0
		}
	}
	_, err = f.answer("C_Finalize", nil, nil, err)
	return err
}

// Finalize finalizes, as another part of the process may.
func (f *Fake) Finalize() { _ = f.finalize() } // may be called more than once

// Restart finalizes and initializes, as another part of the process may.
func (f *Fake) Restart() error {
	if err := f.finalize(); err != nil {
		return err
	}
	return f.initialize()
}

func (f *Fake) tokens() ([]tokenInfo, error) {
	f.enter("C_GetSlotList")
	var infos []tokenInfo
	var err error
	if !f.initialized {
		err = returned(cryptoki.CKR_CRYPTOKI_NOT_INITIALIZED)
	}
	for i, t := range f.all {
		if !t.Away {
			infos = append(infos, tokenInfo{uint(i), t.Label, t.Serial, nil})
		}
	}
	_, err = f.answer("C_GetSlotList", nil, nil, err)
	return infos, err
}

func (f *Fake) handle() uint {
	f.last++
	return f.last
}

func (f *Fake) open(slot uint) (session, error) {
	f.enter("C_OpenSession")
	f.Opened++
	s := &fakeSession{f, f.all[slot], f.handle(), f.Initialized}
	f.sessions[s.handle] = s
	if _, err := f.answer("C_OpenSession", nil, nil, nil); err != nil {
		return nil, err
	}
	return s, nil
}
