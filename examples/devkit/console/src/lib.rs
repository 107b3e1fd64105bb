#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing
    )
)]

mod arguments;
mod command;
mod line;
mod report;
mod terminal;

use command::Action;
pub use devkit_settings::{Setting, UDS_LEN};
use embedded_io::Write;
use line::Line;
pub use report::{FEW_COMMANDS, Settings};
use terminal::{Key, Terminal};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// How `enable_secure` shall pair the chip with its host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SecureLevel<'a> {
    /// Level 1: the key every device of the original shares. It is public, so it protects nothing.
    Preset,
    /// Level 2: this key.
    Given(&'a [u8; UDS_LEN]),
    /// Level 3: a random key.
    Random,
}

/// Where the key is that signs for the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeySource {
    /// Derived from the unique device secret and the firmware at every start.
    #[default]
    Derived,
    /// Made in a slot of the secure chip, which it never leaves. The certificate for it is the device's own.
    Slot,
    /// The same key; the hub sees a certificate that the provisioning service issues for it, and that is renewed.
    Issued,
}

impl KeySource {
    /// By what is stored: whether there is a key in the secure chip, and whether its certificate is the service's.
    #[must_use]
    pub const fn new(slot_key: bool, by_service: bool) -> Self {
        match (slot_key, by_service) {
            (false, _) => Self::Derived,
            (true, false) => Self::Slot,
            (true, true) => Self::Issued,
        }
    }
}

/// What the program has to do, and then to [answer](Console::answer).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// List the versions of the firmware's parts; answer [`Answer::Lines`].
    Versions,
    /// Restart the device. No answer; the console takes no more input.
    Reboot,
    /// Look for Wi-Fi networks; answer [`Answer::Networks`].
    Scan,
    /// Store a value and read it back; answer [`Answer::Done`] or [`Answer::Failed`]. The value has been checked
    /// against the limits of its [`Setting`]; it may be a secret.
    Store(Setting, &'a [u8]),
    /// Store this unique device secret and read it back; answer [`Answer::Done`], [`Answer::Replaced`] if another
    /// one was stored, or [`Answer::Failed`].
    StoreUds(&'a [u8; UDS_LEN]),
    /// Make a unique device secret from a true random generator and store it; answer as for
    /// [`Request::StoreUds`], or [`Answer::Exists`] if one is stored and `replace` is false.
    GenerateUds {
        /// The user gives up the stored secret, and the identity with it.
        replace: bool,
    },
    /// Pair chip and host, and protect the stored settings; answer [`Answer::Done`], [`Answer::Exists`] if that was
    /// done before, or [`Answer::Failed`].
    EnableSecure(SecureLevel<'a>),
    /// Store all settings in clear again and do without the secure channel; answer [`Answer::Done`],
    /// [`Answer::Exists`] if there is none, or [`Answer::Failed`].
    DisableSecure,
    /// Give up the key of the secure channel; answer [`Answer::Done`] or [`Answer::Failed`].
    ForgetKeys,
    /// Choose the device's key, and make it if it is one of the chip's; answer [`Answer::Done`], [`Answer::Exists`] if
    /// that is the device's key already, or [`Answer::Failed`].
    SetIdentity(KeySource),
    /// Collect the stored settings; answer [`Answer::Settings`].
    Show,
    /// Derive the device's public certificate; answer [`Answer::Certificate`].
    Certificate,
}

/// The result of a [`Request`]. Texts should be ASCII, without a line end.
#[derive(Debug, Clone, Copy)]
pub enum Answer<'a> {
    /// Carried out, and verified where that is possible.
    Done,
    /// Carried out; another value was there before.
    Replaced,
    /// Not carried out, because it was before.
    Exists,
    /// Not carried out, and nothing has changed; the text says why.
    Failed(&'a str),
    /// Lines to print.
    Lines(&'a [&'a str]),
    /// Names of networks, as received; at most ten are shown.
    Networks(&'a [&'a [u8]]),
    /// The stored settings.
    Settings(Settings<'a>),
    /// A certificate, or several, in PEM form, and where the key of the first one is.
    Certificate(KeySource, &'a str),
}

/// The configuration console. See the [crate](self) for its use and behaviour.
pub struct Console {
    terminal: Input,
    line: Line,
    state: State,
}

/// The decoder, wiped when dropped: it may hold the beginning of a character of a secret.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Input(Terminal);

#[derive(Clone, Copy)]
enum State {
    Editing,
    /// An overlong line: nothing is kept up to its end.
    Dropping,
    Waiting(Action),
    Ended,
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}

impl Console {
    /// A console with an empty line, about 1 KiB in size.
    #[must_use]
    pub const fn new() -> Self {
        Self { terminal: Input(Terminal::new()), line: Line::new(), state: State::Editing }
    }

    /// Writes the command list and the first prompt.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn start<W: Write>(&mut self, out: &mut W) -> Result<(), W::Error> {
        report::help(out)?;
        report::prompt(out)
    }

    /// Takes one byte from the terminal and writes what it has to show, a bit more than 2 KiB at most (the answer
    /// to `help`).
    ///
    /// A returned request must be answered before the next byte is pushed; bytes pushed meanwhile are dropped.
    ///
    /// # Errors
    /// Those of `out`. The line is lost then.
    pub fn push<W: Write>(&mut self, byte: u8, out: &mut W) -> Result<Option<Request<'_>>, W::Error> {
        let Some(key) = self.terminal.0.push(byte) else { return Ok(None) };
        match self.state {
            State::Editing => self.edit(key, out),
            State::Dropping => {
                if matches!(key, Key::Enter | Key::Cancel) {
                    self.state = State::Editing;
                    report::prompt(out)?;
                }
                Ok(None)
            }
            State::Waiting(_) | State::Ended => Ok(None),
        }
    }

    fn edit<W: Write>(&mut self, key: Key, out: &mut W) -> Result<Option<Request<'_>>, W::Error> {
        match key {
            Key::Character(character) => {
                if let Ok(shown) = self.line.add(character) {
                    report::character(out, shown)
                } else {
                    self.state = State::Dropping;
                    report::overflow(out)
                }
            }
            Key::Backspace => report::erased(out, self.line.erase().into()),
            Key::EraseWord => report::erased(out, self.line.erase_word()),
            Key::EraseLine => report::erased(out, self.line.erase_all()),
            Key::Cancel => {
                self.line.wipe();
                report::cancelled(out)
            }
            Key::Enter => {
                let result = self.enter(out);
                if !matches!((&result, self.state), (Ok(()), State::Waiting(_))) {
                    self.line.wipe();
                }
                result?;
                return Ok(self.request());
            }
        }
        .map(|()| None)
    }

    /// Runs the typed line: either it is over at once, or the state is `Waiting` or `Ended` afterwards.
    fn enter<W: Write>(&mut self, out: &mut W) -> Result<(), W::Error> {
        let Ok(action) = command::parse(self.line.as_mut_slice()) else {
            report::syntax_error(out)?;
            return report::end(out);
        };
        report::line_end(out)?;
        match action {
            Action::Nothing => return report::prompt_only(out),
            Action::Help => {
                report::help(out)?;
                return report::prompt(out);
            }
            Action::Exit => {
                self.state = State::Ended;
                return report::reboot(out);
            }
            Action::Unknown((start, end)) => {
                report::unknown(out, self.line.buffer().get(start..end).unwrap_or_default())?;
            }
            Action::Surplus(command) => report::surplus(out, command)?,
            Action::Usage(text) => report::usage(out, text)?,
            Action::Refused(refusal) => report::refused(out, refusal)?,
            _ => {
                self.state = State::Waiting(action);
                return Ok(());
            }
        }
        report::end(out)
    }

    /// The request of the current state, with its value borrowed from the line buffer.
    fn request(&self) -> Option<Request<'_>> {
        let buffer = self.line.buffer();
        let secret = || buffer.first_chunk::<UDS_LEN>();
        match self.state {
            State::Editing | State::Dropping => None,
            State::Ended => Some(Request::Reboot),
            State::Waiting(action) => match action {
                Action::Versions => Some(Request::Versions),
                Action::Scan => Some(Request::Scan),
                Action::Store(setting, _, (start, end)) => {
                    buffer.get(start..end).map(|value| Request::Store(setting, value))
                }
                Action::StoreUds => secret().map(Request::StoreUds),
                Action::GenerateUds { replace } => Some(Request::GenerateUds { replace }),
                Action::EnableSecure(level) => secret().map(|key| Request::EnableSecure(level.with_key(key))),
                Action::DisableSecure => Some(Request::DisableSecure),
                Action::ForgetKeys => Some(Request::ForgetKeys),
                Action::SetIdentity(source) => Some(Request::SetIdentity(source)),
                Action::Show => Some(Request::Show),
                Action::Certificate => Some(Request::Certificate),
                _ => None,
            },
        }
    }

    /// Writes the result of the last request, wipes the line and writes the next prompt. Without an open request it
    /// does nothing.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn answer<W: Write>(&mut self, answer: Answer<'_>, out: &mut W) -> Result<(), W::Error> {
        let State::Waiting(action) = self.state else { return Ok(()) };
        self.state = State::Editing;
        self.line.wipe();
        report::result(out, action, answer)?;
        report::prompt(out)
    }
}

impl core::fmt::Debug for Console {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Console").finish_non_exhaustive()
    }
}

impl core::fmt::Debug for SecureLevel<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Preset => "Preset",
            Self::Given(_) => "Given(***)",
            Self::Random => "Random",
        })
    }
}

impl core::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Versions => f.write_str("Versions"),
            Self::Reboot => f.write_str("Reboot"),
            Self::Scan => f.write_str("Scan"),
            Self::Store(setting, _) => write!(f, "Store({setting:?}, ***)"),
            Self::StoreUds(_) => f.write_str("StoreUds(***)"),
            Self::GenerateUds { replace } => write!(f, "GenerateUds {{ replace: {replace} }}"),
            Self::EnableSecure(level) => write!(f, "EnableSecure({level:?})"),
            Self::DisableSecure => f.write_str("DisableSecure"),
            Self::ForgetKeys => f.write_str("ForgetKeys"),
            Self::SetIdentity(source) => write!(f, "SetIdentity({source:?})"),
            Self::Show => f.write_str("Show"),
            Self::Certificate => f.write_str("Certificate"),
        }
    }
}
