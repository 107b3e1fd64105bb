//! The derivations of `dice-core` written on other primitives: what the benchmarks compare with, and an independent
//! confirmation of its keys.

use crate::primitives::Primitives;

/// Salt of key pairs in the Open Profile for DICE.
const KEY_SALT: [u8; 64] = [
    0x63, 0xb6, 0xa0, 0x4d, 0x2c, 0x07, 0x7f, 0xc1, 0x0f, 0x63, 0x9f, 0x21, 0xda, 0x79, 0x38, 0x44, 0x35,
    0x6c, 0xc2, 0xb0, 0xb4, 0x41, 0xb3, 0xa7, 0x71, 0x24, 0x03, 0x5c, 0x03, 0xf8, 0xe1, 0xbe, 0x60, 0x35,
    0xd3, 0x1f, 0x28, 0x28, 0x21, 0xa7, 0x45, 0x0a, 0x02, 0x22, 0x2a, 0xb1, 0xb3, 0xcf, 0xf1, 0x67, 0x9b,
    0x05, 0xab, 0x1c, 0xa5, 0xd1, 0xaf, 0xfb, 0x78, 0x9c, 0xcd, 0x2b, 0x0b, 0x3b,
];

/// HKDF-SHA-512 for 32 bytes.
#[must_use]
pub fn hkdf<P: Primitives>(secret: &[u8], salt: &[u8], info: &[u8]) -> [u8; 32] {
    let key = P::hmac_sha512(salt, &[secret]);
    first(&P::hmac_sha512(&key, &[info, &[1]]))
}

/// `CDI_Attest` and `CDI_Seal` of the next layer.
#[must_use]
pub fn cdis<P: Primitives>(
    attest: &[u8; 32],
    seal: &[u8; 32],
    inputs: &dice_core::open_dice::InputValues<'_>,
) -> [[u8; 32]; 2] {
    let config = match inputs.config {
        dice_core::open_dice::Config::Descriptor(descriptor) => P::sha512(&[descriptor]),
        dice_core::open_dice::Config::Inline(value) => *value,
    };
    let mode = [inputs.mode as u8];
    let rest: [&[u8]; 3] = [inputs.authority_hash, &mode, inputs.hidden];
    let attest_salt = P::sha512(&[inputs.code_hash, &config, rest[0], rest[1], rest[2]]);
    [hkdf::<P>(attest, &attest_salt, b"CDI_Attest"), hkdf::<P>(seal, &P::sha512(&rest), b"CDI_Seal")]
}

/// The private scalar of a layer: the first output of HMAC_DRBG under the layer's seed.
#[must_use]
pub fn scalar<P: Primitives>(cdi: &[u8; 32]) -> [u8; 32] {
    let seed = hkdf::<P>(cdi, &KEY_SALT, b"Key Pair");
    let (mut key, mut value) = ([0; 64], [1; 64]);
    for round in [0, 1] {
        key = P::hmac_sha512(&key, &[&value, &[round], &seed]);
        value = P::hmac_sha512(&key, &[&value]);
    }
    first(&P::hmac_sha512(&key, &[&value]))
}

/// The scalars of DeviceID and alias in the `riot` profile.
#[must_use]
pub fn riot_scalars<P: Primitives>(cdi: &[u8; 32], fwid: &[u8; 32]) -> [[u8; 32]; 2] {
    let seed = P::sha256(&[cdi]);
    let alias_seed = P::sha256(&[&seed, fwid]);
    [(&seed, &b"Identity"[..]), (&alias_seed, b"Alias")].map(|(seed, label)| {
        let mut scalar = P::hmac_sha256(seed, &[&1_u32.to_le_bytes(), label, &[0], &256_u32.to_le_bytes()]);
        scalar.reverse();
        scalar
    })
}

fn first(bytes: &[u8; 64]) -> [u8; 32] {
    std::array::from_fn(|index| bytes[index])
}
