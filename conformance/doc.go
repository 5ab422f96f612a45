// Package conformance holds what others' programs say of what we write: real
// clients and verifiers, unmodified, most of them run as steps of the runner, on
// the environment and the files that it gives them. Nothing of ours decides here
// whether a token or a file is good, but for the stand-ins of the clouds, which
// are as strict as the clouds.
//
// Clients of Google see Google's own hosts: a proxy on loopback answers for
// them, under a CA that is made for the test, and leads to no other host. So do
// those of Azure, which are also led to an authority of one's own. Those of AWS
// are led to the stand-in by the variables that a step is given.
//
// The libraries for Python, Node.js and Java are pinned below this directory and
// installed by ./install, outside the repository. A test whose program or
// libraries are missing is skipped, and fails where the variable CI is set,
// unless OIDCTOKEN_ABSENT names them.
package conformance
