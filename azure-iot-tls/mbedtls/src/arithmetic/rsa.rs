//! RSA's public operation.

use super::Error;
use super::montgomery::{Modulus, compare};
use alloc::vec::Vec;
use core::cmp::Ordering;

/// Replaces `base` by `base^exponent` modulo `modulus`. Base and modulus are of the same length; the exponent is not 0.
pub(crate) fn power(base: &mut [u32], exponent: &[u32], modulus: &[u32]) -> Result<(), Error> {
    if base.len() != modulus.len() || compare(base, modulus) != Ordering::Less {
        return Err(Error::Input);
    }
    let length = modulus.len().next_multiple_of(4);
    let mut memory = Vec::new();
    memory.try_reserve_exact(4 * length).map_err(|_| Error::Memory)?;
    memory.resize(4 * length, 0);
    let (padded, rest) = memory.split_at_mut(length);
    let (form, rest) = rest.split_at_mut(length);
    let (result, spare) = rest.split_at_mut(length);
    padded.iter_mut().zip(modulus).for_each(|(to, from)| *to = *from);
    let modulus = Modulus::new(padded).ok_or(Error::Input)?;
    modulus.square_of_r(result, spare);
    spare.fill(0);
    spare.iter_mut().zip(&*base).for_each(|(to, from)| *to = *from);
    modulus.multiply(form, spare, result);
    modulus.power(result, form, exponent, spare);
    spare.fill(0);
    if let Some(lowest) = spare.first_mut() {
        *lowest = 1;
    }
    modulus.multiply(form, spare, result);
    base.iter_mut().zip(&*form).for_each(|(to, from)| *to = *from);
    Ok(())
}
