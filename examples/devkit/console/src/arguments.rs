//! Splitting a line into words: blanks separate, `"..."` holds blanks, `\ ` and `\"` are literal. And the rest of a
//! line as one value, blanks and all.

/// Words that are kept, as many as a command can have; further ones are counted.
pub(super) const MAX_WORDS: usize = 4;

/// A quote was opened and not closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OpenQuote;

/// What one character of the line means.
enum Token {
    /// Belongs to the current word.
    Literal(u8),
    /// Ends the current word, if one is open.
    End,
    /// Opens a quoted word, which may be empty.
    Begin,
    /// First half of an escape sequence, or nothing.
    Nothing,
}

/// The scanner's memory between two characters.
#[derive(Default)]
struct Scanner {
    quoted: bool,
    in_word: bool,
    escape: bool,
}

impl Scanner {
    fn scan(&mut self, line: &[u8], at: usize) -> Token {
        let Some(&byte) = line.get(at) else { return Token::Nothing };
        if core::mem::take(&mut self.escape) {
            self.in_word = true;
            return Token::Literal(byte);
        }
        match byte {
            b'\\' if matches!(line.get(at.saturating_add(1)), Some(b' ' | b'"')) => {
                self.escape = true;
                Token::Nothing
            }
            b'"' if self.quoted => {
                self.quoted = false;
                self.in_word = false;
                Token::End
            }
            b'"' if !self.in_word => {
                self.quoted = true;
                self.in_word = true;
                Token::Begin
            }
            b' ' if !self.quoted => {
                self.in_word = false;
                Token::End
            }
            _ => {
                self.in_word = true;
                Token::Literal(byte)
            }
        }
    }
}

/// The words of a line, unescaped in place, as ranges of that line.
#[derive(Debug, Default)]
pub(super) struct Words {
    ranges: [(usize, usize); MAX_WORDS],
    count: usize,
}

impl Words {
    /// Splits `line`, moving the words' characters to its front.
    pub(super) fn split(line: &mut [u8]) -> Result<Self, OpenQuote> {
        let mut words = Self::default();
        let mut scanner = Scanner::default();
        let mut start = None;
        let mut write = 0;
        for read in 0..line.len() {
            match scanner.scan(line, read) {
                Token::Literal(byte) => {
                    start.get_or_insert(write);
                    // `write` never passes `read`: every character written was read before.
                    if let Some(place) = line.get_mut(write) {
                        *place = byte;
                        write += 1;
                    }
                }
                Token::Begin => start = Some(write),
                Token::End => words.close(&mut start, write),
                Token::Nothing => {}
            }
        }
        if scanner.quoted {
            return Err(OpenQuote);
        }
        words.close(&mut start, write);
        Ok(words)
    }

    fn close(&mut self, start: &mut Option<usize>, end: usize) {
        if let Some(start) = start.take() {
            if let Some(range) = self.ranges.get_mut(self.count) {
                *range = (start, end);
            }
            self.count += 1;
        }
    }

    /// How many words the line has.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The range of word `index` in the line, if the line has that many.
    pub(super) fn range(&self, index: usize) -> Option<(usize, usize)> {
        self.ranges.get(..self.count.min(MAX_WORDS))?.get(index).copied()
    }

    /// Word `index` in the `line` that was split.
    pub(super) fn get<'a>(&self, line: &'a [u8], index: usize) -> Option<&'a [u8]> {
        let (start, end) = self.range(index)?;
        line.get(start..end)
    }
}

/// Where the first word ends and what follows it begins, blanks between them left out.
pub(super) fn value_start(line: &[u8]) -> usize {
    let mut scanner = Scanner::default();
    let mut open = false;
    for at in 0..line.len() {
        match scanner.scan(line, at) {
            Token::Literal(_) | Token::Begin => open = true,
            Token::End if open => {
                let blanks = line.iter().skip(at + 1).take_while(|byte| **byte == b' ').count();
                return at + 1 + blanks;
            }
            Token::End | Token::Nothing => {}
        }
    }
    line.len()
}

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueError {
    /// A quote was opened and not closed.
    OpenQuote,
    /// Something follows the closing quote.
    AfterQuote,
}

/// Takes everything from `start` on as one value, unescaped, moves it to the front of the line and gives its length.
/// Blanks within it stay; those at its end go, unless it is quoted.
pub(super) fn rest_as_value(line: &mut [u8], start: usize) -> Result<usize, ValueError> {
    let end = line.len() - line.iter().rev().take_while(|byte| **byte == b' ').count();
    // A blank that is escaped belongs to the value.
    let end = if line.get(..end).is_some_and(|line| line.ends_with(b"\\")) {
        (end + 1).min(line.len())
    } else {
        end
    };
    let quoted = line.get(start) == Some(&b'"');
    let mut read = if quoted { start + 1 } else { start };
    let (mut write, mut closed) = (0, false);
    while read < end {
        let Some(&byte) = line.get(read) else { break };
        let byte = match (byte, line.get(read + 1)) {
            (b'\\', Some(next @ (b' ' | b'"'))) => {
                read += 1;
                *next
            }
            (b'"', _) if quoted => {
                closed = true;
                break;
            }
            _ => byte,
        };
        read += 1;
        // `write` never passes `read`: every byte written was read before.
        if let Some(place) = line.get_mut(write) {
            *place = byte;
            write += 1;
        }
    }
    match (quoted, closed) {
        (true, false) => Err(ValueError::OpenQuote),
        (true, true) if read + 1 < end => Err(ValueError::AfterQuote),
        _ => Ok(write),
    }
}

/// The finished word `index` of a line that is still being typed, compared with `expected` without case.
///
/// A word is finished when the separator or the closing quote behind it has been typed.
pub(super) fn finished_word_is(line: &[u8], index: usize, expected: &[u8]) -> bool {
    compare(line, index, expected, u8::eq_ignore_ascii_case)
}

/// Whether the first word of a line is finished, and this one to the letter.
pub(super) fn finished_word_is_exactly(line: &[u8], expected: &[u8]) -> bool {
    compare(line, 0, expected, u8::eq)
}

fn compare(line: &[u8], index: usize, expected: &[u8], is_equal: fn(&u8, &u8) -> bool) -> bool {
    let mut scanner = Scanner::default();
    let mut open = false;
    let mut word = 0;
    let mut matched = 0;
    let mut same = true;
    for at in 0..line.len() {
        match scanner.scan(line, at) {
            Token::Literal(byte) => {
                open = true;
                same &= expected.get(matched).is_some_and(|want| is_equal(want, &byte));
                matched += 1;
            }
            Token::Begin => open = true,
            Token::End if open => {
                if word == index {
                    return same && matched == expected.len();
                }
                word += 1;
                (open, matched, same) = (false, 0, true);
            }
            Token::End | Token::Nothing => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Result<([Option<&'static str>; MAX_WORDS], usize), OpenQuote> {
        let line: &'static mut [u8] = Box::leak(text.as_bytes().to_vec().into_boxed_slice());
        let words = Words::split(line)?;
        let line: &'static [u8] = line;
        let text = |index| words.get(line, index).map(|word| core::str::from_utf8(word).unwrap());
        Ok(([text(0), text(1), text(2), text(3)], words.count))
    }

    #[test]
    fn words_are_split_at_blanks_and_unquoted() {
        assert_eq!(split("a  bc ").unwrap().0, [Some("a"), Some("bc"), None, None]);
        assert_eq!(split("a \"b c\" d").unwrap().0, [Some("a"), Some("b c"), Some("d"), None]);
        assert_eq!(split(r#"a "b\"c" d\ e"#).unwrap().0, [Some("a"), Some("b\"c"), Some("d e"), None]);
        assert_eq!(split(r"a \b\\").unwrap().0, [Some("a"), Some(r"\b\\"), None, None]);
        assert_eq!(split("a \"\" b").unwrap().0, [Some("a"), Some(""), Some("b"), None]);
        assert_eq!(split("\"a\"b").unwrap().0, [Some("a"), Some("b"), None, None]);
        assert_eq!(split("a\"b").unwrap().0, [Some("a\"b"), None, None, None]);
        assert_eq!(split("   ").unwrap().1, 0);
    }

    #[test]
    fn more_words_than_fit_are_counted_and_still_checked() {
        assert_eq!(split("a b c d e f").unwrap().1, 6);
        assert_eq!(split("a b c d e \"f").unwrap_err(), OpenQuote);
        assert_eq!(split("a \"b").unwrap_err(), OpenQuote);
    }

    fn value(text: &str) -> Result<String, ValueError> {
        let mut line = text.as_bytes().to_vec();
        let start = value_start(&line);
        let len = rest_as_value(&mut line, start)?;
        Ok(String::from_utf8(line[..len].to_vec()).unwrap())
    }

    #[test]
    fn the_rest_of_a_line_is_one_value() {
        for (line, expected) in [
            ("x HomeAP", "HomeAP"),
            ("  x   My  home AP  ", "My  home AP"),
            ("x \"My AP \"  ", "My AP "),
            (r"x My\ AP", "My AP"),
            (r"x My\ ", "My "),
            (r#"x a"b c"#, r#"a"b c"#),
            (r#"x a "b" c"#, r#"a "b" c"#),
            (r#"x "a\"b""#, r#"a"b"#),
            (r"x a\\b", r"a\\b"),
            ("x", ""),
            ("x   ", ""),
            ("x \"\"", ""),
            ("\"x\"y z", "y z"),
        ] {
            assert_eq!(value(line).as_deref(), Ok(expected), "{line}");
        }
        assert_eq!(value("x \"a"), Err(ValueError::OpenQuote));
        assert_eq!(value("x \"a\"b"), Err(ValueError::AfterQuote));
        assert_eq!(value("x \"a\" b"), Err(ValueError::AfterQuote));
    }

    #[test]
    fn a_word_is_finished_by_what_follows_it() {
        assert!(!finished_word_is(b"set_wifipwd", 0, b"set_wifipwd"));
        assert!(finished_word_is(b"set_wifipwd ", 0, b"set_wifipwd"));
        assert!(finished_word_is(b"  \"set_wifipwd\"", 0, b"set_wifipwd"));
        assert!(finished_word_is(b"SET_wifipwd x", 0, b"set_wifipwd"));
        assert!(!finished_word_is(b"set_wifipwdx ", 0, b"set_wifipwd"));
        assert!(!finished_word_is(b"set_wifipw ", 0, b"set_wifipwd"));
        assert!(finished_word_is(b"enable_secure 2 ", 1, b"2"));
        assert!(!finished_word_is(b"enable_secure 2", 1, b"2"));
        assert!(!finished_word_is(b"\"\" 2 ", 0, b"2"));
    }
}
