//! The DevKit's configuration console: any bytes from a terminal.

use devkit_console::{Answer, Console, Request, Setting};

/// What is typed behind the noise, and must not be seen.
const SECRET: &[u8] = b"GHJKMNPQ";

/// Any bytes: no panic, nothing that a terminal takes for a command in the echo, every value within its limit; and
/// what is typed afterwards arrives as it was typed, hidden.
pub(crate) fn console(input: &[u8]) {
    let mut console = Console::new();
    let mut terminal = Vec::new();
    for byte in input {
        if feed(&mut console, *byte, &mut terminal).is_none() {
            return;
        }
    }
    let shown = String::from_utf8(terminal).expect("whole characters");
    assert!(!shown.chars().any(|c| c.is_control() && !matches!(c, '\r' | '\n' | '\x08')), "{shown:?}");

    let mut feed_all = |bytes: &[u8], terminal: &mut Vec<u8>| {
        let mut stored = None;
        for byte in bytes {
            stored = feed(&mut console, *byte, terminal)?.or(stored);
        }
        Some(stored)
    };
    // The noise may have left the word that ends the session in the line, or the password itself.
    let Some(_) = feed_all(b"\x18\r\r\x03", &mut Vec::new()) else { return };
    let mut terminal = Vec::new();
    let line = [b"set_wifipwd ", SECRET, b"\r"].concat();
    let Some(stored) = feed_all(&line, &mut terminal) else { return };
    assert_eq!(stored.as_deref(), Some(SECRET));
    assert!(!terminal.windows(SECRET.len()).any(|window| window == SECRET));
}

/// Pushes a byte and answers what it asks for; gives a value that was to be stored. `None` when the session has ended.
fn feed(console: &mut Console, byte: u8, terminal: &mut Vec<u8>) -> Option<Option<Vec<u8>>> {
    let request = console.push(byte, terminal).expect("memory");
    let stored = match &request {
        None => return Some(None),
        Some(Request::Reboot) => return None,
        Some(Request::Store(setting, value)) => {
            assert!(value.len() <= setting.max_len());
            assert!(*setting == Setting::WifiPassword || !value.is_empty());
            Some(value.to_vec())
        }
        Some(_) => None,
    };
    console.answer(Answer::Failed("not in this test"), terminal).expect("memory");
    Some(stored)
}
