//! The list of devices: CSV as spreadsheets and scripts write it, every line checked by itself and against the others.
//!
//! The file is cut into lines before anything else, so that a quote that is never closed costs its own line only.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::{self, Display};
use std::hash::Hash;
use std::path::PathBuf;

use anyhow::{Result, anyhow, bail, ensure};
use csv_core::{ReadRecordResult, ReaderBuilder};
use dice_core::Uds;
use dice_core::riot::MacAddress;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::certificate_file;
use crate::{Subject, parse_uds, text};

/// A device of the list.
#[derive(Debug)]
pub struct Device {
    /// Its line, counted from 1.
    pub line: usize,
    /// The column its registration id comes from, counted from 1.
    pub column: usize,
    /// Its registration id, given or made from its MAC address.
    pub id: String,
    /// Its secret.
    pub uds: Uds,
    /// The name of its certificate file.
    pub file: PathBuf,
}

/// What is wrong with a line. It never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Counted from 1, as editors do.
    pub line: usize,
    /// Counted from 1.
    pub column: usize,
    /// In words.
    pub reason: String,
}

impl Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.reason)
    }
}

/// The list.
#[derive(Debug)]
pub struct Devices {
    /// Every device that could be read; a device whose line is in `bad` is not to be used.
    pub all: Vec<Device>,
    /// What is wrong, in the order of lines and columns.
    pub bad: Vec<BadLine>,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Id,
    Mac,
    Uds,
    /// Has no name, and may hold nothing.
    Empty,
}

impl Column {
    /// Case, blanks and punctuation of a column's name do not matter.
    fn named(name: &str) -> Option<Self> {
        let name: String = name.chars().filter(|character| !matches!(character, ' ' | '-' | '_')).collect();
        match &*name.to_ascii_lowercase() {
            "registrationid" | "id" => Some(Self::Id),
            "mac" | "macaddress" => Some(Self::Mac),
            "uds" | "uniquedevicesecret" => Some(Self::Uds),
            "" => Some(Self::Empty),
            _ => None,
        }
    }
}

/// More columns than any list has.
const MAX_COLUMNS: usize = 64;

/// Reads the list. `version` is the firmware's, for default registration ids.
///
/// # Errors
/// The line of column names is missing or wrong, or a default registration id is wanted and the version cannot be part
/// of it. What is wrong with other lines is in [`Devices::bad`].
pub fn read(bytes: &[u8], version: &str) -> Result<Devices> {
    let decoded = text::decode(bytes);
    let bytes = decoded.as_ref().map_or(bytes, |text| text.as_bytes());
    let mut lines = lines(bytes).enumerate().map(|(index, line)| (index + 1, line)).peekable();
    // Excel writes and reads the separator as a line of its own.
    let declared = lines.peek().and_then(|(_, line)| match line {
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', separator] => Some(*separator),
        _ => None,
    });
    if declared.is_some() {
        lines.next();
    }
    let Some((at, header)) = lines.find(|(_, line)| !line.trim_ascii().is_empty()) else {
        bail!("it is empty: expected a line of column names");
    };
    let separator = declared.unwrap_or_else(|| separator(header));
    let columns = columns(at, header, separator)?;

    let mut list = List { version, ..List::default() };
    // Reserved in full: a list of secrets that moves while it grows leaves copies of them.
    list.all.reserve_exact(bytes.len() / Uds::HEX_LEN);
    for (line, content) in lines {
        if content.trim_ascii().is_empty() {
            continue;
        }
        match Fields::split(content, separator) {
            Ok(fields) => list.line(line, &columns, &fields)?,
            Err((column, reason)) => list.wrong(line, column, reason),
        }
    }
    list.secrets_as_ids();
    list.bad.sort_by_key(|bad| (bad.line, bad.column));
    Ok(Devices { all: list.all, bad: list.bad })
}

/// Lines end with LF, CR LF or CR.
fn lines(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
        let (line, ended) = rest.split_at(end);
        rest = ended.strip_prefix(b"\r\n").or_else(|| ended.get(1..)).unwrap_or_default();
        Some(line)
    })
}

/// What separates the columns: what occurs most in the line of their names.
fn separator(header: &[u8]) -> u8 {
    let count = |one: u8| header.split(|byte| *byte == one).count();
    [b'\t', b';', b','].into_iter().max_by_key(|one| count(*one)).unwrap_or(b',')
}

/// The columns. A name is not repeated in a message: in a file without names it could be a secret.
fn columns(line: usize, header: &[u8], separator: u8) -> Result<Vec<Column>> {
    let wrong = |column: usize, reason: &str| anyhow!("line {line}, column {column}: {reason}");
    let fields = Fields::split(header, separator).map_err(|(column, reason)| wrong(column, reason))?;
    let mut columns = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let column = field.ok().and_then(Column::named).ok_or_else(|| {
            wrong(index + 1, "not the name of a column; these are known: registration id, MAC, UDS")
        })?;
        let again = column != Column::Empty && columns.contains(&column);
        ensure!(!again, wrong(index + 1, "there is another column of this name"));
        columns.push(column);
    }
    let has = |column| columns.contains(&column);
    ensure!(has(Column::Uds), "line {line}: there is no column UDS");
    ensure!(has(Column::Id) || has(Column::Mac), "line {line}: there is no column MAC or registration id");
    Ok(columns)
}

/// The fields of a line.
struct Fields {
    text: Zeroizing<Vec<u8>>,
    ends: Vec<usize>,
}

impl Fields {
    /// Splits a line, or says in which column it cannot be.
    fn split(line: &[u8], separator: u8) -> Result<Self, (usize, &'static str)> {
        let mut reader = ReaderBuilder::new().delimiter(separator).build();
        let mut text = Zeroizing::new(vec![0; line.len() + 1]);
        let mut ends = [0; MAX_COLUMNS];
        let (_, read, written, columns) = reader.read_record(line, &mut text, &mut ends);
        if read < line.len() {
            return Err((MAX_COLUMNS, "too many columns"));
        }
        let (result, _, _, last) = reader.read_record(b"\n", &mut text[written..], &mut ends[columns..]);
        match result {
            ReadRecordResult::Record => Ok(Self { text, ends: ends[..columns + last].to_vec() }),
            ReadRecordResult::OutputEndsFull => Err((MAX_COLUMNS, "too many columns")),
            _ => Err((columns + 1, "a quote is not closed on this line")),
        }
    }

    /// The fields without the blanks around them, where they are text.
    fn iter(&self) -> impl Iterator<Item = Result<&str, &'static str>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| {
            let field = self.text.get(start..*end).unwrap_or_default();
            std::str::from_utf8(field).map(str::trim).map_err(|_| "it is not text in UTF-8 or UTF-16")
        })
    }
}

/// Where something was seen first, and whether that line is already listed as wrong because of a second one.
type Seen<K> = HashMap<K, (usize, usize, bool)>;

/// The list as it is read.
#[derive(Default)]
struct List<'a> {
    version: &'a str,
    all: Vec<Device>,
    bad: Vec<BadLine>,
    files: Seen<PathBuf>,
    macs: Seen<[u8; 6]>,
    /// By their SHA-256.
    secrets: Seen<[u8; 32]>,
}

impl List<'_> {
    fn wrong(&mut self, line: usize, column: usize, reason: impl Display) {
        self.bad.push(BadLine { line, column, reason: reason.to_string() });
    }

    fn line(&mut self, line: usize, columns: &[Column], fields: &Fields) -> Result<()> {
        if fields.iter().all(|field| field == Ok("")) {
            return Ok(());
        }
        let found = fields.ends.len();
        if found != columns.len() {
            let reason = format!("the line has {found} columns, the column names are {}", columns.len());
            self.wrong(line, found.min(columns.len() + 1), reason);
            return Ok(());
        }
        let (mut id, mut mac, mut uds) = ((0, ""), (0, ""), (0, ""));
        let before = self.bad.len();
        for (index, (field, column)) in fields.iter().zip(columns).enumerate() {
            match (field, column) {
                (Ok(field), Column::Id) => id = (index + 1, field),
                (Ok(field), Column::Mac) => mac = (index + 1, field),
                (Ok(field), Column::Uds) => uds = (index + 1, field),
                (Ok(""), Column::Empty) => {}
                (Ok(_), Column::Empty) => self.wrong(line, index + 1, "this column has no name"),
                (Err(reason), _) => self.wrong(line, index + 1, reason),
            }
        }
        if self.bad.len() > before {
            return Ok(());
        }
        let id = self.id(line, id, mac)?;
        let uds = self.uds(line, uds);
        if let (Some((column, id)), Some(uds)) = (id, uds) {
            let file = certificate_file(&id);
            self.all.push(Device { line, column, id, uds, file });
        }
        Ok(())
    }

    /// The registration id and the column it comes from.
    fn id(&mut self, line: usize, id: (usize, &str), mac: (usize, &str)) -> Result<Option<(usize, String)>> {
        if !mac.1.is_empty() {
            match MacAddress::parse(mac.1) {
                Ok(MacAddress(address)) => {
                    let first = self.macs.entry(address);
                    repeated(&mut self.bad, first, (line, mac.0), "MAC address");
                }
                Err(error) => {
                    self.wrong(line, mac.0, format!("MAC address: {error}"));
                    if id.1.is_empty() {
                        return Ok(None);
                    }
                }
            }
        }
        let (column, subject) = match (id, mac) {
            ((column, ""), (_, "")) => {
                self.wrong(line, column.max(mac.0), "expected a registration id or a MAC address");
                return Ok(None);
            }
            ((_, ""), (column, mac)) => {
                let firmware_version = self.version.to_owned();
                (column, Subject::Device { mac: mac.to_owned(), firmware_version })
            }
            ((column, id), _) => (column, Subject::Id(id.to_owned())),
        };
        match subject.registration_id() {
            Ok(id) => {
                let first = self.files.entry(certificate_file(&id));
                repeated(&mut self.bad, first, (line, column), "registration id");
                Ok(Some((column, id)))
            }
            Err(error) if matches!(subject, Subject::Id(_)) => {
                self.wrong(line, column, format!("{error:#}"));
                Ok(None)
            }
            // The address was right: it is the version, and that is no line's fault.
            Err(error) => Err(error),
        }
    }

    fn uds(&mut self, line: usize, (column, text): (usize, &str)) -> Option<Uds> {
        match parse_uds(text) {
            Ok(uds) => {
                repeated(&mut self.bad, self.secrets.entry(secret_digest(text)), (line, column), "UDS");
                Some(uds)
            }
            Err(error) => {
                self.wrong(line, column, format!("{error:#}"));
                None
            }
        }
    }

    /// Refuses a registration id that is a secret of the list: columns were mixed up, and a certificate would publish
    /// it.
    fn secrets_as_ids(&mut self) {
        for device in &self.all {
            if device.id.len() == Uds::HEX_LEN && self.secrets.contains_key(&secret_digest(&device.id)) {
                let reason = "registration id: it is a UDS of this list".to_owned();
                self.bad.push(BadLine { line: device.line, column: device.column, reason });
            }
        }
    }
}

/// Notes that something is in a line; where it is not the first, both lines are wrong.
fn repeated<K: Eq + Hash>(
    bad: &mut Vec<BadLine>,
    first: Entry<'_, K, (usize, usize, bool)>,
    (line, column): (usize, usize),
    what: &str,
) {
    let reason = |other: usize| format!("{what}: the same as in line {other}");
    match first {
        Entry::Vacant(first) => drop(first.insert((line, column, false))),
        Entry::Occupied(mut first) => {
            let (first_line, first_column, is_listed) = first.get_mut();
            if !std::mem::replace(is_listed, true) {
                bad.push(BadLine { line: *first_line, column: *first_column, reason: reason(line) });
            }
            bad.push(BadLine { line, column, reason: reason(*first_line) });
        }
    }
}

fn secret_digest(hex: &str) -> [u8; 32] {
    Sha256::digest(Zeroizing::new(hex.to_ascii_lowercase()).as_bytes()).into()
}

#[cfg(test)]
mod tests;
