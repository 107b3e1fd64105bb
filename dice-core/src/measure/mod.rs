//! Measuring firmware: a digest of the whole image, taken piece by piece.

#[cfg(any(feature = "embedded-io", feature = "embedded-io-async", feature = "embedded-storage"))]
mod source;

#[cfg(any(feature = "embedded-io", feature = "embedded-io-async", feature = "embedded-storage"))]
pub use source::SourceError;

use crate::hash::{Hash, HashAlgorithm, Sha256};
use crate::tcg::Fwid;
use crate::{Error, Result};

/// Takes the firmware image piece by piece, in order, from the first byte to the last.
///
/// The image never has to lie in memory as a whole. `H` is SHA-256 unless named.
///
/// ```
/// use dice_core::{FirmwareDigest, Measurement};
///
/// let mut measurement = Measurement::new();
/// for piece in [&b"firm"[..], b"ware"] {
///     measurement.update(piece);
/// }
/// assert_eq!(measurement.finish()?, FirmwareDigest::of(b"firmware")?);
/// # Ok::<(), dice_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Measurement<H: Hash = Sha256> {
    hash: H,
    len: u64,
}

impl Measurement {
    /// Starts a measurement with SHA-256.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<H: Hash> Measurement<H> {
    /// Starts a measurement with the hash function named by the type.
    #[must_use]
    pub fn with_hash() -> Self {
        Self { hash: H::default(), len: 0 }
    }

    /// Takes the next bytes of the image.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.len = self.len.saturating_add(bytes.len() as u64);
    }

    /// Bytes taken so far.
    #[must_use]
    pub const fn measured_len(&self) -> u64 {
        self.len
    }

    /// The digest of the image.
    ///
    /// # Errors
    /// [`Error::EmptyMeasurement`] if the image has no bytes: then the range to be measured is wrong.
    pub fn finish(self) -> Result<FirmwareDigest> {
        match self.len {
            0 => Err(Error::EmptyMeasurement),
            _ => Ok(FirmwareDigest::from_output::<H>(&self.hash.finalize())),
        }
    }
}

/// The digest of a firmware image and the hash function that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirmwareDigest {
    algorithm: HashAlgorithm,
    padded: [u8; Self::MAX_LEN],
}

impl FirmwareDigest {
    /// Length of the longest digest in bytes.
    pub const MAX_LEN: usize = 64;

    /// Measures, with SHA-256, an image that lies in one piece.
    ///
    /// # Errors
    /// [`Error::EmptyMeasurement`] as for [`Measurement::finish`].
    pub fn of(image: &[u8]) -> Result<Self> {
        let mut measurement = Measurement::new();
        measurement.update(image);
        measurement.finish()
    }

    /// A digest that was made elsewhere, by a boot stage or a hash engine.
    #[must_use]
    pub fn from_output<H: Hash>(digest: &H::Output) -> Self {
        let mut padded = [0; Self::MAX_LEN];
        padded.iter_mut().zip(digest.as_ref()).for_each(|(to, byte)| *to = *byte);
        Self { algorithm: H::ALGORITHM, padded }
    }

    /// The hash function.
    #[must_use]
    pub const fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// The digest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.padded.get(..self.algorithm.output_len()).unwrap_or_default()
    }

    /// The digest with zero bytes up to 64: the code input of the Open Profile for DICE.
    #[must_use]
    pub const fn as_code_hash(&self) -> &[u8; Self::MAX_LEN] {
        &self.padded
    }

    /// The digest as certificates state it.
    #[must_use]
    pub fn as_fwid(&self) -> Fwid<'_> {
        Fwid { algorithm: self.algorithm.oid(), digest: self.as_bytes() }
    }
}
