package conformance_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/needs"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

// A key that never leaves a TPM signs tokens that others' verifiers admit, and
// its Signer, which is NewSigner's of a crypto.Signer, keeps the contract.
// T06 T07
func TestTPM(t *testing.T) {
	version := swtpmVersion(t)
	device := &device{tpm: startTPM(t)}
	signers := map[string]oidctoken.Signer{
		"RS256": newTPMSigner(t, device, rsaTemplate()), "ES256": newTPMSigner(t, device, p256Template()),
	}
	for algorithm, supported := range map[string][]string{"RS256": {"RS256", "RS384", "RS512"}, "ES256": {"ES256"}} {
		t.Run("TestSigner/"+algorithm, func(t *testing.T) {
			oidctokentest.TestSigner(t, func(*testing.T) oidctoken.Signer { return signers[algorithm] }, supported...)
		})
	}

	var url string
	issuer := oidctokentest.NewIssuer(t, func(c *oidctoken.Config) {
		url, c.Keys = c.URL, oidctoken.StaticKeys{{Signer: signers["RS256"]}, {Signer: signers["ES256"]}}
	})
	var candidates []candidate
	for algorithm := range signers {
		jwt := mint(t, issuer.Issuer, algorithm, audience).JWT()
		good := candidate{Name: algorithm + " of a TPM: good", Algorithm: algorithm, Issuer: url, Audience: audience, Token: jwt, subject: "account/acme:org/payments:project/ledger"}
		changed := good
		changed.Name, changed.Token, changed.subject = algorithm+" of a TPM: signature changed", withSignature(t, jwt), ""
		candidates = append(candidates, good, changed)
	}
	verifiers := append(goVerifiers(), nodeVerifiers()...)
	for _, v := range append(verifiers, pythonVerifiers()...) {
		t.Run(v.name, func(t *testing.T) {
			_, verdicts := v.verify(t, candidates)
			if len(verdicts) != len(candidates) {
				t.Fatalf("%d verdicts on %d tokens", len(verdicts), len(candidates))
			}
			for i, c := range candidates {
				checkVerdict(t, c, verdicts[i])
			}
		})
	}
	row(t, "swtpm", version, "signed with an RSA and a P-256 key of its own")
}

// device is a TPM, which takes one command at a time.
type device struct {
	mu  sync.Mutex
	tpm transport.TPM
}

// tpmKey is a crypto.Signer whose key is in the TPM.
type tpmKey struct {
	device *device
	key    tpm2.NamedHandle
	public crypto.PublicKey
}

func (k *tpmKey) Public() crypto.PublicKey { return k.public }

func (k *tpmKey) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if _, pss := opts.(*rsa.PSSOptions); pss {
		return nil, errors.New("tpm: the key signs with PKCS #1 v1.5")
	}
	hash, ok := map[crypto.Hash]tpm2.TPMAlgID{
		crypto.SHA256: tpm2.TPMAlgSHA256, crypto.SHA384: tpm2.TPMAlgSHA384, crypto.SHA512: tpm2.TPMAlgSHA512,
	}[opts.HashFunc()]
	if !ok || len(digest) != opts.HashFunc().Size() {
		return nil, fmt.Errorf("tpm: there is no %v of %d bytes", opts.HashFunc(), len(digest))
	}
	scheme := tpm2.TPMAlgRSASSA
	if _, isECDSA := k.public.(*ecdsa.PublicKey); isECDSA {
		scheme = tpm2.TPMAlgECDSA
	}
	k.device.mu.Lock()
	defer k.device.mu.Unlock()
	answer, err := tpm2.Sign{
		KeyHandle:  k.key,
		Digest:     tpm2.TPM2BDigest{Buffer: bytes.Clone(digest)},
		InScheme:   tpm2.TPMTSigScheme{Scheme: scheme, Details: tpm2.NewTPMUSigScheme(scheme, &tpm2.TPMSSchemeHash{HashAlg: hash})},
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck},
	}.Execute(k.device.tpm)
	if err != nil {
		return nil, fmt.Errorf("tpm: sign: %w", err)
	}
	if scheme == tpm2.TPMAlgRSASSA {
		sig, err := answer.Signature.Signature.RSASSA()
		if err != nil {
			return nil, fmt.Errorf("tpm: sign: %w", err)
		}
		return sig.Sig.Buffer, nil
	}
	sig, err := answer.Signature.Signature.ECDSA()
	if err != nil {
		return nil, fmt.Errorf("tpm: sign: %w", err)
	}
	return asn1.Marshal(struct{ R, S *big.Int }{
		new(big.Int).SetBytes(sig.SignatureR.Buffer), new(big.Int).SetBytes(sig.SignatureS.Buffer),
	})
}

// newTPMSigner makes a key in the TPM, and the Signer for it.
func newTPMSigner(t *testing.T, d *device, template tpm2.TPMTPublic) oidctoken.Signer {
	t.Helper()
	template.NameAlg = tpm2.TPMAlgSHA256
	template.ObjectAttributes = tpm2.TPMAObject{
		SignEncrypt: true, FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true,
	}
	made, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(template)}.Execute(d.tpm)
	if err != nil {
		t.Fatal(err)
	}
	contents, err := made.OutPublic.Contents()
	if err != nil {
		t.Fatal(err)
	}
	public, err := tpmPublic(contents)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := oidctoken.NewSigner(&tpmKey{d, tpm2.NamedHandle{Handle: made.ObjectHandle, Name: made.Name}, public})
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func rsaTemplate() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type:       tpm2.TPMAlgRSA,
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{KeyBits: 2048}),
	}
}

func p256Template() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type:       tpm2.TPMAlgECC,
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP256}),
	}
}

func tpmPublic(p *tpm2.TPMTPublic) (crypto.PublicKey, error) {
	if p.Type == tpm2.TPMAlgRSA {
		parameters, err := p.Parameters.RSADetail()
		if err != nil {
			return nil, err
		}
		unique, err := p.Unique.RSA()
		if err != nil {
			return nil, err
		}
		return tpm2.RSAPub(parameters, unique)
	}
	point, err := p.Unique.ECC()
	if err != nil {
		return nil, err
	}
	encoded := make([]byte, 65)
	encoded[0] = 4 // uncompressed
	new(big.Int).SetBytes(point.X.Buffer).FillBytes(encoded[1:33])
	new(big.Int).SetBytes(point.Y.Buffer).FillBytes(encoded[33:])
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), encoded)
}

func swtpmVersion(t *testing.T) string {
	t.Helper()
	needs.Program(t, "swtpm")
	version, _, _ := strings.Cut(output(t, "swtpm", "--version"), ",")
	return version
}

// startTPM starts a TPM whose state lives as long as the test.
func startTPM(t *testing.T) transport.TPM {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "tpm")
	var log bytes.Buffer
	command := exec.Command("swtpm", "socket", "--tpm2", "--terminate", "--flags", "not-need-init,startup-clear", "--tpmstate", "dir="+dir,
		"--server", "type=unixio,path="+socket, "--ctrl", "type=unixio,path="+socket+".ctrl")
	command.Stdout, command.Stderr = &log, &log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = command.Wait() // killed, or ended, which the test below detects
		close(ended)
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill() // which may have ended
		<-ended
	})
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			tick.Stop()
			t.Cleanup(func() { conn.Close() })
			return transport.FromReadWriter(conn)
		}
		select {
		case <-tick.C:
		case <-ended:
			t.Fatalf("swtpm ended: %s", log.String())
		case <-t.Context().Done():
			t.Fatal(err)
		}
	}
}

// The page shows this file's code.
func TestPageTPM(t *testing.T) {
	source, err := os.ReadFile("tpm_test.go")
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, block := range blocks(t, "signers.md", "go") {
		if !strings.Contains(block, "tpm2.") {
			continue
		}
		shown++
		for part := range strings.SplitSeq(block, "\t...\n") {
			if !strings.Contains(string(source), strings.TrimSpace(part)) {
				t.Errorf("this file has no\n%s", part)
			}
		}
	}
	if shown != 1 {
		t.Errorf("%d blocks of the page are about a TPM, want 1", shown)
	}
}
