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
//	expression = "<+" choice ">" .
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
// the first of a path does not begin with a digit or "-".
//
// "<+" begins an expression everywhere, in a comment and in a quoted string
// too, and a ">" outside a string ends it: there are no ordering operators. In a
// string, a backslash takes the meaning from a quote or a backslash that
// follows, and else stands for itself. The form \"id\" is for a text that sits
// in a JSON string; a backslash of such a string is written twice.
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
// is an error, as is one that uses an unknown root further on. [Env.Strict]
// makes those that would pass through errors as well.
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
// Time is linear in the text. [MaxText], [MaxDepth], [MaxExpressions] and
// [MaxResult] bound it. Inside one expression, parentheses and branches nest at
// most MaxDepth deep as well, at most MaxDepth negations, or methods and fields,
// follow one another, and an outermost expression has at most 1,000 strings, paths
// and calls. Whatever goes beyond is an [*Error].
package expr
