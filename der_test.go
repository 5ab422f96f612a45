package oidctoken_test

import (
	"bytes"
	"encoding/asn1"
	"math/big"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken"
	"pgregory.net/rapid"
)

// oracle is r || s by encoding/asn1: nil if der is not the one encoding of two
// positive integers of at most size bytes.
func oracle(der []byte, size int) []byte {
	var p pair
	rest, err := asn1.Unmarshal(der, &p)
	if err != nil || len(rest) != 0 || p.R.Sign() <= 0 || p.S.Sign() <= 0 ||
		p.R.BitLen() > 8*size || p.S.BitLen() > 8*size {
		return nil
	}
	if again, err := asn1.Marshal(p); err != nil || !bytes.Equal(again, der) {
		return nil
	}
	return append(p.R.FillBytes(make([]byte, size)), p.S.FillBytes(make([]byte, size))...)
}

func checkDER(t interface{ Errorf(string, ...any) }, der []byte, size int) {
	want := oracle(der, size)
	got, err := oidctoken.AppendRS([]byte("before"), der, size)
	switch {
	case want == nil && err == nil:
		t.Errorf("%x for %d bytes: taken as %x", der, size, got)
	case want != nil && err != nil:
		t.Errorf("%x for %d bytes: %v", der, size, err)
	case want != nil && !bytes.Equal(got, append([]byte("before"), want...)):
		t.Errorf("%x for %d bytes: %x, want %x behind what was there", der, size, got, want)
	}
}

// T06
func FuzzDER(f *testing.F) {
	for _, n := range []string{"0", "1", "-1", "127", "128", "255", "256"} {
		v, _ := new(big.Int).SetString(n, 10)
		f.Add(must(asn1.Marshal(pair{v, big.NewInt(1)})))
		f.Add(must(asn1.Marshal(pair{big.NewInt(1), v})))
	}
	for _, size := range []int{31, 32, 33, 48, 65, 66, 67, 130} {
		n := new(big.Int).SetBytes(bytes.Repeat([]byte{0xff}, size))
		f.Add(must(asn1.Marshal(pair{n, n})))
	}
	for _, change := range badDER {
		f.Add(change(must(asn1.Marshal(pair{big.NewInt(0x1234), big.NewInt(0x5678)}))))
	}
	f.Add([]byte{0x30, 0x81, 0x06, 2, 1, 1, 2, 1, 1})
	f.Add([]byte{0x30, 0x06, 2, 0x81, 1, 1, 2, 1})
	f.Fuzz(func(t *testing.T, der []byte) {
		for _, size := range []int{32, 48, 66} {
			checkDER(t, der, size)
		}
	})
}

// T06: integers of every width, from one byte on, are padded on the left.
func TestDERWidths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{32, 48, 66}).Draw(t, "size")
		number := rapid.Custom(func(t *rapid.T) *big.Int {
			return new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 0, size+1).Draw(t, "bytes"))
		})
		checkDER(t, must(asn1.Marshal(pair{number.Draw(t, "r"), number.Draw(t, "s")})), size)
	})
	got, err := oidctoken.AppendRS(nil, []byte{0x30, 6, 2, 1, 1, 2, 1, 2}, 32)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 64)
	want[31], want[63] = 1, 2
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("r || s of 1 and 2 (-want +got):\n%s", diff)
	}
}
