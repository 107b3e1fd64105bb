//! Attestation by a TPM 2.0, over HTTPS.
//!
//! 1. [`Config::with_tpm`](crate::Config::with_tpm); the first request goes without `Authorization`.
//! 2. The service answers 401 with a blob, [`Progress::Challenge`](crate::Progress::Challenge): [`decode`] it and let
//!    the TPM activate the key in it ([`Tpm::activate`]); report
//!    [`RegistrationEvent::Activated`](crate::RegistrationEvent::Activated).
//! 3. From then on every request carries a token signed with that key ([`token`]).
//! 4. The assignment brings a second blob,
//!    [`RegistrationState::tpm_authentication_key`](crate::RegistrationState::tpm_authentication_key): activate it in
//!    the same way for the hub.
//!
//! This crate has no TPM driver: the commands are ActivateCredential with endorsement and storage root key, then Import
//! and Load under the storage root key; the key never leaves the chip.
use base64ct::{Base64, Encoding};

use super::sas::{self, Resource};
use crate::Error;
use crate::json::JsonStr;

/// A TPM, or whatever can open the service's blobs.
pub trait Tpm {
    /// The driver's error, which takes this crate's too.
    type Error: From<Error>;

    /// Opens the blob and keeps the HMAC key in it for [`Tpm::sign`], in place of an earlier one.
    ///
    /// # Errors
    /// The chip's refusal.
    fn activate(&mut self, key: &AuthenticationKey<'_>) -> Result<(), Self::Error>;

    /// HMAC-SHA256 of `data` under the activated key.
    ///
    /// # Errors
    /// The chip's refusal, or no key was activated.
    fn sign(&mut self, data: &[u8]) -> Result<[u8; 32], Self::Error>;
}

/// The service's blob, its parts without their 16-bit lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct AuthenticationKey<'a> {
    /// TPM2B_ID_OBJECT: the credential for ActivateCredential.
    pub credential: &'a [u8],
    /// TPM2B_ENCRYPTED_SECRET for ActivateCredential.
    pub secret: &'a [u8],
    /// TPM2B_PRIVATE: the wrapped key for Import; ActivateCredential gives its wrapping key.
    pub duplicate: &'a [u8],
    /// TPM2B_ENCRYPTED_SECRET for Import.
    pub seed: &'a [u8],
    /// TPM2B_PUBLIC of the key.
    pub public: &'a [u8],
    /// Data that follows, encrypted with the key.
    pub data: &'a [u8],
}

impl<'a> AuthenticationKey<'a> {
    /// Takes the decoded blob apart.
    ///
    /// # Errors
    /// [`Error::Invalid`] at the first byte of the part that is cut off, or of what is left over.
    pub fn parse(blob: &'a [u8]) -> Result<Self, Error> {
        let mut rest = blob;
        let [mut credential, mut secret, mut duplicate, mut seed, mut public, mut data] = [[].as_slice(); 6];
        let parts = [&mut credential, &mut secret, &mut duplicate, &mut seed, &mut public, &mut data];
        for part in parts {
            let bad = Error::Invalid { what: "authenticationKey", at: blob.len() - rest.len() };
            let Some((&length, tail)) = rest.split_first_chunk() else { return Err(bad) };
            let Some((bytes, tail)) = tail.split_at_checked(u16::from_be_bytes(length).into()) else {
                return Err(bad);
            };
            (*part, rest) = (bytes, tail);
        }
        if !rest.is_empty() {
            return Err(Error::Invalid { what: "authenticationKey", at: blob.len() - rest.len() });
        }
        Ok(Self { credential, secret, duplicate, seed, public, data })
    }
}

/// Decodes the base64 of a blob in `scratch` and takes it apart.
///
/// # Errors
/// [`Error::BufferTooSmall`] with the bytes of the base64; [`Error::Invalid`].
pub fn decode<'b>(key: JsonStr<'_>, scratch: &'b mut [u8]) -> Result<AuthenticationKey<'b>, Error> {
    let length = key.unescape(scratch)?.len();
    let text = scratch.get_mut(..length).ok_or(Error::BufferTooSmall { needed: length })?;
    let blob = Base64::decode_in_place(text)
        .map_err(|_| Error::Invalid { what: "base64 of authenticationKey", at: 0 })?;
    AuthenticationKey::parse(blob)
}

/// A token signed by the TPM; see [`sas::token`]. `out` also holds the text to sign meanwhile.
///
/// # Errors
/// The TPM's, and [`Error::BufferTooSmall`].
pub fn token<'b, T: Tpm>(
    tpm: &mut T,
    resource: &Resource<'_>,
    expiry: u64,
    policy: Option<&str>,
    out: &'b mut [u8],
) -> Result<&'b str, T::Error> {
    let signature = tpm.sign(sas::string_to_sign(resource, expiry, out)?.as_bytes())?;
    Ok(sas::token(resource, expiry, &signature, policy, out)?)
}

/// Length of [`registration_id`].
#[cfg(feature = "tpm")]
pub const REGISTRATION_ID_LEN: usize = 52;

/// The registration id of a TPM that has no other: SHA-256 of the endorsement key (its TPM2B_PUBLIC) in lower-case
/// base32 without padding.
///
/// # Errors
/// [`Error::BufferTooSmall`] with [`REGISTRATION_ID_LEN`].
#[cfg(feature = "tpm")]
pub fn registration_id<'b>(endorsement_key: &[u8], out: &'b mut [u8]) -> Result<&'b str, Error> {
    use base32ct::{Base32Unpadded, Encoding};
    use sha2::{Digest, Sha256};
    Base32Unpadded::encode(&Sha256::digest(endorsement_key), out)
        .map_err(|_| Error::BufferTooSmall { needed: REGISTRATION_ID_LEN })
}
