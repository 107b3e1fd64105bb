//! Wycheproof's signatures on P-256, verified by the backend of the image and by the portable one.

use cortex_m_semihosting::hprintln;
use dice_core::hash::{Hash, Sha256};
use dice_core::key::{DefaultBackend, Portable, PublicKey, Signature};

/// Key, message and signature (fixed form), and whether it is valid.
type Case = (&'static [u8], &'static [u8], &'static [u8], bool);

const CASES: &[Case] = include!(concat!(env!("OUT_DIR"), "/vectors.rs"));

pub(crate) fn run() {
    let mut valid = 0;
    for (number, (key, message, signature, expected)) in CASES.iter().enumerate() {
        let key = PublicKey::from_sec1(key);
        let digest = Sha256::digest(message);
        let verdict = |verify: fn(&PublicKey, &[u8], &Signature) -> dice_core::Result<()>| {
            let (key, signature) = (key.as_ref().ok()?, Signature::from_slice(signature).ok()?);
            verify(key, &digest, &signature).ok()
        };
        let ours = verdict(PublicKey::verify_prehash_on::<DefaultBackend>).is_some();
        assert_eq!(ours, *expected, "case {number}");
        assert_eq!(verdict(PublicKey::verify_prehash_on::<Portable>).is_some(), *expected, "case {number}");
        valid += usize::from(ours);
    }
    hprintln!("Wycheproof's signatures\t{}\t{}", CASES.len(), valid);
}
