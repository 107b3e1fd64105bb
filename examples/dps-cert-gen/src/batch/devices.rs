//! The list of devices: CSV as spreadsheets and scripts write it, every line checked by itself and against the others.
//!
//! The file is cut into lines before anything else, so that a quote that is never closed costs its own line only.

mod fields;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::{self, Display};
use std::hash::Hash;
use std::path::PathBuf;

use anyhow::{Result, anyhow, bail, ensure};
use dice_core::Uds;
use dice_core::riot::MacAddress;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::certificate_file;
use crate::request::DeviceIdRequest;
use crate::{Subject, parse_uds, text};
use fields::Fields;

/// A device of the list.
#[derive(Debug)]
pub struct Device {
    /// Its line, counted from 1.
    pub line: usize,
    /// The column its registration id comes from, counted from 1.
    pub column: usize,
    /// Its registration id, given or made from its MAC address; for a request without one, the name of its DeviceID.
    pub id: String,
    /// What it is known by.
    pub credential: Credential,
    /// The name of its certificate file.
    pub file: PathBuf,
}

/// What a device is known by.
#[derive(Debug)]
pub enum Credential {
    /// Its secret, from which everything is derived.
    Uds(Uds),
    /// Its request for the certificate of its DeviceID, for a CA.
    Request(Box<DeviceIdRequest>),
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
    Request,
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
            "csr" | "certificaterequest" | "request" => Some(Self::Request),
            "" => Some(Self::Empty),
            _ => None,
        }
    }
}

/// Reads the list. `version` is the firmware's, for default registration ids.
///
/// # Errors
/// The line of column names is missing or wrong, or a default registration id is wanted and the version is missing or
/// cannot be part of it. What is wrong with other lines is in [`Devices::bad`].
pub fn read(bytes: &[u8], version: Option<&str>) -> Result<Devices> {
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
            wrong(index + 1, "not the name of a column; these are known: registration id, MAC, UDS, CSR")
        })?;
        let again = column != Column::Empty && columns.contains(&column);
        ensure!(!again, wrong(index + 1, "there is another column of this name"));
        columns.push(column);
    }
    let has = |column| columns.contains(&column);
    ensure!(has(Column::Uds) || has(Column::Request), "line {line}: there is no column UDS or CSR");
    let is_named = has(Column::Id) || has(Column::Mac) || !has(Column::Uds);
    ensure!(is_named, "line {line}: there is no column MAC or registration id");
    Ok(columns)
}

/// Where something was seen first, and whether that line is already listed as wrong because of a second one.
type Seen<K> = HashMap<K, (usize, usize, bool)>;

/// The list as it is read.
#[derive(Default)]
struct List<'a> {
    version: Option<&'a str>,
    all: Vec<Device>,
    bad: Vec<BadLine>,
    files: Seen<PathBuf>,
    macs: Seen<[u8; 6]>,
    /// By their SHA-256.
    secrets: Seen<[u8; 32]>,
    /// Of requests, uncompressed.
    keys: Seen<[u8; 65]>,
}

impl List<'_> {
    fn wrong(&mut self, line: usize, column: usize, reason: impl Display) {
        self.bad.push(BadLine { line, column, reason: reason.to_string() });
    }

    fn line(&mut self, line: usize, columns: &[Column], fields: &Fields) -> Result<()> {
        if fields.iter().all(|field| field == Ok("")) {
            return Ok(());
        }
        let found = fields.len();
        if found != columns.len() {
            let reason = format!("the line has {found} columns, the column names are {}", columns.len());
            self.wrong(line, found.min(columns.len() + 1), reason);
            return Ok(());
        }
        let (mut id, mut mac, mut uds, mut request) = ((0, ""), (0, ""), (0, ""), (0, ""));
        let before = self.bad.len();
        for (index, (field, column)) in fields.iter().zip(columns).enumerate() {
            match (field, column) {
                (Ok(field), Column::Id) => id = (index + 1, field),
                (Ok(field), Column::Mac) => mac = (index + 1, field),
                (Ok(field), Column::Uds) => uds = (index + 1, field),
                (Ok(field), Column::Request) => request = (index + 1, field),
                (Ok(""), Column::Empty) => {}
                (Ok(_), Column::Empty) => self.wrong(line, index + 1, "this column has no name"),
                (Err(reason), _) => self.wrong(line, index + 1, reason),
            }
        }
        if self.bad.len() > before {
            return Ok(());
        }
        let credential = self.credential(line, uds, request);
        let has_mac = self.mac(line, mac);
        let id = match &credential {
            Some(Credential::Request(request_of)) if id.1.is_empty() => {
                has_mac.then(|| (request.0, request_of.name()))
            }
            _ if id.1.is_empty() && !has_mac => None,
            _ => self.id(line, id, mac)?,
        };
        if let (Some((column, id)), Some(credential)) = (id, credential) {
            let file = certificate_file(&id);
            self.all.push(Device { line, column, id, credential, file });
        }
        Ok(())
    }

    /// Whether a MAC address, if there is one, is right.
    fn mac(&mut self, line: usize, (column, text): (usize, &str)) -> bool {
        if text.is_empty() {
            return true;
        }
        match MacAddress::parse(text) {
            Ok(MacAddress(address)) => {
                repeated(&mut self.bad, self.macs.entry(address), (line, column), "MAC address");
                true
            }
            Err(error) => {
                self.wrong(line, column, format!("MAC address: {error}"));
                false
            }
        }
    }

    /// The registration id and the column it comes from.
    fn id(&mut self, line: usize, id: (usize, &str), mac: (usize, &str)) -> Result<Option<(usize, String)>> {
        let (column, subject) = match (id, mac) {
            ((column, ""), (_, "")) => {
                self.wrong(line, column.max(mac.0), "expected a registration id or a MAC address");
                return Ok(None);
            }
            ((_, ""), (column, mac)) => {
                let Some(version) = self.version else {
                    bail!(
                        "line {line}: the firmware version (--firmware-version) is needed for its registration id"
                    );
                };
                (column, Subject::Device { mac: mac.to_owned(), firmware_version: version.to_owned() })
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

    /// One of both.
    fn credential(&mut self, line: usize, uds: (usize, &str), request: (usize, &str)) -> Option<Credential> {
        match (uds.1, request.1) {
            (_, "") if request.0 == 0 => self.uds(line, uds).map(Credential::Uds),
            ("", "") => {
                self.wrong(line, uds.0.max(request.0), "expected a UDS or a CSR");
                None
            }
            (_, "") => self.uds(line, uds).map(Credential::Uds),
            ("", _) => self.request(line, request).map(|request| Credential::Request(Box::new(request))),
            _ => {
                self.wrong(line, request.0, "there is a UDS, too: one of both is enough");
                None
            }
        }
    }

    fn request(&mut self, line: usize, (column, text): (usize, &str)) -> Option<DeviceIdRequest> {
        match DeviceIdRequest::read(text.as_bytes()) {
            Ok(request) => {
                let key = self.keys.entry(*request.key().as_sec1());
                repeated(&mut self.bad, key, (line, column), "key of the CSR");
                Some(request)
            }
            Err(error) => {
                self.wrong(line, column, format!("CSR: {error:#}"));
                None
            }
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
