//! The arithmetic against other implementations, with random input; Wycheproof's signatures are in `wrapped`.

extern crate std;

use super::curve::{Curve, Number, P256, P384};
use super::ecdsa::Signed;
use super::montgomery::{Modulus, bit_len};
use super::{Error, rsa};
use std::vec::Vec;

fn words(bytes: &[u8]) -> Option<Number> {
    let bytes = &bytes[bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len())..];
    let mut words = Number::default();
    for (index, byte) in bytes.iter().rev().enumerate() {
        *words.get_mut(index / 4)? |= u32::from(*byte) << (index % 4 * 8);
    }
    Some(words)
}

fn verify(curve: &Curve, key: &[u8], digest: &[u8], signature: &[u8]) -> bool {
    let length = key.len() / 2;
    let (x, y) = key[1..].split_at(length);
    if signature.len() != 2 * length {
        return false;
    }
    let (r, s) = signature.split_at(length);
    let [x, y, r, s] = [x, y, r, s].map(|number| words(number).unwrap());
    curve.verify(&Signed { key: [x, y], digest, r, s }).unwrap()
}

macro_rules! agrees {
    ($name:ident, $crate_name:ident, $curve:ident, $length:literal) => {
        #[test]
        fn $name() {
            use $crate_name::ecdsa::signature::hazmat::PrehashSigner;
            use $crate_name::ecdsa::{Signature, SigningKey};
            proptest::proptest!(proptest::test_runner::Config::with_cases(24), |(
                scalar in proptest::array::uniform::<_, $length>(1_u8..),
                digest in proptest::collection::vec(proptest::num::u8::ANY, 24..=64),
                change in 0_usize..$length * 4,
            )| {
                let mut scalar = scalar;
                scalar[0] = 0x7f; // below the order
                let key = SigningKey::from_slice(&scalar).unwrap();
                let point = key.verifying_key().to_sec1_point(false);
                let signature: Signature = key.sign_prehash(&digest).unwrap();
                let signature = signature.to_bytes();
                assert!(verify(&$curve, point.as_bytes(), &digest, &signature));
                let mut wrong = [point.as_bytes()[1..].to_vec(), signature.to_vec()].concat();
                wrong[change] ^= 1;
                let (wrong_key, wrong_signature) = wrong.split_at(2 * $length);
                assert!(!verify(&$curve, &[&[4], wrong_key].concat(), &digest, wrong_signature));
                // Every signature has a mirror image, which is as good; the order is no value of s.
                assert!(!verify(&$curve, point.as_bytes(), &digest, &[&signature[..$length], &[0; $length]].concat()));
            });
        }
    };
}

agrees!(signatures_of_the_crate_p256, p256, P256, 32);
agrees!(signatures_of_the_crate_p384, p384, P384, 48);

#[test]
fn a_point_off_the_curve_is_no_key() {
    let one = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let signed = Signed { key: [one, one], digest: &[1; 32], r: one, s: one };
    assert_eq!(P256.verify(&signed), Ok(false));
}

/// The other way round: what ring signs with RSA is what its digest's padding is.
#[test]
fn rsa_powers_are_those_of_ring() {
    for (name, length) in [("rsa2048-leaf.pk8", 256), ("rsa4096-root.pk8", 512)] {
        let keys = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/tls");
        let key = ring::signature::RsaKeyPair::from_pkcs8(&std::fs::read(keys.join(name)).unwrap()).unwrap();
        let mut signature = std::vec![0; length];
        let random = ring::rand::SystemRandom::new();
        key.sign(&ring::signature::RSA_PKCS1_SHA256, &random, b"message", &mut signature).unwrap();
        let modulus = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(key.public()).n;
        let little = |bytes: &[u8]| -> Vec<u32> {
            bytes.rchunks_exact(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect()
        };
        let mut base = little(&signature);
        rsa::power(&mut base, &[65_537], &little(&modulus)).unwrap();
        let mut padded: Vec<u8> = [0, 1].into_iter().chain(std::iter::repeat_n(0xff, length - 54)).collect();
        padded
            .extend([0, 0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20]);
        padded.extend(ring::digest::digest(&ring::digest::SHA256, b"message").as_ref());
        assert_eq!(base, little(&padded), "{name}");
    }
}

proptest::proptest! {
    /// Small enough to be computed otherwise.
    #[test]
    fn powers_modulo_small_numbers(base in 0_u128.., exponent in 1_u32..5000, modulus in 1_u64.., more in 0_usize..6) {
        let modulus = u128::from(modulus | 1);
        let base = base % modulus;
        let mut expected = 1 % modulus;
        for _ in 0..exponent {
            expected = multiply(expected, base, modulus);
        }
        let split = |number: u128| -> Vec<u32> {
            let words = (0..4).map(|word| u32::try_from(number >> (32 * word) & 0xffff_ffff).unwrap());
            words.chain(std::iter::repeat_n(0, more)).collect()
        };
        let mut result = split(base);
        if base < modulus {
            rsa::power(&mut result, &[exponent], &split(modulus)).unwrap();
            assert_eq!(result, split(expected));
        }
    }
}

/// Below 2^64, so that nothing overflows.
fn multiply(a: u128, b: u128, modulus: u128) -> u128 {
    a * b % modulus
}

#[test]
fn what_has_no_inverse_is_refused() {
    for modulus in [&[2, 1, 0, 0][..], &[], &[1], &[1, 1, 1, 1, 1]] {
        assert!(Modulus::new(modulus).is_none());
    }
    assert_eq!(rsa::power(&mut [5, 0, 0, 0], &[3], &[5, 0, 0, 0]), Err(Error::Input));
    assert_eq!(rsa::power(&mut [5], &[3], &[7, 1, 0, 0]), Err(Error::Input));
    assert_eq!(bit_len(&[0, 0]), 0);
    assert_eq!(bit_len(&[1, 4]), 35);
}
