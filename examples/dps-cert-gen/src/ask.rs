//! The original tool's questions, asked in the original's order when no argument is given.

use std::io::{BufRead, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use zeroize::Zeroizing;

use super::Subject;

/// What the questions yield: the same as the command line would have said.
#[derive(Debug)]
pub struct Answers {
    /// The firmware image.
    pub bin: PathBuf,
    /// Its linker map.
    pub map: PathBuf,
    /// The UDS as typed.
    pub uds: Zeroizing<String>,
    /// Whose certificate it is.
    pub subject: Subject,
}

const DEFAULT_PROJECT: &str = "DevKitDPS";

/// Asks the questions. The project's files are looked for at once, before the UDS is typed.
///
/// # Errors
/// A file of the project is missing, or the input ends before the last question.
pub fn ask(input: &mut dyn BufRead, output: &mut dyn Write) -> Result<Answers> {
    let mut question = |text: &str, kept: usize| -> Result<Zeroizing<String>> {
        write!(output, "{text}: ")?;
        output.flush()?;
        answer(input, kept).with_context(|| format!("the input ended at the question «{text}»"))
    };

    let project = question(&format!("Project name (empty for {DEFAULT_PROJECT})"), 256)?;
    let project = if project.is_empty() { DEFAULT_PROJECT } else { &project };
    let [bin, map] = ["bin", "map"].map(|kind| PathBuf::from(format!("{project}.ino.{kind}")));
    for file in [&bin, &map] {
        ensure!(file.is_file(), "{} is not in this directory", file.display());
    }
    // As the original, keep as many characters of the secret and the MAC address as they have; what follows never mattered.
    let uds = question("Unique Device Secret (64 hexadecimal digits)", 64)?;
    let id = question("Registration id (empty to build it from MAC and firmware version)", 256)?;
    let subject = if id.is_empty() {
        let mac = question("MAC address (12 hexadecimal digits)", 12)?;
        let version = question("Firmware version (such as 2.0.0)", 256)?;
        Subject::Device { mac: mac.to_string(), firmware_version: version.to_string() }
    } else {
        Subject::Id(id.to_string())
    };
    Ok(Answers { bin, map, uds, subject })
}

/// One answer: leading blanks dropped, up to `kept` printable characters, the rest of the line ignored.
fn answer(input: &mut dyn BufRead, kept: usize) -> Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(Vec::new());
    ensure!(input.read_until(b'\n', &mut line)? > 0, "no answer");
    let text = line.iter().map(|byte| char::from(*byte));
    Ok(Zeroizing::new(
        text.skip_while(|c| matches!(c, ' ' | '\t')).take_while(|c| !c.is_control()).take(kept).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_lose_leading_blanks_and_what_is_too_long() {
        let read = |text: &[u8], kept| answer(&mut &text[..], kept).unwrap().to_string();
        assert_eq!(read(b" \tmy-dev\r\nnext\n", 256), "my-dev");
        assert_eq!(read(b"abcdef\n", 3), "abc");
        assert_eq!(read(b"\n", 3), "");
        assert_eq!(read(b"no line end", 256), "no line end");
        assert!(answer(&mut &b""[..], 3).is_err());
    }

    #[test]
    fn the_input_may_not_end_before_the_questions() {
        let error = ask(&mut &b""[..], &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("Project name"), "{error}");
    }
}
