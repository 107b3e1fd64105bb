//! P-256 in Cortex-M4 assembly, from the crate `p256-cm4`: every multiplication of Mbed TLS's, by its own hook, and
//! those of verification.
//!
//! It is written so that the sequence of instructions does not depend on scalars. The addresses of table look-ups do,
//! which takes the same time on cores without a data cache.

use core::ffi::c_void;

use mbedtls_rs::sys::hook::ecp::{
    MbedtlsEcpMul, MbedtlsEcpRestartCtx, MbedtlsFRng, ecp_mul_soft, hook_ecp_mul,
};
use mbedtls_rs::sys::{
    MBEDTLS_ERR_ECP_INVALID_KEY, MbedtlsError, mbedtls_ecp_group,
    mbedtls_ecp_group_id_MBEDTLS_ECP_DP_SECP256R1 as SECP256R1, mbedtls_ecp_point, mbedtls_mpi,
    mbedtls_mpi_lset, mbedtls_mpi_read_binary_le,
};
use zeroize::Zeroize;

use crate::Code;
use crate::arithmetic::Error;
use crate::arithmetic::curve::{Curve, Field, Number, Point};
use crate::arithmetic::ecdsa::Signed;
use crate::wrapped::{coordinates, number};

/// Has Mbed TLS multiply points of P-256 by the assembly, from now on.
pub(crate) fn install() {
    // SAFETY: it lives for ever, computes what Mbed TLS would, and keeps no state: it may come between two operations.
    unsafe { hook_ecp_mul(Some(&Assembly)) };
}

/// A number, the lowest word first.
type Words = [u32; 8];

struct Assembly;

impl MbedtlsEcpMul for Assembly {
    unsafe fn mul(
        &self,
        group: &mut mbedtls_ecp_group,
        result: &mut mbedtls_ecp_point,
        scalar: &mbedtls_mpi,
        point: &mbedtls_ecp_point,
        random: MbedtlsFRng,
        random_context: *mut c_void,
        restart: *mut MbedtlsEcpRestartCtx,
    ) -> Result<(), MbedtlsError> {
        if group.id == SECP256R1
            // SAFETY: a point that Mbed TLS has initialised.
            && let Some(of) = unsafe { coordinates(point) }
            // SAFETY: a number that Mbed TLS has initialised.
            && let Some(mut words) = unsafe { number(scalar) }
        {
            // SAFETY: as above.
            let base = unsafe { coordinates(&raw const group.G) };
            let product =
                if base.as_ref() == Some(&of) { base_multiple(&words) } else { multiple(&of, &words) };
            let in_range = p256_cm4::check_range_n(&words);
            words.zeroize();
            match product {
                Some(mut product) => {
                    let written = write(result, &product);
                    product.iter_mut().for_each(Zeroize::zeroize);
                    return written;
                }
                None if in_range => return Err(MbedtlsError::new(MBEDTLS_ERR_ECP_INVALID_KEY)),
                None => {}
            }
        }
        // Another curve; or a scalar out of range, for which Mbed TLS has its own errors.
        // SAFETY: what Mbed TLS has given.
        unsafe { ecp_mul_soft(group, result, scalar, point, random, random_context, restart) }
    }
}

/// The words of a number of a curve.
fn short(number: &Number) -> Words {
    *number.first_chunk().unwrap_or(&[0; 8])
}

/// The number with these words.
fn long(words: &Words) -> Number {
    let mut number = Number::default();
    number.iter_mut().zip(words).for_each(|(to, from)| *to = *from);
    number
}

fn write(point: &mut mbedtls_ecp_point, coordinates: &[Words; 2]) -> Result<(), MbedtlsError> {
    let check = |code| Code::check(code).map_err(|Code(code)| MbedtlsError::new(code));
    let [x, y] = coordinates;
    for (to, from) in [(&raw mut point.private_X, x), (&raw mut point.private_Y, y)] {
        // SAFETY: a number that Mbed TLS has initialised, and as many bytes as the words have, the lowest first.
        check(unsafe { mbedtls_mpi_read_binary_le(to, from.as_ptr().cast(), size_of_val(from)) })?;
    }
    // SAFETY: as above.
    check(unsafe { mbedtls_mpi_lset(&raw mut point.private_Z, 1) }).map(|_| ())
}

/// `scalar · G`; `None` if the scalar is out of range.
fn base_multiple(scalar: &Words) -> Option<[Words; 2]> {
    let [mut x, mut y] = [[0; 8]; 2];
    p256_cm4::scalarmult_base(&mut x, &mut y, scalar).then_some([x, y])
}

/// `scalar · point`; `None` if the scalar is out of range or the point is not on the curve.
fn multiple([point_x, point_y]: &[Words; 2], scalar: &Words) -> Option<[Words; 2]> {
    let [mut x, mut y] = [[0; 8]; 2];
    p256_cm4::scalarmult_generic(&mut x, &mut y, scalar, point_x, point_y).then_some([x, y])
}

/// `scalars[0] · G + scalars[1] · key`, for verification: nothing here is secret.
pub(crate) fn multiply_both(
    curve: &Curve,
    field: &Field<'_>,
    signed: &Signed<'_>,
    [of_base, of_key]: &[Number; 2],
) -> Result<Point, Error> {
    let point = |[x, y]: [Words; 2]| curve.point(field, &long(&x), &long(&y));
    let key = signed.key.each_ref().map(short);
    let sum = multiple(&key, &short(of_key)).and_then(point).ok_or(Error::Input)?;
    // A digest of zero has none.
    let base = base_multiple(&short(of_base)).and_then(point);
    Ok(base.map_or(sum, |base| field.sum(&sum, &base)))
}
