//! The words and signs of a query.

use std::fmt;
use std::iter::Peekable;
use std::vec::IntoIter;

/// The longest query taken, in bytes.
const MAX_QUERY: usize = 8192;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Word(String),
    Text(String),
    Number(f64),
    Symbol(&'static str),
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Text(text) => write!(f, "'{text}'"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Symbol(symbol) => f.write_str(symbol),
        }
    }
}

/// The tokens still to be read.
#[derive(Debug)]
pub(super) struct Tokens {
    rest: Peekable<IntoIter<Token>>,
    /// How deep the expression being read is nested.
    pub(super) depth: usize,
}

/// Longer ones first.
const SYMBOLS: [&str; 16] =
    ["<=", ">=", "!=", "<>", "=", "<", ">", "(", ")", "[", "]", ",", ".", "*", "-", "+"];

impl Tokens {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        if text.len() > MAX_QUERY {
            return Err(format!("it is longer than {MAX_QUERY} bytes"));
        }
        let mut tokens = Vec::new();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let (token, length) = if first.is_alphabetic() || first == '_' || first == '$' {
                let end =
                    rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len());
                let (word, _) = rest.split_at(end);
                (Token::Word(word.to_owned()), end)
            } else if first.is_ascii_digit() {
                number(rest)?
            } else if first == '\'' || first == '"' {
                text_token(rest, first)?
            } else {
                let symbol = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol));
                let symbol = symbol.ok_or_else(|| format!("{first:?} is not expected"))?;
                (Token::Symbol(symbol), symbol.len())
            };
            tokens.push(token);
            rest = rest.split_at(length).1.trim_start();
        }
        Ok(Self { rest: tokens.into_iter().peekable(), depth: 0 })
    }

    pub(super) fn next(&mut self) -> Option<Token> {
        self.rest.next()
    }

    /// What is next, without taking it.
    pub(super) fn peek(&self) -> Option<Token> {
        self.rest.clone().next()
    }

    /// Takes a keyword, if it is next.
    pub(super) fn take(&mut self, keyword: &str) -> bool {
        self.rest.next_if(|t| matches!(t, Token::Word(word) if word.eq_ignore_ascii_case(keyword))).is_some()
    }

    pub(super) fn expect(&mut self, keyword: &str) -> Result<(), String> {
        if self.take(keyword) { Ok(()) } else { Err(self.missing(keyword)) }
    }

    pub(super) fn take_symbol(&mut self, symbol: &str) -> bool {
        self.rest.next_if(|t| matches!(t, Token::Symbol(s) if *s == symbol)).is_some()
    }

    pub(super) fn expect_symbol(&mut self, symbol: &str) -> Result<(), String> {
        if self.take_symbol(symbol) { Ok(()) } else { Err(self.missing(symbol)) }
    }

    fn missing(&mut self, what: &str) -> String {
        match self.rest.peek() {
            Some(token) => format!("{what} is expected before {token}"),
            None => format!("{what} is expected at the end"),
        }
    }

    pub(super) fn word(&mut self) -> Result<String, String> {
        match self.rest.next() {
            Some(Token::Word(word)) => Ok(word),
            Some(token) => Err(format!("a name is expected before {token}")),
            None => Err("a name is expected at the end".to_owned()),
        }
    }

    pub(super) fn number(&mut self) -> Result<usize, String> {
        match self.rest.next() {
            Some(Token::Number(number)) => {
                number.to_string().parse().map_err(|_| format!("{number} is not a count"))
            }
            _ => Err("a count is expected".to_owned()),
        }
    }

    /// Whether a name with an opening parenthesis after it is next.
    pub(super) fn is_call(&self) -> bool {
        let mut ahead = self.rest.clone();
        matches!((ahead.next(), ahead.next()), (Some(Token::Word(_)), Some(Token::Symbol("("))))
    }
}

fn number(text: &str) -> Result<(Token, usize), String> {
    let end =
        text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == 'e' || c == 'E')).unwrap_or(text.len());
    let (digits, _) = text.split_at(end);
    let number = digits.parse().map_err(|_| format!("{digits} is not a number"))?;
    Ok((Token::Number(number), end))
}

/// A text in quotes; the quote itself is doubled or follows a backslash.
fn text_token(text: &str, quote: char) -> Result<(Token, usize), String> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            value.extend(chars.next().map(|(_, c)| c));
        } else if c == quote {
            if chars.next_if(|(_, next)| *next == quote).is_some() {
                value.push(quote);
            } else {
                return Ok((Token::Text(value), at + c.len_utf8()));
            }
        } else {
            value.push(c);
        }
    }
    Err("a text does not end".to_owned())
}
