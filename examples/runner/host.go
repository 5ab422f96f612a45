package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/examples/internal/pipeline"
)

// host has the parts of a pipeline platform: an issuer that the clouds can
// reach, connectors, and a broker for the steps.
type host struct {
	file    *pipeline.File
	dir     string // of the run
	options options
	issuer  *oidctoken.Issuer
	broker  *broker.Broker
	closers []func() error
}

// newHost starts the issuer, and stand-ins for the clouds whose connectors name
// no endpoint. The host owns dir from then on.
func newHost(file *pipeline.File, dir *workDir, o options) (_ *host, err error) {
	h := &host{file: file, dir: dir.path, options: o, closers: []func() error{dir.Close}}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close())
		}
	}()
	listener, url, err := h.listen(file.Issuer)
	if err != nil {
		return nil, err
	}
	if h.issuer, err = h.newIssuer(url); err != nil {
		return nil, err
	}
	h.serve(listener, h.issuer)
	connectors, err := h.connectors(url)
	if err != nil {
		return nil, err
	}
	h.broker, err = broker.New(broker.Config{
		Issuer:     h.issuer,
		Connectors: connectors,
		Dir:        dir.path,
		Logger:     slog.New(slog.NewTextHandler(o.stderr, nil)),
	})
	if err != nil {
		return nil, h.brokerError(err)
	}
	h.closers = append(h.closers, func() error {
		h.broker.Close()
		return nil
	})
	return h, nil
}

// listen opens the issuer's listener; url is the issuer identifier.
func (h *host) listen(c pipeline.Issuer) (_ net.Listener, url string, err error) {
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, "", h.file.Error(c.Line, nil, nil, "issuer.listen", err)
	}
	scheme := "http"
	if c.TLS.Cert != "" {
		scheme = "https"
		pair, err := tls.LoadX509KeyPair(c.TLS.Cert, c.TLS.Key)
		if err != nil {
			return nil, "", errors.Join(h.file.Error(c.Line, nil, nil, "issuer.tls", err), listener.Close())
		}
		listener = tls.NewListener(listener, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}})
	}
	if c.URL != "" {
		return listener, c.URL, nil
	}
	return listener, scheme + "://" + listener.Addr().String(), nil
}

// serve serves until the host is closed.
func (h *host) serve(listener net.Listener, handler http.Handler) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	h.closers = append(h.closers, func() error {
		err := server.Close()
		if served := <-done; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	})
}

// newIssuer makes an issuer whose keys live as long as the run.
func (h *host) newIssuer(url string) (*oidctoken.Issuer, error) {
	c := h.file.Issuer
	var keys oidctoken.StaticKeys
	for _, alg := range c.Algorithms {
		key, err := newKey(alg)
		if err != nil {
			return nil, err
		}
		signer, err := oidctoken.NewSigner(key)
		if err != nil {
			return nil, err
		}
		keys = append(keys, oidctoken.Key{Signer: signer, Algorithm: alg})
	}
	profile := oidctoken.Profile{Algorithms: c.Algorithms}
	h.adjust(&profile)
	return oidctoken.NewIssuer(oidctoken.Config{URL: url, Keys: keys, Profile: profile, Allow: h.allow})
}

func newKey(alg string) (crypto.Signer, error) {
	switch alg {
	case "RS256", "RS384", "RS512":
		return rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "EdDSA":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("runner: there is no algorithm %q", alg)
}

// Close stops everything in the reverse order of its start, and removes all
// files.
func (h *host) Close() error {
	var errs []error
	for i := len(h.closers) - 1; i >= 0; i-- {
		errs = append(errs, h.closers[i]())
	}
	return errors.Join(errs...)
}
