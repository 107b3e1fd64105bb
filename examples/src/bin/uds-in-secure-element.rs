//! A device secret in a secure element: made there at the first start, never typed, never in the image.
//!
//!     cargo run -p examples --bin uds-in-secure-element
//!
//! The chip here is the virtual one, kept in a file; with a real one only the two arguments of `Stsafe::new` differ.

use dice_core::{FirmwareDigest, Uds, standard};
use stsafe_a100::blocking::{Stsafe, Vault};
use stsafe_a100::sim::{Profile, VirtualChip};
use stsafe_a100::vault::{Entry, Place, Setting};

/// What this device keeps in the chip: each with a number, a length, and two places that share no zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeviceSetting {
    Uds,
    Name,
}

impl Setting for DeviceSetting {
    const TABLE: &'static [Entry<Self>] = &[
        Entry::new(Self::Uds, 1, "device secret", 32, [Place::new(0, 0), Place::new(7, 0)]).secret(),
        Entry::new(Self::Name, 2, "name", 20, [Place::new(0, 64), Place::new(7, 64)]),
    ];
}

fn main() -> anyhow::Result<()> {
    let file = std::env::args().nth(1).unwrap_or_else(|| "secure-element.json".into());
    let chip = VirtualChip::open(file.as_ref(), Profile::az3166(), VirtualChip::random_seed()?)?;
    let mut vault = Vault::open(Stsafe::new(chip.bus(), chip.delay()))?;

    if !vault.contains(DeviceSetting::Uds)? {
        println!("first start: the chip makes a secret");
        vault.generate(DeviceSetting::Uds, false)?;
        vault.set(DeviceSetting::Name, b"pump 7")?;
    }
    let mut secret = [0; 32];
    vault.get(DeviceSetting::Uds, &mut secret)?;
    let uds = Uds::from_bytes(secret)?;

    let info = standard::FirmwareInfo::new("ACME", "Widget", "1.2.3", 4);
    let identity =
        standard::Identity::derive(&uds, &FirmwareDigest::of(b"the whole firmware image")?, &info)?;
    println!("this device is {:?}", identity.device_id_key().public_key());
    println!("(start again: the same; delete {file}: another device)");
    Ok(())
}
