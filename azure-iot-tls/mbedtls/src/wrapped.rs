//! What the linker's `--wrap` puts in the place of two functions of Mbed TLS: ECDSA's verification on P-256 and P-384,
//! and RSA's public operation. Without it nobody calls them.

use core::ffi::{c_int, c_uchar};
use core::{ptr, slice};

use mbedtls_rs::sys::{
    MBEDTLS_ASN1_CONSTRUCTED, MBEDTLS_ASN1_SEQUENCE, MBEDTLS_ERR_ASN1_LENGTH_MISMATCH,
    MBEDTLS_ERR_ECP_ALLOC_FAILED, MBEDTLS_ERR_ECP_BAD_INPUT_DATA, MBEDTLS_ERR_ECP_SIG_LEN_MISMATCH,
    MBEDTLS_ERR_ECP_VERIFY_FAILED, MBEDTLS_ERR_MPI_ALLOC_FAILED, mbedtls_asn1_get_mpi, mbedtls_asn1_get_tag,
    mbedtls_ecdsa_verify, mbedtls_ecp_group_id_MBEDTLS_ECP_DP_SECP256R1 as SECP256R1,
    mbedtls_ecp_group_id_MBEDTLS_ECP_DP_SECP384R1 as SECP384R1, mbedtls_ecp_keypair, mbedtls_ecp_point,
    mbedtls_mpi, mbedtls_mpi_copy, mbedtls_mpi_exp_mod, mbedtls_mpi_grow, mbedtls_mpi_uint,
};

use crate::arithmetic::curve::{P256, P384};
use crate::arithmetic::ecdsa::Signed;
use crate::arithmetic::montgomery::bit_len;
use crate::arithmetic::{Error, rsa};
use crate::structure::Mpi;

/// Words of 32 bits in a limb of Mbed TLS's.
const LIMB: usize = size_of::<mbedtls_mpi_uint>() / size_of::<u32>();

#[cfg(target_endian = "big")]
compile_error!("limbs are read as words, the lowest first");

/// `mbedtls_ecdsa_read_signature`: the same results, for the same reasons.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_mbedtls_ecdsa_read_signature(
    key: *mut mbedtls_ecp_keypair,
    hash: *const c_uchar,
    hash_length: usize,
    signature: *const c_uchar,
    signature_length: usize,
) -> c_int {
    // SAFETY: Mbed TLS gives a key with its group, and bytes of these lengths, which stay as they are.
    unsafe {
        let mut at = signature.cast_mut();
        let end = signature.add(signature_length);
        let mut length = 0;
        let sequence = tag(MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE);
        let code = mbedtls_asn1_get_tag(&raw mut at, end, &raw mut length, sequence);
        if code != 0 {
            return code + MBEDTLS_ERR_ECP_BAD_INPUT_DATA;
        }
        if end.offset_from(at).cast_unsigned() != length {
            return MBEDTLS_ERR_ECP_BAD_INPUT_DATA + MBEDTLS_ERR_ASN1_LENGTH_MISMATCH;
        }
        let (r, s) = (Mpi::new(), Mpi::new());
        for number in [&r, &s] {
            let code = mbedtls_asn1_get_mpi(&raw mut at, end, number.as_ptr());
            if code != 0 {
                return code + MBEDTLS_ERR_ECP_BAD_INPUT_DATA;
            }
        }
        let code = verify(key, bytes(hash, hash_length), r.as_ptr(), s.as_ptr());
        if code == 0 && at.cast_const() != end { MBEDTLS_ERR_ECP_SIG_LEN_MISMATCH } else { code }
    }
}

#[expect(clippy::cast_possible_wrap, reason = "a small number")]
const fn tag(number: u32) -> c_int {
    number as c_int
}

/// # Safety
/// The pointer may be null if there are no bytes.
unsafe fn bytes<'b>(start: *const c_uchar, length: usize) -> &'b [u8] {
    // SAFETY: the caller's.
    if length == 0 { &[] } else { unsafe { slice::from_raw_parts(start, length) } }
}

/// # Safety
/// A key with its group; numbers that are initialised.
unsafe fn verify(
    key: *mut mbedtls_ecp_keypair,
    digest: &[u8],
    r: *const mbedtls_mpi,
    s: *const mbedtls_mpi,
) -> c_int {
    // SAFETY: the caller's.
    let verified = unsafe {
        match (*key).private_grp.id {
            SECP256R1 => signed(key, digest, r, s).map(|signed| verify_p256(&signed)),
            SECP384R1 => signed(key, digest, r, s).map(|signed| P384.verify(&signed)),
            _ => {
                let group = &raw mut (*key).private_grp;
                let point = &raw const (*key).private_Q;
                return mbedtls_ecdsa_verify(group, digest.as_ptr(), digest.len(), point, r, s);
            }
        }
    };
    match verified {
        Some(Ok(true)) => 0,
        Some(Err(Error::Memory)) => MBEDTLS_ERR_ECP_ALLOC_FAILED,
        Some(Ok(false) | Err(Error::Input)) | None => MBEDTLS_ERR_ECP_VERIFY_FAILED,
    }
}

#[cfg(not(all(feature = "p256-cm4", target_arch = "arm")))]
fn verify_p256(signed: &Signed<'_>) -> Result<bool, Error> {
    P256.verify(signed)
}

#[cfg(all(feature = "p256-cm4", target_arch = "arm"))]
fn verify_p256(signed: &Signed<'_>) -> Result<bool, Error> {
    P256.verify_with(signed, crate::p256::multiply_both)
}

/// What is to be verified; `None` if a number is longer than the curve's.
///
/// # Safety
/// As above.
unsafe fn signed(
    key: *const mbedtls_ecp_keypair,
    digest: &[u8],
    r: *const mbedtls_mpi,
    s: *const mbedtls_mpi,
) -> Option<Signed<'_>> {
    // SAFETY: the caller's.
    unsafe {
        // Mbed TLS reads keys as affine points.
        let key = coordinates(&raw const (*key).private_Q)?;
        Some(Signed { key, digest, r: number(r)?, s: number(s)? })
    }
}

/// The coordinates of a point; `None` if it is not affine, or they have more words than that.
///
/// # Safety
/// It must be initialised.
pub(crate) unsafe fn coordinates<const WORDS: usize>(
    point: *const mbedtls_ecp_point,
) -> Option<[[u32; WORDS]; 2]> {
    // SAFETY: the caller's.
    unsafe {
        let z = number::<WORDS>(&raw const (*point).private_Z)?;
        let affine = z.iter().zip(1..).all(|(word, place)| *word == u32::from(place == 1));
        let [x, y] = [&raw const (*point).private_X, &raw const (*point).private_Y];
        affine.then_some([number(x)?, number(y)?])
    }
}

/// The words of a number, which may be more than it needs; none of a negative one.
///
/// # Safety
/// It must be initialised, and stay as it is as long as `'w`.
unsafe fn words<'w>(number: *const mbedtls_mpi) -> &'w [u32] {
    // SAFETY: the caller's. Unless its pointer is null, a number has that many limbs, each of which is a word or two.
    unsafe {
        let (start, limbs) = ((*number).private_p, usize::from((*number).private_n));
        if start.is_null() || (*number).private_s < 0 {
            return &[];
        }
        slice::from_raw_parts(start.cast::<u32>(), limbs * LIMB)
    }
}

/// A number in so many words; `None` if it is negative or has more.
///
/// # Safety
/// It must be initialised.
pub(crate) unsafe fn number<const WORDS: usize>(number: *const mbedtls_mpi) -> Option<[u32; WORDS]> {
    // SAFETY: the caller's.
    let words = unsafe {
        if (*number).private_s < 0 {
            return None;
        }
        words(number)
    };
    let (low, high) = words.split_at(words.len().min(WORDS));
    let mut out = [0; WORDS];
    out.iter_mut().zip(low).for_each(|(to, from)| *to = *from);
    high.iter().all(|word| *word == 0).then_some(out)
}

/// `mbedtls_mpi_exp_mod_unsafe`: `x = base^exponent` modulo `modulus`, none of which is secret. What RSA does not need
/// is left to Mbed TLS.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_mbedtls_mpi_exp_mod_unsafe(
    x: *mut mbedtls_mpi,
    base: *const mbedtls_mpi,
    exponent: *const mbedtls_mpi,
    modulus: *const mbedtls_mpi,
    prepared: *mut mbedtls_mpi,
) -> c_int {
    // SAFETY: Mbed TLS gives initialised numbers. `x` is written only if exponent and modulus are others (`apart`), and
    // has room then for as many limbs as are used of it.
    unsafe {
        // Mbed TLS reads moduli with a zero in front.
        let (power, modulus_words) = (words(exponent), words(modulus));
        let length = bit_len(modulus_words).div_ceil(32);
        let modulus_words = modulus_words.get(..length).unwrap_or_default();
        let apart = !ptr::eq(x, exponent) && !ptr::eq(x, modulus);
        let ours = apart && power.iter().any(|word| *word != 0) && length > 0;
        if ours && (*base).private_s > 0 {
            let code = mbedtls_mpi_copy(x, base);
            let code = if code == 0 { mbedtls_mpi_grow(x, length.div_ceil(LIMB)) } else { code };
            if code != 0 {
                return code;
            }
            let all = usize::from((*x).private_n) * LIMB;
            let (low, high) =
                slice::from_raw_parts_mut((*x).private_p.cast::<u32>(), all).split_at_mut(length);
            let below = high.iter().all(|word| *word == 0);
            match if below { rsa::power(low, power, modulus_words) } else { Err(Error::Input) } {
                Ok(()) => return 0,
                Err(Error::Memory) => return MBEDTLS_ERR_MPI_ALLOC_FAILED,
                // An even modulus; or a base that is not below it, which RSA does not have. `x` has its value.
                Err(Error::Input) => return mbedtls_mpi_exp_mod(x, x, exponent, modulus, prepared),
            }
        }
        mbedtls_mpi_exp_mod(x, base, exponent, modulus, prepared)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use mbedtls_rs::sys::{
        mbedtls_ecdsa_read_signature, mbedtls_ecp_group_id, mbedtls_ecp_group_load, mbedtls_ecp_keypair_free,
        mbedtls_ecp_keypair_init, mbedtls_ecp_point_read_binary, mbedtls_mpi_cmp_mpi,
        mbedtls_mpi_read_binary,
    };
    use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};
    use serde_json::Value;
    use std::vec::Vec;

    struct Key(std::boxed::Box<mbedtls_ecp_keypair>);

    impl Key {
        fn new(curve: mbedtls_ecp_group_id, point: &[u8]) -> Self {
            let mut key = Self(std::boxed::Box::default());
            // SAFETY: a structure of its own, and bytes of that length.
            unsafe {
                mbedtls_ecp_keypair_init(&raw mut *key.0);
                assert_eq!(mbedtls_ecp_group_load(&raw mut key.0.private_grp, curve), 0);
                let group = &raw mut key.0.private_grp;
                let to = &raw mut key.0.private_Q;
                assert_eq!(mbedtls_ecp_point_read_binary(group, to, point.as_ptr(), point.len()), 0);
            }
            key
        }

        /// What Mbed TLS says, and what we say.
        fn both(&mut self, digest: &[u8], signature: &[u8]) -> (c_int, c_int) {
            let (key, digest, length) = (&raw mut *self.0, digest.as_ptr(), digest.len());
            // SAFETY: as above.
            unsafe {
                (
                    mbedtls_ecdsa_read_signature(key, digest, length, signature.as_ptr(), signature.len()),
                    __wrap_mbedtls_ecdsa_read_signature(
                        key,
                        digest,
                        length,
                        signature.as_ptr(),
                        signature.len(),
                    ),
                )
            }
        }
    }

    impl Drop for Key {
        fn drop(&mut self) {
            // SAFETY: made by `new`.
            unsafe { mbedtls_ecp_keypair_free(&raw mut *self.0) };
        }
    }

    #[test]
    fn wycheproof_signatures_have_the_results_of_mbed_tls() {
        let sets = [
            ("secp256r1_sha256", SECP256R1, &ring::digest::SHA256),
            ("secp384r1_sha384", SECP384R1, &ring::digest::SHA384),
        ];
        for (name, curve, hash) in sets {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
            let file = std::fs::read(folder.join(std::format!("wycheproof_ecdsa_{name}.json"))).unwrap();
            let all: Value = serde_json::from_slice(&file).unwrap();
            let bytes = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap();
            let mut count = 0;
            for group in all["testGroups"].as_array().unwrap() {
                let mut key = Key::new(curve, &bytes(&group["publicKey"]["uncompressed"]));
                for test in group["tests"].as_array().unwrap() {
                    let digest = ring::digest::digest(hash, &bytes(&test["msg"]));
                    let (theirs, ours) = key.both(digest.as_ref(), &bytes(&test["sig"]));
                    assert_eq!(ours, theirs, "{test}");
                    // Mbed TLS takes some encodings that are not DER; nothing else.
                    assert!(
                        ours != 0 || test["result"] != "invalid" || !is_strict(&bytes(&test["sig"])),
                        "{test}"
                    );
                    assert!(ours == 0 || test["result"] != "valid", "{test}");
                    count += 1;
                }
            }
            assert_eq!(count, all["numberOfTests"]);
        }
    }

    fn is_strict(signature: &[u8]) -> bool {
        p256::ecdsa::Signature::from_der(signature).is_ok()
            || p384::ecdsa::Signature::from_der(signature).is_ok()
    }

    /// A number of Mbed TLS's.
    fn mpi(bytes: &[u8]) -> Mpi {
        let number = Mpi::new();
        // SAFETY: initialised, and bytes of that length.
        assert_eq!(unsafe { mbedtls_mpi_read_binary(number.as_ptr(), bytes.as_ptr(), bytes.len()) }, 0);
        number
    }

    fn odd() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(any::<u8>(), 1..300).prop_map(|mut bytes| {
            bytes.iter_mut().last().into_iter().for_each(|last| *last |= 1);
            bytes
        })
    }

    proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(60))]
        /// Moduli of every length, with zeros in front, and bases that are not below them.
        #[test]
        fn powers_are_those_of_mbed_tls(modulus in odd(), base in odd(), exponent in any::<u32>()) {
            let (modulus, base, exponent) = (mpi(&modulus), mpi(&base), mpi(&exponent.to_be_bytes()));
            let (ours, theirs) = (Mpi::new(), Mpi::new());
            // SAFETY: initialised numbers.
            unsafe {
                let (base, exponent, modulus) = (base.as_ptr(), exponent.as_ptr(), modulus.as_ptr());
                let none = ptr::null_mut();
                let code = __wrap_mbedtls_mpi_exp_mod_unsafe(ours.as_ptr(), base, exponent, modulus, none);
                prop_assert_eq!(code, mbedtls_mpi_exp_mod(theirs.as_ptr(), base, exponent, modulus, none));
                prop_assert_eq!(mbedtls_mpi_cmp_mpi(ours.as_ptr(), theirs.as_ptr()), 0);
            }
        }
    }
}
