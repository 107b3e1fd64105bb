//! H', the original's variant of SHA-256 for its DICE steps.

use sha2::block_api::compress256;
use zeroize::{Zeroize, ZeroizeOnDrop};

const BLOCK: usize = 64;

/// The hash function of the original's DICE layer, fed piece by piece and wiped on drop.
///
/// It is SHA-256 with the bytes of every 32-bit word, of the length field and of the result in the opposite order. Its
/// results are not SHA-256 digests, and nothing but the `riot` profile uses it.
#[derive(Clone)]
pub struct DiceHash {
    state: [u32; 8],
    block: [u8; BLOCK],
    len: u64,
}

impl DiceHash {
    /// Starts a message.
    #[must_use]
    pub const fn new() -> Self {
        let state = [
            0x6a09_e667,
            0xbb67_ae85,
            0x3c6e_f372,
            0xa54f_f53a,
            0x510e_527f,
            0x9b05_688c,
            0x1f83_d9ab,
            0x5be0_cd19,
        ];
        Self { state, block: [0; BLOCK], len: 0 }
    }

    /// Takes the next bytes of the message.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let position = self.position();
            let free = self.block.get_mut(position..).unwrap_or_default();
            let taken = free.len().min(bytes.len());
            let (now, later) = bytes.split_at_checked(taken).unwrap_or_default();
            free.iter_mut().zip(now).for_each(|(to, byte)| *to = *byte);
            let full = taken == free.len();
            self.len = self.len.wrapping_add(taken as u64);
            bytes = later;
            if full {
                self.compress();
            }
        }
    }

    /// Bytes taken so far.
    #[must_use]
    pub const fn message_len(&self) -> u64 {
        self.len
    }

    /// The digest of everything taken.
    #[must_use]
    pub fn finalize(mut self) -> [u8; 32] {
        let bits = self.len.wrapping_mul(8);
        let zeros = (2 * BLOCK - 1 - 8 - self.position()) % BLOCK;
        self.update(&[0x80]);
        self.update([0; BLOCK].get(..zeros).unwrap_or_default());
        self.update(&bits.to_le_bytes());
        let mut digest = [0; 32];
        digest
            .chunks_exact_mut(4)
            .zip(self.state)
            .for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_le_bytes()));
        digest
    }

    /// The digest of the concatenation of `parts`.
    #[must_use]
    pub fn digest(parts: &[&[u8]]) -> [u8; 32] {
        let mut hash = Self::new();
        for part in parts {
            hash.update(part);
        }
        hash.finalize()
    }

    /// Bytes waiting in the block.
    const fn position(&self) -> usize {
        self.len.to_le_bytes()[0] as usize % BLOCK
    }

    /// The library's function reads big-endian words, the original little-endian ones.
    fn compress(&mut self) {
        self.block.as_chunks_mut::<4>().0.iter_mut().for_each(|word| word.reverse());
        compress256(&mut self.state, &[self.block]);
    }
}

impl Default for DiceHash {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for DiceHash {
    fn drop(&mut self) {
        self.state.zeroize();
        self.block.zeroize();
    }
}

impl ZeroizeOnDrop for DiceHash {}

impl core::fmt::Debug for DiceHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("DiceHash(..)")
    }
}
