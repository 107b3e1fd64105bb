//! Looks at the server's records as they go by: an alert in the clear, and how far the handshake went, which Mbed TLS
//! does not tell.

use crate::Alert;

/// Follows the record layer (RFC 5246 §6.2.1) until records are encrypted. What it finds explains errors; beside that,
/// sessions of TLS 1.2 are resumed only with the extended master secret.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent observations")]
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
    /// The last bytes of the message, and how many of it there were.
    tail: [u8; 8],
    position: usize,
    /// The server says that it can do better than TLS 1.2 (RFC 8446 §4.1.3).
    downgrade: bool,
    /// The server chose TLS 1.3.
    chose_tls13: bool,
    /// The server has the extended master secret.
    extended_master_secret: bool,
    /// A record was announced that is longer than any may be.
    too_long: bool,
}

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

pub(super) const SERVER_HELLO: u8 = 2;
pub(super) const CERTIFICATE_REQUEST: u8 = 13;
pub(super) const SERVER_HELLO_DONE: u8 = 14;

/// Where the random of a `ServerHello` ends, counted from its version.
const RANDOM_END: usize = 34;
/// The extension by which a server chooses TLS 1.3 (RFC 8446 §4.2.1).
const TLS13: [u8; 6] = [0, 43, 0, 2, 3, 4];
/// The extension that binds the master secret to the handshake (RFC 7627 §5.1).
const EXTENDED_MASTER_SECRET: [u8; 4] = [0, 23, 0, 0];
/// The longest record of either version, in bytes (RFC 5246 §6.2.3).
const MAX_RECORD: usize = 0x4800;

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
            tail: [0; 8],
            position: 0,
            downgrade: false,
            chose_tls13: false,
            extended_master_secret: false,
            too_long: false,
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

    /// True if the server's random says that it can do better than what it chose.
    pub(super) const fn downgrade(&self) -> bool {
        self.downgrade
    }

    /// True if the server answered, and chose TLS 1.2.
    pub(super) const fn chose_tls12(&self) -> bool {
        self.last.is_some() && !self.chose_tls13
    }

    /// True if the server has bound the secrets of TLS 1.2 to its handshake, certificates included (RFC 7627).
    #[cfg_attr(
        not(any(test, feature = "resumption")),
        expect(dead_code, reason = "decides about resumption only")
    )]
    pub(super) const fn extended_master_secret(&self) -> bool {
        self.extended_master_secret
    }

    /// True if a record was announced that is longer than any may be.
    pub(super) const fn too_long(&self) -> bool {
        self.too_long
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
            let length = usize::from(u16::from_be_bytes([high, low]));
            self.too_long |= length > MAX_RECORD;
            self.record.begin_content(length);
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
            self.position = 0;
            self.message.begin_content(usize::try_from(length).unwrap_or(usize::MAX));
        } else if self.message.is_complete() {
            self.tail.rotate_left(1);
            if let Some(last) = self.tail.last_mut() {
                *last = byte;
            }
            self.position = self.position.saturating_add(1);
            if self.last == Some(SERVER_HELLO) {
                if self.position == RANDOM_END {
                    self.downgrade = self.tail.starts_with(b"DOWNGRD");
                } else if self.position > RANDOM_END {
                    self.chose_tls13 |= self.tail.ends_with(&TLS13);
                    self.extended_master_secret |= self.tail.ends_with(&EXTENDED_MASTER_SECRET);
                }
            }
            self.message.content();
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec;

    #[test]
    fn messages_and_alert_in_any_pieces() {
        // ServerHello in two records, a Certificate behind it, an empty record, ServerKeyExchange, an alert in two
        // records
        let bytes = [
            22, 3, 3, 0, 5, 2, 0, 0, 3, 1, 22, 3, 3, 0, 7, 2, 3, 11, 0, 0, 1, 9, 22, 3, 3, 0, 0, 22, 3, 3, 0,
            4, 12, 0, 0, 0, 21, 3, 3, 0, 1, 2, 21, 3, 3, 0, 1, 48,
        ];
        for size in 1..=bytes.len() {
            let mut watch = Watch::new();
            bytes.chunks(size).for_each(|piece| watch.see(piece));
            assert_eq!(watch.alert(), Some(Alert(48)), "{size}");
            assert_eq!(watch.last_message(), Some(12));
            assert!(!watch.encrypted());
        }
    }

    #[test]
    fn sign_of_a_downgrade() {
        for (sign, expected) in [(b"DOWNGRD\x01", true), (b"DOWNGRD\x00", true), (b"DOWNGRAD", false)] {
            for at in [24, 23, 25] {
                let mut hello = [0; 5 + 4 + 40];
                hello[..9].copy_from_slice(&[22, 3, 3, 0, 44, SERVER_HELLO, 0, 0, 40]);
                hello[9 + 2 + at..][..8].copy_from_slice(sign);
                let mut watch = Watch::new();
                watch.see(&hello);
                assert_eq!(watch.downgrade(), expected && at == 24, "{at}");
            }
        }
    }

    #[test]
    fn extended_master_secret() {
        for (extensions, expected) in [
            (&[0, 23, 0, 0][..], true),
            (&[0xff, 1, 0, 1, 0, 0, 23, 0, 0, 0, 35, 0, 0], true),
            (&[0, 35, 0, 0, 0, 22, 0, 0], false),
            (&[], false),
        ] {
            let length = u8::try_from(40 + extensions.len()).unwrap();
            let mut hello = vec![22, 3, 3, 0, 4 + length, SERVER_HELLO, 0, 0, length];
            hello.resize(9 + 40, 0);
            // It counts in its place only, not in the random.
            hello[9 + 10..][..4].copy_from_slice(&EXTENDED_MASTER_SECRET);
            hello.extend(extensions);
            let mut watch = Watch::new();
            watch.see(&hello);
            assert_eq!(watch.extended_master_secret(), expected, "{extensions:?}");
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
