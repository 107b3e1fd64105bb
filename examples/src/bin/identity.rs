//! An identity from a secret: what a device has at every boot, without storing a private key.
//!
//!     cargo run -p examples --bin identity
//!
//! Prints the certificate chain that the device shows, leaf first. The same secret and firmware give the same chain;
//! another firmware, even by one bit, is another identity.

use dice_core::standard::{self, FirmwareInfo, Identity};
use dice_core::{FirmwareDigest, RegistrationId, Uds, pem};

fn main() -> Result<(), dice_core::Error> {
    // On a device the secret comes out of a secure element or fuses, and the image out of flash.
    let uds = Uds::from_hex("19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae")?;
    let image = b"the whole firmware image";

    let firmware = FirmwareDigest::of(image)?;
    let info = FirmwareInfo::new("ACME", "Widget", "1.2.3", 4);
    let identity = Identity::derive(&uds, &firmware, &info)?;
    drop(uds); // wiped; nothing below needs it

    let mut leaf = [0; standard::ALIAS_CERTIFICATE_MAX_LEN];
    let leaf = identity.alias_certificate(RegistrationId::new("my-device")?, &mut leaf)?;
    let mut issuer = [0; standard::DEVICE_ID_CERTIFICATE_MAX_LEN];
    let issuer = identity.device_id_certificate(&mut issuer)?;
    for certificate in [leaf, issuer] {
        let mut text = [0; 2048];
        print!("{}", pem::encode(pem::Label::Certificate, certificate, pem::Lines::Wrapped, &mut text)?);
    }

    // What TLS signs with. Everything else of the identity is wiped here.
    let key = identity.into_alias_key();
    eprintln!("the leaf's private key is in memory only: {key:?}");
    Ok(())
}
