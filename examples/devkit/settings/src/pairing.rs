//! The pairing block of the AZ3166: how its original firmware keeps the host keys in flash.
//!
//! The 88 bytes at [`FLASH_ADDRESS`] are two Thumb functions of 44 bytes, each `void f(uint8_t out[16])`: push r4–r7,
//! load the four registers with the key's words by MOVW/MOVT pairs, store them to `out`, pop, return. The first gives
//! the
//! *cipher* key, the second the *MAC* key.
//!
//! Encoding and decoding are pure; whether to write to flash is the caller's decision.

use core::fmt;

use stsafe_a100::session::{HostKeys, Key};
use zeroize::{Zeroize, Zeroizing};

/// Where the block lies in the AZ3166's flash: the start of sector 2.
pub const FLASH_ADDRESS: u32 = 0x0800_8000;
/// Bytes of the block.
pub const BLOCK_LEN: usize = 2 * FUNCTION_LEN;
const FUNCTION_LEN: usize = 44;

const PUSH: u16 = 0xB4F0;
/// STM.W r0, {r4-r7}.
const STORE: [u16; 2] = [0xE880, 0x00F0];
/// POP {r4-r7}; BX LR; padding.
const RETURN: [u16; 3] = [0xBCF0, 0x4770, 0x0000];
const MOVW: u16 = 0xF240;
const MOVT: u16 = 0xF2C0;

/// The keys the original firmware installs at its security level 1. They are public: a chip paired with them is
/// protected against nothing.
#[must_use]
pub const fn level1_keys() -> HostKeys {
    HostKeys::new(
        [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF],
        [0x11, 0x11, 0x22, 0x22, 0x33, 0x33, 0x44, 0x44, 0x55, 0x55, 0x66, 0x66, 0x77, 0x77, 0x88, 0x88],
    )
}

/// The block does not hold the two functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PairingError {
    /// Offset of the first halfword that does not belong there.
    pub at: u8,
}

impl fmt::Display for PairingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no pairing block: unexpected halfword at offset {}", self.at)
    }
}

impl core::error::Error for PairingError {}

/// Whether flash that starts with these bytes holds a pairing block, by the original firmware's own test.
#[must_use]
pub fn is_present(flash: &[u8]) -> bool {
    flash.starts_with(&PUSH.to_le_bytes())
}

/// The block for these keys.
#[must_use]
pub fn encode(keys: &HostKeys) -> Zeroizing<[u8; BLOCK_LEN]> {
    let mut block = Zeroizing::new([0; BLOCK_LEN]);
    let mut out = block.as_chunks_mut::<2>().0.iter_mut();
    let mut put = |halfword: u16| {
        if let Some(slot) = out.next() {
            *slot = halfword.to_le_bytes();
        }
    };
    for key in [keys.cipher(), keys.mac()] {
        put(PUSH);
        for (register, word) in (4u16..).zip(key.as_chunks::<4>().0) {
            let word = u32::from_le_bytes(*word);
            for (opcode, half) in [(MOVW, word & 0xFFFF), (MOVT, word >> 16)] {
                // Both halves fit: the word was cut in two.
                for halfword in load_immediate(opcode, register, u16::try_from(half).unwrap_or(0)) {
                    put(halfword);
                }
            }
        }
        STORE.into_iter().chain(RETURN).for_each(&mut put);
    }
    block
}

/// The keys in a block.
///
/// # Errors
/// [`PairingError`] if one halfword is not as the original firmware writes it.
pub fn decode(block: &[u8; BLOCK_LEN]) -> Result<HostKeys, PairingError> {
    let mut halfwords = block
        .as_chunks::<2>()
        .0
        .iter()
        .zip((0u8..).step_by(2))
        .map(|(bytes, at)| (u16::from_le_bytes(*bytes), at));
    let mut next = || halfwords.next().ok_or(PairingError { at: 88 });
    let mut keys: [Key; 2] = [[0; 16]; 2];
    for key in &mut keys {
        expect(next()?, PUSH)?;
        for (register, word) in (4u16..).zip(key.as_chunks_mut::<4>().0) {
            let low = immediate(next()?, next()?, MOVW, register)?;
            let high = immediate(next()?, next()?, MOVT, register)?;
            *word = (u32::from(high) << 16 | u32::from(low)).to_le_bytes();
        }
        for halfword in STORE.into_iter().chain(RETURN) {
            expect(next()?, halfword)?;
        }
    }
    let [cipher, mac] = keys;
    keys.zeroize();
    Ok(HostKeys::new(mac, cipher))
}

fn expect((halfword, at): (u16, u8), expected: u16) -> Result<(), PairingError> {
    if halfword == expected { Ok(()) } else { Err(PairingError { at }) }
}

/// MOVW/MOVT, encoding T3/T1: `11110 i 10 o1 0 0 imm4 | 0 imm3 Rd imm8`.
const fn load_immediate(opcode: u16, register: u16, value: u16) -> [u16; 2] {
    let (imm4, i, imm3, imm8) = (value >> 12, value >> 11 & 1, value >> 8 & 7, value & 0xFF);
    [opcode | i << 10 | imm4, imm3 << 12 | register << 8 | imm8]
}

fn immediate(
    (first, at): (u16, u8),
    (second, at_second): (u16, u8),
    opcode: u16,
    register: u16,
) -> Result<u16, PairingError> {
    expect((first & !0x040F, at), opcode)?;
    expect((second & !0x70FF, at_second), register << 8)?;
    Ok((first & 0xF) << 12 | (first >> 10 & 1) << 11 | (second >> 12 & 7) << 8 | second & 0xFF)
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_LEN, decode, encode, is_present, level1_keys};
    use stsafe_a100::session::HostKeys;

    #[test]
    fn every_key_returns() {
        for seed in 0u8..=255 {
            let key = |offset: u8| {
                core::array::from_fn(|i| {
                    seed.wrapping_mul(31).wrapping_add(offset * 7).rotate_left(u32::try_from(i).unwrap())
                })
            };
            let keys = HostKeys::new(key(1), key(2));
            let block = encode(&keys);
            assert!(is_present(&*block));
            assert_eq!(decode(&block), Ok(keys));
        }
    }

    #[test]
    fn every_changed_bit_is_seen() {
        let block = *encode(&level1_keys());
        for bit in 0..8 * BLOCK_LEN {
            let mut changed = block;
            changed[bit / 8] ^= 1 << (bit % 8);
            // A bit of an immediate makes another key; all others make no block.
            assert_ne!(decode(&changed), Ok(level1_keys()));
        }
        assert!(decode(&[0xFF; BLOCK_LEN]).is_err(), "erased flash");
        assert!(!is_present(&[0xFF; BLOCK_LEN]));
        assert!(!is_present(&[]));
    }
}
