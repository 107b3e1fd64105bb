//! A chain of layers in which layer *k* can make layer *k + 1* and nothing else.
//!
//! Each boot stage is a layer. It holds two secrets and a key; it measures the next stage, derives the next layer's
//! secrets from its own, certifies the next layer's key, and wipes what was its own. The number of the layer is part of
//! its type, and every step consumes the layer it starts from, so that a stage can neither skip one nor go on with
//! secrets it has given up.
//!
//! The derivations are those of the profile `standard`: with one layer of firmware the result is the same identity.
//!
//! ```
//! use dice_core::layer::{Layer, Leaf};
//! use dice_core::standard::FirmwareInfo;
//! use dice_core::x509::Validity;
//! use dice_core::{FirmwareDigest, RegistrationId, Uds};
//!
//! let uds = Uds::from_hex("19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae")?;
//! let validity = Validity::NO_EXPIRY;
//! let mut buffers = [[0; 1024]; 3];
//! let [root, loader, leaf] = &mut buffers;
//!
//! // In the immutable first stage:
//! let hardware = Layer::from_uds(&uds)?;
//! let root = hardware.device_id_certificate(validity, root)?;
//! let info = FirmwareInfo::new("ACME", "loader", "1.0.0", 1);
//! let (layer, loader) = hardware.next(&FirmwareDigest::of(b"loader")?, &info, validity, loader)?;
//! // In the loader, which got `layer` from the first stage:
//! let storage_key = layer.sealing_key(b"file system")?;
//! let info = FirmwareInfo::new("ACME", "application", "2.3.4", 7);
//! let id = RegistrationId::new("my-device")?;
//! let (alias_key, leaf) = layer.leaf(&FirmwareDigest::of(b"app")?, &info, &Leaf::tls_client(id), validity, leaf)?;
//! // The application presents: leaf, loader, root.
//! # assert_ne!(storage_key.expose(), alias_key.expose_scalar().expose());
//! # assert!(root.len() < leaf.len() && root.len() < loader.len());
//! # Ok::<(), dice_core::Error>(())
//! ```
//!
//! A layer cannot be used twice:
//!
//! ```compile_fail,E0382
//! # use dice_core::{layer::Layer, standard::FirmwareInfo, x509::Validity, FirmwareDigest, Uds};
//! # let uds = Uds::from_legacy_bytes_unchecked([1; 32]);
//! # let (firmware, info) = (FirmwareDigest::of(b"fw").unwrap(), FirmwareInfo::new("v", "m", "1", 1));
//! # let (mut a, mut b) = ([0; 1024], [0; 1024]);
//! let hardware = Layer::from_uds(&uds).unwrap();
//! hardware.next(&firmware, &info, Validity::NO_EXPIRY, &mut a).unwrap();
//! hardware.next(&firmware, &info, Validity::NO_EXPIRY, &mut b).unwrap();
//! ```
//!
//! and the hardware layer has no sealing key, because it measures nothing:
//!
//! ```compile_fail,E0599
//! # use dice_core::{layer::Layer, Uds};
//! # let uds = Uds::from_legacy_bytes_unchecked([1; 32]);
//! Layer::from_uds(&uds).unwrap().sealing_key(b"label");
//! ```

use crate::hash::{Hash, Sha512};
use crate::key::{DefaultBackend, P256, PublicKey, SecretKey};
use crate::measure::FirmwareDigest;
use crate::open_dice::{CdiSeal, Cdis, KeySeed};
use crate::standard::{DEVICE_ID_NAME, DeviceIdCertificate, FirmwareInfo, common_name, next_cdis};
use crate::tcg::{self, TcbFreshness, Ueid};
use crate::x509::write::{
    Certificate, Name, key_usage, write_authority_key_identifier, write_ca_constraints, write_ext_key_usage,
    write_key_usage, write_subject_key_identifier,
};
use crate::x509::{Validity, write_extension};
use crate::{RegistrationId, Result, Secret, Uds, asn1, kdf};
use core::fmt;
use core::marker::PhantomData;
use der::asn1::ObjectIdentifier;

mod sealed {
    /// Keeps [`Level`](super::Level) to the types of this module.
    pub trait Sealed {}
}

/// The number of a layer, as a type: [`Hardware`], `After<Hardware>`, `After<After<Hardware>>`, …
pub trait Level: sealed::Sealed {
    /// The number, counted from 0.
    const INDEX: u64;
    /// The word before the key identifier in the name of the layer's key.
    #[doc(hidden)]
    const NAME: &'static str;
}

/// Layer 0: the stage that holds the device secret.
#[derive(Clone, Copy, Debug)]
pub struct Hardware;

/// The layer after `L`.
#[derive(Clone, Copy, Debug)]
pub struct After<L>(PhantomData<L>);

impl sealed::Sealed for Hardware {}

impl Level for Hardware {
    const INDEX: u64 = 0;
    const NAME: &'static str = DEVICE_ID_NAME;
}

impl<L: Level> sealed::Sealed for After<L> {}

impl<L: Level> Level for After<L> {
    const INDEX: u64 = L::INDEX + 1;
    const NAME: &'static str = "ECA";
}

/// One layer's secrets and key, wiped on drop.
pub struct Layer<L: Level = Hardware, B: P256 = DefaultBackend> {
    cdis: Cdis,
    key: SecretKey<B>,
    level: PhantomData<L>,
}

/// The layer after `L` and the certificate (DER) of its key.
pub type Next<'b, L, B> = (Layer<After<L>, B>, &'b [u8]);

impl Layer {
    /// The hardware layer of a device. The caller drops the device secret.
    ///
    /// # Errors
    /// None in practice: [`Error::ScalarOutOfRange`](crate::Error::ScalarOutOfRange) has a chance of 2<sup>-512</sup>.
    pub fn from_uds(uds: &Uds) -> Result<Self> {
        Self::from_uds_on(uds)
    }
}

impl<B: P256> Layer<Hardware, B> {
    /// [`from_uds`](Layer::from_uds) with a key backend chosen by the caller.
    ///
    /// # Errors
    /// As for [`from_uds`](Layer::from_uds).
    pub fn from_uds_on(uds: &Uds) -> Result<Self> {
        Self::from_cdis(Cdis::from_uds(uds))
    }

    /// Writes the self-signed certificate (DER) of the DeviceID key, the root of the chain.
    ///
    /// # Errors
    /// As for [`DeviceIdCertificate::to_be_signed`].
    pub fn device_id_certificate<'b>(&self, validity: Validity, out: &'b mut [u8]) -> Result<&'b [u8]> {
        DeviceIdCertificate { key: self.key.public_key(), path_len: None, validity }
            .to_be_signed(out)?
            .sign(&self.key)
    }
}

impl<L: Level, B: P256> Layer<After<L>, B> {
    /// Takes over what the layer before handed on with [`into_cdis`](Self::into_cdis).
    ///
    /// # Errors
    /// None in practice, as for [`from_uds`](Layer::from_uds).
    pub fn resume(cdis: Cdis) -> Result<Self> {
        Self::from_cdis(cdis)
    }

    /// Gives up the layer for its two secrets: what a boot stage puts into the memory of the next one, which then calls
    /// [`resume`](Self::resume).
    #[must_use]
    pub fn into_cdis(self) -> Cdis {
        self.cdis
    }

    /// A key to encrypt with what only this layer shall read, now and after an update of its code; see
    /// [`sealing_key`].
    ///
    /// # Errors
    /// None in practice, as for [`sealing_key`].
    pub fn sealing_key(&self, label: &[u8]) -> Result<Secret<32>> {
        sealing_key(&self.cdis.seal, label)
    }
}

impl<L: Level, B: P256> Layer<L, B> {
    /// The number of the layer, counted from 0.
    pub const INDEX: u64 = L::INDEX;

    fn from_cdis(cdis: Cdis) -> Result<Self> {
        let key = KeySeed::derive(&cdis.attest)?.p256_key()?;
        Ok(Self { cdis, key, level: PhantomData })
    }

    /// The public key of the layer.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    /// Makes the next layer from what was measured of it, and writes the certificate (DER) of its key as an embedded
    /// CA.
    ///
    /// # Errors
    /// * [`Error::TextLength`](crate::Error::TextLength), [`Error::TextCharacter`](crate::Error::TextCharacter) for the
    ///   texts of `info`;
    /// * [`Error::BufferTooSmall`](crate::Error::BufferTooSmall); [`ECA_CERTIFICATE_MAX_LEN`] bytes are always enough.
    ///   The layer is lost then too.
    pub fn next<'b>(
        self,
        firmware: &FirmwareDigest,
        info: &FirmwareInfo<'_>,
        validity: Validity,
        out: &'b mut [u8],
    ) -> Result<Next<'b, L, B>> {
        let next: Layer<After<L>, B> = self.derive_next(firmware, info)?;
        let certificate =
            Certificate { issuer: self.name(), validity, subject: next.name(), key: next.public_key() };
        let unsigned = certificate.to_be_signed(out, |writer| {
            write_ca_constraints(writer, None);
            write_key_usage(writer, key_usage::KEY_CERT_SIGN);
            write_subject_key_identifier(writer, next.public_key());
            write_authority_key_identifier(writer, self.public_key());
            write_extension(writer, &tcg::oid::TCB_INFO, false, |writer| {
                info.write_tcb_info(Self::INDEX + 1, firmware, writer);
            });
        })?;
        Ok((next, unsigned.sign(&self.key)?))
    }

    /// Ends the chain: makes the key of the last layer from what was measured of it, and writes its certificate (DER).
    ///
    /// # Errors
    /// As for [`next`](Self::next), and [`Error::RegistrationIdLength`](crate::Error::RegistrationIdLength) beyond 64
    /// characters.
    pub fn leaf<'b>(
        self,
        firmware: &FirmwareDigest,
        info: &FirmwareInfo<'_>,
        leaf: &Leaf<'_>,
        validity: Validity,
        out: &'b mut [u8],
    ) -> Result<(SecretKey<B>, &'b [u8])> {
        let next: Layer<After<L>, B> = self.derive_next(firmware, info)?;
        let certificate = Certificate {
            issuer: self.name(),
            validity,
            subject: Name::Text(common_name(leaf.id)?),
            key: next.public_key(),
        };
        let unsigned = certificate.to_be_signed(out, |writer| {
            write_key_usage(writer, key_usage::DIGITAL_SIGNATURE);
            if !leaf.purposes.is_empty() {
                write_ext_key_usage(writer, leaf.purposes);
            }
            write_subject_key_identifier(writer, next.public_key());
            write_authority_key_identifier(writer, self.public_key());
            write_extension(writer, &tcg::oid::TCB_INFO, false, |writer| {
                info.write_tcb_info(Self::INDEX + 1, firmware, writer);
            });
            if let Some(ueid) = leaf.ueid {
                write_extension(writer, &tcg::oid::UEID, false, |writer| ueid.write_der(writer));
            }
            if let Some(freshness) = leaf.freshness {
                write_extension(writer, &tcg::oid::TCB_FRESHNESS, false, |writer| {
                    freshness.write_der(writer);
                });
            }
        })?;
        Ok((next.key, unsigned.sign(&self.key)?))
    }

    fn derive_next(&self, firmware: &FirmwareDigest, info: &FirmwareInfo<'_>) -> Result<Layer<After<L>, B>> {
        Layer::from_cdis(next_cdis(&self.cdis, Self::INDEX + 1, firmware, info)?)
    }

    fn name(&self) -> Name<'static> {
        Name::Key(L::NAME, self.public_key().identifier())
    }
}

impl<L: Level, B: P256> fmt::Debug for Layer<L, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layer")
            .field("index", &L::INDEX)
            .field("public", self.public_key())
            .finish_non_exhaustive()
    }
}

/// What the certificate of the last layer says besides the measurement.
#[derive(Clone, Copy, Debug)]
pub struct Leaf<'a> {
    /// Common name of the certificate, 1 to 64 characters.
    pub id: RegistrationId<'a>,
    /// Key purposes for extKeyUsage; none leave the extension out.
    pub purposes: &'a [ObjectIdentifier],
    /// Identifier of the device.
    pub ueid: Option<Ueid<'a>>,
    /// Nonce of a verifier.
    pub freshness: Option<TcbFreshness<'a>>,
}

impl<'a> Leaf<'a> {
    /// A key for TLS client authentication, as in the profile `standard`.
    #[must_use]
    pub const fn tls_client(id: RegistrationId<'a>) -> Self {
        Self { id, purposes: &[asn1::oid::CLIENT_AUTH], ueid: None, freshness: None }
    }

    /// A key that signs evidence and nothing else (tcg-dice-kp-attestLoc).
    #[must_use]
    pub const fn attestation(id: RegistrationId<'a>) -> Self {
        Self { id, purposes: &[tcg::oid::KP_ATTEST_LOC], ueid: None, freshness: None }
    }
}

/// Space enough for the certificate of every embedded CA, in bytes.
pub const ECA_CERTIFICATE_MAX_LEN: usize = 805;

/// A key for storage encryption, made from a sealing CDI: HKDF-SHA-512 with the CDI as input, the SHA-512 digest of
/// `label` as salt and `Sealing Key` as info.
///
/// It is the same as long as device, layer, authority and mode are, whatever the code.
///
/// # Errors
/// None in practice: [`Error::OutputTooLong`](crate::Error::OutputTooLong) cannot occur for 32 bytes.
pub fn sealing_key(cdi: &CdiSeal, label: &[u8]) -> Result<Secret<32>> {
    let mut key = Secret::zeroed();
    kdf::hkdf::<Sha512>(cdi.expose(), &Sha512::digest(label), b"Sealing Key", key.expose_mut())?;
    Ok(key)
}
