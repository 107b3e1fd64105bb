//! What the benchmarks compare is the same: the derivations on another library's primitives give the keys of
//! `dice-core`.

use benches::derivation;
use benches::primitives::{Primitives, Ring};
use dice_core::key::{SecretKey, Signature};
use dice_core::open_dice::{Cdis, Config, InputValues, Mode};
use dice_core::{Secret, Uds, riot, standard};

const SECRET: [u8; 32] = *b"a device secret for tests only..";

#[test]
fn of_the_open_profile_and_the_standard_profile() {
    let uds = Uds::from_bytes(SECRET).unwrap();
    let (code, authority) = ([0x5a; 64], [0xa5; 64]);
    let inputs = InputValues::new(&code, Config::Descriptor(b"\xa0"), &authority, Mode::Normal);
    let next = Cdis::from_uds(&uds).next(&inputs).unwrap();
    let cdis = derivation::cdis::<Ring>(&SECRET, &SECRET, &inputs);
    assert_eq!(cdis, [*next.attest.expose(), *next.seal.expose()]);
    let device_id: SecretKey = standard::derive_device_id(&uds).unwrap();
    assert_eq!(derivation::scalar::<Ring>(&SECRET), *device_id.expose_scalar().expose());
}

#[test]
fn of_the_riot_profile() {
    let uds = Uds::from_bytes(SECRET).unwrap();
    let cdi = riot::Cdi::derive(&uds, &riot::CoreDigest::of(b"core bytes").unwrap());
    let fwid = riot::Fwid::of(b"firmware");
    let identity: riot::Identity = riot::Identity::from_cdi(&cdi, fwid).unwrap();
    let scalars = derivation::riot_scalars::<Ring>(cdi.expose(), &fwid.0);
    assert_eq!(
        scalars,
        [identity.device_id_key(), identity.alias_key()].map(|key| *key.expose_scalar().expose())
    );
}

#[test]
fn signatures_of_the_other_library_verify_here() {
    let key: SecretKey = SecretKey::from_scalar(Secret::new([7; 32])).unwrap();
    let signature = Ring::sign(&Ring::key(&[7; 32], key.public_key().as_sec1()), b"message");
    key.public_key().verify(b"message", &Signature::from_der(&signature).unwrap()).unwrap();
}
