//! From the text of an expression to a tree that may be evaluated, or what is wrong with it.
//!
//! minijinja reads the text; the tree is ours, so that nothing is evaluated, folded or called that
//! is not named here. There are no calls, loops or assignments: each part of an expression is
//! evaluated at most once, and what one part may cost is bounded in `eval`.

use minijinja::{
    Error, Value,
    machinery::{Span, Token, ast, parse_expr, tokenize},
    value::Tuple,
};

use super::{digits, names};

/// The most bytes of an expression's text.
pub(super) const EXPRESSION_BYTES_MAX: usize = 1_024;
/// The most words and signs of an expression: minijinja's reader, and whatever walks the tree,
/// goes at most so deep.
const TOKENS_MAX: usize = 256;
/// The most brackets within each other, each of which costs the reader about ten calls.
const BRACKETS_MAX: usize = 16;

/// An expression that may be evaluated.
#[derive(Debug, Clone)]
pub(super) enum Code {
    Constant(Value),
    /// A name: an attribute, `version` or `data`.
    Name(Box<str>),
    /// `of.key` and `of[key]`.
    Member(Box<Code>, Box<Code>),
    Not(Box<Code>),
    Negative(Box<Code>),
    And(Box<Code>, Box<Code>),
    Or(Box<Code>, Box<Code>),
    /// `+`, `-`, `*`, `/`, `//`, `%`, `**`.
    Arithmetic(&'static str, Box<Code>, Box<Code>),
    /// `~`
    Concat(Box<Code>, Box<Code>),
    /// `a < b < c`: all of them hold.
    Compare(Box<Code>, Vec<(ast::CompareOpKind, Code)>),
    /// `yes if condition else no`
    If {
        condition: Box<Code>,
        yes: Box<Code>,
        no: Option<Box<Code>>,
    },
    /// The value and the arguments.
    Filter(&'static str, Vec<Code>),
    /// The value and the arguments.
    Test(&'static str, Vec<Code>),
    List(Vec<Code>),
    Tuple(Vec<Code>),
}

/// Reads an expression.
///
/// # Errors
/// What a person has to change.
pub(super) fn read(text: &str) -> Result<Code, String> {
    if text.len() > EXPRESSION_BYTES_MAX {
        return Err(format!("has {} bytes: expected at most {EXPRESSION_BYTES_MAX}", text.len()));
    }
    let readable = readable(text);
    check_size(&readable)?;
    code(&parse_expr(&readable).map_err(|error| said(&error))?, text)
}

/// The text, with a point put into each integer that is too long for minijinja, so that it reads
/// a double there. What is meant is taken from the text as it was written, which is as long.
fn readable(text: &str) -> String {
    const DIGITS_MAX: usize = 38;
    let is_digit = |byte: &u8| byte.is_ascii_digit() || *byte == b'_';
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
    let length = |from: &[u8], of: &dyn Fn(&u8) -> bool| from.iter().take_while(|b| of(b)).count();
    let mut bytes = text.as_bytes().to_vec();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let rest = &bytes[at..];
        at += match byte {
            b'"' | b'\'' => quoted(rest),
            b'0'..=b'9' => {
                let digits = length(rest, &is_digit);
                let after_point = at > 0 && bytes[at - 1] == b'.';
                // A point or exponent follows, or it is another base: no integer in decimals.
                let ends = rest.get(digits).is_none_or(|next| *next != b'.' && !is_word(next));
                if digits > DIGITS_MAX && ends && !after_point {
                    bytes[at + digits - 2..at + digits].copy_from_slice(b".0");
                }
                digits
            }
            byte if is_word(&byte) => length(rest, &is_word),
            _ => 1,
        };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// How long the text in quotes is that this begins with.
fn quoted(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(&byte) = text.get(at) {
        at += if byte == b'\\' { 2 } else { 1 };
        if byte == text[0] {
            break;
        }
    }
    at
}

/// A literal; a number in the digits of the text, which minijinja may have rounded.
fn constant(value: &Value, span: Span, text: &str) -> Value {
    let (from, to) = (span.start_offset as usize, span.end_offset as usize);
    let own = || text.get(from..to).and_then(|own| digits::written(&own.replace('_', "")));
    let exact = if value.is_number() { own().and_then(|own| digits::value(&own)) } else { None };
    exact.unwrap_or_else(|| value.clone())
}

/// What minijinja says, without the name it gives to a text that has none.
pub(super) fn said(error: &Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
}

/// Bounds how deep the reader goes, before it does: it is recursive, and its own limits are made
/// for larger stacks.
fn check_size(text: &str) -> Result<(), String> {
    let (mut tokens, mut brackets) = (0_usize, 0_usize);
    for token in tokenize(text, true, minijinja::syntax::SyntaxConfig::default()) {
        let (token, _) = token.map_err(|error| said(&error))?;
        tokens += 1;
        match token {
            Token::ParenClose | Token::BracketClose | Token::BraceClose => {
                brackets = brackets.saturating_sub(1);
            }
            // Behind an `else` the reader begins anew, as in a bracket.
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen | Token::Ident("else") => {
                brackets += 1;
            }
            _ => {}
        }
        if tokens > TOKENS_MAX {
            return Err(format!("has more than {TOKENS_MAX} words and signs"));
        }
        if brackets > BRACKETS_MAX {
            return Err(format!(
                "has more than {BRACKETS_MAX} brackets or `else` within each other"
            ));
        }
    }
    Ok(())
}

fn code(expr: &ast::Expr<'_>, source: &str) -> Result<Code, String> {
    Ok(match expr {
        ast::Expr::Const(literal) => {
            Code::Constant(constant(&literal.value, literal.span(), source))
        }
        ast::Expr::Var(var) => name(var.id)?,
        ast::Expr::GetAttr(get) => {
            Code::Member(boxed(&get.expr, source)?, Box::new(Code::Constant(Value::from(get.name))))
        }
        ast::Expr::GetItem(get) => {
            Code::Member(boxed(&get.expr, source)?, boxed(&get.subscript_expr, source)?)
        }
        ast::Expr::UnaryOp(unary) => match unary.op {
            ast::UnaryOpKind::Not => Code::Not(boxed(&unary.expr, source)?),
            ast::UnaryOpKind::Neg => Code::Negative(boxed(&unary.expr, source)?),
        },
        ast::Expr::BinOp(operation) => binary(operation, source)?,
        ast::Expr::Compare(compare) => {
            let others = compare.ops.iter().map(|other| Ok((other.op, code(&other.expr, source)?)));
            Code::Compare(boxed(&compare.expr, source)?, others.collect::<Result<_, String>>()?)
        }
        ast::Expr::IfExpr(choice) => Code::If {
            condition: boxed(&choice.test_expr, source)?,
            yes: boxed(&choice.true_expr, source)?,
            no: choice.false_expr.as_ref().map(|expr| boxed(expr, source)).transpose()?,
        },
        ast::Expr::Filter(filter) => {
            let name = names::filter(filter.name, filter.args.len())?;
            Code::Filter(name, with_arguments(filter.expr.as_ref(), &filter.args, source)?)
        }
        ast::Expr::Test(test) => {
            let name = names::test(test.name, test.args.len())?;
            Code::Test(name, with_arguments(Some(&test.expr), &test.args, source)?)
        }
        ast::Expr::List(list) => {
            let items =
                list.items.iter().map(|item| code(item, source)).collect::<Result<Vec<_>, _>>()?;
            constants(&items).map_or(Code::List(items), |values| Code::Constant(values.into()))
        }
        ast::Expr::Tuple(tuple) if tuple.items.is_empty() => {
            Code::Constant(Value::from(Tuple::default()))
        }
        ast::Expr::Tuple(tuple) => Code::Tuple(
            tuple.items.iter().map(|item| code(item, source)).collect::<Result<_, _>>()?,
        ),
        ast::Expr::Map(_) => return Err("makes a map, which expressions cannot".to_owned()),
        ast::Expr::Slice(_) => return Err("cuts a slice, which expressions cannot".to_owned()),
        ast::Expr::Call(_) => {
            return Err(
                "calls a function or method, which expressions cannot: filters follow a `|`, tests an `is`"
                    .to_owned(),
            );
        }
    })
}

/// The values of a list that is the same for every event.
fn constants(items: &[Code]) -> Option<Vec<Value>> {
    let value = |item: &Code| match item {
        Code::Constant(value) => Some(value.clone()),
        _ => None,
    };
    items.iter().map(value).collect()
}

fn boxed(expr: &ast::Expr<'_>, source: &str) -> Result<Box<Code>, String> {
    code(expr, source).map(Box::new)
}

fn name(name: &str) -> Result<Code, String> {
    if super::is_attribute_name(name) {
        Ok(Code::Name(name.into()))
    } else {
        Err(format!(
            "`{name}` is no name that an event has: expected an attribute (a-z and 0-9), `topic`, `version` or `data`"
        ))
    }
}

fn binary(operation: &ast::BinOp<'_>, source: &str) -> Result<Code, String> {
    use ast::{BinOpKind as Op, CompareOpKind};

    let left = boxed(&operation.left, source)?;
    let right = boxed(&operation.right, source)?;
    let arithmetic = |sign, left, right| Ok(Code::Arithmetic(sign, left, right));
    let compare = |sign, left, right: Box<Code>| Ok(Code::Compare(left, vec![(sign, *right)]));
    match operation.op {
        Op::Eq => compare(CompareOpKind::Eq, left, right),
        Op::Ne => compare(CompareOpKind::Ne, left, right),
        Op::Lt => compare(CompareOpKind::Lt, left, right),
        Op::Lte => compare(CompareOpKind::Lte, left, right),
        Op::Gt => compare(CompareOpKind::Gt, left, right),
        Op::Gte => compare(CompareOpKind::Gte, left, right),
        Op::In => compare(CompareOpKind::In, left, right),
        Op::ScAnd => Ok(Code::And(left, right)),
        Op::ScOr => Ok(Code::Or(left, right)),
        Op::Concat => Ok(Code::Concat(left, right)),
        Op::Add => arithmetic("+", left, right),
        Op::Sub => arithmetic("-", left, right),
        Op::Mul => arithmetic("*", left, right),
        Op::Div => arithmetic("/", left, right),
        Op::FloorDiv => arithmetic("//", left, right),
        Op::Rem => arithmetic("%", left, right),
        Op::Pow => arithmetic("**", left, right),
    }
}

/// The value that a filter or test is of, and what else it is given.
fn with_arguments(
    value: Option<&ast::Expr<'_>>,
    arguments: &[ast::CallArg<'_>],
    source: &str,
) -> Result<Vec<Code>, String> {
    let mut all = vec![code(value.ok_or("has a filter of nothing")?, source)?];
    for argument in arguments {
        let ast::CallArg::Pos(argument) = argument else {
            return Err(
                "names or spreads an argument: expected arguments by their place".to_owned()
            );
        };
        all.push(code(argument, source)?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_said_is_told() {
        for (text, problem) in [
            ("range(9)", "calls a function"),
            ("type.upper()", "calls a function"),
            ("{'a': 1}", "makes a map"),
            ("type[1:2]", "cuts a slice"),
            ("Type == 'x'", "`Type` is no name"),
            ("type|lowr", "nearest is `lower`"),
            ("type|map('upper')", "`map` is no filter"),
            ("type is startingwit 'x'", "nearest is `startingwith`"),
            ("type is startingwith", "takes 1 arguments, not 0"),
            ("type|lower(1)", "takes 0 arguments, not 1"),
            ("data|round(precision=2)", "by their place"),
            ("type ==", "unexpected end of input"),
            ("", "unexpected end of input"),
            ("1 2", "unexpected input after expression"),
            ("'open", "unexpected end of string"),
        ] {
            let told = read(text).unwrap_err();
            assert!(told.contains(problem), "{text}: {told}");
        }
        let long = format!("'{}'", "x".repeat(EXPRESSION_BYTES_MAX));
        assert!(read(&long).unwrap_err().contains("1026 bytes"));
    }
}
