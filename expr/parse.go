package expr

import (
	"fmt"
	"slices"
	"strings"
)

// maxOperands is the highest number of strings, paths, calls, methods and fields in an
// outermost expression. It bounds the memory of a Template: a node is many times larger than
// the shortest operand.
const maxOperands = 1000

// parser reads one expression by recursive descent. A nested expression gets its own parser,
// because a nested expression that passes through must not make the outer one malformed.
type parser struct {
	t        *Template
	e        *expression
	pos, end int // the part that is not yet read
	nest     int // parentheses, arguments and branches around pos
	operands *int
	fault    *fault // the first fault; there are no more tokens after it

	token string // an operator, a delimiter, "name", "number" or "string"; "" at the end
	at    int    // its offset
	quote quote  // the quote of a "string", whose content is not yet read

	inner *expression // the expression that begins at the token, if the token is a delimiter; otherwise nil
}

// parse sets the body or the fault of e and of the expressions in e.
func (t *Template) parse(e *expression, operands *int) {
	if e.input {
		return
	}
	p := parser{t: t, e: e, pos: e.start + len(e.delimiter.open), end: e.end - len(e.delimiter.close), operands: operands}
	p.next()
	e.body = p.choice()
	if p.token != "" {
		p.fail(p.at, "unexpected "+p.found())
	}
	e.fault = p.fault
}

// fail keeps the first fault and ends the tokens, so that every loop and every recursion ends
// too.
func (p *parser) fail(at int, reason string) {
	if p.fault == nil {
		p.fault = &fault{at: at, name: p.e.name, reason: reason}
	}
	p.token, p.at, p.pos, p.inner = "", p.end, p.end, nil
}

func (p *parser) expect(token string) {
	if p.token != token {
		p.fail(p.at, fmt.Sprintf("expected %q, found %s", token, p.found()))
		return
	}
	p.next()
}

func (p *parser) enter() {
	if p.nest++; p.nest > MaxDepth {
		p.fail(p.at, fmt.Sprintf("parentheses and branches nest more than %d deep", MaxDepth))
	}
}

func (p *parser) leave() { p.nest-- }

// operand counts one operand and returns its offset.
func (p *parser) operand() int {
	if *p.operands++; *p.operands > maxOperands {
		p.fail(p.at, fmt.Sprintf("more than %d operands in the expression", maxOperands))
	}
	return p.at
}

func (p *parser) choice() node {
	var c choice
	for {
		n := p.either()
		if p.token != "?" {
			if c.conditions == nil {
				return n
			}
			c.results = append(c.results, n)
			return &c
		}
		c.conditions = append(c.conditions, n)
		p.enter()
		p.next()
		c.results = append(c.results, p.choice())
		p.leave()
		p.expect(":")
	}
}

func (p *parser) either() node { return p.chain("||", p.both) }

func (p *parser) both() node { return p.chain("&&", p.equality) }

func (p *parser) sum() node { return p.chain("+", p.unary) }

// chain reads operands between equal operators into one node. So a long chain does not make a
// deep tree.
func (p *parser) chain(operator string, operand func() node) node {
	n := operand()
	if p.token != operator {
		return n
	}
	c := chain{operator: operator, operands: []node{n}}
	for p.token == operator {
		p.next()
		c.operands = append(c.operands, operand())
	}
	return &c
}

func (p *parser) equality() node {
	n := p.sum()
	if p.token != "==" && p.token != "!=" {
		return n
	}
	c := comparison{left: n, unequal: p.token == "!="}
	p.next()
	c.right = p.sum()
	if p.token == "==" || p.token == "!=" {
		p.fail(p.at, "a comparison of a comparison needs parentheses")
	}
	return &c
}

func (p *parser) unary() node {
	if p.token != "!" {
		return p.postfix()
	}
	n := negation{at: p.at}
	for i := 0; p.token == "!"; i++ {
		if i == MaxDepth {
			p.fail(p.at, fmt.Sprintf("more than %d negations follow one another", MaxDepth))
			break
		}
		n.odd = !n.odd
		p.next()
	}
	n.operand = p.postfix()
	return &n
}

func (p *parser) postfix() node {
	n := p.primary()
	for i := 0; p.token == "." || p.token == "["; i++ {
		if i == MaxDepth {
			p.fail(p.at, fmt.Sprintf("more than %d methods and fields follow one another", MaxDepth))
			return n
		}
		n = p.member(n)
	}
	return n
}

// member reads ".name", ".name(...)" or "[...]". It reads unknown methods and indexes too, so
// that the error names the right reason.
func (p *parser) member(of node) node {
	if p.token == "[" {
		n := &index{at: p.operand(), of: of}
		p.enter()
		if p.next(); p.token == "number" {
			p.next()
		} else {
			p.choice()
		}
		p.leave()
		p.expect("]")
		return n
	}
	p.next()
	if p.token != "name" {
		p.fail(p.at, "expected a name, found "+p.found())
		return of
	}
	name := p.t.text[p.at:p.pos]
	at := p.operand()
	if p.next(); p.token != "(" {
		return &field{at: at, of: of, name: name}
	}
	return &method{at: at, of: of, name: name, args: p.arguments()}
}

// arguments reads a list of arguments, from the token "(" to the token ")".
func (p *parser) arguments() []node {
	p.enter()
	defer p.leave()
	var args []node
	if p.next(); p.token != ")" {
		args = append(args, p.choice())
	}
	for p.token == "," {
		p.next()
		args = append(args, p.choice())
	}
	p.expect(")")
	return args
}

func (p *parser) primary() node {
	if p.inner != nil {
		return p.expressions()
	}
	switch p.token {
	case "string":
		return p.string()
	case "name":
		return p.path()
	case "(":
		p.enter()
		p.next()
		n := p.choice()
		p.leave()
		p.expect(")")
		return n
	case "number":
		p.fail(p.at, "a number must be quoted")
	default:
		p.fail(p.at, "expected a value, found "+p.found())
	}
	return &literal{at: p.at}
}

// path reads a constant, a variable, a call, or a variable with its method.
func (p *parser) path() node {
	at := p.operand()
	if p.fault != nil {
		return &literal{at: at}
	}
	path, end := readPath(p.t.text[:p.end], at)
	p.pos = end
	p.t.steps += end - at
	if p.next(); p.token != "(" {
		if path == "true" || path == "false" {
			return &literal{at: at, text: path}
		}
		return &variable{at: at, path: path}
	}
	if of, ok := strings.CutSuffix(path, "."+concat); ok {
		return &method{at: at, of: &variable{at: at, path: of}, name: concat, args: p.arguments()}
	}
	return &call{at: at, path: path, args: p.arguments()}
}

// expressions reads adjacent expressions and joins their results.
func (p *parser) expressions() node {
	at := p.at
	var parts []node
	for p.inner != nil {
		e := p.inner
		p.t.parse(e, p.operands)
		parts = append(parts, e)
		p.pos = e.end
		p.next()
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return &joined{at: at, parts: parts}
}

// expressionAt returns the expression that begins at offset at, or nil.
func (t *Template) expressionAt(at int) *expression {
	if c := t.text[at]; c != '<' && c != '$' {
		return nil
	}
	i, found := slices.BinarySearchFunc(t.all, at, func(e *expression, at int) int { return e.start - at })
	if !found {
		return nil
	}
	return t.all[i]
}

// string reads the content of a string. The scanner has already found its end.
func (p *parser) string() node {
	at := p.operand()
	if p.fault != nil {
		return &literal{at: at}
	}
	var parts []node
	var text strings.Builder
	for {
		rest := p.t.text[p.pos:p.end]
		if e := p.t.expressionAt(p.pos); e != nil {
			p.t.parse(e, p.operands)
			parts = append(parts, &literal{at: at, text: text.String()}, e)
			text.Reset()
			p.pos = e.end
			continue
		}
		if d := p.t.escapeAt(p.pos); d != nil {
			text.WriteString(d.open)
			p.pos += len(d.escape)
			p.t.steps += len(d.escape)
			continue
		}
		n, skip, end := p.quote.unit(rest)
		p.pos += n
		p.t.steps += n
		if end {
			break
		}
		text.WriteString(rest[skip:n])
	}
	p.next()
	last := &literal{at: at, text: text.String()}
	if parts == nil {
		return last
	}
	return &joined{at: at, parts: append(parts, last)}
}
