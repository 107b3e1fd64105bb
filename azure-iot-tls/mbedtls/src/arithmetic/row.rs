//! One row of a Montgomery multiplication, which is where a verification spends its time: portable, and in assembly for
//! ARM cores with the DSP instructions.

use super::montgomery::low_word;

/// Adds `a · b` and the multiple of the modulus that makes the sum's lowest word zero, and drops that word. The sum has
/// one word more than there is room for, which is `top`; gives the new one. `inverse` is `-1 / modulus` modulo 2^32.
///
/// Sum, `b` and modulus have the same length, which is a multiple of four; otherwise nothing happens.
pub(super) fn row(sum: &mut [u32], a: u32, b: &[u32], modulus: &[u32], inverse: u32, top: u32) -> u32 {
    let length = sum.len();
    if length == 0 || !length.is_multiple_of(4) || b.len() != length || modulus.len() != length {
        return 0;
    }
    let (carry, other) = words(sum, a, b, modulus, inverse);
    let end = u64::from(carry) + u64::from(other) + u64::from(top);
    if let Some(last) = sum.last_mut() {
        *last = low_word(end);
    }
    low_word(end >> u32::BITS)
}

/// All words but the highest; gives both carries.
#[cfg(not(all(feature = "p256-cm4", target_arch = "arm")))]
fn words(sum: &mut [u32], a: u32, b: &[u32], modulus: &[u32], inverse: u32) -> (u32, u32) {
    use core::cell::Cell;

    /// `a · b + c + d`, low and high word: never more than two words.
    fn multiply_add(a: u32, b: u32, c: u32, d: u32) -> (u32, u32) {
        let result = u64::from(a) * u64::from(b) + u64::from(c) + u64::from(d);
        (low_word(result), low_word(result >> u32::BITS))
    }

    let sum = Cell::from_mut(sum).as_slice_of_cells();
    let (Some((first, rest)), Some((b, b_rest))) = (sum.split_first(), b.split_first()) else {
        return (0, 0);
    };
    let Some((modulus, modulus_rest)) = modulus.split_first() else { return (0, 0) };
    let (low, mut carry) = multiply_add(a, *b, first.get(), 0);
    let multiple = low.wrapping_mul(inverse);
    let (_, mut other) = multiply_add(multiple, *modulus, low, 0);
    for (((to, from), b), modulus) in sum.iter().zip(rest).zip(b_rest).zip(modulus_rest) {
        let low;
        (low, carry) = multiply_add(a, *b, from.get(), carry);
        let (low, high) = multiply_add(multiple, *modulus, low, other);
        other = high;
        to.set(low);
    }
    (carry, other)
}

/// All words but the highest; gives both carries. UMAAL is `a · b + c + d` in one instruction.
#[cfg(all(feature = "p256-cm4", target_arch = "arm"))]
fn words(sum: &mut [u32], a: u32, b: &[u32], modulus: &[u32], inverse: u32) -> (u32, u32) {
    macro_rules! word {
        () => {
            "ldr {x}, [{b}], #4
            ldr {y}, [{sum}, #4]
            umaal {y}, {carry}, {a}, {x}
            ldr {x}, [{modulus}], #4
            umaal {y}, {other}, {multiple}, {x}
            str {y}, [{sum}], #4"
        };
    }
    let (mut carry, mut other) = (0, 0);
    // SAFETY: `row` has checked that the slices have the same length, a multiple of four and not zero. Each pointer
    // goes once over the words of its slice, and only those of the sum are written.
    unsafe {
        core::arch::asm!(
            "ldr {x}, [{b}], #4",
            "ldr {y}, [{sum}]",
            "umaal {y}, {carry}, {a}, {x}",
            "mul {multiple}, {y}, {multiple}",
            "ldr {x}, [{modulus}], #4",
            "umaal {y}, {other}, {multiple}, {x}",
            // The first time round there are three left of four.
            "b 3f",
            "2:",
            word!(),
            "3:",
            word!(),
            word!(),
            word!(),
            "subs {fours}, {fours}, #1",
            "bne 2b",
            sum = inout(reg) sum.as_mut_ptr() => _,
            b = inout(reg) b.as_ptr() => _,
            modulus = inout(reg) modulus.as_ptr() => _,
            fours = inout(reg) sum.len() / 4 => _,
            a = in(reg) a,
            multiple = inout(reg) inverse => _,
            carry = inout(reg) carry,
            other = inout(reg) other,
            x = out(reg) _,
            y = out(reg) _,
            options(nostack),
        );
    }
    (carry, other)
}
