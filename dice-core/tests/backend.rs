//! Whoever holds the key or does the arithmetic: a chip's key slot, an asynchronous signer and another backend give the
//! certificates that a key in memory gives.

use dice_core::key::{P256, Portable, PublicKey, SecretKey, Signature, Signer};
use dice_core::standard::{
    AliasCertificate, DeviceIdCertificate, FirmwareInfo, Identity, PossessionCertificate, VerificationCode,
    derive_device_id, device_id_request,
};
use dice_core::x509::Validity;
use dice_core::{Error, FirmwareDigest, RegistrationId, Secret, Uds};
use std::cell::Cell;

const SECRET: [u8; 32] = *b"a device secret for tests only..";
const INFO: FirmwareInfo<'_> = FirmwareInfo::new("ACME", "Widget", "1.2.3", 4);

fn firmware() -> FirmwareDigest {
    FirmwareDigest::of(b"firmware").unwrap()
}

fn id() -> RegistrationId<'static> {
    RegistrationId::new("my-device").unwrap()
}

fn identity() -> Identity<'static> {
    Identity::derive(&Uds::from_bytes(SECRET).unwrap(), &firmware(), &INFO).unwrap()
}

/// A chip with one key slot, on a bus that may fail.
struct Chip {
    slot: SecretKey,
    works: bool,
    signatures: usize,
}

#[derive(Debug, PartialEq)]
enum ChipError {
    Bus,
    Dice(Error),
}

impl From<Error> for ChipError {
    fn from(error: Error) -> Self {
        Self::Dice(error)
    }
}

impl Signer for Chip {
    type Error = ChipError;

    fn public_key(&self) -> &PublicKey {
        self.slot.public_key()
    }

    fn sign_sha256(&mut self, digest: &[u8; 32]) -> Result<Signature, ChipError> {
        if !self.works {
            return Err(ChipError::Bus);
        }
        self.signatures += 1;
        Ok(self.slot.sign_prehash::<dice_core::hash::Sha256>(digest))
    }
}

fn chip() -> Chip {
    Chip { slot: derive_device_id(&Uds::from_bytes(SECRET).unwrap()).unwrap(), works: true, signatures: 0 }
}

fn alias<'a>(
    issuer: &'a PublicKey,
    key: &'a PublicKey,
    firmware: &'a FirmwareDigest,
) -> AliasCertificate<'a> {
    AliasCertificate { issuer, key, id: id(), firmware, info: INFO, validity: Validity::NO_EXPIRY }
}

#[test]
fn a_key_in_a_chip_issues_the_same_certificates() {
    let (identity, firmware, mut chip) = (identity(), firmware(), chip());
    let (mut ours, mut theirs) = ([0; 1024], [0; 1024]);
    let validity = Validity::NO_EXPIRY;
    let key = *chip.public_key();
    let code = VerificationCode::new("106A5SD2").unwrap();

    let leaf = alias(&key, identity.alias_key().public_key(), &firmware);
    let leaf = leaf.to_be_signed(&mut theirs).unwrap().sign(&mut chip).unwrap();
    assert_eq!(leaf, identity.alias_certificate(id(), &mut ours).unwrap());
    let root = DeviceIdCertificate { key: &key, path_len: Some(0), validity };
    let root = root.to_be_signed(&mut theirs).unwrap().sign(&mut chip).unwrap();
    assert_eq!(root, identity.device_id_certificate(&mut ours).unwrap());
    let proof = PossessionCertificate { key: &key, code, validity };
    let proof = proof.to_be_signed(&mut theirs).unwrap().sign(&mut chip).unwrap();
    assert_eq!(proof, identity.possession_certificate(code, &mut ours).unwrap());
    let request = device_id_request(&key, &mut theirs).unwrap().sign(&mut chip).unwrap();
    assert_eq!(request, identity.device_id_request(&mut ours).unwrap());
    assert_eq!(chip.signatures, 4);
}

#[test]
fn what_the_chip_reports_is_passed_on() {
    let mut chip = Chip { works: false, ..chip() };
    let key = *chip.public_key();
    let mut out = [0; 1024];
    let root = DeviceIdCertificate { key: &key, path_len: None, validity: Validity::NO_EXPIRY };
    assert_eq!(root.to_be_signed(&mut out).unwrap().sign(&mut chip), Err(ChipError::Bus));
    chip.works = true;
    let len = root.to_be_signed(&mut out).unwrap().sign(&mut chip).unwrap().len();
    // Room for the part to be signed, and none for a signature.
    let short = root.to_be_signed(&mut out[..len - 1]);
    assert!(matches!(
        short.map(|tbs| tbs.sign(&mut chip)),
        Ok(Err(ChipError::Dice(Error::BufferTooSmall { .. })))
    ));
}

#[test]
fn a_signature_that_comes_later_finishes_the_certificate() {
    let (identity, firmware) = (identity(), firmware());
    let (mut ours, mut theirs) = ([0; 1024], [0; 1024]);
    let keys = (identity.device_id_key(), identity.alias_key());
    let unsigned = alias(keys.0.public_key(), keys.1.public_key(), &firmware);
    let unsigned = unsigned.to_be_signed(&mut theirs).unwrap();
    let digest = unsigned.digest();
    let later = keys.0.sign_prehash::<dice_core::hash::Sha256>(&digest);
    assert_eq!(unsigned.finish(&later).unwrap(), identity.alias_certificate(id(), &mut ours).unwrap());
}

thread_local! {
    static MULTIPLICATIONS: Cell<usize> = const { Cell::new(0) };
}

/// Somebody else's arithmetic, which is seen to be used.
#[derive(Debug)]
struct Counting;

impl P256 for Counting {
    fn mul_base(scalar: &Secret<32>) -> ([u8; 32], [u8; 32]) {
        MULTIPLICATIONS.set(MULTIPLICATIONS.get() + 1);
        Portable::mul_base(scalar)
    }
}

#[test]
fn another_backend_does_all_of_the_multiplications() {
    let uds = Uds::from_bytes(SECRET).unwrap();
    let other = Identity::<Counting>::derive_on(&uds, &firmware(), &INFO).unwrap();
    assert_eq!(MULTIPLICATIONS.get(), 2, "DeviceID and alias key");
    let (mut ours, mut theirs) = ([0; 1024], [0; 1024]);
    let (identity, id) = (identity(), id());
    assert_eq!(
        other.alias_certificate(id, &mut theirs).unwrap(),
        identity.alias_certificate(id, &mut ours).unwrap()
    );
    assert_eq!(
        other.device_id_certificate(&mut theirs).unwrap(),
        identity.device_id_certificate(&mut ours).unwrap()
    );
    assert_eq!(MULTIPLICATIONS.get(), 4, "and one for each signature");
}
