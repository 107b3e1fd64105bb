//! Looks at the server's records as they go by: an alert in the clear, and how far the handshake went, which Mbed TLS does not
//! tell.

use crate::tls::Alert;

/// Follows the record layer (RFC 5246 §6.2.1) until records are encrypted. What it finds explains errors and decides nothing.
#[derive(Debug)]
pub(super) struct Watch {
    record: Header<5>,
    message: Header<4>,
    alert: Header<2>,
    /// Type of the last handshake message that began in the clear.
    last: Option<u8>,
    /// The last alert in the clear.
    seen: Option<Alert>,
    /// Records are encrypted from here on.
    encrypted: bool,
}

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

pub(super) const SERVER_HELLO: u8 = 2;
pub(super) const SERVER_KEY_EXCHANGE: u8 = 12;
pub(super) const SERVER_HELLO_DONE: u8 = 14;

/// Some bytes that come first, then as many as they say.
#[derive(Debug)]
struct Header<const LEN: usize> {
    bytes: [u8; LEN],
    have: usize,
    left: usize,
}

impl<const LEN: usize> Header<LEN> {
    const fn new() -> Self {
        Self { bytes: [0; LEN], have: 0, left: 0 }
    }

    /// Takes a byte of the header; true if that completes it. Otherwise, if it is complete, the byte is of the content.
    fn push(&mut self, byte: u8) -> bool {
        let Some(slot) = self.bytes.get_mut(self.have) else { return false };
        *slot = byte;
        self.have += 1;
        self.have == LEN
    }

    fn is_complete(&self) -> bool {
        self.have == LEN
    }

    fn begin_content(&mut self, length: usize) {
        self.left = length;
        self.end_if_done();
    }

    fn content(&mut self) {
        self.left = self.left.saturating_sub(1);
        self.end_if_done();
    }

    fn end_if_done(&mut self) {
        if self.left == 0 {
            self.have = 0;
        }
    }
}

impl Watch {
    pub(super) const fn new() -> Self {
        Self {
            record: Header::new(),
            message: Header::new(),
            alert: Header::new(),
            last: None,
            seen: None,
            encrypted: false,
        }
    }

    /// The alert that the server sent in the clear.
    pub(super) const fn alert(&self) -> Option<Alert> {
        self.seen
    }

    /// True once the server has sent encrypted records, or announced them.
    pub(super) const fn encrypted(&self) -> bool {
        self.encrypted
    }

    /// Type of the last handshake message that the server sent in the clear: in TLS 1.3 the `ServerHello`.
    pub(super) const fn last_message(&self) -> Option<u8> {
        self.last
    }

    /// Takes note of bytes from the server.
    pub(super) fn see(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.encrypted {
                return;
            }
            self.step(*byte);
        }
    }

    fn step(&mut self, byte: u8) {
        if self.record.push(byte) {
            let [kind, _, _, high, low] = self.record.bytes;
            self.encrypted = !matches!(kind, ALERT | HANDSHAKE);
            self.record.begin_content(usize::from(u16::from_be_bytes([high, low])));
        } else if self.record.is_complete() {
            if self.record.bytes.first() == Some(&ALERT) {
                self.in_alert(byte);
            } else {
                self.in_handshake(byte);
            }
            self.record.content();
        }
    }

    fn in_alert(&mut self, byte: u8) {
        if self.alert.push(byte) {
            let [_, number] = self.alert.bytes;
            self.seen = Some(Alert(number));
            self.alert.begin_content(0);
        }
    }

    fn in_handshake(&mut self, byte: u8) {
        if self.message.push(byte) {
            let [kind, high, middle, low] = self.message.bytes;
            self.last = Some(kind);
            let length = u32::from_be_bytes([0, high, middle, low]);
            self.message.begin_content(usize::try_from(length).unwrap_or(usize::MAX));
        } else if self.message.is_complete() {
            self.message.content();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_alert_in_any_pieces() {
        // ServerHello in two records, a Certificate behind it, an empty record, ServerKeyExchange, an alert in two records
        let bytes = [
            22, 3, 3, 0, 5, 2, 0, 0, 3, 1, 22, 3, 3, 0, 7, 2, 3, 11, 0, 0, 1, 9, 22, 3, 3, 0, 0, 22, 3, 3, 0,
            4, 12, 0, 0, 0, 21, 3, 3, 0, 1, 2, 21, 3, 3, 0, 1, 48,
        ];
        for size in 1..=bytes.len() {
            let mut watch = Watch::new();
            bytes.chunks(size).for_each(|piece| watch.see(piece));
            assert_eq!(watch.alert(), Some(Alert(48)), "{size}");
            assert_eq!(watch.last_message(), Some(SERVER_KEY_EXCHANGE));
            assert!(!watch.encrypted());
        }
    }

    #[test]
    fn encrypted_records_are_not_read() {
        for kind in [20, 23, 99] {
            let mut watch = Watch::new();
            watch.see(&[22, 3, 3, 0, 4, 2, 0, 0, 0, kind, 3, 3, 0, 1, 1, 21, 3, 3, 0, 2, 2, 48]);
            assert_eq!((watch.alert(), watch.encrypted()), (None, true));
            assert_eq!(watch.last_message(), Some(SERVER_HELLO));
        }
    }
}
