// Package expr finds the expressions in a text and replaces them by their results:
//
//	curl -H "Authorization: Bearer <+secrets.getJWT("account.vault")>" ...
//
// The package is pure: it knows nothing about tokens, connectors or pipelines. The caller
// supplies the functions and variables that a text may use, in an [Env]. A text can reach
// nothing else, by reflection or otherwise. A result is placed into the text unchanged and
// unquoted, and is never scanned again.
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
// White space (space, tab, carriage return, line feed) may stand between these. A name consists
// of ASCII letters, digits, "_", "-", "$" and bytes above 0x7f. The first name of a path does
// not begin with a digit or "-". A root of an Env does not begin with "$".
//
// # Delimiters
//
// A host chooses the delimiters with [Env.Delimiters]: "<+" and ">", which is the default,
// "${{" and "}}", or both. If a host chooses both, each may stand inside the other, and an
// expression ends with the closing delimiter that matches its opening one. Delimiters that the
// host did not choose are text.
//
// A delimiter begins an expression everywhere, even in a comment or in a quoted string, if the
// next character that is not white space can begin one: a letter, "_", a byte above 0x7f, a
// quote (`"`, "'" or `\"`), "(", "!" or a delimiter. Otherwise the delimiter is text: "bc
// <<<+5", "$1<+3", "$1<+$2", "s/<+>//", "<+" at the end. A closing delimiter outside a string
// ends the expression. There are no ordering operators.
//
// The escapes "<\+" and "$\{{" stand for "<+" and "${{" as text. They have this meaning outside
// expressions and in strings of expressions, if the host chose the delimiter. Two backslashes
// are not an escape: "<\\+" is text, and <+"<\\+"> is "<\+".
//
// # Strings
//
// In a string, a backslash before a quote or a backslash makes that character literal. Before
// any other character, a backslash stands for itself. Use the form \"id\" in a text that is
// itself inside a JSON string. Write a backslash of such a string twice.
//
// # Names
//
// Functions and their fields have two spellings, with either delimiter: the camelCase spelling
// in [Env.Functions], and the same name in snake_case. So secrets.getJWTFile can be written as
// secrets.get_jwt_file, and accessKeyId as access_key_id. Roots and variables have one
// spelling.
//
// # Values
//
// Every value is a string. The operators == and != compare bytes and return "true" or "false".
// The operators !, &&, || and the condition of a choice accept only these two values. A choice
// evaluates only the chosen branch, and && and || evaluate only the operands that they need.
// But names and numbers of arguments are checked everywhere.
//
// # What passes through
//
// An expression that another program resolves passes through: it stays in the text byte for
// byte, and nothing in it is evaluated. Such an expression need not follow the grammar, except
// for quotes and nesting. The first path in reading order decides. An expression passes through
// if that path
//
//   - has an unknown root (a root is the first name of a path);
//   - is secrets.getValue, unless Env.Functions has it;
//   - is the whole expression <+input>. The suffixes .allowedValues(..), .regex(..),
//     .default(..), .executionInput(), .selectOneFrom(..) and .selectManyFrom(..) pass through
//     with it.
//
// An expression with a known root is an error if it uses a function or a variable that the
// [Env] does not have, or an unknown root in another place.
//
// An expression with an unknown root is also an error if the root is probably a misspelling of
// a known one, such as secret for secrets or piepline for pipeline. A misspelling differs from
// the known root in letter case only, or by few edits: one or two edits in a root of six or
// more bytes, one edit in a root of four or five bytes, two swapped neighbours in a root of
// three bytes. An edit inserts, deletes or replaces one byte, or swaps two neighbours. The
// following roots always pass through if they are unknown, because platforms commonly have
// them:
//
//	account app artifact artifacts codebase config env environment event execution
//	github host infra infrastructure inputs instance job jobs json loop manifest
//	manifests matrix needs org organization parameters pipeline project repeat runner
//	service serviceVariables stage step stepGroup steps strategy template trigger user
//	variable variables vars workflow xml
//
// A host lists more such roots in [Env.ForeignRoots]. With [Env.Strict], every expression that
// would pass through is an error.
//
// # Variables
//
// The author of a variable's value decides how the value is read. A value from [Env.Variables]
// may come from a user or a trigger: it is placed and never scanned. In strict mode, an
// expression in such a value is an error, because it would not be resolved. A value from
// [Env.AuthorVariables] comes from the author of the text. Expressions in it are resolved once,
// where the text reads it, as if they stood in a string there. They may read other variables,
// at most 32 levels deep and never themselves. An error in such a value has the place where the
// text reads it. The reason gives the place in the value.
//
// # Secrets
//
// The result of a [Func] with Secret may be placed: into the text itself, as a branch of a
// choice, in a quoted string, beside another expression. It may not be an argument, an operand
// of an operator, or the receiver of a method, because a program that masks the secret in a log
// would not recognize the new value. An expression that passes through has the same
// restrictions, because its value is not known here.
//
// # Two phases
//
// If one process plans and another runs the steps, use [Plan] in the first and [Resolve] in the
// second. Plan evaluates the known parts and writes a placeholder for each call of a function.
// Resolve calls the functions and replaces the placeholders. So the first process neither
// stores nor sends a function's result. A placeholder is encrypted and authenticated with the
// [PlanKey] of one execution, and it is valid for one text of that execution. Resolve refuses
// placeholders that a user writes, edits, or copies from another text.
//
// # Limits
//
// Time is linear in the size of the text and of the author's variables that it reads.
// [MaxText], [MaxDepth], [MaxExpressions] and [MaxResult] bound it. The expressions in an
// author's variable count each time that the variable is read. Inside one expression,
// parentheses and branches nest at most MaxDepth levels deep, and at most MaxDepth negations,
// or methods and fields, follow one another. An outermost expression has at most 1,000 strings,
// paths and calls. A text that exceeds a limit fails with an [*Error].
package expr
