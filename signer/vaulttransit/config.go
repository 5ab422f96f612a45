package vaulttransit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// Config is the address of Vault and the access to it.
type Config struct {
	// Address is Vault's, such as "https://vault.example.com:8200". Plain http
	// is allowed to a loopback host only, where a Vault Agent or Proxy may
	// listen. A path goes before "/v1". Required.
	Address string
	// Mount is the path where the secrets engine is mounted. Optional,
	// "transit" by default.
	Mount string
	// Namespace is sent as X-Vault-Namespace. Optional.
	Namespace string
	// Token returns the token for one request. It is called for each request, by
	// several goroutines at once, so that the host can renew the token or log in
	// again. It returns from memory, or soon after ctx has ended. Its error is
	// shown, so it must hold no secret. Required, unless Address is plain http: an
	// agent or proxy may add its own token.
	Token func(ctx context.Context) (string, error)
	// Transport makes the requests. Optional: the default demands TLS 1.2 or
	// later and a certificate that the system's roots verify (SSL_CERT_FILE
	// names others), and takes HTTPS_PROXY and NO_PROXY from the environment.
	// One that is given must not follow redirects.
	Transport http.RoundTripper
}

// configError reports a setting or an argument that cannot work.
func configError(field, reason string) *oidctoken.ConfigError {
	return &oidctoken.ConfigError{Package: "vaulttransit", Field: field, Reason: reason}
}

// Client reaches one mount of Vault. It is safe for concurrent use.
type Client struct {
	address   string
	mount     string
	namespace string
	token     func(context.Context) (string, error)
	transport http.RoundTripper
}

// NewClient returns a Client. It fails with a [*oidctoken.ConfigError], and asks Vault
// nothing.
func NewClient(c Config) (*Client, error) {
	address, plain, err := parseAddress(c.Address)
	if err != nil {
		return nil, err
	}
	if c.Mount == "" {
		c.Mount = "transit"
	}
	if !isPath(c.Mount) {
		return nil, configError("Mount", "is not a path of names of letters, digits, '-', '_' and '.', without a slash at its ends")
	}
	if c.Namespace != "" && !isPath(strings.TrimSuffix(c.Namespace, "/")) {
		return nil, configError("Namespace", "is not a path of names of letters, digits, '-', '_' and '.'")
	}
	if c.Token == nil && !plain {
		return nil, configError("Token", "is required")
	}
	if c.Transport == nil {
		c.Transport = newTransport(plain)
	}
	return &Client{address, c.Mount, c.Namespace, c.Token, c.Transport}, nil
}

// Format shows the address and the mount, for any verb.
func (c *Client) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "vaulttransit.Client(%s, %s)", c.address, c.mount)
}

func parseAddress(raw string) (address string, plain bool, err error) {
	if raw == "" {
		return "", false, configError("Address", "is required")
	}
	if err := tokenhttp.CheckURL(raw); err != nil {
		return "", false, configError("Address", "cannot be used: "+err.Error())
	}
	u, err := url.Parse(raw)
	if err != nil || u.RawQuery != "" || u.ForceQuery || u.Path != "" && u.Path != "/" && !isPath(strings.Trim(u.Path, "/")) {
		return "", false, configError("Address", "has a query, or a path of other than plain names")
	}
	return strings.TrimRight(raw, "/"), u.Scheme == "http", nil
}

// isPath reports whether path is made of names that stand for themselves in a
// URL, so that no part of it can reach another endpoint.
func isPath(path string) bool {
	for name := range strings.SplitSeq(path, "/") {
		if name == "" || strings.HasSuffix(name, ".") || !isPlain(name) {
			return false
		}
	}
	return len(path) <= maxName
}

const maxName = 255 // bytes

// isKeyName reports whether name is what transit takes for a key's name.
func isKeyName(name string) bool {
	return name != "" && len(name) <= maxName && isPlain(name) && !strings.ContainsAny(name[:1]+name[len(name)-1:], "-.")
}

func isPlain(name string) bool {
	for _, c := range []byte(name) {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

var errNotLoopback = errors.New("plain http leads to an address that is not loopback")

// newTransport keeps connections, because the handshake of a new one would cost
// more than a signature. It speaks HTTP/1.1 only: net/http buffers some MiB of
// an unread HTTP/2 answer.
func newTransport(plain bool) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	if plain {
		// "localhost" is a name like others to a resolver.
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			if to, err := netip.ParseAddrPort(address); err != nil || !to.Addr().IsLoopback() {
				return errNotLoopback
			}
			return nil
		}
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		Protocols:              &protocols,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    32, // as many as a guard lets through by default
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}
