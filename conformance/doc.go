// Package conformance runs foreign clients and verifiers, unmodified. Most run
// as steps of the runner, with its environment and files. They decide whether a
// token or a file is good, together with the stand-ins of the clouds, which are
// as strict as the clouds.
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
