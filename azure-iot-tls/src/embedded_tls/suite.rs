//! TLS_AES_128_GCM_SHA256 with a look at what was decrypted, before `embedded-tls` reads it.
//!
//! `embedded-tls` 0.19 panics on an empty plaintext, and after the handshake on every handshake message that it knows
//! but a session ticket. Both are encrypted, so that nothing below it could see them; but the cipher is a type
//! parameter, and this one does. It cannot say why it refuses, so it disguises a record as one that `embedded-tls`
//! refuses with an error of its own.

use aes_gcm::aead::consts::{U0, U12, U16};
use aes_gcm::aead::generic_array::GenericArray;
use aes_gcm::aead::{AeadCore, AeadInPlace, Error, Key, KeyInit, KeySizeUser, Nonce, Result, Tag};
use embedded_tls::{Aes128GcmSha256, TlsCipherSuite};

/// The suite.
#[derive(Debug, Clone, Copy)]
pub(super) struct Suite;

impl TlsCipherSuite for Suite {
    const CODE_POINT: u16 = Aes128GcmSha256::CODE_POINT;
    type Cipher = Checked;
    type KeyLen = <Aes128GcmSha256 as TlsCipherSuite>::KeyLen;
    type IvLen = <Aes128GcmSha256 as TlsCipherSuite>::IvLen;
    type Hash = <Aes128GcmSha256 as TlsCipherSuite>::Hash;
    type LabelBufferSize = <Aes128GcmSha256 as TlsCipherSuite>::LabelBufferSize;
}

/// The second byte of the version in the header of records that are given to `embedded-tls` after the handshake. The
/// header is authenticated, so the cipher sees it; on the wire it is always 3.
pub(super) const AFTER_HANDSHAKE: u8 = 4;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
const NEW_SESSION_TICKET: u8 = 4;

/// AES-128-GCM.
pub(super) struct Checked(aes_gcm::Aes128Gcm);

impl KeySizeUser for Checked {
    type KeySize = U16;
}

impl KeyInit for Checked {
    fn new(key: &Key<Self>) -> Self {
        Self(aes_gcm::Aes128Gcm::new(key))
    }
}

impl AeadCore for Checked {
    type NonceSize = U12;
    type TagSize = U16;
    type CiphertextOverhead = U0;
}

impl AeadInPlace for Checked {
    fn encrypt_in_place_detached(
        &self,
        nonce: &Nonce<Self>,
        header: &[u8],
        plain: &mut [u8],
    ) -> Result<Tag<Self>> {
        self.0.encrypt_in_place_detached(nonce, header, plain)
    }

    fn decrypt_in_place_detached(
        &self,
        nonce: &Nonce<Self>,
        header: &[u8],
        content: &mut [u8],
        tag: &GenericArray<u8, U16>,
    ) -> Result<()> {
        let [kind, major, minor, high, low] = *header else { return Err(Error) };
        self.0.decrypt_in_place_detached(nonce, &[kind, major, 3, high, low], content, tag)?;
        let length = content.iter().rposition(|byte| *byte != 0).ok_or(Error)?;
        let (inner, rest) = content.split_at_mut(length);
        let kind = rest.first_mut().ok_or(Error)?;
        *kind =
            if minor == AFTER_HANDSHAKE { after_handshake(*kind, inner) } else { in_handshake(*kind, inner) };
        Ok(())
    }
}

/// The content type to be seen by `embedded-tls` inside the handshake.
fn in_handshake(kind: u8, inner: &[u8]) -> u8 {
    match kind {
        // Refused as data where a handshake message had to be.
        HANDSHAKE if !in_order(inner) => DATA,
        // Refused as what it does not know.
        ALERT => CHANGE_CIPHER_SPEC,
        other => other,
    }
}

/// And after the handshake.
fn after_handshake(kind: u8, inner: &[u8]) -> u8 {
    match kind {
        HANDSHAKE if !messages(inner).all(|message| message == NEW_SESSION_TICKET) => CHANGE_CIPHER_SPEC,
        other => other,
    }
}

/// Whether the messages of one record are of the server's part of the handshake, each once, and in the order they
/// have there.
fn in_order(inner: &[u8]) -> bool {
    let place = |message: u8| [8, 13, 11, 15, 20].iter().position(|known| *known == message);
    let mut last = None;
    for message in messages(inner) {
        let place = place(message);
        if place.is_none() || place <= last {
            return false;
        }
        last = place;
    }
    true
}

/// The types of the messages in a record. A message that is longer than the record is its last.
fn messages(mut rest: &[u8]) -> impl Iterator<Item = u8> {
    core::iter::from_fn(move || {
        let (kind, tail) = rest.split_first()?;
        let length = match *tail {
            [high, middle, low, ..] => usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()?,
            _ => usize::MAX,
        };
        rest = tail.get(3..).and_then(|tail| tail.get(length..)).unwrap_or_default();
        Some(*kind)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, length: u8) -> impl Iterator<Item = u8> {
        [kind, 0, 0, length].into_iter().chain((0..length).map(|_| 7))
    }

    fn record(kinds: &[u8]) -> heapless::Vec<u8, 100> {
        kinds.iter().flat_map(|kind| message(*kind, 5)).collect()
    }

    #[test]
    fn order_of_the_handshake() {
        for good in [&[8, 13, 11, 15, 20][..], &[8, 11, 15, 20], &[8], &[20], &[11, 15], &[]] {
            assert!(in_order(&record(good)), "{good:?}");
        }
        for bad in [&[20, 11][..], &[11, 11], &[15, 11], &[8, 20, 15], &[4], &[2], &[99], &[8, 24]] {
            assert!(!in_order(&record(bad)), "{bad:?}");
        }
        assert!(in_order(&[8]) && in_order(&[8, 0, 0]) && in_order(&[8, 0, 0, 9, 1]));
    }

    #[test]
    fn only_tickets_after_the_handshake() {
        assert_eq!(after_handshake(HANDSHAKE, &record(&[4, 4])), HANDSHAKE);
        for bad in [&[13][..], &[4, 13], &[24], &[20], &[2], &[8], &[11], &[15]] {
            assert_eq!(after_handshake(HANDSHAKE, &record(bad)), CHANGE_CIPHER_SPEC, "{bad:?}");
        }
        // A torn ticket hides nothing: what follows is part of it.
        assert_eq!(after_handshake(HANDSHAKE, &[4, 0, 0, 9, 13, 0, 0, 0]), HANDSHAKE);
        assert_eq!(after_handshake(DATA, &record(&[13])), DATA);
    }

    #[test]
    fn sealed_by_one_opened_by_the_other() {
        let cipher = Checked::new(&[1; 16].into());
        let nonce = [2; 12].into();
        let mut text = *b"hello\x17\0\0";
        let tag = cipher.encrypt_in_place_detached(&nonce, &[23, 3, 3, 0, 24], &mut text).unwrap();
        let mut marked = text;
        cipher
            .decrypt_in_place_detached(&nonce, &[23, 3, AFTER_HANDSHAKE, 0, 24], &mut marked, &tag)
            .unwrap();
        assert_eq!(&marked, b"hello\x17\0\0");
        assert!(
            cipher.decrypt_in_place_detached(&nonce, &[23, 3, 3, 0, 25], &mut text.clone(), &tag).is_err()
        );
        for empty in [&mut [][..], &mut [0; 3]] {
            let tag = cipher.encrypt_in_place_detached(&nonce, &[23, 3, 3, 0, 24], empty).unwrap();
            assert!(cipher.decrypt_in_place_detached(&nonce, &[23, 3, 3, 0, 24], empty, &tag).is_err());
        }
    }
}
