//! The host channel's cryptography: C-MAC, R-MAC and the encryption of both directions, for either end.
//!
//! Every value is bound to the chip's 24-bit command counter N by a block `B(c, s)` = c (3 bytes) ‖ s ‖ 80 ‖ zeros:
//!
//! - C-MAC: first 4 bytes of AES-CMAC over `B(N, 00) ‖ 00 ‖ HDR ‖ len ‖ DATA`;
//! - R-MAC: the same over `B(N+1, 40) ‖ 80 ‖ HDR ‖ len ‖ DATA ‖ RHDR ‖ rlen ‖ RDATA`;
//! - encryption: AES-CBC with IV = AES(`B(N+1, 80)`) for the command, `B(N+1, C0)` for the response; the text is padded
//!   with 80 and zeros to whole blocks. First encrypted, then MACed.

use core::fmt;

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::codec::len16;
use crate::crypto::{Block, HostCrypto, Key};
use crate::error::{CryptoError, InputError};
use crate::frame::{Header, Mac};

/// The two AES-128 host keys. Wiped when dropped, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct HostKeys {
    mac: Key,
    cipher: Key,
}

impl HostKeys {
    /// From the key for C-MAC and R-MAC and the key for encryption.
    #[must_use]
    pub const fn new(mac: Key, cipher: Key) -> Self {
        Self { mac, cipher }
    }

    /// The key for C-MAC and R-MAC.
    #[must_use]
    pub const fn mac(&self) -> &Key {
        &self.mac
    }

    /// The key for encryption.
    #[must_use]
    pub const fn cipher(&self) -> &Key {
        &self.cipher
    }
}

impl ConstantTimeEq for HostKeys {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.mac.ct_eq(&other.mac) & self.cipher.ct_eq(&other.cipher)
    }
}

impl PartialEq for HostKeys {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for HostKeys {}

impl fmt::Debug for HostKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostKeys(..)")
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for HostKeys {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "HostKeys(..)");
    }
}

/// The chip's command counter N: 24 bits, below 0xFFFFFF, which marks an unusable counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counter(u32);

impl Counter {
    /// A counter at zero.
    pub const ZERO: Self = Self(0);
    /// The largest counter a command can still be sent with.
    pub const MAX: Self = Self(0x00FF_FFFE);

    /// `None` from 0xFFFFFF upwards.
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        if value <= Self::MAX.0 { Some(Self(value)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// How many commands can still be sent, this one included.
    #[must_use]
    pub const fn commands_left(self) -> u32 {
        Self::MAX.0 - self.0 + 1
    }

    /// The counter after one accepted command; `None` after the last.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        Self::new(self.0 + 1)
    }
}

/// The direction data travel in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Direction {
    /// Host to chip.
    Command,
    /// Chip to host.
    Response,
}

const SUBJECT_C_MAC: u8 = 0x00;
const SUBJECT_R_MAC: u8 = 0x40;
const SUBJECT_COMMAND: u8 = 0x80;
const SUBJECT_RESPONSE: u8 = 0xC0;

/// `B(c, s)`; the counter may be one past [`Counter::MAX`].
fn block(counter: u32, subject: u8) -> Block {
    let [_, a, b, c] = counter.to_be_bytes();
    let mut block = [0; 16];
    for (to, from) in block.iter_mut().zip([a, b, c, subject, 0x80]) {
        *to = from;
    }
    block
}

/// The C-MAC of the command with this header and data field (as sent), at counter `n`.
pub fn c_mac<C: HostCrypto>(crypto: &mut C, keys: &HostKeys, n: Counter, header: Header, data: &[u8]) -> Mac {
    let mut mac = crypto.cmac_start(&keys.mac);
    crypto.cmac_update(&mut mac, &block(n.0, SUBJECT_C_MAC));
    update_message(crypto, &mut mac, Some(0x00), header.to_byte(), data);
    Mac::truncate(crypto.cmac_finish(mac))
}

/// An R-MAC that has taken in the command and waits for the response.
#[derive(Debug)]
pub struct ResponseMac<C: HostCrypto>(C::Cmac);

impl<C: HostCrypto> ResponseMac<C> {
    /// Takes in the command, sent at counter `n`: its header and its data field as sent, without the C-MAC.
    #[must_use]
    pub fn start(crypto: &mut C, keys: &HostKeys, n: Counter, header: Header, data: &[u8]) -> Self {
        let mut mac = crypto.cmac_start(&keys.mac);
        crypto.cmac_update(&mut mac, &block(n.0 + 1, SUBJECT_R_MAC));
        update_message(crypto, &mut mac, Some(0x80), header.to_byte(), data);
        Self(mac)
    }

    /// Takes in the response, header byte with the R-MAC flag and data field as sent, and gives the R-MAC.
    #[must_use]
    pub fn finish(mut self, crypto: &mut C, header: u8, data: &[u8]) -> Mac {
        update_message(crypto, &mut self.0, None, header, data);
        Mac::truncate(crypto.cmac_finish(self.0))
    }
}

fn update_message<C: HostCrypto>(
    crypto: &mut C,
    mac: &mut C::Cmac,
    lead: Option<u8>,
    header: u8,
    data: &[u8],
) {
    if let Some(lead) = lead {
        crypto.cmac_update(mac, &[lead]);
    }
    let [high, low] = len16(data.len()).to_be_bytes();
    crypto.cmac_update(mac, &[header, high, low]);
    crypto.cmac_update(mac, data);
}

fn iv<C: HostCrypto>(crypto: &mut C, keys: &HostKeys, n: Counter, direction: Direction) -> Zeroizing<Block> {
    let subject = match direction {
        Direction::Command => SUBJECT_COMMAND,
        Direction::Response => SUBJECT_RESPONSE,
    };
    let mut iv = Zeroizing::new([block(n.0 + 1, subject)]);
    // ECB of one block is CBC with a zero IV.
    crypto.cbc_encrypt(&keys.cipher, &[0; 16], &mut *iv);
    let [iv] = *iv;
    Zeroizing::new(iv)
}

/// Bytes that `len` bytes of text take when encrypted: at least one byte of padding, then whole blocks.
#[must_use]
pub const fn encrypted_len(len: usize) -> usize {
    (len / 16 + 1) * 16
}

/// Pads and encrypts `buf[..len]` in place for the exchange at counter `n` and gives the new length.
///
/// # Errors
/// [`InputError::TooLong`] if the padded text does not fit into `buf`.
pub fn encrypt<C: HostCrypto>(
    crypto: &mut C,
    keys: &HostKeys,
    n: Counter,
    direction: Direction,
    buf: &mut [u8],
    len: usize,
) -> Result<usize, InputError> {
    let max = len16(buf.len());
    let text = buf.get_mut(..encrypted_len(len)).ok_or(InputError::TooLong { max })?;
    for (byte, pad) in text.iter_mut().skip(len).zip(core::iter::once(0x80).chain(core::iter::repeat(0))) {
        *byte = pad;
    }
    let iv = iv(crypto, keys, n, direction);
    crypto.cbc_encrypt(&keys.cipher, &iv, text.as_chunks_mut().0);
    Ok(encrypted_len(len))
}

/// Decrypts `buf` in place for the exchange at counter `n`, checks the whole padding in constant time and gives the
/// length of the text. On failure `buf` is wiped.
///
/// # Errors
/// [`CryptoError::Padding`] if `buf` is empty or no whole number of blocks, or if the padding is wrong.
pub fn decrypt<C: HostCrypto>(
    crypto: &mut C,
    keys: &HostKeys,
    n: Counter,
    direction: Direction,
    buf: &mut [u8],
) -> Result<usize, CryptoError> {
    let (blocks, []) = buf.as_chunks_mut::<16>() else {
        return Err(CryptoError::Padding);
    };
    let iv = iv(crypto, keys, n, direction);
    crypto.cbc_decrypt(&keys.cipher, &iv, blocks);
    let padding = blocks.last().map_or(0, padding_len);
    if padding == 0 {
        buf.zeroize();
        return Err(CryptoError::Padding);
    }
    Ok(buf.len() - usize::from(padding))
}

/// Length of the padding `80 00 … 00` that ends the last block, 0 if there is none. Constant time.
fn padding_len(last: &Block) -> u8 {
    let mut searching = Choice::from(1);
    let mut found = 0u8;
    for (behind, byte) in (1u8..).zip(last.iter().rev()) {
        let marker = byte.ct_eq(&0x80);
        found.conditional_assign(&behind, searching & marker);
        searching &= byte.ct_eq(&0);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Counter, Direction, HostKeys, ResponseMac, block, c_mac, decrypt, encrypt, encrypted_len};
    use crate::crypto::SoftCrypto;
    use crate::error::{CryptoError, InputError};
    use crate::frame::{Header, Mac};

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        let mut out = [0; N];
        hex::decode_to_slice(hex, &mut out).unwrap();
        out
    }

    fn keys() -> HostKeys {
        HostKeys::new(bytes("00112233445566778899aabbccddeeff"), bytes("11112222333344445555666677778888"))
    }

    #[test]
    fn worked_echo() {
        let header = Header::host(0, true);
        let mac = c_mac(&mut SoftCrypto, &keys(), Counter::ZERO, header, &[0xA4]);
        assert_eq!(mac, Mac::new(bytes("b893bc16")));
        let pending = ResponseMac::start(&mut SoftCrypto, &keys(), Counter::ZERO, header, &[0xA4]);
        assert_eq!(pending.finish(&mut SoftCrypto, 0x40, &[0xA4]), Mac::new(bytes("09036763")));
    }

    #[test]
    fn worked_wrap() {
        let n = Counter::new(0x102).unwrap();
        assert_eq!(block(n.get() + 1, 0x80), bytes("00010380800000000000000000000000"));
        let mut buf = [0; 48];
        buf[1..17].copy_from_slice(&bytes::<16>("062db201e19fa2fd65a7fbddbe8e0edc"));
        let len = encrypt(&mut SoftCrypto, &keys(), n, Direction::Command, &mut buf, 17).unwrap();
        assert_eq!(
            buf[..len],
            bytes::<32>("c05451876da930e8c87915f8c41e04a0c93b4e680b5048fb01c249e64015f380")
        );
        let mac = c_mac(&mut SoftCrypto, &keys(), n, Header::host(0x0E, true), &buf[..len]);
        assert_eq!(mac, Mac::new(bytes("618e0d21")));
    }

    #[test]
    fn every_length_returns() {
        for len in 0..=64 {
            for direction in [Direction::Command, Direction::Response] {
                let mut buf = [0x5A; 80];
                let sealed =
                    encrypt(&mut SoftCrypto, &keys(), Counter::MAX, direction, &mut buf, len).unwrap();
                assert_eq!(sealed, encrypted_len(len));
                let opened =
                    decrypt(&mut SoftCrypto, &keys(), Counter::MAX, direction, &mut buf[..sealed]).unwrap();
                assert_eq!(&buf[..opened], &[0x5A; 64][..len]);
            }
        }
        let err = encrypt(&mut SoftCrypto, &keys(), Counter::ZERO, Direction::Command, &mut [0; 16], 16);
        assert_eq!(err, Err(InputError::TooLong { max: 16 }));
    }

    #[test]
    fn every_wrong_padding_is_refused() {
        // Texts that end in no marker, in a marker followed by something else, or before the last block.
        for text in [
            [0u8; 32],
            [0x80; 32].map(|_| 0x01),
            {
                let mut text = [0; 32];
                text[15] = 0x80;
                text
            },
            {
                let mut text = [0; 32];
                text[20] = 0x80;
                text[31] = 0x01;
                text
            },
        ] {
            let mut buf = text;
            let iv = super::iv(&mut SoftCrypto, &keys(), Counter::ZERO, Direction::Response);
            crate::crypto::HostCrypto::cbc_encrypt(
                &mut SoftCrypto,
                keys().cipher(),
                &iv,
                buf.as_chunks_mut().0,
            );
            let result = decrypt(&mut SoftCrypto, &keys(), Counter::ZERO, Direction::Response, &mut buf);
            assert_eq!(result, Err(CryptoError::Padding));
            assert_eq!(buf, [0; 32], "wiped");
        }
    }

    #[test]
    fn counter_ends_before_the_marker() {
        assert_eq!(Counter::new(0x00FF_FFFF), None);
        assert_eq!(Counter::MAX.next(), None);
        assert_eq!(Counter::ZERO.next(), Counter::new(1));
    }

    #[test]
    fn keys_are_not_printed() {
        assert_eq!(std::format!("{:?}", keys()), "HostKeys(..)");
    }
}
