//! The table on the AZ3166's chip, and what the original firmware left in it.

use devkit_settings::{Setting, VaultError, pairing::level1_keys};
use stsafe_a100::Irreversible;
use stsafe_a100::blocking::{Stsafe, Vault};
use stsafe_a100::sim::{Profile, VirtualBus, VirtualChip, VirtualDelay, ZoneProfile};
use stsafe_a100::vault::Stored;

/// What the original would have stored, by zone, in the order of [`Setting::ALL`].
const FORMER: [(u8, &[u8]); 4] = [
    (6, b"19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae\0"),
    (3, b"HomeAP\0"),
    (10, b"correct-horse-9\0"),
    (5, b"HostName=example.azure-devices.net;DeviceId=dev-1;SharedAccessKey=MDEyMw==\0"),
];

fn driver(chip: &VirtualChip) -> Stsafe<VirtualBus, VirtualDelay> {
    Stsafe::new(chip.bus(), chip.delay())
}

/// The usable sizes of the AZ3166's zones, the smallest its chip can have.
fn smallest() -> VirtualChip {
    let sizes = [(0, 976), (2, 192), (3, 120), (5, 584), (6, 680), (7, 784), (8, 880), (10, 88)];
    let zones = sizes.map(|(index, size)| ZoneProfile::open(index, size)).to_vec();
    VirtualChip::new(Profile { zones, ..Profile::az3166() }, [7; 32])
}

fn value(setting: Setting) -> Vec<u8> {
    (1..=u8::MAX).cycle().take(setting.max_len()).collect()
}

#[test]
fn the_longest_value_of_every_setting_returns_from_the_smallest_chip() {
    let chip = smallest();
    for setting in Setting::ALL {
        assert_eq!(Vault::open(driver(&chip)).unwrap().set(setting, &value(setting)), Ok(Stored::New));
    }
    for setting in Setting::ALL {
        let mut out = vec![0; setting.max_len()];
        assert_eq!(Vault::open(driver(&chip)).unwrap().get(setting, &mut out), Ok(Some(out.len())));
        assert_eq!(out, value(setting));
    }
}

#[test]
fn what_cannot_be_a_uds_is_refused() {
    let mut vault = Vault::open(driver(&smallest())).unwrap();
    for bad in [&[0; 32][..], &[0xFF; 32], &[1; 31], &[]] {
        assert_eq!(vault.set(Setting::Uds, bad), Err(VaultError::Value(Setting::Uds)));
    }
}

#[test]
fn the_originals_settings_are_read_adopted_and_wiped() {
    for paired in [false, true] {
        let chip = VirtualChip::new(Profile::az3166(), [7; 32]);
        for (zone, text) in FORMER {
            chip.set_zone(zone, 0, text);
        }
        if paired {
            // As the original leaves it at its level 1: whole zones in envelopes, under public keys.
            let token = Irreversible::i_know_this_cannot_be_undone();
            chip.set_envelope_key(0, &[0xC3; 16]);
            driver(&chip).put_host_keys(&level1_keys(), token).unwrap();
            let mut host = driver(&chip).host_session(level1_keys());
            for ((zone, text), usable) in FORMER.into_iter().zip([680, 120, 88, 584]) {
                let mut whole = vec![0; usable];
                whole[..text.len()].copy_from_slice(text);
                for (at, piece) in (0..).step_by(488).zip(whole.chunks(480)) {
                    let mut envelope = [0; 488];
                    let len = host.wrap(0, piece, &mut envelope).unwrap();
                    host.update(zone, at, &envelope[..len]).unwrap();
                }
            }
        }
        let open = || Vault::open(driver(&chip).host_session_if(paired.then(level1_keys), None)).unwrap();
        for round in 0..2 {
            for (setting, (_, text)) in Setting::ALL.into_iter().zip(FORMER) {
                let mut out = [0; 512];
                let len = open().get(setting, &mut out).unwrap().unwrap();
                match setting {
                    Setting::Uds => assert_eq!((len, out[0], out[31]), (32, 0x19, 0xAE)),
                    _ => assert_eq!(out[..len], text[..text.len() - 1]),
                }
            }
            let wiped = |(zone, _): (u8, &[u8])| chip.zone(zone).unwrap()[..88].iter().all(|byte| *byte == 0);
            assert_eq!(FORMER.into_iter().all(wiped), round == 1);
            open().adopt().unwrap();
        }
    }
}
