//! Types that hold secrets wipe themselves when dropped and do not print what they hold.

use dice_core::hash::{Hash, Hmac, Sha256, Sha512};
use dice_core::kdf::HmacDrbg;
use dice_core::key::SecretKey;
use dice_core::layer::Layer;
#[cfg(any(feature = "ed25519", not(feature = "p384")))]
use dice_core::open_dice::{Algorithm, KeyPair};
use dice_core::open_dice::{CdiAttest, CdiSeal, Cdis, KeySeed};
use dice_core::standard::{FirmwareInfo, Identity};
use dice_core::{FirmwareDigest, Secret, Uds, riot};
use std::fmt::Debug;
use std::mem::MaybeUninit;

/// No two bytes alike, so that every piece of it is recognised.
fn secret() -> [u8; 32] {
    std::array::from_fn(|index| 0x81 ^ u8::try_from(index * 7).unwrap())
}

fn uds() -> Uds {
    Uds::from_bytes(secret()).unwrap()
}

/// The bytes a value lies in.
fn memory<T>(slot: &MaybeUninit<T>) -> Vec<u8> {
    let start = slot.as_ptr().cast::<u8>();
    // SAFETY: within the slot, which was zeroed before anything was written to it; volatile, so that what is read is
    // what lies there.
    (0..size_of::<T>()).map(|offset| unsafe { start.add(offset).read_volatile() }).collect()
}

fn holds(memory: &[u8], secret: &[u8]) -> bool {
    secret.windows(8).any(|piece| memory.windows(8).any(|place| place == piece))
}

/// Puts a value in a place, sees that it holds the secrets, drops it, and sees that they are gone.
fn check<T: Debug>(name: &str, value: T, secrets: &[&[u8]]) {
    let printed = format!("{value:?}");
    let mut slot = Box::new(MaybeUninit::<T>::zeroed());
    slot.write(value);
    for (number, secret) in secrets.iter().enumerate() {
        assert!(holds(&memory(&slot), secret), "{name}: secret {number} is not there to be wiped");
        for base in [hex::encode(secret), format!("{secret:?}").trim_matches(['[', ']']).to_owned()] {
            assert!(!printed.contains(&base), "{name} prints secret {number}: {printed}");
        }
    }
    // SAFETY: the value was written above and is not used after.
    unsafe { slot.assume_init_drop() };
    for (number, secret) in secrets.iter().enumerate() {
        assert!(!holds(&memory(&slot), secret), "{name}: secret {number} is left behind");
    }
}

#[test]
fn secrets_and_keys() {
    check("Secret", Secret::new(secret()), &[&secret()]);
    check("Uds", uds(), &[&secret()]);
    let key: SecretKey = SecretKey::from_scalar(Secret::new(secret())).unwrap();
    check("SecretKey", key, &[&secret()]);
    check("CdiAttest", CdiAttest::new(secret()), &[&secret()]);
    check("CdiSeal", CdiSeal::new(secret()), &[&secret()]);
    check("KeySeed", KeySeed::new(secret()), &[&secret()]);
    check("Cdis", Cdis::from_uds(&uds()), &[&secret()]);
    let cdi = || riot::Cdi::derive(&uds(), &riot::CoreDigest::of(&[1; 64]).unwrap());
    check("riot::Cdi", cdi(), &[cdi().expose()]);
}

/// Lets a function run a good way down the stack, and gives what it leaves there.
#[inline(never)]
fn stack_after(function: fn(&[u8; 32]), secret: &[u8; 32]) -> Vec<u8> {
    const DEPTH: usize = 16 * 1024;
    #[inline(never)]
    fn deep(function: fn(&[u8; 32]), secret: &[u8; 32]) {
        let room = std::hint::black_box([0_u8; DEPTH / 4]);
        function(secret);
        std::hint::black_box(&room);
    }
    let mut left = vec![0; DEPTH];
    let here = (&raw const left).cast::<u8>().wrapping_sub(DEPTH);
    deep(function, secret);
    for (offset, byte) in left.iter_mut().enumerate() {
        // SAFETY: the stack of a test's thread has 2 MiB, and `deep` has just used what is read here; volatile, so that
        // what is read is what lies there.
        *byte = unsafe { here.wrapping_add(offset).read_volatile() };
    }
    left
}

/// Why HMAC is this crate's own: the crate `hmac`, its feature `zeroize` included, leaves the padded key on the stack.
/// If this test fails at the first assertion, it no longer does, and can take the place of ours.
#[test]
fn hmac_leaves_no_key_on_the_stack() {
    fn theirs(key: &[u8; 32]) {
        use hmac::KeyInit;
        let mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
        std::hint::black_box(&mac);
    }
    fn ours(key: &[u8; 32]) {
        let mac = Hmac::<Sha256>::new(key);
        std::hint::black_box(&mac);
    }
    let padded = [0, 0x36, 0x5c].map(|pad| secret().map(|byte| byte ^ pad));
    let left = |function| {
        let stack = stack_after(function, &secret());
        padded.iter().any(|key| holds(&stack, key))
    };
    assert!(left(theirs), "the crate hmac wipes its keys now");
    assert!(!left(ours));
}

#[test]
fn states_of_functions() {
    let fed = |mut hash: Sha256| {
        hash.update(&secret());
        hash
    };
    check("Sha256", fed(Sha256::default()), &[&secret()]);
    let mut hash = Sha512::default();
    hash.update(&secret());
    check("Sha512", hash, &[&secret()]);
    let mut mac = Hmac::<Sha256>::new(b"key");
    mac.update(&secret());
    check("Hmac", mac, &[&secret()]);
    // Its next outputs follow from what it holds, so that the value it gave last is as secret as they are.
    let mut drbg = HmacDrbg::<Sha256>::new(&[&secret()]);
    let mut value = [0; 32];
    drbg.generate(&mut value);
    check("HmacDrbg", drbg, &[&value]);
}

#[test]
fn identities() {
    let firmware = FirmwareDigest::of(b"firmware").unwrap();
    let info = FirmwareInfo::new("ACME", "Widget", "1.2.3", 4);
    let identity = || Identity::derive(&uds(), &firmware, &info).unwrap();
    let keys = identity();
    let scalars = [keys.device_id_key(), keys.alias_key()].map(|key| *key.expose_scalar().expose());
    check("standard::Identity", identity(), &[&scalars[0], &scalars[1]]);
    check("layer::Layer", Layer::from_uds(&uds()).unwrap(), &[&secret(), &scalars[0]]);
    // With larger keys beside it, the part of the place that a P-256 key does not use is whatever lay on the stack
    // before.
    #[cfg(not(any(feature = "ed25519", feature = "p384")))]
    {
        let key = KeyPair::from_cdi(&CdiAttest::new(secret()), Algorithm::P256).unwrap();
        check("KeyPair", key, &[&scalars[0]]);
    }
    let identity = || riot::Identity::derive(&uds(), &[1; 64], b"firmware").unwrap();
    let keys = identity();
    let scalars = [keys.device_id_key(), keys.alias_key()].map(|key| *key.expose_scalar().expose());
    check("riot::Identity", identity(), &[&scalars[0], &scalars[1]]);
    // The rest is wiped when the alias key is taken out.
    check("the alias key alone", identity().into_alias_key(), &[&scalars[1]]);
}

#[cfg(feature = "ed25519")]
#[test]
fn ed25519_keys() {
    let seed = KeySeed::derive(&CdiAttest::new(secret())).unwrap();
    let key = KeyPair::from_cdi(&CdiAttest::new(secret()), Algorithm::Ed25519).unwrap();
    check("KeyPair", key, &[seed.expose()]);
}
