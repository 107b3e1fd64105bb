//! RSA's public operation.

use super::montgomery::{Modulus, compare};
use alloc::vec::Vec;
use core::cmp::Ordering;

/// Why there is no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unable {
    /// An even modulus or one of an odd length, or a base that is not below it.
    Input,
    /// There is not enough memory.
    Memory,
}

/// Replaces `base` by `base^exponent` modulo `modulus`. Base and modulus have the same length.
pub(crate) fn power(base: &mut [u32], exponent: &[u32], modulus: &[u32]) -> Result<(), Unable> {
    let length = modulus.len();
    let modulus = Modulus::new(modulus).ok_or(Unable::Input)?;
    if base.len() != length || compare(base, modulus.words()) != Ordering::Less {
        return Err(Unable::Input);
    }
    let mut memory = Vec::new();
    memory.try_reserve_exact(3 * length).map_err(|_| Unable::Memory)?;
    memory.resize(3 * length, 0);
    let (form, rest) = memory.split_at_mut(length);
    let (result, spare) = rest.split_at_mut(length);
    modulus.square_of_r(result, spare);
    modulus.multiply(form, base, result);
    modulus.power(result, form, exponent, spare);
    spare.fill(0);
    if let Some(lowest) = spare.first_mut() {
        *lowest = 1;
    }
    modulus.multiply(base, spare, result);
    Ok(())
}
