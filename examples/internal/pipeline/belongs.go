package pipeline

import (
	"reflect"
	"strings"

	"github.com/oidctoken/oidctoken"
)

// inFile are the fields of a Scope that are keys of the top level; Pipeline is
// another, with a key that it has no field for.
var inFile = []string{"Untrusted", "Context", "Account", "Organization", "Project", "Execution", "Trigger", "Source", "Runner", "Template", "PipelineTemplate"}

// belongs returns where a key of an execution may stand, or "".
func belongs(key string) string {
	var r reader // whose schemas read nothing here
	var scope oidctoken.Scope
	var places []string
	if key == "pipeline" || r.members(reflect.ValueOf(&scope).Elem(), "", "", nil, inFile...).find(key) >= 0 {
		places = append(places, "the top level")
	}
	var types []string
	for _, t := range stageTypes {
		typed := reflect.New(reflect.TypeOf(t)).Elem()
		if r.stageKeys(typed, &scope, nil).find(key) >= 0 {
			types = append(types, kindOf(t))
		}
	}
	switch len(types) {
	case 0:
	case len(stageTypes):
		places = append(places, "a stage")
	default:
		places = append(places, "a stage of type "+strings.Join(types, " or "))
	}
	if r.stepKeys(new(Step)).find(key) >= 0 {
		places = append(places, "a step")
	}
	return strings.Join(places, ", or ")
}
