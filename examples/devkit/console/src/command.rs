//! The commands: their names and texts, and the check of their arguments.

use dice_core::RegistrationId;
use dps_client::Config;

use super::arguments::{OpenQuote, ValueError, Words, finished_word_is_exactly, rest_as_value, value_start};
use super::{KeySource, SecureLevel, Setting, UDS_LEN};

/// Longest value each setting takes, in bytes.
const WIFI_SSID_MAX: usize = 32;
const WIFI_PASSWORD_MAX: usize = 63;
/// Digits of a Wi-Fi network's key.
const WIFI_KEY_DIGITS: usize = 64;
const CONNECTION_MAX: usize = 511;
const ENDPOINT_MAX: usize = 128;
const ID_SCOPE_MAX: usize = 32;
/// What the longest certificate takes; the `standard` profile's takes 64.
const REGISTRATION_ID_MAX: usize = 126;

/// What a command line asks for; ranges are of the line buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Nothing,
    Help,
    Versions,
    Exit,
    Scan,
    Store(Setting, &'static Names, Range),
    StoreUds,
    GenerateUds {
        replace: bool,
    },
    EnableSecure(Level),
    DisableSecure,
    ForgetKeys,
    SetIdentity(KeySource),
    Show,
    Certificate,
    Unknown(Range),
    /// Too many arguments for the command of this name.
    Surplus(&'static str),
    Usage(&'static str),
    Refused(Refusal),
}

/// Start and end in the line buffer.
pub(super) type Range = (usize, usize);

/// [`SecureLevel`] before the key is borrowed from the line buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Preset,
    Given,
    Random,
}

impl Level {
    pub(super) fn with_key(self, key: &[u8; UDS_LEN]) -> SecureLevel<'_> {
        match self {
            Self::Preset => SecureLevel::Preset,
            Self::Given => SecureLevel::Given(key),
            Self::Random => SecureLevel::Random,
        }
    }
}

/// What a setting is called in the reports of a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// In a report of success.
    pub(super) stored: &'static str,
    /// In a report of failure.
    pub(super) refused: &'static str,
}

impl Names {
    const fn both(name: &'static str) -> Self {
        Self { stored: name, refused: name }
    }
}

const WIFI_SSID: Names = Names::both("Wi-Fi SSID");
const WIFI_PASSWORD: Names = Names::both("Wi-Fi password");
// Spelled as the original spells it: host programs wait for this line.
const HUB: Names =
    Names { stored: "Azure Iot hub connection string", refused: "Azure IoT hub connection string" };
const DPS: Names = Names::both("DPS connection string");
const ENDPOINT: Names = Names::both("DPS endpoint");
const ID_SCOPE: Names = Names::both("DPS ID scope");
const REGISTRATION_ID: Names = Names::both("registration ID");

/// Why an argument was refused, before anything was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What was to be set.
    pub(super) what: &'static str,
    /// Why not; empty if the original gave no reason either.
    pub(super) why: &'static str,
}

/// One command of the list.
pub(super) struct Command {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    usage: &'static str,
    verb: Verb,
}

#[derive(Clone, Copy)]
enum Verb {
    Help,
    Versions,
    Exit,
    Scan,
    Store(Setting, &'static Names),
    StoreUds,
    GenerateUds,
    EnableSecure,
    DisableSecure,
    ForgetKeys,
    SetIdentity,
    Show,
    Certificate,
}

/// All commands, in the order of the help text: the original's ten, then ours.
pub(super) const COMMANDS: [Command; 19] = [
    plain("help", "Help document.", Verb::Help),
    plain("version", "System version.", Verb::Versions),
    plain("exit", "Exit and reboot.", Verb::Exit),
    plain("scan", "Scan Wi-Fi AP.", Verb::Scan),
    Command {
        name: "set_wifissid",
        help: "Set Wi-Fi SSID.",
        usage: "Usage: set_wifissid <SSID>. Please provide the SSID of the Wi-Fi.",
        verb: Verb::Store(Setting::WifiSsid, &WIFI_SSID),
    },
    plain("set_wifipwd", "Set Wi-Fi password.", Verb::Store(Setting::WifiPassword, &WIFI_PASSWORD)),
    Command {
        name: "set_az_iothub",
        help: "Set IoT Hub device connection string.",
        usage: "Usage: set_az_iothub <connection string>. Please provide the connection string of the Azure IoT hub.",
        verb: Verb::Store(Setting::Connection, &HUB),
    },
    Command {
        name: "set_dps_uds",
        help: "Set DPS Unique Device Secret (UDS) for X.509 certificates..",
        usage: "Usage: set_dps_uds [uds]. Please provide the UDS for DPS.",
        verb: Verb::StoreUds,
    },
    Command {
        name: "set_az_iotdps",
        help: "Set DPS Symmetric Key. Format: \"DPSEndpoint=global.azure-devices-provisioning.net;IdScope=XXX;\
               DeviceId=XXX;SymmetricKey=XXX\".",
        usage: "Usage: set_az_iotdps <connection string>. Please provide the connection string of DPS.",
        verb: Verb::Store(Setting::Connection, &DPS),
    },
    Command {
        name: "enable_secure",
        help: "Enable secure channel between AZ3166 and secure chip.",
        usage: "Usage: enable_secure <secure level> <provided key>. 64-characters key is only needed for level 2. \
                More detail:\
                \r\n        1.\"enable_secure 1\" to enable secure channel with pre set key.\
                \r\n        2.\"enable_secure 2 ([a-f]|[0-9]){64}\" to enable secure channel with provided key.\
                \r\n        3.\"enable_secure 3\" to enable secure channel with random key.",
        verb: Verb::EnableSecure,
    },
    Command {
        name: "set_dps_endpoint",
        help: "Set DPS endpoint. Format: host name, or host name:port.",
        usage: "Usage: set_dps_endpoint <host[:port]>. Please provide the endpoint of DPS.",
        verb: Verb::Store(Setting::DpsEndpoint, &ENDPOINT),
    },
    Command {
        name: "set_dps_idscope",
        help: "Set DPS ID scope.",
        usage: "Usage: set_dps_idscope <ID scope>. Please provide the ID scope of DPS.",
        verb: Verb::Store(Setting::DpsIdScope, &ID_SCOPE),
    },
    Command {
        name: "set_registration_id",
        help: "Set DPS registration ID.",
        usage: "Usage: set_registration_id <id>. Please provide the registration ID.",
        verb: Verb::Store(Setting::RegistrationId, &REGISTRATION_ID),
    },
    plain(
        "gen_uds",
        "Make the UDS inside the device; \"gen_uds replace\" gives up the stored one.",
        Verb::GenerateUds,
    ),
    Command {
        name: "set_identity",
        help: "Choose the device's key: \"derived\" from UDS and firmware, \"slot\" in the secure chip, \
               \"issued\" there with a certificate from DPS.",
        usage: "Usage: set_identity <derived|slot|issued>.",
        verb: Verb::SetIdentity,
    },
    plain("show", "Show the settings, without secrets.", Verb::Show),
    plain("cert", "Print the device's public certificate.", Verb::Certificate),
    Command {
        name: "disable_secure",
        help: "Store the settings without the secure channel again, for a secure chip whose commands run out.",
        usage: "Usage: disable_secure yes. The settings, secrets included, are then readable in the secure chip.",
        verb: Verb::DisableSecure,
    },
    Command {
        name: "forget_keys",
        help: "Give up the key of the secure channel, for a device that got another secure chip.",
        usage: "Usage: forget_keys yes. What is sealed in the old secure chip can then never be read again.",
        verb: Verb::ForgetKeys,
    },
];

const fn plain(name: &'static str, help: &'static str, verb: Verb) -> Command {
    Command { name, help, usage: "", verb }
}

/// Understands `line`; the arguments end up at its front, a decoded UDS or key in its first 32 bytes.
pub(super) fn parse(line: &mut [u8]) -> Result<Action, OpenQuote> {
    if let Some((setting, names)) = takes_the_rest(line) {
        return rest(line, setting, names);
    }
    let words = Words::split(line)?;
    let Some((name, range)) = words.get(line, 0).zip(words.range(0)) else { return Ok(Action::Nothing) };
    let Some(command) = COMMANDS.iter().find(|command| command.name.as_bytes() == name) else {
        return Ok(Action::Unknown(range));
    };
    let longest = match command.verb {
        Verb::EnableSecure if words.get(line, 1) == Some(b"2") => 3,
        Verb::Help | Verb::Versions | Verb::Exit | Verb::Scan | Verb::Show | Verb::Certificate => 1,
        _ => 2,
    };
    if words.count() > longest {
        return Ok(Action::Surplus(command.name));
    }
    let argument = words.range(1);
    Ok(match command.verb {
        Verb::Help => Action::Help,
        Verb::Versions => Action::Versions,
        Verb::Exit => Action::Exit,
        Verb::Scan => Action::Scan,
        Verb::Show => Action::Show,
        Verb::Certificate => Action::Certificate,
        Verb::GenerateUds => match words.get(line, 1) {
            None => Action::GenerateUds { replace: false },
            Some(b"replace") => Action::GenerateUds { replace: true },
            Some(_) => Action::Usage("Usage: gen_uds [replace]."),
        },
        Verb::SetIdentity => match words.get(line, 1) {
            Some(b"derived") => Action::SetIdentity(KeySource::Derived),
            Some(b"slot") => Action::SetIdentity(KeySource::Slot),
            Some(b"issued") => Action::SetIdentity(KeySource::Issued),
            _ => Action::Usage(command.usage),
        },
        Verb::DisableSecure | Verb::ForgetKeys if words.get(line, 1) != Some(b"yes") => {
            Action::Usage(command.usage)
        }
        Verb::DisableSecure => Action::DisableSecure,
        Verb::ForgetKeys => Action::ForgetKeys,
        Verb::EnableSecure => {
            secure_level(line, &words).map_or(Action::Usage(command.usage), Action::EnableSecure)
        }
        Verb::StoreUds => match argument {
            None => Action::Usage(command.usage),
            Some(range) => match decode_uds(line, range) {
                Ok(()) => Action::StoreUds,
                Err(why) => Action::Refused(Refusal { what: "UDS", why }),
            },
        },
        Verb::Store(setting, names) => match argument {
            None => Action::Usage(command.usage),
            Some(range) => checked(line, setting, names, range),
        },
    })
}

/// Names and passwords may have blanks: their value is the whole rest of the line.
fn takes_the_rest(line: &[u8]) -> Option<(Setting, &'static Names)> {
    let is = |name: &[u8]| {
        // The word is finished, or the line is.
        let first = line.iter().position(|byte| *byte != b' ').and_then(|at| line.get(at..));
        first == Some(name) || finished_word_is_exactly(line, name)
    };
    if is(b"set_wifissid") {
        Some((Setting::WifiSsid, &WIFI_SSID))
    } else if is(b"set_wifipwd") {
        Some((Setting::WifiPassword, &WIFI_PASSWORD))
    } else {
        None
    }
}

fn rest(line: &mut [u8], setting: Setting, names: &'static Names) -> Result<Action, OpenQuote> {
    let start = value_start(line);
    let missing = start >= line.len();
    match rest_as_value(line, start) {
        // Without an argument the password is cleared: an open network has none.
        Ok(_) if missing && setting != Setting::WifiPassword => Ok(Action::Usage(usage_of(setting))),
        Ok(len) => Ok(checked(line, setting, names, (0, len))),
        Err(ValueError::OpenQuote) => Err(OpenQuote),
        Err(ValueError::AfterQuote) => {
            Ok(Action::Refused(Refusal { what: names.refused, why: "something follows the closing quote" }))
        }
    }
}

fn usage_of(setting: Setting) -> &'static str {
    let command =
        COMMANDS.iter().find(|command| matches!(command.verb, Verb::Store(with, _) if with == setting));
    command.map_or("", |command| command.usage)
}

fn checked(line: &[u8], setting: Setting, names: &'static Names, (start, end): Range) -> Action {
    match check(setting, line.get(start..end).unwrap_or_default()) {
        Ok(()) => Action::Store(setting, names, (start, end)),
        Err(why) => Action::Refused(Refusal { what: names.refused, why }),
    }
}

fn secure_level(line: &mut [u8], words: &Words) -> Option<Level> {
    match words.get(line, 1)? {
        b"1" => Some(Level::Preset),
        b"2" => {
            let range = words.range(2)?;
            let key = words.get(line, 2)?;
            if key.iter().any(u8::is_ascii_uppercase) {
                return None;
            }
            decode_hex(line, range).ok().map(|()| Level::Given)
        }
        b"3" => Some(Level::Random),
        _ => None,
    }
}

/// Checks `value` for `setting`; the error says what is wrong with it.
fn check(setting: Setting, value: &[u8]) -> Result<(), &'static str> {
    let fits = |max| value.len() <= max;
    match setting {
        Setting::WifiPassword if fits(WIFI_PASSWORD_MAX) => Ok(()),
        Setting::WifiPassword if value.len() > WIFI_KEY_DIGITS => Err(""),
        Setting::WifiPassword if value.iter().all(u8::is_ascii_hexdigit) => Ok(()),
        Setting::WifiPassword => Err("64 characters are a key and must be hexadecimal digits"),
        _ if value.is_empty() => Err("it is empty"),
        Setting::WifiSsid if !fits(WIFI_SSID_MAX) => Err("at most 32 bytes"),
        Setting::Connection if !fits(CONNECTION_MAX) => Err(""),
        Setting::DpsEndpoint if !fits(ENDPOINT_MAX) => Err("at most 128 characters"),
        Setting::DpsEndpoint if !is_endpoint(value) => {
            Err("it must be a host name, or a host name and :port")
        }
        Setting::DpsIdScope if !fits(ID_SCOPE_MAX) => Err("at most 32 characters"),
        Setting::DpsIdScope if !is_id_scope(value) => Err("only letters, digits and - . _ ~ are allowed"),
        Setting::RegistrationId if !fits(REGISTRATION_ID_MAX) => Err("at most 126 characters"),
        Setting::RegistrationId if !is_registration_id(value) => Err("only a-z, 0-9 and - are allowed"),
        _ => Ok(()),
    }
}

/// Host name (letters, digits, `-`, `.`), optionally followed by `:` and a port of 1 to 65535.
fn is_endpoint(value: &[u8]) -> bool {
    let mut parts = value.splitn(2, |&byte| byte == b':');
    let host = parts.next().unwrap_or_default();
    let port_is_good = parts.next().is_none_or(|port| {
        (1..=5).contains(&port.len())
            && port.iter().all(u8::is_ascii_digit)
            && (1..=65535).contains(&port.iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0')))
    });
    let label_is_good = |label: &[u8]| {
        label.first().is_some_and(u8::is_ascii_alphanumeric)
            && label.last().is_some_and(u8::is_ascii_alphanumeric)
            && label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    port_is_good && host.split(|&byte| byte == b'.').all(label_is_good)
}

/// Whether a registration with this scope could be made at all.
fn is_id_scope(value: &[u8]) -> bool {
    core::str::from_utf8(value).is_ok_and(|scope| Config::new(scope, "x").is_ok())
}

/// Whether the id can stand in a certificate, and registers.
fn is_registration_id(value: &[u8]) -> bool {
    core::str::from_utf8(value)
        .is_ok_and(|id| RegistrationId::new(id).is_ok() && Config::new("x", id).is_ok())
}

/// Decodes 64 hexadecimal digits to the front of `line`, and refuses values that cannot be a secret.
fn decode_uds(line: &mut [u8], range: Range) -> Result<(), &'static str> {
    decode_hex(line, range)?;
    let uds = line.get(..UDS_LEN).unwrap_or_default();
    // One value for all bytes is erased memory or a placeholder.
    if uds.iter().all(|byte| uds.first() == Some(byte)) { Err("all its bytes are equal") } else { Ok(()) }
}

fn decode_hex(line: &mut [u8], (start, end): Range) -> Result<(), &'static str> {
    if end.saturating_sub(start) != 2 * UDS_LEN {
        return Err("it must be 64 hexadecimal digits");
    }
    for index in 0..UDS_LEN {
        let digit = |at: usize| line.get(start + at).copied().and_then(hex_digit);
        let (Some(high), Some(low)) = (digit(2 * index), digit(2 * index + 1)) else {
            return Err("it must be 64 hexadecimal digits, but contains another character");
        };
        if let Some(byte) = line.get_mut(index) {
            *byte = high << 4 | low;
        }
    }
    Ok(())
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Action {
        parse(&mut text.as_bytes().to_vec()).unwrap()
    }

    fn refused(text: &str) -> bool {
        matches!(parsed(text), Action::Refused(_))
    }

    #[test]
    fn endpoints() {
        for good in ["global.azure-devices-provisioning.net", "localhost:8883", "127.0.0.1:1", "a"] {
            assert_eq!(
                parsed(&format!("set_dps_endpoint {good}")),
                Action::Store(Setting::DpsEndpoint, &ENDPOINT, (16, 16 + good.len()))
            );
        }
        for bad in [
            "a:",
            "a:0",
            "a:65536",
            "a:1x",
            "a b".replace(' ', "_").as_str(),
            "-a",
            "a..b",
            ".a",
            "a/b",
            "h:1:2",
        ] {
            assert!(refused(&format!("set_dps_endpoint {bad}")), "{bad}");
        }
        assert!(refused(&format!("set_dps_endpoint {}", "a".repeat(ENDPOINT_MAX + 1))));
    }

    #[test]
    fn registration_ids_and_scopes() {
        for good in ["az-c89346f8a1b2v2v0v0", "dev-1-", "7"] {
            assert!(!refused(&format!("set_registration_id {good}")), "{good}");
        }
        for bad in ["a.b", "a_b", "a:b", "Dev", "a/b", "é", "\"a b\"", "\"\""] {
            assert!(refused(&format!("set_registration_id {bad}")), "{bad}");
        }
        assert!(!refused(&format!("set_registration_id {}", "a".repeat(REGISTRATION_ID_MAX))));
        assert!(refused(&format!("set_registration_id {}", "a".repeat(REGISTRATION_ID_MAX + 1))));
        assert!(!refused("set_dps_idscope 0ne00000000"));
        for bad in ["a/b", "\"\"", "\"a b\"", &"s".repeat(ID_SCOPE_MAX + 1)] {
            assert!(refused(&format!("set_dps_idscope {bad}")), "{bad}");
        }
    }

    #[test]
    fn the_uds_is_decoded_in_place() {
        let mut line =
            b"set_dps_uds 19e25A259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae".to_vec();
        assert_eq!(parse(&mut line).unwrap(), Action::StoreUds);
        assert_eq!(line[..3], [0x19, 0xe2, 0x5a]);
        assert_eq!(line[31], 0xae);
    }

    #[test]
    fn values_that_cannot_be_a_secret_are_refused() {
        for bad in [
            "00".repeat(32),
            "ff".repeat(32),
            "a5".repeat(32),
            "a5".repeat(31),
            "é".repeat(32),
            String::new(),
        ] {
            assert!(refused(&format!("set_dps_uds \"{bad}\"")), "{bad}");
        }
    }

    #[test]
    fn a_key_of_a_network_is_one_and_64_other_characters_are_not() {
        let key = "0123456789abcdefABCDEF0123456789".repeat(2);
        let parse = |text: &str| parsed(&format!("set_wifipwd {text}"));
        assert_eq!(parse(&key), Action::Store(Setting::WifiPassword, &WIFI_PASSWORD, (0, 64)));
        assert!(matches!(parse(&key.replace('0', "g")), Action::Refused(_)));
        assert!(matches!(parse(&format!("{key}0")), Action::Refused(_)));
        assert!(matches!(parse(&"p".repeat(63)), Action::Store(..)));
    }

    #[test]
    fn surplus_arguments_are_an_error() {
        for line in [
            "help me",
            "exit now",
            "show all",
            "cert x",
            "scan x",
            "version x",
            "gen_uds replace now",
            "enable_secure 1 2",
            "enable_secure 3 x",
            "enable_secure 2 a b",
            "set_dps_uds 12 34",
            "set_az_iothub HostName=a; DeviceId=b",
            "set_dps_idscope 0ne 1",
            "set_dps_endpoint a b c d e f",
            "set_registration_id a b",
            "forget_keys yes really",
        ] {
            assert!(matches!(parsed(line), Action::Surplus(_)), "{line}");
        }
        for line in ["disable_secure", "forget_keys", "forget_keys no"] {
            assert!(matches!(parsed(line), Action::Usage(_)), "{line}");
        }
    }

    #[test]
    fn an_identity_is_one_of_two() {
        assert_eq!(parsed("set_identity slot"), Action::SetIdentity(KeySource::Slot));
        assert_eq!(parsed("set_identity derived"), Action::SetIdentity(KeySource::Derived));
        assert_eq!(parsed("set_identity issued"), Action::SetIdentity(KeySource::Issued));
        assert!(matches!(parsed("set_identity slot 1"), Action::Surplus(_)));
        assert!(matches!(parsed("set_identity"), Action::Usage(_)));
        assert!(matches!(parsed("set_identity Slot"), Action::Usage(_)));
    }

    #[test]
    fn gen_uds_takes_one_word_only() {
        assert_eq!(parsed("gen_uds"), Action::GenerateUds { replace: false });
        assert_eq!(parsed("gen_uds replace"), Action::GenerateUds { replace: true });
        assert!(matches!(parsed("gen_uds now"), Action::Usage(_)));
    }
}
