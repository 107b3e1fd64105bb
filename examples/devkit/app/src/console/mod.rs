//! The configuration console: a state machine from the terminal's bytes to its answers and to typed requests.
//!
//! The console knows no storage, network or clock. [`Console::push`] takes one byte from the terminal, writes the
//! echo to any [`embedded_io::Write`] and may return a [`Request`]; the program carries that out, with as much
//! awaiting as it wants, and gives the result to [`Console::answer`], which writes the rest.
//!
//! ```
//! use devkit_app::console::{Answer, Console, Request, Setting};
//!
//! let mut console = Console::new();
//! let mut terminal = Vec::new();
//! console.start(&mut terminal).unwrap();
//! for byte in *b"set_wifissid HomeAP\r" {
//!     let answer = match console.push(byte, &mut terminal).unwrap() {
//!         None => continue,
//!         Some(Request::Store(Setting::WifiSsid, b"HomeAP")) => Answer::Done,
//!         Some(other) => Answer::Failed("not in this example"),
//!     };
//!     console.answer(answer, &mut terminal).unwrap();
//! }
//! assert!(terminal.ends_with(b"INFO: Set Wi-Fi SSID successfully.\r\n\r\n# "));
//! ```
//!
//! [`SettingStore`] carries out the requests that concern storage on the vault in the secure element.
//!
//! # Behaviour
//! Commands, editing keys, echo and texts are those of the original DevKit console: a line ends at CR, LF is
//! ignored, a tab is a blank, backspace and delete erase, other control characters are dropped, `"..."` and `\ `
//! keep blanks in a word, words after the last one a command takes are ignored. New are `set_dps_endpoint`,
//! `set_dps_idscope`, `set_registration_id`, `gen_uds`, `show` and `cert`.
//!
//! # What the original did wrong and this console does not
//! 1. A correct UDS printed "Invalid UDS." and then success; 63 digits, too many digits and non-digits were stored.
//!    Exactly 64 hexadecimal digits are taken, and refused if all bytes are equal; a refused one is not stored.
//! 2. A Wi-Fi password over the limit was called invalid and stored anyway, or failed only in the storage. It is
//!    refused without writing: one command has one verdict.
//! 3. An SSID of 32 bytes was refused although it is legal; an empty one was stored. So were empty connection strings.
//! 4. More than four words wrote past the end of an array.
//! 5. The key of `enable_secure 2` was echoed. It is private now, and private arguments stay hidden when the command
//!    is indented, quoted or in the wrong case.
//! 6. A failed verification printed the stored value, secret or not. Failures carry a reason and no value.
//! 7. After an overlong line its remaining characters were taken for a new command. They are dropped up to the CR,
//!    without echo.
//! 8. Network names went to the terminal as they came, control sequences included. They are made printable.
//! 9. Cursor and function keys left their letters in the line. They are swallowed.
//! 10. The line with its secret stayed in memory. It is wiped after each command, on overflow and on drop.
//! 11. A new UDS replaced the old one without a word, and with it the device's identity. The console says so, and
//!     `gen_uds` refuses until told `gen_uds replace`.

mod command;
mod line;
mod report;
pub(crate) mod session;
mod store;
mod words;

use command::Action;
pub use command::UDS_LENGTH;
use embedded_io::Write;
use line::{Key, Line};
pub use report::Settings;
pub use store::{OpenError, SettingStore, Shown};

/// A setting that is stored as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Setting {
    /// Name of the Wi-Fi network, 1 to 32 bytes.
    WifiSsid,
    /// Password of the Wi-Fi network, 0 to 63 bytes; empty for an open network.
    WifiPassword,
    /// IoT Hub device connection string, 1 to 511 bytes. The original keeps it and
    /// [`Setting::DpsConnectionString`] in one place: storing one replaces the other.
    HubConnectionString,
    /// DPS symmetric-key connection string, 1 to 511 bytes.
    DpsConnectionString,
    /// DPS endpoint as `host` or `host:port`, 1 to 128 ASCII bytes.
    DpsEndpoint,
    /// DPS ID scope, 1 to 32 ASCII bytes, by the rule of [`dps_client::Config`].
    DpsIdScope,
    /// DPS registration ID, 1 to 126 ASCII bytes, by the rule of [`dice_core::RegistrationId`]: it is the name in the
    /// certificate.
    RegistrationId,
}

/// How `enable_secure` shall pair the chip with its host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SecureLevel<'a> {
    /// Level 1: the key every device of the original shares. It is public, so it protects nothing.
    Preset,
    /// Level 2: this key.
    Given(&'a [u8; UDS_LENGTH]),
    /// Level 3: a random key.
    Random,
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
    StoreUds(&'a [u8; UDS_LENGTH]),
    /// Make a unique device secret from a true random generator and store it; answer as for
    /// [`Request::StoreUds`], or [`Answer::Exists`] if one is stored and `replace` is false.
    GenerateUds {
        /// The user gives up the stored secret, and the identity with it.
        replace: bool,
    },
    /// Pair chip and host, and protect the stored settings; answer [`Answer::Done`], [`Answer::Exists`] if that was
    /// done before, or [`Answer::Failed`].
    EnableSecure(SecureLevel<'a>),
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
    /// A certificate, or several, in PEM form.
    Certificate(&'a str),
}

/// The configuration console. See the [module](self) for its use and behaviour.
pub struct Console {
    line: Line,
    state: State,
}

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
        Self { line: Line::new(), state: State::Editing }
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
        match self.state {
            State::Editing => self.edit(byte, out),
            State::Dropping => {
                if byte == b'\r' {
                    self.state = State::Editing;
                    report::prompt(out)?;
                }
                Ok(None)
            }
            State::Waiting(_) | State::Ended => Ok(None),
        }
    }

    fn edit<W: Write>(&mut self, byte: u8, out: &mut W) -> Result<Option<Request<'_>>, W::Error> {
        match self.line.key(byte) {
            Key::Ignored => Ok(None),
            Key::Added(shown) => out.write_all(&[shown]).map(|()| None),
            Key::Erased => out.write_all(b"\x08 \x08").map(|()| None),
            Key::Overflowed => {
                self.state = State::Dropping;
                report::overflow(out).map(|()| None)
            }
            Key::Entered => {
                let result = self.enter(out);
                if !matches!((&result, self.state), (Ok(()), State::Waiting(_))) {
                    self.line.wipe();
                }
                result?;
                Ok(self.request())
            }
        }
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
        let secret = || buffer.first_chunk::<UDS_LENGTH>();
        match self.state {
            State::Editing | State::Dropping => None,
            State::Ended => Some(Request::Reboot),
            State::Waiting(action) => match action {
                Action::Versions => Some(Request::Versions),
                Action::Scan => Some(Request::Scan),
                Action::Store(setting, (start, end)) => {
                    buffer.get(start..end).map(|value| Request::Store(setting, value))
                }
                Action::StoreUds => secret().map(Request::StoreUds),
                Action::GenerateUds { replace } => Some(Request::GenerateUds { replace }),
                Action::EnableSecure(level) => secret().map(|key| Request::EnableSecure(level.with_key(key))),
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
            Self::Show => f.write_str("Show"),
            Self::Certificate => f.write_str("Certificate"),
        }
    }
}

impl Setting {
    /// The name in a report of success.
    fn stored_name(self) -> &'static str {
        match self {
            // Spelled as the original spells it: host programs wait for this line.
            Self::HubConnectionString => "Azure Iot hub connection string",
            _ => self.refused_name(),
        }
    }

    /// The name in a report of failure.
    fn refused_name(self) -> &'static str {
        match self {
            Self::WifiSsid => "Wi-Fi SSID",
            Self::WifiPassword => "Wi-Fi password",
            Self::HubConnectionString => "Azure IoT hub connection string",
            Self::DpsConnectionString => "DPS connection string",
            Self::DpsEndpoint => "DPS endpoint",
            Self::DpsIdScope => "DPS ID scope",
            Self::RegistrationId => "registration ID",
        }
    }
}
