//! The keyboard: what is typed goes to the board's console, some control keys are the board's buttons.

use std::io::{IsTerminal, Read};
use std::sync::mpsc;

/// What the keys do.
pub(crate) const HELP: &str = "Keys: Ctrl-A holds button A or lets it go, Ctrl-B button B, Ctrl-R presses reset, \
    Ctrl-D shows display and lamps, Ctrl-T types a command to the cloud, Ctrl-X ends.";

/// What was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// For the console.
    Byte(u8),
    HoldA,
    HoldB,
    Reset,
    Show,
    /// A command to the cloud is typed next.
    CloudCommand,
    End,
}

impl Key {
    fn of(byte: u8) -> Self {
        match byte {
            0x01 => Self::HoldA,
            0x02 => Self::HoldB,
            0x04 => Self::Show,
            0x12 => Self::Reset,
            0x14 => Self::CloudCommand,
            0x03 | 0x18 => Self::End,
            // Enter, whatever the terminal sends for it.
            b'\n' => Self::Byte(b'\r'),
            other => Self::Byte(other),
        }
    }
}

/// The keyboard, with the terminal's own editing switched off for as long as this lives.
pub(crate) struct Keyboard {
    keys: mpsc::Receiver<Key>,
    raw: bool,
}

impl Keyboard {
    /// Listens to standard input.
    pub(crate) fn open() -> Self {
        let raw = std::io::stdin().is_terminal() && crossterm::terminal::enable_raw_mode().is_ok();
        let (to, keys) = mpsc::channel();
        std::thread::spawn(move || {
            for byte in std::io::stdin().lock().bytes() {
                let Ok(byte) = byte else { return };
                if to.send(Key::of(byte)).is_err() {
                    return;
                }
            }
        });
        Self { keys, raw }
    }

    /// What was typed since the last call.
    pub(crate) fn typed(&self) -> impl Iterator<Item = Key> {
        self.keys.try_iter()
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        if self.raw {
            // Nothing is left to do if the terminal is gone.
            let _ = crossterm::terminal::disable_raw_mode();
        }
    }
}
