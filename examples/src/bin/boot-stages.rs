//! An identity for three boot stages: each measures the next one and certifies its key, and none can do more.
//!
//!     cargo run -p examples --bin boot-stages
//!
//! A stage that was replaced has another certificate, and so have all after it; the secrets before it stay out of its
//! reach.

use dice_core::layer::{Layer, Leaf};
use dice_core::standard::FirmwareInfo;
use dice_core::x509::Validity;
use dice_core::{Error, FirmwareDigest, RegistrationId, Uds};

fn main() -> Result<(), Error> {
    let (first, _) = boot(b"loader", b"application 1.0")?;
    let (again, _) = boot(b"loader", b"application 1.0")?;
    let (updated, sealed) = boot(b"loader", b"application 1.1")?;
    let (replaced, other_sealed) = boot(b"another loader", b"application 1.1")?;
    println!("the same software:    the chain is {}", if first == again { "the same" } else { "another" });
    println!("another application:  the loader's certificate is {}", same(&first[1], &updated[1]));
    println!("                      the application's certificate is {}", same(&first[2], &updated[2]));
    println!("another loader:       the loader's certificate is {}", same(&updated[1], &replaced[1]));
    println!(
        "                      its storage key is {}: an updated loader reads its data",
        same(&sealed, &other_sealed)
    );
    Ok(())
}

fn same(one: &[u8], other: &[u8]) -> &'static str {
    if one == other { "the same" } else { "another" }
}

/// The chain, root first, and the loader's storage key.
fn boot(loader: &[u8], application: &[u8]) -> Result<([Vec<u8>; 3], Vec<u8>), Error> {
    let mut buffers = [[0; 1024]; 3];
    let [root, middle, leaf] = &mut buffers;

    // The first stage, in ROM: it alone reads the device's secret.
    let uds = Uds::from_hex("19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae")?;
    let hardware = Layer::from_uds(&uds)?;
    drop(uds);
    let root = hardware.device_id_certificate(Validity::NO_EXPIRY, root)?.to_vec();
    let info = FirmwareInfo::new("ACME", "loader", "1.0.0", 1);
    let (layer, middle) = hardware.next(&FirmwareDigest::of(loader)?, &info, Validity::NO_EXPIRY, middle)?;

    // The loader has `layer`, and can encrypt what only a loader of the same vendor and mode on this device reads
    // again.
    let sealed = layer.sealing_key(b"file system")?.expose().to_vec();
    let info = FirmwareInfo::new("ACME", "application", "2.3.4", 7);
    let purpose = Leaf::tls_client(RegistrationId::new("my-device")?);
    let firmware = FirmwareDigest::of(application)?;
    let (_alias_key, leaf) = layer.leaf(&firmware, &info, &purpose, Validity::NO_EXPIRY, leaf)?;

    // The application has its key and the chain, and nothing to make another one with.
    Ok(([root, middle.to_vec(), leaf.to_vec()], sealed))
}
