package jws

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

type pair struct{ R, S *big.Int }

func marshal(v any) []byte {
	der, err := asn1.Marshal(v)
	if err != nil {
		panic(err)
	}
	return der
}

// oracle converts der to r || s with encoding/asn1. It returns nil if der is not
// the one encoding of two positive integers of at most width bytes.
func oracle(der []byte, width int) []byte {
	var p pair
	rest, err := asn1.Unmarshal(der, &p)
	if err != nil || len(rest) != 0 || p.R.Sign() <= 0 || p.S.Sign() <= 0 ||
		p.R.BitLen() > 8*width || p.S.BitLen() > 8*width {
		return nil
	}
	if again, err := asn1.Marshal(p); err != nil || !bytes.Equal(again, der) {
		return nil
	}
	return append(p.R.FillBytes(make([]byte, width)), p.S.FillBytes(make([]byte, width))...)
}

func checkDER(t interface{ Errorf(string, ...any) }, der []byte, width int) {
	want := oracle(der, width)
	got, err := appendRS([]byte("before"), der, width)
	switch {
	case want == nil && err == nil:
		t.Errorf("%x for %d bytes: got %x, want an error", der, width, got)
	case want != nil && err != nil:
		t.Errorf("%x for %d bytes: %v", der, width, err)
	case want != nil && !bytes.Equal(got, append([]byte("before"), want...)):
		t.Errorf("%x for %d bytes: got %x, want it to end with %x", der, width, got, want)
	}
}

// T06
func FuzzDER(f *testing.F) {
	for _, n := range []string{"0", "1", "-1", "127", "128", "255", "256"} {
		v, _ := new(big.Int).SetString(n, 10)
		f.Add(marshal(pair{v, big.NewInt(1)}))
		f.Add(marshal(pair{big.NewInt(1), v}))
	}
	for _, size := range []int{31, 32, 33, 48, 65, 66, 67, 130} {
		n := new(big.Int).SetBytes(bytes.Repeat([]byte{0xff}, size))
		f.Add(marshal(pair{n, n}))
	}
	for _, seed := range []string{
		"30080202123402025678",         // good
		"3008020212340202567800",       // a byte after it
		"12345678",                     // r || s
		"3009020300123402025678",       // an integer that is not in its shortest form
		"30080202edcc02025678",         // a negative r
		"300802021234" + "0202a988",    // a negative s
		"300702010002025678",           // a zero r
		"30060200" + "02025678",        // an empty r
		"300402021234",                 // one integer
		"300b0202123402025678020101",   // three integers
		"0202123402025678",             // no sequence
		"31080202123402025678",         // a set
		"30080402123404025678",         // octet strings
		"040a30080202123402025678",     // an octet string around it
		"308002021234020256780000",     // indefinite length
		"308200080202123402025678",     // a length of two bytes where one is enough
		"3081060201010201" + "01",      // a long length where a short one is enough
		"300602810101" + "0201",        // the same for an integer
		"3081880202" + "1234" + "0202", // a length past the end
	} {
		der, err := hex.DecodeString(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		for _, width := range []int{32, 48, 66} {
			checkDER(t, der, width)
		}
	})
}

// T06: integers of every width, from one byte on, are padded on the left.
func TestDERWidths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.SampledFrom([]int{32, 48, 66}).Draw(t, "width")
		number := rapid.Custom(func(t *rapid.T) *big.Int {
			return new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 0, width+1).Draw(t, "bytes"))
		})
		checkDER(t, marshal(pair{number.Draw(t, "r"), number.Draw(t, "s")}), width)
	})
	got, err := appendRS(nil, []byte{0x30, 6, 2, 1, 1, 2, 1, 2}, 32)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 64)
	want[31], want[63] = 1, 2
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("r || s of 1 and 2 (-want +got):\n%s", diff)
	}
}
