//! The terminal: the board's console, its buttons and its display, and the cloud's events.

use std::collections::VecDeque;
use std::fs;
use std::io::{Read, Write, stderr, stdout};
use std::time::Duration;

use anyhow::{Context, Result};
use peripherals::{Lamp, Picture};
use virtual_az3166::{Live, VirtualBoard};

use crate::args::{Args, Held};
use crate::cloud_console::CloudConsole;
use crate::key_sector;
use crate::keys::{Key, Keyboard};

/// Time between two characters for the board: a little more than they take on the line.
const TYPING: Duration = Duration::from_millis(1);
/// How often the display is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long the button that is held when the power comes stays held.
const HOLD: Duration = Duration::from_millis(500);

/// A line of the board that has not ended for so long is a prompt.
const PROMPT: Duration = Duration::from_millis(200);

/// The user's side of a running board.
struct Terminal<'a> {
    args: &'a Args,
    board: &'a mut VirtualBoard,
    cloud: Option<CloudConsole>,
    /// On its way to the board's console.
    typed: VecDeque<u8>,
    next_character: Duration,
    /// The command to the cloud that is being typed.
    command: Option<String>,
    held: bool,
    /// Since when the board's line has not ended.
    line_begun: Option<Duration>,
    flash_changes: u64,
    shown: Option<Picture>,
}

/// Runs the board until the user or the clock ends it.
pub(crate) fn run(
    args: &Args,
    board: &mut VirtualBoard,
    line: impl Read + Write,
    cloud: Option<CloudConsole>,
) -> Result<()> {
    let keyboard = Keyboard::open();
    let mut live = Live::new(board, line);
    let mut terminal = Terminal {
        args,
        board,
        cloud,
        typed: VecDeque::new(),
        next_character: Duration::ZERO,
        command: None,
        held: args.hold.is_some(),
        line_begun: None,
        flash_changes: 0,
        shown: None,
    };
    terminal.hold(true);
    let end = args.seconds.map(Duration::from_secs);
    let mut next_look = Duration::ZERO;
    while end.is_none_or(|end| terminal.board.now() < end) {
        for key in keyboard.typed() {
            if !terminal.press(key)? {
                return Ok(());
            }
        }
        terminal.type_on();
        live.step(terminal.board)?;
        terminal.keep_keys()?;
        if terminal.held && terminal.board.now() >= HOLD {
            terminal.hold(false);
        }
        terminal.print()?;
        if terminal.board.now() >= next_look {
            next_look = terminal.board.now() + LOOK;
            terminal.look()?;
        }
    }
    Ok(())
}

impl Terminal<'_> {
    /// Holds the button that is wanted when the power comes, or lets it go.
    fn hold(&mut self, down: bool) {
        self.held &= down;
        let button = self.args.hold;
        self.board.parts().panel.press(|buttons| match button {
            Some(Held::A) => buttons.a = down,
            Some(Held::B) => buttons.b = down,
            None => {}
        });
    }

    /// What a key does. Gives whether to go on.
    fn press(&mut self, key: Key) -> Result<bool> {
        match key {
            Key::Byte(byte) => match self.command.take() {
                Some(line) => self.edit(line, byte)?,
                None => self.typed.push_back(byte),
            },
            Key::HoldA => self.board.parts().panel.press(|buttons| buttons.a = !buttons.a),
            Key::HoldB => self.board.parts().panel.press(|buttons| buttons.b = !buttons.b),
            Key::Reset => self.board.press_reset()?,
            Key::Show => self.show()?,
            Key::CloudCommand if self.cloud.is_some() => {
                self.command = Some(String::new());
                write!(stderr(), "\r\ncloud> ")?;
            }
            Key::CloudCommand => write!(stderr(), "\r\nthere is no cloud (start with --cloud)\r\n")?,
            Key::End => return Ok(false),
        }
        Ok(true)
    }

    /// A key while a command to the cloud is being typed.
    fn edit(&mut self, mut line: String, byte: u8) -> Result<()> {
        match byte {
            b'\r' => {
                write!(stderr(), "\r\n")?;
                if let Some(cloud) = &self.cloud
                    && !line.trim().is_empty()
                {
                    cloud.command(line);
                }
                return Ok(());
            }
            0x08 | 0x7F if line.pop().is_some() => write!(stderr(), "\x08 \x08")?,
            b' '..=b'~' => {
                line.push(char::from(byte));
                write!(stderr(), "{}", char::from(byte))?;
            }
            _ => {}
        }
        self.command = Some(line);
        Ok(())
    }

    /// The next character goes to the board.
    fn type_on(&mut self) {
        let now = self.board.now();
        if now >= self.next_character
            && let Some(byte) = self.typed.pop_front()
        {
            self.board.type_on_console(&[byte]);
            self.next_character = now + TYPING;
        }
    }

    /// The host keys are in their file before the secure element gets them, as they are in flash.
    fn keep_keys(&mut self) -> Result<()> {
        if self.board.flash_changes() != self.flash_changes {
            self.flash_changes = self.board.flash_changes();
            key_sector::save(self.args, self.board)?;
        }
        Ok(())
    }

    /// Prints what board and cloud have written; the cloud's lines between the board's, not within them.
    fn print(&mut self) -> Result<()> {
        let text = self.board.take_console();
        if !text.is_empty() {
            stdout().write_all(&text)?;
            stdout().flush()?;
            self.line_begun = (text.last() != Some(&b'\n')).then(|| self.board.now());
        }
        if self.line_begun.is_some_and(|begun| self.board.now() < begun + PROMPT) {
            return Ok(());
        }
        for text in self.cloud.iter().flat_map(CloudConsole::lines) {
            for line in text.lines() {
                write!(stderr(), "cloud: {line}\r\n")?;
            }
        }
        Ok(())
    }

    fn picture(&self) -> Picture {
        let display = &self.board.parts().display;
        display.lock().unwrap_or_else(std::sync::PoisonError::into_inner).picture()
    }

    /// Looks whether the display shows something new.
    fn look(&mut self) -> Result<()> {
        let picture = self.picture();
        if self.shown.as_ref() == Some(&picture) {
            return Ok(());
        }
        if let Some(path) = &self.args.png {
            let mut png = Vec::new();
            picture.write_png(&mut png, 4)?;
            fs::write(path, png).with_context(|| format!("writing {}", path.display()))?;
        }
        if self.args.display && self.shown.is_some() {
            self.show()?;
        }
        self.shown = Some(picture);
        Ok(())
    }

    /// Draws display, lamps and buttons.
    fn show(&self) -> Result<()> {
        let panel = &self.board.parts().panel;
        let lit = |lamp| if panel.lamp(lamp) > 0 { '*' } else { '.' };
        let [red, green, blue] = panel.rgb();
        let buttons = panel.buttons();
        let mut out = stdout().lock();
        write!(out, "\r\n")?;
        for line in self.picture().to_string().lines() {
            write!(out, "{line}\r\n")?;
        }
        write!(
            out,
            "Wi-Fi {} Azure {} User {}  RGB {red:02x}{green:02x}{blue:02x}  A {} B {}\r\n",
            lit(Lamp::Wifi),
            lit(Lamp::Azure),
            lit(Lamp::User),
            if buttons.a { "held" } else { "up" },
            if buttons.b { "held" } else { "up" },
        )?;
        Ok(out.flush()?)
    }
}
