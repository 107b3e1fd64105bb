//! The chip's public-key and envelope arithmetic, on the RustCrypto crates.

use std::vec;
use std::vec::Vec;

use crate::command::ENVELOPE_OVERHEAD;
use crate::curve::{Curve, Point, Rs};

/// The functions of one curve crate, which have the same names in each.
macro_rules! curve {
    ($name:ident) => {
        mod $name {
            use std::vec::Vec;
            use $name::ecdsa::signature::hazmat::{PrehashSigner as _, PrehashVerifier as _};
            use $name::ecdsa::{Signature, SigningKey, VerifyingKey};
            use $name::{PublicKey, SecretKey};

            pub(super) fn public(scalar: &[u8]) -> Option<Vec<u8>> {
                Some(SecretKey::from_slice(scalar).ok()?.public_key().to_sec1_bytes().into_vec())
            }

            pub(super) fn sign(scalar: &[u8], digest: &[u8]) -> Option<Vec<u8>> {
                let signature: Signature = SigningKey::from_slice(scalar).ok()?.sign_prehash(digest).ok()?;
                Some(signature.to_bytes().to_vec())
            }

            /// `None` if the point is not on the curve.
            pub(super) fn verify(point: &[u8], signature: &[u8], digest: &[u8]) -> Option<bool> {
                let key = VerifyingKey::from_sec1_bytes(point).ok()?;
                let Ok(signature) = Signature::from_slice(signature) else { return Some(false) };
                Some(key.verify_prehash(digest, &signature).is_ok())
            }

            pub(super) fn shared_secret(scalar: &[u8], point: &[u8]) -> Option<Vec<u8>> {
                let peer = PublicKey::from_sec1_bytes(point).ok()?;
                let secret = SecretKey::from_slice(scalar).ok()?.diffie_hellman(&peer);
                Some(secret.raw_secret_bytes().to_vec())
            }
        }
    };
}
curve!(p256);
curve!(p384);

/// What went wrong with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyError {
    /// The virtual chip does not compute on this curve.
    Curve,
    /// The number is no scalar, or the point not on the curve.
    Value,
}

fn sec1(point: Point<'_>) -> Vec<u8> {
    [&[4], point.x, point.y].concat()
}

/// X and Y of the public key.
pub(super) fn public(curve: Curve, scalar: &[u8]) -> Result<(Vec<u8>, Vec<u8>), KeyError> {
    let point = match curve {
        Curve::NistP256 => p256::public(scalar),
        Curve::NistP384 => p384::public(scalar),
        _ => return Err(KeyError::Curve),
    };
    let point = point.ok_or(KeyError::Value)?;
    let (x, y) =
        point.get(1..).and_then(|xy| xy.split_at_checked(curve.field_len())).ok_or(KeyError::Value)?;
    Ok((x.to_vec(), y.to_vec()))
}

/// R ‖ S over a digest, with the nonce of RFC 6979.
pub(super) fn sign(curve: Curve, scalar: &[u8], digest: &[u8]) -> Result<Vec<u8>, KeyError> {
    match curve {
        Curve::NistP256 => p256::sign(scalar, digest),
        Curve::NistP384 => p384::sign(scalar, digest),
        _ => return Err(KeyError::Curve),
    }
    .ok_or(KeyError::Value)
}

/// Whether the signature over `digest` is the key's.
pub(super) fn verify(curve: Curve, key: Point<'_>, rs: Rs<'_>, digest: &[u8]) -> Result<bool, KeyError> {
    let (point, signature) = (sec1(key), [rs.r, rs.s].concat());
    match curve {
        Curve::NistP256 => p256::verify(&point, &signature, digest),
        Curve::NistP384 => p384::verify(&point, &signature, digest),
        _ => return Err(KeyError::Curve),
    }
    .ok_or(KeyError::Value)
}

/// The x coordinate of the shared point.
pub(super) fn shared_secret(curve: Curve, scalar: &[u8], peer: Point<'_>) -> Result<Vec<u8>, KeyError> {
    let point = sec1(peer);
    match curve {
        Curve::NistP256 => p256::shared_secret(scalar, &point),
        Curve::NistP384 => p384::shared_secret(scalar, &point),
        _ => return Err(KeyError::Curve),
    }
    .ok_or(KeyError::Value)
}

/// AES key wrap (RFC 3394) under a key of 16 or 32 bytes; `None` for a content it cannot take.
pub(super) fn wrap(key: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    use aes::cipher::KeyInit as _;
    let mut out = vec![0; data.len() + ENVELOPE_OVERHEAD];
    match key.len() {
        16 => aes_kw::KwAes128::new_from_slice(key).ok()?.wrap_key(data, &mut out).ok()?,
        _ => aes_kw::KwAes256::new_from_slice(key).ok()?.wrap_key(data, &mut out).ok()?,
    };
    Some(out)
}

/// The content of an envelope; `None` if it is damaged or of another key.
pub(super) fn unwrap(key: &[u8], envelope: &[u8]) -> Option<Vec<u8>> {
    use aes::cipher::KeyInit as _;
    let mut out = vec![0; envelope.len().checked_sub(ENVELOPE_OVERHEAD)?];
    match key.len() {
        16 => aes_kw::KwAes128::new_from_slice(key).ok()?.unwrap_key(envelope, &mut out).ok()?,
        _ => aes_kw::KwAes256::new_from_slice(key).ok()?.unwrap_key(envelope, &mut out).ok()?,
    };
    Some(out)
}
