//! The other side: is this device ours, and does it run firmware that we admit?
//!
//!     cargo run -p examples --bin verify-chain

use dice_core::hash::{Hash, Sha256};
use dice_core::standard::{FirmwareInfo, Identity};
use dice_core::tcg::{Fwid, OperationalFlags};
use dice_core::verify::{Evidence, Policy, Reference, TrustAnchor, verify_chain};
use dice_core::{Error, FirmwareDigest, RegistrationId, Uds};

fn main() -> Result<(), Error> {
    // The verifier knows the device by its DeviceID certificate, which stays the same for every firmware.
    let anchor = device(b"firmware 1.0")?.1;

    // The firmware that may run, by digest.
    let admitted = [Fwid { algorithm: Sha256::OID, digest: &Sha256::digest(b"firmware 1.0") }];
    let flags = OperationalFlags::NOT_CONFIGURED;
    let references = [Reference { admitted_flags: flags, ..Reference::firmware(&admitted) }];
    let policy = Policy { evidence: Evidence::TcbInfo, references: Some(&references), ..Policy::default() };

    for image in [b"firmware 1.0", b"firmware 0.9"] {
        let (leaf, _) = device(image)?;
        match verify_chain(TrustAnchor::Certificate(&anchor), [&leaf[..]], policy) {
            Ok(_) => println!("{}: admitted", String::from_utf8_lossy(image)),
            Err(refused) => println!("{}: {refused}", String::from_utf8_lossy(image)),
        }
    }
    Ok(())
}

/// What a device with that firmware shows: its leaf and its DeviceID certificate.
fn device(image: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let uds = Uds::from_hex("19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae")?;
    let info = FirmwareInfo::new("ACME", "Widget", "1.2.3", 4);
    let identity = Identity::derive(&uds, &FirmwareDigest::of(image)?, &info)?;
    let (mut leaf, mut issuer) = ([0; 1024], [0; 1024]);
    let leaf = identity.alias_certificate(RegistrationId::new("my-device")?, &mut leaf)?.to_vec();
    Ok((leaf, identity.device_id_certificate(&mut issuer)?.to_vec()))
}
