package tokenhttp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"
)

var errNotLoopback = errors.New("localhost is not a loopback address here")

// shared is the transport of every Client without one. It is made once, on
// first use, so that its limit of connections per host holds for all.
var shared = sync.OnceValue(newTransport)

func newTransport() http.RoundTripper {
	dialer := &net.Dialer{Timeout: defaultTimeout, KeepAlive: 15 * time.Second}
	// HTTP/1.1 alone: one POST gains nothing from HTTP/2, whose buffers and
	// header tables are further things to bound.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, // which sends nothing for a loopback host to a proxy
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			if err := checkPeer(conn, addr); err != nil {
				conn.Close()
				return nil, err
			}
			return conn, nil
		},
		// This value is not read from a configuration or the environment.
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		Protocols:           &protocols,
		TLSHandshakeTimeout: defaultTimeout,
		DisableKeepAlives:   true,
		DisableCompression:  true,
		MaxConnsPerHost:     64,

		MaxResponseHeaderBytes: 64 << 10,
		OnProxyConnectResponse: checkProxy,
	}
}

// checkProxy reports a refusal of the proxy, which net/http's error does not
// name.
func checkProxy(_ context.Context, proxy *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	kind := Malformed
	if RetryableStatus(resp.StatusCode) {
		kind = Network
	}
	return &Error{Kind: kind, Host: proxy.Host, Reason: fmt.Sprintf("the proxy refused to connect: HTTP %d", resp.StatusCode)}
}

// checkPeer refuses a connection to "localhost" that leaves the machine, since
// plain HTTP is allowed to that name.
func checkPeer(conn net.Conn, addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil || !strings.EqualFold(host, "localhost") {
		return err
	}
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return errNotLoopback
	}
	return nil
}

// CheckURL refuses a URL to which no secret may be posted: a URL that is not
// https (or http to localhost, 127.0.0.0/8 or ::1), that has user information
// or a fragment, or whose host two parsers may read differently (not ASCII,
// with a trailing dot or a zone). The error is an *Error of Kind Invalid; it
// does not repeat the URL.
func CheckURL(raw string) error {
	_, err := parseURL(raw)
	return err
}

func parseURL(raw string) (*url.URL, error) {
	bad := func(reason string) (*url.URL, error) {
		return nil, &Error{Kind: Invalid, Reason: "the URL " + reason}
	}
	u, err := url.Parse(raw)
	if err != nil {
		return bad("cannot be parsed") // err would repeat it
	}
	host := u.Hostname()
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return bad("is not https")
	case u.Opaque != "" || host == "":
		return bad("has no host")
	case u.User != nil:
		return bad("holds user information")
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return bad("has a fragment")
	case !plainHost(host):
		return bad("has a host that is neither a DNS name nor an address")
	case u.Scheme == "http" && !loopback(host):
		return bad("is plain http to a host that is not loopback")
	}
	return u, nil
}

func plainHost(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Zone() == ""
	}
	for _, label := range strings.Split(host, ".") {
		if label == "" {
			return false
		}
		for _, c := range []byte(label) {
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
				return false
			}
		}
	}
	return true
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

func checkRequest(r Request) (*url.URL, error) {
	u, err := parseURL(r.URL)
	if err != nil {
		return nil, err
	}
	bad := func(reason string) (*url.URL, error) {
		return nil, &Error{Kind: Invalid, Host: u.Host, Reason: reason}
	}
	for _, value := range []string{r.Accept, r.ContentType} {
		if _, _, err := mime.ParseMediaType(value); err != nil {
			return bad("Accept or ContentType is not a media type")
		}
	}
	if r.Bearer != "" && CheckToken(r.Bearer) != nil {
		return bad("the bearer token is not one")
	}
	return u, nil
}
