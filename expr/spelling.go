package expr

import (
	"strings"

	"github.com/oidctoken/oidctoken/internal/near"
)

// snakePath returns a function's path in snake_case: "secrets.get_jwt_file" for
// "secrets.getJWTFile". The root keeps its only spelling.
func snakePath(path string) string {
	root := rootOf(path)
	return root + snake(path[len(root):])
}

// snake returns a camelCase name in snake_case.
func snake(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if !isUpper(c) {
			b.WriteByte(c)
			continue
		}
		if i > 0 && (isLower(name[i-1]) || isDigit(name[i-1]) || isUpper(name[i-1]) && i+1 < len(name) && isLower(name[i+1])) {
			b.WriteByte('_')
		}
		b.WriteByte(c - 'A' + 'a')
	}
	return b.String()
}

func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' }

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }

// commonRoots holds roots that pipeline platforms commonly resolve themselves. None of them
// counts as a misspelling of another.
var commonRoots = map[string]bool{
	"account": true, "app": true, "artifact": true, "artifacts": true, "codebase": true, "config": true,
	"env": true, "environment": true, "event": true, "execution": true, "github": true, "host": true,
	"infra": true, "infrastructure": true, "input": true, "inputs": true, "instance": true, "job": true,
	"jobs": true, "json": true, "loop": true, "manifest": true, "manifests": true, "matrix": true,
	"needs": true, "org": true, "organization": true, "parameters": true, "pipeline": true, "project": true,
	"repeat": true, "runner": true, "service": true, "serviceVariables": true, "stage": true, "step": true,
	"stepGroup": true, "steps": true, "strategy": true, "template": true, "trigger": true, "user": true,
	"variable": true, "variables": true, "vars": true, "workflow": true, "xml": true,
}

// misspelled returns the known root that was probably meant by the root of path. It returns ""
// if there is no such root.
func (b *binding) misspelled(path string) string {
	root := rootOf(path)
	if commonRoots[root] || b.foreign[root] {
		return ""
	}
	return near.Misspelled(root, b.known)
}
