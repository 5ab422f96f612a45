// Package expr finds the expressions in a text and replaces them by what they
// stand for:
//
//	curl -H "Authorization: Bearer <+secrets.getJWT("account.vault")>" ...
//
// It is pure: it knows no tokens, connectors or pipelines. The functions and
// variables that a text may use are the caller's, in an [Env]; nothing else can
// be reached, by reflection or otherwise. A result is placed into the text as
// it is, unquoted, and is never scanned again.
//
// # Grammar
//
//	text       = { byte | expression } .
//	expression = "<+" choice ">" | "${{" choice "}}" .
//	choice     = either [ "?" choice ":" choice ] .
//	either     = both { "||" both } .
//	both       = equality { "&&" equality } .
//	equality   = sum [ ( "==" | "!=" ) sum ] .
//	sum        = unary { "+" unary } .
//	unary      = { "!" } primary { "." "concat" "(" choice ")" } .
//	primary    = string | "true" | "false" | path | call [ "." field ]
//	           | "(" choice ")" | expression { expression } | expression "." field .
//	field      = name .
//	call       = path "(" [ choice { "," choice } ] ")" .
//	path       = name { "." name } .
//	string     = `"` { part } `"` | "'" { part } "'" | `\"` { part } `\"` .
//	part       = byte | expression .
//
// White space (space, tab, carriage return, line feed) is free between these.
// A name consists of ASCII letters, digits, "_", "-", "$" and bytes above 0x7f;
// the first of a path does not begin with a digit or "-", and a root of an Env does
// not begin with "$".
//
// # Delimiters
//
// A host chooses the delimiters with [Env.Delimiters]: "<+" and ">", which is the
// default, "${{" and "}}", or both. With both, each may stand in the other, and an
// expression ends with the delimiter that belongs to its beginning. Delimiters that
// the host did not choose are text.
//
// A delimiter begins an expression everywhere, in a comment and in a quoted string
// too, if the next character that is not white space can begin one: a letter, "_", a
// byte above 0x7f, a quote (`"`, "'" or `\"`), "(", "!" or a delimiter. Otherwise
// it is text: "bc <<<+5", "$1<+3", "$1<+$2", "s/<+>//", "<+" at the end. A closing delimiter
// outside a string ends the expression. There are no ordering operators.
//
// The escapes "<\+" and "$\{{" stand for "<+" and "${{" as text. They have this
// meaning outside expressions and in strings of expressions, where the host chose the
// delimiter. Two backslashes are no escape: "<\\+" is text, and <+"<\\+"> is "<\+".
//
// # Strings
//
// In a string, a backslash takes the meaning from a quote or a backslash that
// follows, and else stands for itself. The form \"id\" is for a text that sits
// in a JSON string; a backslash of such a string is written twice.
//
// # Names
//
// Functions and their fields have two spellings, in either delimiter: that of
// [Env.Functions] in camelCase and the same in snake_case. So secrets.getJWTFile is
// secrets.get_jwt_file as well, and accessKeyId is access_key_id. Roots and variables
// have one spelling.
//
// # Values
//
// Every value is a string. The operators == and != compare bytes and give
// "true" or "false", which are the only values that !, &&, || and the condition
// of a choice take. Only the branch chosen, and only what decides && and ||, is
// evaluated; but names and arities are checked in all of it.
//
// # What passes through
//
// An expression belongs to the first path in it, in reading order. It is kept
// byte for byte, and nothing inside it is evaluated or even needs to follow the
// grammar beyond quotes and nesting, when that path
//
//   - has a root, its first name, that the [Env] does not know;
//   - is secrets.getValue, unless Env.Functions has it;
//   - is the whole expression <+input>, which takes with it the suffixes
//     .allowedValues(..), .regex(..), .default(..), .executionInput(),
//     .selectOneFrom(..) and .selectManyFrom(..) that follow.
//
// An expression of a known root that calls or reads what the [Env] does not have
// is an error, as is one that uses an unknown root further on.
//
// So is an expression whose unknown root is probably a misspelling of a known one,
// such as secret for secrets or piepline for pipeline. It differs from the known root in
// letter case only, by one or two edits if that has six bytes or more, by one edit if
// that has four or five, or by two swapped neighbours if that has three. An edit inserts, deletes or
// replaces one byte, or swaps two neighbours. These roots pass through all the same,
// because platforms commonly have them:
//
//	account app artifact artifacts codebase config env environment event execution
//	github host infra infrastructure inputs instance job jobs json loop manifest
//	manifests matrix needs org organization parameters pipeline project repeat runner
//	service serviceVariables stage step stepGroup steps strategy template trigger user
//	variable variables vars workflow xml
//
// A host lists further roots in [Env.ForeignRoots]. [Env.Strict] makes an error of
// every expression that would pass through.
//
// # Variables
//
// Who wrote the value of a variable decides how it is read. A value from
// [Env.Variables] may come from a user or a trigger: it is placed and never scanned. In
// strict mode, an expression in it is an error, because it would stay text. A value from
// [Env.AuthorVariables] was written by the author of the text. Expressions in it are
// resolved once, where it is read, as if they stood in a string there. They may read
// other variables, at most 32 within one another and not themselves. An error in such a
// value has the place where the text reads it; the reason gives the place in the value.
//
// # Secrets
//
// What a [Func] with Secret returns may be placed into text: into the
// text itself, as a branch of a choice, within a quoted string, beside another
// expression. It may not be an argument, an operand of any operator, or the
// receiver of a method, because what is made of a secret is no longer
// recognised by whoever masks that secret in a log. An expression that passes
// through is bound in the same way, because its value is not known here.
//
// # Two phases
//
// Where one process plans and another runs the steps, [Plan] evaluates what is
// known to the first, and places a placeholder for each call of a function; with
// these, [Resolve] calls the functions in the second. So no result of theirs is
// in what the first stores or sends. A placeholder is encrypted and authenticated
// with the [PlanKey] of one execution, and bound to one text of it: Resolve
// refuses what a user writes, edits, or copies from elsewhere.
//
// # Limits
//
// Time is linear in the text and in the values of author's variables that it reads.
// [MaxText], [MaxDepth], [MaxExpressions] and [MaxResult] bound it. The expressions of
// an author's variable count each time that the variable is read. Inside one expression, parentheses and branches nest at
// most MaxDepth deep as well, at most MaxDepth negations, or methods and fields,
// follow one another, and an outermost expression has at most 1,000 strings, paths
// and calls. Whatever goes beyond is an [*Error].
package expr
