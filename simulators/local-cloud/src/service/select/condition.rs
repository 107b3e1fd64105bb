//! Conditions of a query: comparisons, `IN`, `AND`, `OR`, `NOT`, and the functions that the service has.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Value, json};

use super::token::{Token, Tokens};

/// How deep a condition may be nested.
const MAX_DEPTH: usize = 32;

/// The way to a member of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path(Vec<String>);

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl Path {
    /// `name.name['name']...`
    pub(super) fn read(tokens: &mut Tokens) -> Result<Self, String> {
        let mut names = vec![tokens.word()?];
        loop {
            if tokens.take_symbol(".") {
                names.push(tokens.word()?);
            } else if tokens.take_symbol("[") {
                match tokens.next() {
                    Some(Token::Text(name)) => names.push(name),
                    _ => return Err("a name in quotes is expected between [ and ]".to_owned()),
                }
                tokens.expect_symbol("]")?;
            } else {
                return Ok(Self(names));
            }
        }
    }

    pub(super) fn last(&self) -> &str {
        self.0.last().map(String::as_str).unwrap_or_default()
    }

    /// The member of this document; the name of the collection may stand first.
    pub(super) fn of<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        let names = match self.0.split_first() {
            Some((first, rest))
                if !rest.is_empty()
                    && document.get(first).is_none()
                    && COLLECTIONS.contains(&first.as_str()) =>
            {
                rest
            }
            _ => self.0.as_slice(),
        };
        names.iter().try_fold(document, |value, name| value.get(name))
    }
}

const COLLECTIONS: [&str; 4] = ["devices", "c", "enrollments", "enrollmentGroups"];

#[derive(Debug)]
pub(super) enum Operand {
    Path(Path),
    Value(Value),
}

impl Operand {
    fn of<'a>(&'a self, document: &'a Value) -> Option<&'a Value> {
        match self {
            Self::Path(path) => path.of(document),
            Self::Value(value) => Some(value),
        }
    }

    fn read(tokens: &mut Tokens) -> Result<Self, String> {
        for (word, value) in [("true", json!(true)), ("false", json!(false)), ("null", Value::Null)] {
            if tokens.take(word) {
                return Ok(Self::Value(value));
            }
        }
        let negative = tokens.take_symbol("-");
        let mut ahead = tokens.peek();
        match ahead.take() {
            Some(Token::Number(number)) => {
                tokens.next();
                Ok(Self::Value(json!(if negative { -number } else { number })))
            }
            _ if negative => Err("a number is expected after -".to_owned()),
            Some(Token::Text(text)) => {
                tokens.next();
                Ok(Self::Value(json!(text)))
            }
            _ => Ok(Self::Path(Path::read(tokens)?)),
        }
    }
}

#[derive(Debug)]
pub(super) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Compare(Operand, &'static str, Operand),
    In(Operand, Vec<Operand>),
    Function(String, Operand, Option<Operand>),
    /// A member that is itself true or false.
    Is(Operand),
}

impl Condition {
    pub(super) fn read(tokens: &mut Tokens) -> Result<Self, String> {
        tokens.depth += 1;
        if tokens.depth > MAX_DEPTH {
            return Err(format!("it is nested deeper than {MAX_DEPTH}"));
        }
        let mut parts = vec![Self::read_all(tokens)?];
        while tokens.take("OR") {
            parts.push(Self::read_all(tokens)?);
        }
        tokens.depth -= 1;
        Ok(Self::Any(parts))
    }

    fn read_all(tokens: &mut Tokens) -> Result<Self, String> {
        let mut parts = vec![Self::read_one(tokens)?];
        while tokens.take("AND") {
            parts.push(Self::read_one(tokens)?);
        }
        Ok(Self::All(parts))
    }

    fn read_one(tokens: &mut Tokens) -> Result<Self, String> {
        let mut negated = false;
        while tokens.take("NOT") {
            negated = !negated;
        }
        let condition = if tokens.take_symbol("(") {
            let inner = Self::read(tokens)?;
            tokens.expect_symbol(")")?;
            inner
        } else if tokens.is_call() {
            Self::read_function(tokens)?
        } else {
            Self::read_comparison(tokens)?
        };
        Ok(if negated { Self::Not(Box::new(condition)) } else { condition })
    }

    fn read_function(tokens: &mut Tokens) -> Result<Self, String> {
        const ONE: [&str; 8] = [
            "IS_DEFINED",
            "IS_NULL",
            "IS_BOOL",
            "IS_NUMBER",
            "IS_STRING",
            "IS_OBJECT",
            "IS_ARRAY",
            "IS_PRIMITIVE",
        ];
        const TWO: [&str; 3] = ["STARTSWITH", "ENDSWITH", "CONTAINS"];
        let name = tokens.word()?.to_uppercase();
        if !ONE.contains(&name.as_str()) && !TWO.contains(&name.as_str()) {
            return Err(format!("there is no function {name}"));
        }
        tokens.expect_symbol("(")?;
        let first = Operand::read(tokens)?;
        let second = if TWO.contains(&name.as_str()) {
            tokens.expect_symbol(",")?;
            Some(Operand::read(tokens)?)
        } else {
            None
        };
        tokens.expect_symbol(")")?;
        Ok(Self::Function(name, first, second))
    }

    fn read_comparison(tokens: &mut Tokens) -> Result<Self, String> {
        let left = Operand::read(tokens)?;
        for (word, negated) in [("IN", false), ("NIN", true)] {
            if tokens.take(word) {
                tokens.expect_symbol("[")?;
                let mut list = vec![Operand::read(tokens)?];
                while tokens.take_symbol(",") {
                    list.push(Operand::read(tokens)?);
                }
                tokens.expect_symbol("]")?;
                let found = Self::In(left, list);
                return Ok(if negated { Self::Not(Box::new(found)) } else { found });
            }
        }
        for symbol in ["=", "!=", "<>", "<=", ">=", "<", ">"] {
            if tokens.take_symbol(symbol) {
                return Ok(Self::Compare(left, symbol, Operand::read(tokens)?));
            }
        }
        Ok(Self::Is(left))
    }

    /// Whether the document fulfils the condition; `None` if that cannot be said.
    pub(super) fn holds(&self, document: &Value) -> Option<bool> {
        match self {
            Self::All(parts) => {
                let mut answer = Some(true);
                for part in parts {
                    match part.holds(document) {
                        Some(false) => return Some(false),
                        Some(true) => {}
                        None => answer = None,
                    }
                }
                answer
            }
            Self::Any(parts) => {
                let mut answer = Some(false);
                for part in parts {
                    match part.holds(document) {
                        Some(true) => return Some(true),
                        Some(false) => {}
                        None => answer = None,
                    }
                }
                answer
            }
            Self::Not(inner) => inner.holds(document).map(|held| !held),
            Self::Compare(left, symbol, right) => compare(left.of(document)?, symbol, right.of(document)?),
            Self::In(left, list) => {
                let left = left.of(document)?;
                Some(
                    list.iter()
                        .any(|one| one.of(document).is_some_and(|one| compare(left, "=", one) == Some(true))),
                )
            }
            Self::Function(name, first, second) => {
                let value = first.of(document);
                match second {
                    None => Some(is(name, value)),
                    Some(second) => {
                        let (text, part) = (value?.as_str()?, second.of(document)?.as_str()?);
                        Some(match name.as_str() {
                            "STARTSWITH" => text.starts_with(part),
                            "ENDSWITH" => text.ends_with(part),
                            _ => text.contains(part),
                        })
                    }
                }
            }
            Self::Is(operand) => operand.of(document)?.as_bool(),
        }
    }
}

fn is(name: &str, value: Option<&Value>) -> bool {
    match (name, value) {
        ("IS_DEFINED", value) => value.is_some(),
        (_, None) => false,
        ("IS_NULL", Some(value)) => value.is_null(),
        ("IS_BOOL", Some(value)) => value.is_boolean(),
        ("IS_NUMBER", Some(value)) => value.is_number(),
        ("IS_STRING", Some(value)) => value.is_string(),
        ("IS_OBJECT", Some(value)) => value.is_object(),
        ("IS_ARRAY", Some(value)) => value.is_array(),
        (_, Some(value)) => !value.is_object() && !value.is_array(),
    }
}

/// Values of different kinds are different, and neither is greater.
fn compare(left: &Value, symbol: &str, right: &Value) -> Option<bool> {
    let order = match (left, right) {
        (Value::Number(a), Value::Number(b)) => a.as_f64()?.partial_cmp(&b.as_f64()?),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (a, b) if a == b => Some(Ordering::Equal),
        _ => None,
    };
    match (symbol, order) {
        ("=", order) => Some(order == Some(Ordering::Equal)),
        ("!=" | "<>", order) => Some(order != Some(Ordering::Equal)),
        (_, None) => None,
        ("<", Some(order)) => Some(order.is_lt()),
        ("<=", Some(order)) => Some(order.is_le()),
        (">", Some(order)) => Some(order.is_gt()),
        (_, Some(order)) => Some(order.is_ge()),
    }
}
