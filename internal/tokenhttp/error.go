package tokenhttp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// Kind is the kind of a failure.
type Kind uint8

const (
	Invalid     Kind = iota + 1 // the Request itself; nothing was sent
	Ended                       // the caller's ctx ended
	Timeout                     // Client.Timeout passed
	Network                     // no connection, or it broke
	TLS                         // no TLS connection that can be trusted
	Redirect                    // a 3xx, which is never followed
	TooLarge                    // the body passes its limit
	ContentType                 // the answer is of another media type than Accept
	Encoding                    // the answer is compressed, without a request for compression
	Malformed                   // the answer does not follow the protocol
)

// Error is a call without a usable answer. A cloud's package wraps it in its
// own error.
type Error struct {
	Kind       Kind
	Host       string        // of the URL or of a proxy that refused, with its port; empty if unknown
	Status     int           // HTTP status; 0 if none came
	RetryAfter time.Duration // as in Response
	Reason     string        // continues the host's name, at most 512 bytes, printable
	Err        error         // ctx.Err(), a syscall.Errno, io.ErrUnexpectedEOF, os.ErrDeadlineExceeded, or nil
}

// Error names the host and the reason. The status is left to the error that
// wraps this one.
func (e *Error) Error() string {
	if e.Host == "" {
		return e.Reason
	}
	return e.Host + ": " + e.Reason
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Temporary reports whether the same call may succeed later: after a Timeout
// or a Network failure, and after a status that RetryableStatus names.
func (e *Error) Temporary() bool {
	return e.Kind == Timeout || e.Kind == Network || RetryableStatus(e.Status)
}

// failure converts an error of net/http or of a RoundTripper into an Error that
// holds none of its objects: their texts repeat the server's status line,
// header lines and certificate, and so perhaps the assertion.
func failure(err error, u *url.URL, r Request) *Error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	e := &Error{Host: u.Host}
	e.Kind, e.Reason, e.Err = classify(err, foreign(err, u, r))
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "proxyconnect" {
		e.Reason = "the proxy: " + e.Reason
	}
	return e
}

// classify returns the parts of an Error; text is the part of err that may be
// shown.
func classify(err error, text string) (kind Kind, reason string, cause error) {
	var (
		errno  syscall.Errno
		lookup *net.DNSError
		op     *net.OpError
		wait   net.Error
	)
	if reason := untrusted(err); reason != "" {
		return TLS, reason, nil
	}
	switch {
	case errors.As(err, &lookup):
		return Network, "its address cannot be looked up", nil
	case errors.As(err, &errno):
		return Network, errno.Error(), errno
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Network, "the connection ended before the whole answer", io.ErrUnexpectedEOF
	case errors.As(err, &wait) && wait.Timeout():
		return Network, "the connection timed out", os.ErrDeadlineExceeded
	case errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"):
		return TLS, "no TLS connection: " + text, nil // an alert of crypto/tls
	case errors.As(err, &op):
		return Network, text, nil
	}
	// Not HTTP, headers beyond the limit: asking again would not help.
	return Malformed, text, nil
}

// untrusted words the failures of certificate verification, whose own texts
// quote the certificate.
func untrusted(err error) string {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		roots     x509.SystemRootsError
		verify    *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		alert     tls.AlertError
	)
	switch {
	case errors.As(err, &authority):
		return "the certificate is signed by an authority that this machine does not trust"
	case errors.As(err, &name):
		return "the certificate is for another host"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate has expired or is not valid yet"
	case errors.As(err, &roots):
		return "this machine has no root certificates"
	case errors.As(err, &invalid), errors.As(err, &verify):
		return "the certificate is not valid"
	case errors.As(err, &record):
		return "the host does not speak TLS"
	case errors.As(err, &alert):
		return "no TLS connection: " + alert.Error()
	}
	return ""
}

// foreign returns the text of an error that is not ours, without what we sent.
func foreign(err error, u *url.URL, r Request) string {
	var wrapped *url.Error // its text repeats the URL
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	secrets := []string{string(r.Body), r.Bearer, u.RawQuery}
	if r.hide != nil {
		secrets = append(secrets, r.hide()...)
	}
	return unquoted(Redact(err.Error(), secrets...))
}

// unquoted returns net/http's text about an answer that is not HTTP, without
// the quoted part of the answer: the other side chose that.
func unquoted(text string) string {
	if before, _, quotes := strings.Cut(text, `"`); quotes {
		return before + ellipsis
	}
	return text
}
