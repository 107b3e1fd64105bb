//! The texts the console writes.

use embedded_io::{Write, WriteFmtError};

use super::command::{Action, COMMANDS, Refusal};
use super::{Answer, KeySource};

/// Networks a scan shows, as many as the original.
const NETWORKS_SHOWN: usize = 10;

/// The stored settings as `show` prints them; secrets are present or absent.
#[derive(Clone, Copy, Default)]
pub struct Settings<'a> {
    /// Wi-Fi network name.
    pub wifi_ssid: Option<&'a [u8]>,
    /// Whether a Wi-Fi password is stored.
    pub wifi_password: bool,
    /// Connection string of the hub or of DPS. Printed with the values of all keys hidden that are not names or
    /// addresses.
    pub connection: Option<&'a [u8]>,
    /// DPS endpoint.
    pub dps_endpoint: Option<&'a [u8]>,
    /// DPS ID scope.
    pub dps_id_scope: Option<&'a [u8]>,
    /// DPS registration ID.
    pub registration_id: Option<&'a [u8]>,
    /// Whether a unique device secret is stored.
    pub uds: bool,
    /// Where the device's key is.
    pub identity: KeySource,
    /// Whether the settings are protected by the channel between chip and host: how many commands the chip will still
    /// take over it.
    pub secure_channel: Option<u32>,
}

impl core::fmt::Debug for Settings<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Settings").field("uds", &self.uds).finish_non_exhaustive()
    }
}

/// Parts of a connection string that are no secret.
const PUBLIC_PARTS: [&[u8]; 6] =
    [b"HostName", b"DeviceId", b"ModuleId", b"GatewayHostName", b"DPSEndpoint", b"IdScope"];

/// Commands a chip takes over its secure channel in its life.
const CHANNEL_COMMANDS: u32 = 0x00FF_FFFF;
/// Below so many the user is warned: a quarter.
pub const FEW_COMMANDS: u32 = CHANNEL_COMMANDS / 4;

/// Whether a part of a connection string, `name=value`, is known to be no secret.
pub(super) fn is_public_part(part: &[u8]) -> bool {
    let name = part.split(|byte| *byte == b'=').next().unwrap_or_default();
    let name = name.strip_prefix(b"\"").unwrap_or(name);
    PUBLIC_PARTS.iter().any(|public| public.eq_ignore_ascii_case(name))
}

fn put<W: Write>(out: &mut W, parts: &[&str]) -> Result<(), W::Error> {
    parts.iter().try_for_each(|part| out.write_all(part.as_bytes()))
}

pub(super) fn line_end<W: Write>(out: &mut W) -> Result<(), W::Error> {
    put(out, &["\r\n"])
}

pub(super) fn prompt_only<W: Write>(out: &mut W) -> Result<(), W::Error> {
    put(out, &["# "])
}

/// An empty line and the prompt.
pub(super) fn prompt<W: Write>(out: &mut W) -> Result<(), W::Error> {
    put(out, &["\r\n# "])
}

/// The end of a one-line report, and the prompt.
pub(super) fn end<W: Write>(out: &mut W) -> Result<(), W::Error> {
    put(out, &["\r\n\r\n# "])
}

pub(super) fn help<W: Write>(out: &mut W) -> Result<(), W::Error> {
    put(out, &["Configuration console:\r\n"])?;
    COMMANDS.iter().try_for_each(|command| put(out, &[" - ", command.name, ": ", command.help, "\r\n"]))
}

pub(super) fn overflow<W: Write>(out: &mut W) -> Result<(), W::Error> {
    put(out, &["\r\nError:Line too long, dropped.\r\n"])
}

pub(super) fn syntax_error<W: Write>(out: &mut W) -> Result<(), W::Error> {
    put(out, &["Error:Syntax error"])
}

pub(super) fn reboot<W: Write>(out: &mut W) -> Result<(), W::Error> {
    put(out, &["Reboot\r\n"])
}

pub(super) fn surplus<W: Write>(out: &mut W, command: &str) -> Result<(), W::Error> {
    put(out, &["Error:Too many arguments for ", command])
}

pub(super) fn cancelled<W: Write>(out: &mut W) -> Result<(), W::Error> {
    put(out, &["^C\r\n# "])
}

/// Takes characters away on the screen.
pub(super) fn erased<W: Write>(out: &mut W, count: usize) -> Result<(), W::Error> {
    (0..count).try_for_each(|_| put(out, &["\x08 \x08"]))
}

pub(super) fn character<W: Write>(out: &mut W, character: char) -> Result<(), W::Error> {
    put(out, &[character.encode_utf8(&mut [0; 4])])
}

pub(super) fn unknown<W: Write>(out: &mut W, word: &[u8]) -> Result<(), W::Error> {
    put(out, &["Error:Invalid command: "])?;
    printable(out, word)
}

pub(super) fn usage<W: Write>(out: &mut W, text: &str) -> Result<(), W::Error> {
    put(out, &[text])
}

pub(super) fn refused<W: Write>(out: &mut W, refusal: Refusal) -> Result<(), W::Error> {
    if refusal.why.is_empty() {
        put(out, &["Invalid ", refusal.what, "."])
    } else {
        put(out, &["Invalid ", refusal.what, ": ", refusal.why, "."])
    }
}

/// Writes `text` with everything replaced that a terminal could take for a command.
fn printable<W: Write>(out: &mut W, text: &[u8]) -> Result<(), W::Error> {
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            let mut bytes = [0; 4];
            let shown = if character.is_control() { '?' } else { character };
            put(out, &[shown.encode_utf8(&mut bytes)])?;
        }
        if !chunk.invalid().is_empty() {
            put(out, &["?"])?;
        }
    }
    Ok(())
}

/// Writes the result of `action`, lines and all.
pub(super) fn result<W: Write>(out: &mut W, action: Action, answer: Answer<'_>) -> Result<(), W::Error> {
    match (action, answer) {
        (Action::EnableSecure(_), Answer::Done) => {
            put(out, &["INFO: Enable secure channel successfully.\r\n"])
        }
        (Action::EnableSecure(_), Answer::Exists) => {
            put(out, &["INFO: Secure channel has already been enabled.\r\n"])
        }
        (Action::EnableSecure(_), Answer::Failed("")) => {
            put(out, &["INFO: Enable secure channel failed.\r\n"])
        }
        (Action::EnableSecure(_), Answer::Failed(why)) => {
            put(out, &["INFO: Enable secure channel failed: ", why, ".\r\n"])
        }
        (Action::DisableSecure, Answer::Done) => {
            put(out, &["INFO: Disable secure channel successfully.\r\n"])
        }
        (Action::DisableSecure, Answer::Exists) => put(out, &["INFO: Secure channel is not enabled.\r\n"]),
        (Action::DisableSecure, Answer::Failed(why)) => failed(out, "disable the secure channel", why),
        (Action::ForgetKeys, Answer::Done) => put(out, &["INFO: Forgot the key of the secure channel.\r\n"]),
        (Action::ForgetKeys, Answer::Failed(why)) => failed(out, "forget the key", why),
        (Action::Store(_, names, _), Answer::Done | Answer::Replaced) => {
            put(out, &["INFO: Set ", names.stored, " successfully.\r\n"])
        }
        (Action::Store(_, names, _), Answer::Failed(why)) => {
            put(out, &["ERROR: Failed to store the ", names.refused, ": ", why, ".\r\n"])
        }
        (Action::StoreUds, Answer::Done) => put(out, &["INFO: Set DPS UDS successfully.\r\n"]),
        (Action::StoreUds, Answer::Replaced) => {
            put(out, &["INFO: Set DPS UDS successfully.\r\n", NEW_IDENTITY])
        }
        (Action::GenerateUds { .. }, Answer::Done) => put(out, &["INFO: Made DPS UDS successfully.\r\n"]),
        (Action::GenerateUds { .. }, Answer::Replaced) => {
            put(out, &["INFO: Made DPS UDS successfully.\r\n", NEW_IDENTITY])
        }
        (Action::GenerateUds { .. }, Answer::Exists) => {
            put(out, &["ERROR: A UDS is stored already. \"gen_uds replace\" gives up its identity.\r\n"])
        }
        (Action::StoreUds | Action::GenerateUds { .. }, Answer::Failed(why)) => {
            failed(out, "store the UDS", why)
        }
        (Action::Versions, Answer::Lines(lines)) => {
            lines.iter().try_for_each(|line| put(out, &[line, "\r\n"]))
        }
        (Action::Scan, Answer::Networks([])) => put(out, &["No network available.\r\n"]),
        (Action::Scan, Answer::Networks(names)) => {
            put(out, &["Available networks:\r\n"])?;
            for name in names.iter().take(NETWORKS_SHOWN) {
                put(out, &["  "])?;
                printable(out, name)?;
                line_end(out)?;
            }
            Ok(())
        }
        (Action::Show, Answer::Settings(stored)) => settings(out, &stored),
        (Action::SetIdentity(source), Answer::Done) => {
            let enrol = if source == KeySource::Issued { SLOT_CERTIFICATE } else { CERTIFICATE_CHANGED };
            put(out, &["INFO: Set identity successfully: ", key_text(source), ".\r\n", enrol])
        }
        (Action::SetIdentity(source), Answer::Exists) => {
            put(out, &["INFO: The identity is already: ", key_text(source), ".\r\n"])
        }
        (Action::SetIdentity(_), Answer::Failed(why)) => failed(out, "set the identity", why),
        (Action::Certificate, Answer::Certificate(source, pem)) => {
            put(out, &["INFO: Identity: ", key_text(source), ".\r\n"])?;
            pem.lines().try_for_each(|line| put(out, &[line, "\r\n"]))
        }
        (_, Answer::Failed(why)) => failed(out, "carry out the command", why),
        _ => failed(out, "carry out the command", "not available here"),
    }
}

/// Stands for a missing value.
const NOT_SET: &[u8] = b"(not set)";

const NEW_IDENTITY: &str =
    "INFO: Another UDS was stored before: the device has a new identity, enrol it again.\r\n";

const CERTIFICATE_CHANGED: &str = "INFO: The device has another certificate now: enrol it.\r\n";

const SLOT_CERTIFICATE: &str =
    "INFO: It registers with the certificate that \"cert\" prints, as with \"slot\": enrol that one.\r\n";

const fn key_text(source: KeySource) -> &'static str {
    match source {
        KeySource::Derived => "derived (key made from UDS and firmware)",
        KeySource::Slot => "slot (key in the secure chip)",
        KeySource::Issued => "issued (key in the secure chip, certificate from DPS)",
    }
}

fn failed<W: Write>(out: &mut W, what: &str, why: &str) -> Result<(), W::Error> {
    put(out, &["ERROR: Failed to ", what, ": ", why, ".\r\n"])
}

fn settings<W: Write>(out: &mut W, stored: &Settings<'_>) -> Result<(), W::Error> {
    let text = |out: &mut W, name: &str, value: Option<&[u8]>| {
        put(out, &["  ", name, ": "])?;
        printable(out, value.unwrap_or(NOT_SET))?;
        line_end(out)
    };
    let flag = |out: &mut W, name: &str, set: bool| {
        put(out, &["  ", name, ": ", if set { "(set)" } else { "(not set)" }, "\r\n"])
    };
    put(out, &["Settings:\r\n"])?;
    text(out, "Wi-Fi SSID", stored.wifi_ssid)?;
    flag(out, "Wi-Fi password", stored.wifi_password)?;
    put(out, &["  Connection string: "])?;
    match stored.connection {
        Some(value) => connection(out, value)?,
        None => out.write_all(NOT_SET)?,
    }
    line_end(out)?;
    text(out, "DPS endpoint", stored.dps_endpoint)?;
    text(out, "DPS ID scope", stored.dps_id_scope)?;
    text(out, "Registration ID", stored.registration_id)?;
    flag(out, "DPS UDS", stored.uds)?;
    put(out, &["  Identity: ", key_text(stored.identity), "\r\n"])?;
    match stored.secure_channel {
        None => put(out, &["  Secure channel: not enabled\r\n"]),
        Some(left) => {
            put(out, &["  Secure channel: enabled, "])?;
            write!(out, "{left} of {CHANNEL_COMMANDS} commands left\r\n").or_else(fmt_error)?;
            if left < FEW_COMMANDS { put(out, &[FEW_LEFT]) } else { Ok(()) }
        }
    }
}

/// The formatting itself cannot fail.
fn fmt_error<E>(error: WriteFmtError<E>) -> Result<(), E> {
    match error {
        WriteFmtError::FmtError => Ok(()),
        WriteFmtError::Other(error) => Err(error),
    }
}

const FEW_LEFT: &str = "  WARNING: the secure chip will soon refuse the channel. \
    Use \"disable_secure\" before, or replace the chip.\r\n";

/// Writes a connection string, the values of unknown and secret parts as `***`.
fn connection<W: Write>(out: &mut W, text: &[u8]) -> Result<(), W::Error> {
    let mut separator = "";
    for part in text.split(|&byte| byte == b';') {
        put(out, &[separator])?;
        separator = ";";
        let name = part.split(|&byte| byte == b'=').next().unwrap_or_default();
        if is_public_part(part) {
            printable(out, part)?;
        } else if name.len() < part.len() && name.iter().all(u8::is_ascii_alphanumeric) {
            printable(out, name)?;
            put(out, &["=***"])?;
        } else if !part.is_empty() {
            put(out, &["***"])?;
        }
    }
    Ok(())
}
