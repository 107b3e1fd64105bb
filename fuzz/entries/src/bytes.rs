//! Takes an input apart.

/// An input, from the front; what is missing reads as zeros and emptiness.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(0)
    }

    /// The bytes up to a line feed.
    pub(crate) fn line(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == b'\n').unwrap_or(self.0.len());
        let (line, rest) = self.0.split_at(end);
        self.0 = rest.get(1..).unwrap_or_default();
        line
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The topic in the first line, and the body after it; `None` if the topic is not text.
pub(crate) fn topic_and_body(input: &[u8]) -> Option<(&str, &[u8])> {
    let mut bytes = Bytes(input);
    Some((std::str::from_utf8(bytes.line()).ok()?, bytes.0))
}
