package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oidctoken/oidctoken/exchange"
)

// fileName returns a name that is different for every connector and audience, even on file
// systems that ignore letter case. The name consists of letters, digits, _ and -. It begins
// with neither a dot nor a hyphen, so that no shell and no tool gives it a special meaning.
func fileName(rc *resolvedConnector) string {
	ref := rc.ref.String()
	sum := sha256.Sum256([]byte(ref + " " + rc.audience))
	readable := strings.NewReplacer(".", "-", "$", "_").Replace(ref)
	if readable[0] == '-' {
		readable = "_" + readable[1:]
	}
	return readable + "-" + hex.EncodeToString(sum[:16])
}

// tokenName returns the path of the file with the connector's JWT, relative to the step's
// directory.
func tokenName(rc *resolvedConnector) string { return filepath.Join(privateDir, fileName(rc)+".jwt") }

// tokenFile returns the path of a file that contains the connector's JWT. The file is kept
// fresh.
func (s *Step) tokenFile(ctx context.Context, rc *resolvedConnector) (string, error) {
	end, err := s.begin()
	if err != nil {
		return "", err
	}
	defer end()
	dir, err := s.Dir()
	if err != nil {
		return "", err
	}
	ref, audience := rc.ref.String(), rc.audience
	err = s.keep(ctx, &keptFile{path: tokenName(rc), source: "the token of " + ref + " for " + audience, render: func(ctx context.Context, u *usage) (string, error) {
		rc, err := s.authorize(ctx, ref, audience) // the connector may have been revoked
		if err != nil {
			return "", err
		}
		return jwt(ctx, call{step: s, resolved: rc, usage: u})
	}})
	return filepath.Join(dir, tokenName(rc)), err
}

// valueFile returns the path of a file that contains a variable of the connector's credential
// for the scopes. The file is kept fresh.
func (s *Step) valueFile(ctx context.Context, rc *resolvedConnector, scopes, variable string) (string, error) {
	end, err := s.begin()
	if err != nil {
		return "", err
	}
	defer end()
	dir, err := s.Dir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(variable + " " + scopes))
	path := filepath.Join(privateDir, fileName(rc)+"-"+hex.EncodeToString(sum[:16])+".value")
	ref, audience := rc.ref.String(), rc.audience
	err = s.keep(ctx, &keptFile{path: path, source: variable + " of " + ref + " for " + audience + " " + scopes, render: func(ctx context.Context, u *usage) (string, error) {
		rc, err := s.authorize(ctx, ref, audience) // the connector may have been revoked
		if err != nil {
			return "", err
		}
		return credentialValue(variable)(ctx, call{step: s, resolved: rc, scope: scopes, usage: u})
	}})
	return filepath.Join(dir, path), err
}

// bundle writes the files that the tools of the connector's cloud need, and returns the
// variables that point to them. It returns the same variables at every call. Existing files
// stay.
func (s *Step) bundle(ctx context.Context, rc *resolvedConnector) (map[string]string, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	name := fileName(rc)
	env, err := s.makeBundle(ctx, rc, name)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if first := s.bundles[name]; first != nil {
		return first, nil
	}
	s.bundles[name] = env
	return env, nil
}

// makeBundle writes the configuration that points tools to a fresh file and to the step's
// endpoint. It writes the fresh file last, so that an earlier failure leaves nothing usable. It
// returns no variables if the Exchanger has nothing for tools.
func (s *Step) makeBundle(ctx context.Context, rc *resolvedConnector, name string) (map[string]string, error) {
	env := make(map[string]string)
	within := filepath.Join(privateDir, name)
	files, hasFiles := rc.connector.fileSourced()
	if hasFiles {
		dir, err := s.Dir()
		if err != nil {
			return nil, err
		}
		token := filepath.Join(dir, tokenName(rc))
		err = s.writeBundle(ctx, env, within, func(dir string) (*exchange.Bundle, error) {
			if named, ok := files.(exchange.SessionBundler); ok {
				return s.sessionBundle(named, rc, dir, token)
			}
			return files.Bundle(dir, token)
		})
		if err != nil {
			return nil, fmt.Errorf("broker: connector %s: %w", rc.ref, err)
		}
		hasFiles = len(env) > 0
	}
	// Tools that can use the endpoint as well as a file get both.
	_, container := rc.connector.Exchanger.(exchange.ContainerSourced)
	if ex, ok := rc.connector.Exchanger.(exchange.EndpointSourced); ok && (container || !hasFiles) {
		e, err := s.listen()
		if err != nil {
			return nil, err
		}
		err = s.writeBundle(ctx, env, filepath.Join(within, "endpoint"), func(dir string) (*exchange.Bundle, error) {
			return ex.EndpointBundle(dir, e.of(rc))
		})
		if err != nil {
			return nil, fmt.Errorf("broker: connector %s: %w", rc.ref, err)
		}
	}
	if hasFiles {
		if _, err := s.tokenFile(ctx, rc); err != nil {
			return nil, err
		}
	}
	return env, nil
}

// fileSourced returns c's Exchanger if tools should read a file.
func (c *Connector) fileSourced() (exchange.FileSourced, bool) {
	files, ok := c.Exchanger.(exchange.FileSourced)
	return files, ok && !c.ByEndpoint
}

// sessionBundle returns the bundle for tools that start named sessions and keep credentials
// under that name after the step. The name belongs to this step alone, even if the host sets no
// execution that distinguishes steps.
func (s *Step) sessionBundle(ex exchange.SessionBundler, rc *resolvedConnector, dir, token string) (*exchange.Bundle, error) {
	name, err := s.toolSession(rc)
	if err != nil {
		return nil, err
	}
	return ex.SessionBundle(dir, token, name)
}

// toolSession returns the name of the sessions that tools start with the connector's JWT.
func (s *Step) toolSession(rc *resolvedConnector) (string, error) { return rc.sessionName(s.nonce) }

// writeBundle writes a bundle's directories and files to within, in the step's directory. It
// adds the bundle's variables to env, unless env already has them.
func (s *Step) writeBundle(ctx context.Context, env map[string]string, within string, make func(dir string) (*exchange.Bundle, error)) error {
	dir, err := s.Dir()
	if err != nil {
		return err
	}
	if err := s.keepDir(ctx, within); err != nil {
		return err
	}
	b, err := make(filepath.Join(dir, within))
	if err != nil {
		return err
	}
	if b == nil {
		return nil // a third-party Exchanger may return nil
	}
	for _, name := range b.Dirs {
		if err := s.keepDir(ctx, filepath.Join(within, filepath.FromSlash(name))); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Files)) {
		if err := s.keepFixed(ctx, filepath.Join(within, filepath.FromSlash(name)), string(b.Files[name])); err != nil {
			return err
		}
	}
	for name, value := range b.Env {
		if _, ok := env[name]; !ok {
			env[name] = value
		}
	}
	return nil
}
