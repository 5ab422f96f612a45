package oidctoken

import (
	"context"
	"fmt"
)

// IsUntrusted reports whether the execution runs code that the account has not
// admitted: Untrusted is set, or Source.IsFork is true. Such an execution gets no
// token unless [Config].Allow permits it.
func (s *Scope) IsUntrusted() bool {
	return s.Untrusted || s.Source != nil && s.Source.IsFork != nil && *s.Source.IsFork
}

// authorize returns nil if the execution may have a token, and otherwise an error that
// wraps [ErrDenied]. It calls allow, which is [Config].Allow. If allow is nil, it refuses
// untrusted executions.
func authorize(ctx context.Context, allow func(context.Context, Scope) error, s *Scope) error {
	if allow == nil {
		if s.IsUntrusted() {
			return fmt.Errorf("oidctoken: mint: %w: the execution is untrusted", ErrDenied)
		}
		return nil
	}
	if err := allow(ctx, *s); err != nil {
		return fmt.Errorf("oidctoken: mint: %w: %w", ErrDenied, err)
	}
	return nil
}
