//! The arithmetic of verification, which Mbed TLS does a word at a time: multiplication modulo odd numbers, and RSA and
//! ECDSA on top of it.
//!
//! Keys, signatures and digests are public, so the time that all of this takes depends on them. Nothing secret may come
//! here.

pub(crate) mod curve;
pub(crate) mod ecdsa;
pub(crate) mod montgomery;
mod row;
pub(crate) mod rsa;

#[cfg(test)]
mod tests;

/// Why there is no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Error {
    /// An even modulus, a base that is not below it, or a point that is not on the curve.
    Input,
    /// There is not enough memory.
    Memory,
}
