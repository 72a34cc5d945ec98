//! Evaluates a parsed CEL expression over an assignment.
//!
//! CEL does not mix whole and real numbers in arithmetic, people do: `lr * layers < 0.2`. Here each operation on a whole
//! and a real number takes both as real ones. The work is bounded by the expression's length: there are no loops (the
//! macros `all`, `map` and the like), and no function that costs more than its arguments are long.

use kube_cel::cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};
use std::cmp::Ordering;

/// What an expression, or a part of one, evaluates to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand<'a> {
    Bool(bool),
    Int(i64),
    Real(f64),
    Text(&'a str),
    List(Vec<Operand<'a>>),
}

use Operand::{Bool, Int, List, Real, Text};

const FUNCTIONS: [&str; 8] = ["contains", "double", "endsWith", "int", "max", "min", "size", "startsWith"];
const OPERATORS: [&str; 16] = [
    "_?_:_", "_&&_", "_||_", "!_", "-_", "_+_", "_-_", "_*_", "_/_", "_%_", "_==_", "_!=_", "_<_", "_<=_", "_>_",
    "_>=_",
];

/// How many parts the expression has: what one evaluation costs.
///
/// # Errors
/// A part that is not supported here.
pub(super) fn size(expression: &IdedExpr) -> Result<u64, String> {
    let parts: Vec<&IdedExpr> = match &expression.expr {
        Expr::Literal(LiteralValue::Null | LiteralValue::Bytes(_)) => {
            return Err("holds a null or bytes; compare numbers and texts only".into());
        }
        Expr::Literal(_) | Expr::Ident(_) => Vec::new(),
        Expr::List(list) if list.optional_indices.is_empty() => list.elements.iter().collect(),
        Expr::Call(call) => {
            let name = call.func_name.as_str();
            if !OPERATORS.contains(&name) && name != "@in" && !FUNCTIONS.contains(&name) {
                return Err(format!("uses {name:?}; there are the functions {}", FUNCTIONS.join(", ")));
            }
            call.target.iter().map(|target| &**target).chain(&call.args).collect()
        }
        Expr::Comprehension(_) => {
            return Err("uses a macro such as all, exists or map, which can take very long; write each case out".into());
        }
        _ => return Err("uses fields or maps; parameters are numbers and texts".into()),
    };
    parts.into_iter().try_fold(1, |sum, part| Ok(sum + size(part)?))
}

/// Evaluates an expression that [`size`] has accepted; `lookup` gives the parameters' values.
///
/// # Errors
/// Operands that do not fit, a division by zero, an overflow.
pub(super) fn evaluate<'a>(
    expression: &'a IdedExpr,
    lookup: &dyn Fn(&str) -> Option<Operand<'a>>,
) -> Result<Operand<'a>, String> {
    match &expression.expr {
        Expr::Literal(literal) => match literal {
            LiteralValue::Boolean(value) => Ok(Bool(*value.inner())),
            LiteralValue::Int(value) => Ok(Int(*value.inner())),
            LiteralValue::UInt(value) => {
                i64::try_from(*value.inner()).map(Int).map_err(|_| "a number is too large".to_owned())
            }
            LiteralValue::Double(value) => Ok(Real(*value.inner())),
            LiteralValue::String(value) => Ok(Text(value.inner())),
            LiteralValue::Null | LiteralValue::Bytes(_) => Err("a null or bytes".into()),
        },
        Expr::Ident(name) => lookup(name).ok_or_else(|| format!("{name:?} has no value")),
        Expr::List(list) => {
            let elements: Result<Vec<_>, _> = list.elements.iter().map(|element| evaluate(element, lookup)).collect();
            elements.map(List)
        }
        Expr::Call(call) => self::call(call, lookup),
        _ => Err("an unsupported expression".into()),
    }
}

fn call<'a>(call: &'a CallExpr, lookup: &dyn Fn(&str) -> Option<Operand<'a>>) -> Result<Operand<'a>, String> {
    let name = call.func_name.as_str();
    let truth = |at: &'a IdedExpr| match evaluate(at, lookup)? {
        Bool(value) => Ok(value),
        other => Err(format!("{} is neither true nor false", said(&other))),
    };
    match (name, call.args.as_slice()) {
        ("_?_:_", [condition, yes, no]) => return evaluate(if truth(condition)? { yes } else { no }, lookup),
        // As CEL has it: one side that decides is enough, even if the other one fails.
        ("_&&_" | "_||_", [left, right]) => {
            let decides = name == "_||_";
            return match truth(left) {
                Ok(left) if left == decides => Ok(Bool(decides)),
                Ok(_) => truth(right).map(Bool),
                Err(error) => match truth(right) {
                    Ok(right) if right == decides => Ok(Bool(decides)),
                    _ => Err(error),
                },
            };
        }
        ("!_", [operand]) => return truth(operand).map(|value| Bool(!value)),
        _ => {}
    }
    let operands = call.target.iter().map(|target| &**target).chain(&call.args);
    let operands: Vec<Operand<'a>> = operands.map(|part| evaluate(part, lookup)).collect::<Result<_, _>>()?;
    if let [left, right] = operands.as_slice() {
        match name {
            "_+_" | "_-_" | "_*_" | "_/_" | "_%_" => return arithmetic(name, left, right),
            "_==_" => return Ok(Bool(equal(left, right))),
            "_!=_" => return Ok(Bool(!equal(left, right))),
            "_<_" => return Ok(Bool(compare(left, right)? == Some(Ordering::Less))),
            "_>_" => return Ok(Bool(compare(left, right)? == Some(Ordering::Greater))),
            "_<=_" => return Ok(Bool(compare(left, right)?.is_some_and(Ordering::is_le))),
            "_>=_" => return Ok(Bool(compare(left, right)?.is_some_and(Ordering::is_ge))),
            _ => {}
        }
    }
    match (name, operands.as_slice()) {
        ("-_", [Int(value)]) => value.checked_neg().map(Int).ok_or_else(|| "a whole number overflows".into()),
        ("-_", [Real(value)]) => Ok(Real(-value)),
        ("@in", [element, List(elements)]) => Ok(Bool(elements.iter().any(|other| equal(element, other)))),
        ("contains", [Text(text), Text(part)]) => Ok(Bool(text.contains(part))),
        ("startsWith", [Text(text), Text(part)]) => Ok(Bool(text.starts_with(part))),
        ("endsWith", [Text(text), Text(part)]) => Ok(Bool(text.ends_with(part))),
        ("size", [Text(text)]) => Ok(Int(i64::try_from(text.chars().count()).unwrap_or(i64::MAX))),
        ("size", [List(elements)]) => Ok(Int(i64::try_from(elements.len()).unwrap_or(i64::MAX))),
        ("double", [value]) => real(value).map(Real).ok_or_else(|| format!("{} is no number", said(value))),
        ("int", [Int(value)]) => Ok(Int(*value)),
        ("int", [Real(value)]) if value.abs() < 9.2e18 => Ok(Int(*value as i64)),
        ("min" | "max", [List(elements)]) => extreme(name, elements),
        ("min" | "max", operands) => extreme(name, operands),
        (_, operands) => {
            let operands: Vec<String> = operands.iter().map(said).collect();
            Err(format!("{} does not go with {}", plain(name), operands.join(" and ")))
        }
    }
}

fn arithmetic<'a>(name: &str, left: &Operand<'a>, right: &Operand<'a>) -> Result<Operand<'a>, String> {
    if let (Int(a), Int(b)) = (left, right) {
        if *b == 0 && matches!(name, "_/_" | "_%_") {
            return Err("a whole number is divided by zero".into());
        }
        let result = match name {
            "_+_" => a.checked_add(*b),
            "_-_" => a.checked_sub(*b),
            "_*_" => a.checked_mul(*b),
            "_/_" => a.checked_div(*b),
            _ => a.checked_rem(*b),
        };
        return result.map(Int).ok_or_else(|| "a whole number overflows".into());
    }
    match (real(left), real(right), name) {
        (Some(a), Some(b), "_+_") => Ok(Real(a + b)),
        (Some(a), Some(b), "_-_") => Ok(Real(a - b)),
        (Some(a), Some(b), "_*_") => Ok(Real(a * b)),
        (Some(a), Some(b), "_/_") => Ok(Real(a / b)),
        (Some(_), Some(_), _) => Err("% goes with whole numbers only".into()),
        _ => Err(format!("{} does not go with {} and {}", plain(name), said(left), said(right))),
    }
}

fn real(operand: &Operand<'_>) -> Option<f64> {
    match operand {
        Int(value) => Some(*value as f64),
        Real(value) => Some(*value),
        _ => None,
    }
}

fn equal(left: &Operand<'_>, right: &Operand<'_>) -> bool {
    match (left, right) {
        (Int(_), Real(_)) | (Real(_), Int(_)) => real(left) == real(right),
        _ => left == right,
    }
}

/// `None` where one is not a number, in the sense of NaN.
fn compare(left: &Operand<'_>, right: &Operand<'_>) -> Result<Option<Ordering>, String> {
    match (left, right) {
        (Int(a), Int(b)) => Ok(Some(a.cmp(b))),
        (Text(a), Text(b)) => Ok(Some(a.cmp(b))),
        (Bool(a), Bool(b)) => Ok(Some(a.cmp(b))),
        _ => match (real(left), real(right)) {
            (Some(a), Some(b)) => Ok(a.partial_cmp(&b)),
            _ => Err(format!("{} and {} cannot be compared", said(left), said(right))),
        },
    }
}

fn extreme<'a>(name: &str, operands: &[Operand<'a>]) -> Result<Operand<'a>, String> {
    let wanted = if name == "min" { Ordering::Less } else { Ordering::Greater };
    let (first, others) = operands.split_first().ok_or_else(|| format!("{name} of nothing"))?;
    let mut best = first;
    for other in others {
        if compare(other, best)? == Some(wanted) {
            best = other;
        }
    }
    Ok(best.clone())
}

/// An operator as people write it.
fn plain(name: &str) -> &str {
    if name == "@in" { "in" } else { name.trim_matches('_') }
}

fn said(operand: &Operand<'_>) -> String {
    match operand {
        Bool(value) => value.to_string(),
        Int(value) => value.to_string(),
        Real(value) => value.to_string(),
        Text(text) => format!("the text {text:?}"),
        List(_) => "a list".into(),
    }
}
