//! Splitting a line into words: blanks separate, `"..."` holds blanks, `\ ` and `\"` are literal.

/// Words a command can have; further ones are checked for syntax and dropped.
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
        if let Some(start) = start.take()
            && let Some(range) = self.ranges.get_mut(self.count)
        {
            *range = (start, end);
            self.count += 1;
        }
    }

    /// The range of word `index` in the line, if the line has that many.
    pub(super) fn range(&self, index: usize) -> Option<(usize, usize)> {
        self.ranges.get(..self.count)?.get(index).copied()
    }

    /// Word `index` in the `line` that was split.
    pub(super) fn get<'a>(&self, line: &'a [u8], index: usize) -> Option<&'a [u8]> {
        let (start, end) = self.range(index)?;
        line.get(start..end)
    }
}

/// The finished word `index` of a line that is still being typed, compared with `expected` without case.
///
/// A word is finished when the separator or the closing quote behind it has been typed.
pub(super) fn finished_word_is(line: &[u8], index: usize, expected: &[u8]) -> bool {
    let mut scanner = Scanner::default();
    let mut open = false;
    let mut word = 0;
    let mut matched = 0;
    let mut same = true;
    for at in 0..line.len() {
        match scanner.scan(line, at) {
            Token::Literal(byte) => {
                open = true;
                same &= expected.get(matched).is_some_and(|want| want.eq_ignore_ascii_case(&byte));
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
    fn more_words_than_fit_are_dropped_but_still_checked() {
        assert_eq!(split("a b c d e f").unwrap().1, MAX_WORDS);
        assert_eq!(split("a b c d e \"f").unwrap_err(), OpenQuote);
        assert_eq!(split("a \"b").unwrap_err(), OpenQuote);
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
