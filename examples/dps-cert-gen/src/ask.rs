//! The original tool's questions, asked in the original's order when no argument is given.

use std::io::{BufRead, Read, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use zeroize::Zeroizing;

use super::{Subject, files};

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
    let mut question = |text: &str| -> Result<Zeroizing<String>> {
        write!(output, "{text}: ")?;
        output.flush()?;
        answer(input).with_context(|| format!("question \"{text}\""))
    };

    let project = question(&format!("Project name (empty for {DEFAULT_PROJECT})"))?;
    let project = if project.is_empty() { DEFAULT_PROJECT } else { &project };
    let [bin, map] = ["bin", "map"].map(|kind| PathBuf::from(format!("{project}.ino.{kind}")));
    for file in [&bin, &map] {
        files::not_a_device(file)?;
        ensure!(file.is_file(), "{} is not in this directory", file.display());
    }
    // The original cut what was longer than a secret or a MAC address; here it is refused with them.
    let uds = question("Unique Device Secret (64 hexadecimal digits)")?;
    let id = question("Registration id (empty to build it from MAC and firmware version)")?;
    let subject = if id.is_empty() {
        let mac = question("MAC address (such as c8:93:46:f8:a1:b2)")?;
        let version = question("Firmware version (such as 2.0.0)")?;
        Subject::Device { mac: mac.to_string(), firmware_version: version.to_string() }
    } else {
        Subject::Id(id.to_string())
    };
    Ok(Answers { bin, map, uds, subject })
}

/// The longest answer, in bytes.
const MAX_ANSWER: u64 = 1024;

/// One answer: a line without the blanks around it.
fn answer(input: &mut dyn BufRead) -> Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(Vec::with_capacity(usize::try_from(MAX_ANSWER)? + 1));
    let read = input.take(MAX_ANSWER + 1).read_until(b'\n', &mut line)?;
    ensure!(read > 0, "the input ended");
    ensure!(read as u64 <= MAX_ANSWER, "the answer has more than {MAX_ANSWER} bytes");
    // A file that is piped in may begin with a byte order mark.
    let text = std::str::from_utf8(&line).context("the answer is not text")?;
    let answer = text.trim_start_matches('\u{feff}').trim();
    ensure!(!answer.contains(char::is_control), "the answer has a control character in it");
    Ok(Zeroizing::new(answer.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_lose_the_blanks_around_them_and_nothing_else() {
        let read = |text: &[u8]| answer(&mut &text[..]).map(|answer| answer.to_string());
        assert_eq!(read(b" \tmy-dev \r\nnext\n").unwrap(), "my-dev");
        assert_eq!(read(b"\xef\xbb\xbfabcdef\n").unwrap(), "abcdef");
        assert_eq!(read(b"\n").unwrap(), "");
        assert_eq!(read(b"no line end").unwrap(), "no line end");
        for (bad, words) in [
            (&b""[..], "ended"),
            (b"a\x1b[Db\n", "control character"),
            (b"\xff\xfe\xfd\n", "not text"),
            (&[b'a'; 2000], "more than 1024"),
        ] {
            let message = format!("{:#}", read(bad).unwrap_err());
            assert!(message.contains(words), "{words} in {message}");
        }
    }

    #[test]
    fn the_input_may_not_end_before_the_questions() {
        let error = ask(&mut &b""[..], &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("Project name"), "{error}");
    }
}
