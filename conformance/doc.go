// Package conformance holds what others' programs say of what we write: real
// clients, unmodified, run as steps of the runner, on the environment and the
// files that it gives them. Nothing of ours decides here whether a token or a
// file is good, but for the stand-ins of the clouds, which are as strict as the
// clouds.
//
// A test whose program is missing is skipped, and fails where the variable CI
// is set, unless OIDCTOKEN_ABSENT names the program.
package conformance
