package pipeline

import (
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
)

// Read reads and checks a pipeline file of that name. Sets are KEY=VALUE
// pairs, each of which replaces or adds a scalar before anything is checked;
// the later one wins. The error is an *Error.
func Read(name string, data []byte, sets []string) (*File, error) {
	f, err := read(name, data, sets)
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			e.File = name
		}
		return nil, err
	}
	return f, nil
}

func read(name string, data []byte, sets []string) (*File, error) {
	root, err := parse(data)
	if err != nil {
		return nil, err
	}
	for _, s := range sets {
		if err := set(root, s); err != nil {
			return nil, err
		}
	}
	r := &reader{lines: make(map[string]int)}
	f := &File{Name: name, lines: r.lines, places: make(places), Issuer: Issuer{Line: 1}}
	if err := r.file(f, root); err != nil {
		return nil, err
	}
	return f, f.check()
}

// file reads the top level.
func (r *reader) file(f *File, root *node) error {
	scope := reflect.ValueOf(&f.scope).Elem()
	s := r.members(scope, "", "", f.places, inFile...)
	s = append(s,
		field{[]string{"pipeline"}, func(n *node, path string) error {
			return r.entity(scope.FieldByName("Pipeline"), n, path, "Pipeline", f.places,
				field{names("pipeline", "Name"), func(n *node, path string) (err error) {
					f.PipelineName, err = r.value(n, path)
					return err
				}})
		}},
		r.variablesField(&f.Variables),
		field{[]string{"expressions"}, func(n *node, path string) error {
			if err := r.mapping(n, path, r.settings(reflect.ValueOf(&f.Expressions).Elem()), nil); err != nil {
				return err
			}
			return r.checkDelimiters(f.Expressions.Delimiters, path)
		}},
		field{[]string{"issuer"}, func(n *node, path string) error { return r.issuer(&f.Issuer, n, path) }},
		field{[]string{"connectors"}, func(n *node, path string) error { return r.connectors(f, n, path) }},
		field{[]string{"stages"}, func(n *node, path string) error { return r.stages(f, n, path) }},
	)
	if err := r.mapping(root, "", s, belongs); err != nil {
		return err
	}
	f.Account, f.Organization, f.Project = f.scope.Account, f.scope.Organization, f.scope.Project
	switch {
	case f.Account == (oidctoken.Entity{}):
		return r.missing("", "account")
	case len(f.Stages) == 0:
		return r.missing("", "stages")
	}
	if f.Issuer.Algorithms == nil {
		f.Issuer.Algorithms = []string{"RS256", "ES256"}
	}
	if f.Issuer.Listen == "" {
		f.Issuer.Listen = "127.0.0.1:0"
	}
	if err := r.checkListener(&f.Issuer); err != nil {
		return err
	}
	return r.resolve(f)
}

func (r *reader) variablesField(variables *map[string]Text) field {
	return field{[]string{"variables"}, func(n *node, path string) error {
		texts, err := r.variables(n, path, func(name string) string {
			if name == "" {
				return "is a variable without a name"
			}
			return ""
		})
		*variables = make(map[string]Text)
		for _, t := range texts {
			(*variables)[t.Name] = t
		}
		return err
	}}
}

// Values of expressions.delimiters.
const (
	Angle  = "<+ >"
	Braces = "${{ }}"
)

func (r *reader) checkDelimiters(delimiters []string, path string) error {
	for i, d := range delimiters {
		if d != Angle && d != Braces {
			return r.fail(fmt.Sprintf("%s.delimiters[%d]", path, i), "is neither %q nor %q", Angle, Braces)
		}
	}
	return nil
}

func (r *reader) issuer(c *Issuer, n *node, path string) error {
	c.Line = r.lines[path]
	return r.mapping(n, path, r.settings(reflect.ValueOf(c).Elem()), nil)
}

// checkListener refuses an issuer whose address cannot be reached.
func (r *reader) checkListener(c *Issuer) error {
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		return r.fail("issuer.tls", "has one of cert and key: it needs both, or neither")
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return r.fail("issuer.listen", "is not host:port")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return r.fail("issuer.listen", "has a port that is not a number up to 65535")
	}
	ip := net.ParseIP(host)
	if loopback := host == "localhost" || ip.IsLoopback(); !loopback && c.URL == "" && c.TLS.Cert == "" {
		return r.fail("issuer.listen", "is not a loopback address: then issuer.url or issuer.tls is needed")
	}
	return nil
}

// element begins to read element i of a list: its path names it by its id.
func (r *reader) element(listPath string, i int, n *node) (path string) {
	name := listPath[strings.LastIndexByte(listPath, '.')+1:]
	path = listPath + selector(strconv.Itoa(i))
	if id := elementID(name, n); id != "" {
		path = listPath + selector(id)
	}
	r.lines[path] = n.line
	return path
}

// unique refuses the second element of that path.
func (r *reader) unique(first map[string]int, path string) error {
	if line, ok := first[path]; ok {
		return r.fail(path, "has an id that is given twice, first in line %d", line)
	}
	first[path] = r.lines[path]
	return nil
}

func (r *reader) connectors(f *File, n *node, path string) error {
	first := make(map[string]int)
	return r.list(n, path, func(i int, n *node) error {
		at := r.element(path, i, n)
		c := Connector{Line: n.line, places: make(places)}
		if err := r.connector(&c, n, at); err != nil {
			return err
		}
		f.Connectors = append(f.Connectors, c)
		return r.unique(first, at)
	})
}

func (r *reader) connector(c *Connector, n *node, path string) error {
	var claims oidctoken.Connector
	s := r.members(reflect.ValueOf(&claims).Elem(), "connector", "Connector.", c.places, "ID", "UID", "Name")
	v := reflect.ValueOf(c).Elem()
	for _, name := range []string{"GCP", "AWS", "Azure", "OIDC"} {
		s = append(s, field{[]string{strings.ToLower(name)}, func(n *node, path string) error {
			cloud := reflect.New(v.FieldByName(name).Type().Elem())
			v.FieldByName(name).Set(cloud)
			return r.mapping(n, path, r.settings(cloud.Elem()), nil)
		}})
	}
	s = append(s, r.settings(v)...)
	if err := r.mapping(n, path, s, nil); err != nil {
		return err
	}
	c.Ref, c.UID, c.Name = claims.ID, claims.UID, claims.Name
	if c.Ref == "" {
		return r.missing(path, "id")
	}
	ref, err := broker.ParseRef(c.Ref)
	if err != nil {
		return r.fail(join(path, "id"), "%s", refReason(err))
	}
	c.ID, c.Level = ref.ID, ref.Level
	cloud, clouds := c.cloud()
	if clouds != 1 {
		return r.fail(path, "needs exactly one of gcp, aws, azure and oidc: it has %d", clouds)
	}
	at := join(path, cloud)
	switch {
	case c.GCP != nil && c.GCP.Provider == "":
		return r.missing(at, "provider")
	case c.AWS != nil && c.AWS.RoleARN == "":
		return r.missing(at, "roleARN")
	case c.Azure != nil && c.Azure.TenantID == "":
		return r.missing(at, "tenantID")
	case c.Azure != nil && c.Azure.ClientID == "":
		return r.missing(at, "clientID")
	case c.OIDC != nil && len(c.OIDC.Audiences) == 0:
		return r.missing(at, "audiences")
	}
	return r.checkTrust(c, path, cloud)
}

// refReason returns why a text is not a reference to a connector.
func refReason(err error) string {
	var e *broker.RefError
	if errors.As(err, &e) {
		return e.Reason
	}
	return err.Error()
}

// resolve checks that connectors are where the run can see them, and that the
// steps refer to connectors that exist.
func (r *reader) resolve(f *File) error {
	var known []string
	clouds := make(map[string]string)
	for _, c := range f.Connectors {
		at := "connectors" + selector(c.Ref)
		switch {
		case c.Level == oidctoken.OrganizationLevel && f.Organization.ID == "":
			return r.fail(at, "refers to an organization, and the file has no organization")
		case c.Level == oidctoken.ProjectLevel && f.Project.ID == "":
			return r.fail(at, "refers to a project, and the file has no project: put account. before the id of an account's connector")
		}
		known = append(known, c.Ref)
		clouds[c.Ref], _ = c.cloud()
	}
	for _, stage := range f.Stages {
		for _, step := range stage.Steps {
			path := "stages" + selector(stage.ID) + ".steps" + selector(step.ID) + ".connectors"
			if err := checkRefs(path, step.Connectors, known, clouds); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkRefs checks the connectors that are delivered to one step.
func checkRefs(path string, refs []Ref, known []string, clouds map[string]string) error {
	first := make(map[string]string)
	for _, ref := range refs {
		fail := func(format string, args ...any) error {
			return &Error{Line: ref.Line, Field: path, Reason: fmt.Sprintf(format, args...)}
		}
		if _, err := broker.ParseRef(ref.Text); err != nil {
			return fail("the reference %+.64q %s", ref.Text, refReason(err))
		}
		if !slices.Contains(known, ref.Text) {
			return fail("unknown connector %s%s", ref.Text, nearest(ref.Text, known))
		}
		cloud := clouds[ref.Text]
		if other, ok := first[cloud]; ok && (cloud != "oidc" || other == ref.Text) { // which has no variables that another's could replace
			return fail("%s and %s are of one cloud (%s): a step can be given one", other, ref.Text, cloud)
		}
		first[cloud] = ref.Text
	}
	return nil
}
