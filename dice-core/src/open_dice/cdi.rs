//! Compound device identifiers: the secrets a layer receives, and how the next layer's follow from them.

use super::InputValues;
use super::{CDI_LEN, KEY_SEED_LEN};
use crate::hash::Sha512;
use crate::kdf;
use crate::secret::Secret;
use crate::{Result, Uds};
use core::fmt;

/// Salt of the key-pair seed.
const KEY_PAIR_SALT: [u8; 64] = [
    0x63, 0xb6, 0xa0, 0x4d, 0x2c, 0x07, 0x7f, 0xc1, 0x0f, 0x63, 0x9f, 0x21, 0xda, 0x79, 0x38, 0x44, 0x35,
    0x6c, 0xc2, 0xb0, 0xb4, 0x41, 0xb3, 0xa7, 0x71, 0x24, 0x03, 0x5c, 0x03, 0xf8, 0xe1, 0xbe, 0x60, 0x35,
    0xd3, 0x1f, 0x28, 0x28, 0x21, 0xa7, 0x45, 0x0a, 0x02, 0x22, 0x2a, 0xb1, 0xb3, 0xcf, 0xf1, 0x67, 0x9b,
    0x05, 0xab, 0x1c, 0xa5, 0xd1, 0xaf, 0xfb, 0x78, 0x9c, 0xcd, 0x2b, 0x0b, 0x3b,
];

macro_rules! cdi {
    ($name:ident, $doc:literal) => {
        #[doc = $doc]
        ///
        /// 32 secret bytes: wiped on drop, redacted in `Debug`, compared in constant time.
        #[derive(PartialEq, Eq)]
        pub struct $name(Secret<CDI_LEN>);

        impl $name {
            /// Takes the bytes over. The caller wipes its own copy.
            #[must_use]
            pub const fn new(bytes: [u8; CDI_LEN]) -> Self {
                Self(Secret::new(bytes))
            }

            /// The secret bytes.
            #[must_use]
            pub const fn expose(&self) -> &[u8; CDI_LEN] {
                self.0.expose()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }

        impl zeroize::ZeroizeOnDrop for $name {}

        #[cfg(feature = "defmt")]
        impl defmt::Format for $name {
            fn format(&self, f: defmt::Formatter<'_>) {
                defmt::write!(f, "{=str}(..)", stringify!($name));
            }
        }
    };
}

cdi!(
    CdiAttest,
    "The attestation CDI: changes with every input, and is what the layer's key pair is made of."
);
cdi!(
    CdiSeal,
    "The sealing CDI: changes only with authority, mode and hidden input, so that what is encrypted under it\n\
     survives an update of the code."
);

/// The two CDIs of one layer. There is no copy of them but the one the caller holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Cdis {
    /// The attestation CDI.
    pub attest: CdiAttest,
    /// The sealing CDI.
    pub seal: CdiSeal,
}

impl Cdis {
    /// The values the hardware layer starts from: the UDS in the place of both CDIs.
    #[must_use]
    pub const fn from_uds(uds: &Uds) -> Self {
        Self { attest: CdiAttest::new(*uds.expose()), seal: CdiSeal::new(*uds.expose()) }
    }

    /// Derives the CDIs of the next layer (Open Profile for DICE, "Computing CDI Values").
    ///
    /// The caller drops `self` before it hands control to the next layer.
    ///
    /// # Errors
    /// None in practice: [`Error::OutputTooLong`](crate::Error::OutputTooLong) cannot occur for 32 bytes.
    pub fn next(&self, inputs: &InputValues<'_>) -> Result<Self> {
        let mut attest = Secret::zeroed();
        derive(self.attest.expose(), inputs.attest_digest().expose(), b"CDI_Attest", attest.expose_mut())?;
        let mut seal = Secret::zeroed();
        derive(self.seal.expose(), inputs.seal_digest().expose(), b"CDI_Seal", seal.expose_mut())?;
        Ok(Self { attest: CdiAttest(attest), seal: CdiSeal(seal) })
    }
}

/// The seed of a layer's key pair: 32 secret bytes derived from its attestation CDI.
///
/// Ed25519 uses it as the private key; for the NIST curves it seeds the HMAC_DRBG that draws the private scalar.
#[derive(Debug, PartialEq, Eq)]
pub struct KeySeed(Secret<KEY_SEED_LEN>);

impl KeySeed {
    /// Derives the seed from an attestation CDI (Open Profile for DICE, "Asymmetric Key Pair Derivation").
    ///
    /// # Errors
    /// None in practice, as for [`Cdis::next`].
    pub fn derive(cdi: &CdiAttest) -> Result<Self> {
        let mut seed = Secret::zeroed();
        derive(cdi.expose(), &KEY_PAIR_SALT, b"Key Pair", seed.expose_mut())?;
        Ok(Self(seed))
    }

    /// Takes a seed over. The caller wipes its own copy.
    #[must_use]
    pub const fn new(bytes: [u8; KEY_SEED_LEN]) -> Self {
        Self(Secret::new(bytes))
    }

    /// The secret bytes.
    #[must_use]
    pub const fn expose(&self) -> &[u8; KEY_SEED_LEN] {
        self.0.expose()
    }
}

/// The profile's KDF: HKDF-SHA-512.
pub(super) fn derive(input: &[u8], salt: &[u8], info: &[u8], out: &mut [u8]) -> Result<()> {
    kdf::hkdf::<Sha512>(input, salt, info, out)
}
