//! The driver behind the traits of other crates, and signatures in the forms TLS wants.

mod common;

use common::bus::{NoDelay, block_on};
use common::fake::{Fake, Fault, Slow, keys, signing_key};
use embedded_hal::i2c::ErrorKind;
use p256::ecdsa::signature::hazmat::{AsyncPrehashSigner, PrehashSigner};
use p256::ecdsa::signature::{AsyncSigner, Signer, Verifier};
use p256::ecdsa::{DerSignature, Signature, VerifyingKey};
use proptest::prelude::*;
use rand_core::{TryCryptoRng, TryRng};
use stsafe_a100::config::{CommandAccess, Config, Encryption, Rules, Timing};
use stsafe_a100::error::InputError;
use stsafe_a100::types::{Code, MAX_DER_SIGNATURE};
use stsafe_a100::{Error, asynch, blocking};

fn config() -> Config {
    let mut config = Config::default();
    config.timing = Timing::POLL_AT_ONCE;
    config
}

fn chip() -> blocking::Stsafe<Fake, NoDelay> {
    blocking::Stsafe::with_config(Fake::new(), NoDelay::default(), config())
}

/// What a TLS stack does with a client key, whatever the key is.
fn certificate_verify(key: &impl Signer<Signature>, transcript: &[u8]) -> DerSignature {
    key.sign(transcript).to_der()
}

#[test]
fn a_slot_key_signs_for_tls() {
    let mut chip = chip();
    let der = certificate_verify(&chip.slot_key(0), b"transcript");
    VerifyingKey::from(&signing_key()).verify(b"transcript", &der).unwrap();

    // On an A110 whose table wants it, in a host session and encrypted both ways.
    let both = Encryption { command: true, response: true };
    let rules = Rules::A110.with(Code::GenerateSignature, CommandAccess::Host, both);
    let mut config = config();
    config.rules = rules;
    let mut chip = blocking::Stsafe::with_config(Fake { rules, ..Fake::new() }, NoDelay::default(), config);
    assert!(Signer::<Signature>::try_sign(&chip.slot_key(0), b"transcript").is_err());
    let mut chip = chip.host_session(keys());
    let der = certificate_verify(&chip.slot_key(0), b"transcript");
    VerifyingKey::from(&signing_key()).verify(b"transcript", &der).unwrap();
}

#[test]
fn prehash_and_message_agree_and_so_do_both_fronts() {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(b"message");
    let mut blocking = chip();
    let key = blocking.slot_key(0);
    let signature: Signature = key.sign_prehash(&digest).unwrap();
    let whole: Signature = key.sign(b"message");
    assert_eq!(signature, whole);

    let slow = Slow { fake: Fake::new(), wait: None };
    let mut chip = asynch::Stsafe::with_config(slow, NoDelay::default(), config());
    let key = chip.slot_key(0);
    let prehash: Signature = block_on(key.sign_prehash_async(&digest)).unwrap();
    let whole: Signature = block_on(key.sign_async(b"message")).unwrap();
    assert_eq!((prehash, whole), (signature, signature));
}

#[test]
fn a_key_in_use_is_busy_and_a_refused_digest_is_an_error() {
    let slow = Slow { fake: Fake::new(), wait: Some((0, true)) };
    let mut chip = asynch::Stsafe::with_config(slow, NoDelay::default(), config());
    let key = chip.slot_key(0);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    {
        let first = std::pin::pin!(key.sign_digest(&[1; 32]));
        assert!(first.poll(&mut context).is_pending());
        // The pinned future lives to the end of this block.
        let second = block_on(key.sign_digest(&[1; 32]));
        assert_eq!(second.unwrap_err(), Error::Input(InputError::Busy));
    }
    assert!(block_on(key.sign_digest(&[1; 32])).is_ok());
    let zeros: Result<Signature, _> = block_on(key.sign_prehash_async(&[0; 32]));
    assert!(zeros.is_err());
}

#[test]
fn a_signature_of_another_curve_does_not_convert() {
    let mut chip = chip();
    let key = chip.slot_key(0);
    let result: Result<p256::ecdsa::Signature, _> = key.sign_prehash(&[1; 48]);
    assert!(result.is_err());
}

/// Takes any random generator fit for keys.
fn seed(rng: &mut impl TryCryptoRng) -> Option<[u8; 300]> {
    let mut seed = [0; 300];
    rng.try_fill_bytes(&mut seed).ok()?;
    Some(seed)
}

#[test]
fn the_chip_is_a_random_generator() {
    let mut chip = chip();
    assert_eq!(seed(&mut chip), Some([0x5A; 300]));
    assert_eq!(chip.try_next_u32(), Ok(0x5A5A_5A5A));
    assert_eq!(chip.try_next_u64(), Ok(0x5A5A_5A5A_5A5A_5A5A));
    assert_eq!(chip.release().0.commands, 4);

    let fault = Some(Fault::Transfer { at: 0, times: 1, kind: ErrorKind::Other });
    let mut chip = blocking::Stsafe::with_config(Fake { fault, ..Fake::new() }, NoDelay::default(), config());
    assert!(chip.try_next_u32().is_err());
}

proptest! {
    #[test]
    fn der_as_the_ecdsa_crate_writes_it(
        r in any::<[u8; 32]>(),
        s in any::<[u8; 32]>(),
        zeros in 0usize..4,
    ) {
        let (mut r, mut s) = (r, s);
        // Shorter numbers are rare otherwise; below the order, not zero.
        r[..=zeros].fill(0);
        s[0] &= 0x7F;
        (r[31], s[31]) = (r[31] | 1, s[31] | 1);
        let ours = stsafe_a100::types::Signature::new(&r, &s).unwrap();
        let theirs = Signature::from_slice(ours.to_bytes()).unwrap();
        let theirs = theirs.to_der();
        let mut out = [0; MAX_DER_SIGNATURE];
        prop_assert_eq!(ours.to_der(&mut out), theirs.as_bytes());
    }
}
