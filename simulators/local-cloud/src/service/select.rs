//! The query language: `SELECT [TOP n] * | fields | aggregates FROM .. [WHERE ..] [GROUP BY ..]`, over JSON documents.
//!
//! A condition over something that a document does not have is neither true nor false, and lets the document through
//! as little as its opposite does.

mod condition;
mod token;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use condition::{Condition, Path};
use token::Tokens;

/// A query.
#[derive(Debug)]
pub(super) struct Select {
    /// `devices`, `devices.modules`, `enrollments`, ..., in lower case.
    pub(super) from: String,
    /// `None`: everything (`*`).
    columns: Option<Vec<Column>>,
    top: Option<usize>,
    condition: Option<Condition>,
    group_by: Vec<Path>,
}

#[derive(Debug)]
struct Column {
    name: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Field(Path),
    Count,
    /// `AVG`, `SUM`, `MIN` or `MAX`.
    Aggregate(&'static str, Path),
}

impl Select {
    /// Reads a query; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut tokens = Tokens::read(text)?;
        tokens.expect("SELECT")?;
        let top = if tokens.take("TOP") { Some(tokens.number()?) } else { None };
        let columns = if tokens.take_symbol("*") { None } else { Some(columns(&mut tokens)?) };
        tokens.expect("FROM")?;
        let from = Path::read(&mut tokens)?.to_string().to_lowercase();
        let condition = if tokens.take("WHERE") { Some(Condition::read(&mut tokens)?) } else { None };
        let mut group_by = Vec::new();
        if tokens.take("GROUP") {
            tokens.expect("BY")?;
            group_by.push(Path::read(&mut tokens)?);
            while tokens.take_symbol(",") {
                group_by.push(Path::read(&mut tokens)?);
            }
        }
        match tokens.next() {
            None => Ok(Self { from, columns, top, condition, group_by }),
            Some(token) => Err(format!("{token} is not expected there")),
        }
    }

    /// Whether the documents themselves are wanted.
    pub(super) fn is_whole(&self) -> bool {
        self.columns.is_none()
    }

    /// The rows that answer the query, each with a key that sorts as the rows do.
    pub(super) fn run(&self, rows: Vec<(String, Value)>) -> Result<Vec<(String, Value)>, String> {
        let holds = |row: &Value| self.condition.as_ref().is_none_or(|c| c.holds(row) == Some(true));
        let found = rows.into_iter().filter(|(_, row)| holds(row));
        let top = self.top.unwrap_or(usize::MAX);
        let Some(columns) = &self.columns else {
            return Ok(found.take(top).collect());
        };
        if self.group_by.is_empty() && columns.iter().all(|column| matches!(column.kind, Kind::Field(_))) {
            return Ok(found.map(|(key, row)| (key, fields(columns, &row))).take(top).collect());
        }
        let mut groups: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        if self.group_by.is_empty() {
            groups.insert(String::new(), Vec::new());
        }
        for (_, row) in found {
            let values: Vec<Value> =
                self.group_by.iter().map(|path| path.of(&row).cloned().unwrap_or_default()).collect();
            let key = if values.is_empty() { String::new() } else { json!(values).to_string() };
            groups.entry(key).or_default().push(row);
        }
        groups.into_iter().take(top).map(|(key, rows)| Ok((key, self.aggregate(columns, &rows)?))).collect()
    }

    fn aggregate(&self, columns: &[Column], rows: &[Value]) -> Result<Value, String> {
        let mut answer = Map::new();
        for Column { name, kind } in columns {
            let value = match kind {
                Kind::Count => json!(rows.len()),
                Kind::Field(path) if self.group_by.contains(path) => {
                    rows.first().and_then(|row| path.of(row)).cloned().unwrap_or_default()
                }
                Kind::Field(path) => return Err(format!("{path} is neither grouped by nor in an aggregate")),
                Kind::Aggregate(function, path) => {
                    let numbers: Vec<f64> =
                        rows.iter().filter_map(|row| path.of(row).and_then(Value::as_f64)).collect();
                    aggregate(function, &numbers)
                }
            };
            answer.insert(name.clone(), value);
        }
        Ok(Value::Object(answer))
    }
}

fn aggregate(function: &str, numbers: &[f64]) -> Value {
    let sum: f64 = numbers.iter().sum();
    let result = match function {
        "SUM" => Some(sum),
        "MIN" => numbers.iter().copied().reduce(f64::min),
        "MAX" => numbers.iter().copied().reduce(f64::max),
        _ => u32::try_from(numbers.len()).ok().filter(|n| *n > 0).map(|n| sum / f64::from(n)),
    };
    json!(result)
}

fn fields(columns: &[Column], row: &Value) -> Value {
    let mut answer = Map::new();
    for Column { name, kind } in columns {
        if let Kind::Field(path) = kind
            && let Some(value) = path.of(row)
        {
            answer.insert(name.clone(), value.clone());
        }
    }
    Value::Object(answer)
}

fn columns(tokens: &mut Tokens) -> Result<Vec<Column>, String> {
    let mut columns = Vec::new();
    loop {
        let (kind, usual) = column(tokens)?;
        let name = if tokens.take("AS") { tokens.word()? } else { usual };
        columns.push(Column { name, kind });
        if !tokens.take_symbol(",") {
            return Ok(columns);
        }
    }
}

fn column(tokens: &mut Tokens) -> Result<(Kind, String), String> {
    if tokens.is_call() {
        let name = tokens.word()?.to_uppercase();
        tokens.expect_symbol("(")?;
        if name == "COUNT" {
            let _ = tokens.take_symbol("*");
            tokens.expect_symbol(")")?;
            return Ok((Kind::Count, "$1".to_owned()));
        }
        let function = ["AVG", "SUM", "MIN", "MAX"]
            .into_iter()
            .find(|known| *known == name)
            .ok_or_else(|| format!("there is no aggregate {name}"))?;
        let path = Path::read(tokens)?;
        tokens.expect_symbol(")")?;
        return Ok((Kind::Aggregate(function, path), "$1".to_owned()));
    }
    let path = Path::read(tokens)?;
    let name = path.last().to_owned();
    Ok((Kind::Field(path), name))
}

#[cfg(test)]
mod tests;
