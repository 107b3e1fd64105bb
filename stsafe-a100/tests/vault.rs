//! The vault on virtual chips: what it stores, what it reads of the original's, what it refuses.

mod common {
    pub mod settings;
    pub mod vault;
}

use common::vault::{
    AnyVault, LEGACY, PlainVault, Read, Setting, UDS, az3166, driver, keys, legacy_envelopes, legacy_value,
    pair, plain, sealed, smallest, value,
};
use stsafe_a100::Irreversible;
use stsafe_a100::blocking::Vault;
use stsafe_a100::error::Error as ChipError;
use stsafe_a100::error::Status;
use stsafe_a100::session::HostKeys;
use stsafe_a100::sim::{Fault, Profile, VirtualChip};
use stsafe_a100::vault::{Stored, VaultError};

const ZONES: [u8; 8] = [0, 2, 3, 5, 6, 7, 8, 10];

fn memory(chip: &VirtualChip) -> Vec<Vec<u8>> {
    ZONES.iter().map(|zone| chip.zone(*zone).unwrap()).collect()
}

/// Whether these bytes stand in any zone.
fn contains(chip: &VirtualChip, bytes: &[u8]) -> bool {
    memory(chip).iter().any(|zone| zone.windows(bytes.len()).any(|window| window == bytes))
}

#[test]
fn values_return_plain() {
    let chip = smallest();
    let mut vault = plain(&chip);
    for setting in Setting::ALL {
        assert_eq!(vault.read(setting), Ok(None));
        for (seed, expected) in [(1, Stored::New), (2, Stored::Replaced), (2, Stored::Unchanged)] {
            assert_eq!(vault.set(setting, &value(setting, seed)), Ok(expected));
        }
        assert!(vault.contains(setting).unwrap());
    }
    // Another driver, as after a restart.
    let mut vault = plain(&chip);
    for setting in Setting::ALL {
        assert_eq!(vault.read(setting), Ok(Some(value(setting, 2))));
        assert!(!contains(&chip, &value(setting, 1)), "nothing is left of an old value");
    }
    for setting in Setting::ALL {
        vault.remove(setting).unwrap();
        vault.remove(setting).unwrap();
        assert_eq!(vault.read(setting), Ok(None));
    }
}

#[test]
fn values_return_sealed_and_do_not_show() {
    let chip = smallest();
    pair(&chip);
    let mut vault = sealed(&chip);
    for setting in Setting::ALL {
        assert_eq!(vault.set(setting, &value(setting, 1)), Ok(Stored::New));
        assert_eq!(vault.set(setting, &value(setting, 2)), Ok(Stored::Replaced));
        assert!(!contains(&chip, &value(setting, 2)[..16]));
    }
    let mut vault = sealed(&chip);
    for setting in Setting::ALL {
        assert_eq!(vault.read(setting), Ok(Some(value(setting, 2))));
    }
    for setting in Setting::ALL {
        assert_eq!(plain(&chip).read(setting), Err(VaultError::Sealed(setting)));
        assert_eq!(plain(&chip).set(setting, &value(setting, 3)), Err(VaultError::Sealed(setting)));
        vault.remove(setting).unwrap();
        assert_eq!(vault.read(setting), Ok(None));
    }
}

#[test]
fn nothing_of_a_longer_value_is_left() {
    for seal in [false, true] {
        let chip = az3166();
        if seal {
            pair(&chip);
        }
        let mut vault = AnyVault::open(&chip, seal).unwrap();
        for setting in Setting::ALL {
            vault.set(setting, &value(setting, 1)).unwrap();
        }
        let old = memory(&chip);
        for setting in Setting::ALL {
            vault.remove(setting).unwrap();
            let slot_len = setting.slot_len() - 16;
            let [a, b] = setting.copies();
            for place in [a, b] {
                let body =
                    chip.zone(place.zone).unwrap()[usize::from(place.offset) + 16..][..slot_len].to_vec();
                assert_eq!(body, vec![0; slot_len], "{setting:?}");
            }
        }
        assert_ne!(memory(&chip), old);
    }
    let chip = smallest();
    let mut vault = plain(&chip);
    vault.set(Setting::WifiPassword, b"a-rather-long-password").unwrap();
    vault.set(Setting::WifiPassword, b"short").unwrap();
    assert!(!contains(&chip, b"password"));
}

#[test]
fn every_length_returns() {
    let chip = az3166();
    pair(&chip);
    let (mut vault, setting) = (sealed(&chip), Setting::Connection);
    for len in (0..=512).step_by(37).chain(470..=490).chain([511, 512]) {
        let value = &value(setting, 9)[..len];
        vault.set(setting, value).unwrap();
        assert_eq!(vault.read(setting), Ok(Some(value.to_vec())));
    }
}

#[test]
fn values_that_cannot_be_are_refused() {
    let chip = smallest();
    let before = memory(&chip);
    let mut vault = plain(&chip);
    for setting in Setting::ALL {
        let long = vec![b'x'; setting.max_len() + 1];
        assert_eq!(vault.set(setting, &long), Err(VaultError::Value(setting)));
    }
    for bad in [&[0; 32][..], &[0xFF; 32], &[1; 31], &[]] {
        assert_eq!(vault.set(Setting::Uds, bad), Err(VaultError::Value(Setting::Uds)));
    }
    assert_eq!(memory(&chip), before);
    vault.set(Setting::WifiSsid, b"HomeAP").unwrap();
    assert_eq!(vault.get(Setting::WifiSsid, &mut [0; 5]), Err(VaultError::Buffer { needed: 6 }));
}

#[test]
fn the_chip_makes_secrets() {
    for seal in [false, true] {
        let chip = az3166();
        if seal {
            pair(&chip);
        }
        let mut vault = Vault::open(driver(&chip).host_session_if(seal.then(keys), None)).unwrap();
        let mut secrets = [[0; 32]; 2];
        assert_eq!(vault.generate(Setting::Uds, false), Ok(Stored::New));
        assert_eq!(vault.get(Setting::Uds, &mut secrets[0]), Ok(Some(32)));
        assert_eq!(vault.generate(Setting::Uds, false), Err(VaultError::Exists(Setting::Uds)));
        assert_eq!(vault.generate(Setting::Uds, true), Ok(Stored::Replaced));
        assert_eq!(vault.get(Setting::Uds, &mut secrets[1]), Ok(Some(32)));
        assert_ne!(secrets[0], secrets[1]);
        assert!(!contains(&chip, &secrets[0]));
        let refused = vault.generate(Setting::WifiSsid, false);
        assert_eq!(refused, Err(VaultError::Value(Setting::WifiSsid)), "no secret");
    }
    // A generator that is stuck gives no secret.
    let chip = az3166();
    chip.script_random(&[0; 32]);
    let before = memory(&chip);
    assert_eq!(plain(&chip).generate(Setting::Uds, false), Err(VaultError::Value(Setting::Uds)));
    assert_eq!(memory(&chip), before);
}

fn with_legacy_text() -> VirtualChip {
    let chip = smallest();
    for (_, zone, text) in LEGACY {
        // Older, longer contents stay behind the NUL.
        chip.set_zone(zone, 0, &[b'#'; 80]);
        chip.set_zone(zone, 0, text);
    }
    chip
}

fn reads_legacy(vault: &mut impl Read) {
    for (setting, _, text) in LEGACY {
        assert_eq!(vault.read(setting), Ok(Some(legacy_value(setting, text))));
    }
    assert_eq!(vault.read(Setting::DpsEndpoint), Ok(None));
}

#[test]
fn the_original_text_is_read_and_not_touched() {
    let chip = with_legacy_text();
    let before = memory(&chip);
    reads_legacy(&mut plain(&chip));
    assert_eq!(memory(&chip), before);
    assert_eq!(plain(&chip).generate(Setting::Uds, false), Err(VaultError::Exists(Setting::Uds)));
}

#[test]
fn the_original_envelopes_are_read_and_not_touched() {
    let chip = legacy_envelopes();
    let before = memory(&chip);
    reads_legacy(&mut sealed(&chip));
    assert_eq!(memory(&chip), before);
    // Without the keys there is nothing to read, and nothing to misread.
    for (setting, ..) in LEGACY {
        assert_eq!(plain(&chip).read(setting), Err(VaultError::Sealed(setting)));
    }
    let other = driver(&chip).host_session(HostKeys::new([1; 16], [2; 16]));
    let mut refused = Vault::open(other).unwrap();
    for (setting, ..) in LEGACY {
        let read = refused.get(setting, &mut [0; 512]);
        assert_eq!(read, Err(VaultError::Chip(ChipError::Device(Status::InvalidCMac))));
    }
    assert_eq!(memory(&chip), before);
}

#[test]
fn a_connection_string_in_two_envelopes_is_read() {
    let chip = legacy_envelopes();
    let mut host = driver(&chip).host_session(keys());
    let mut whole = vec![0; 584];
    whole[..511].fill(b'h');
    for (at, piece) in (0..).step_by(488).zip(whole.chunks(480)) {
        let mut envelope = [0; 488];
        let len = host.wrap(0, piece, &mut envelope).unwrap();
        host.update(5, at, &envelope[..len]).unwrap();
    }
    assert_eq!(sealed(&chip).read(Setting::Connection), Ok(Some(vec![b'h'; 511])));
}

/// The original wiped a piece with zeros when its envelope could not be opened.
#[test]
fn an_envelope_that_cannot_be_opened_stays_as_it_is() {
    let chip = legacy_envelopes();
    for (setting, zone, _) in LEGACY {
        let good = chip.zone(zone).unwrap();
        chip.set_zone(zone, 20, &[good[20] ^ 1]);
        let before = memory(&chip);
        assert_eq!(sealed(&chip).read(setting), Err(VaultError::Damaged(setting)));
        assert_eq!(sealed(&chip).adopt(), Err(VaultError::Damaged(Setting::Uds)), "the first one damaged");
        assert_eq!(memory(&chip), before);
    }
    // An accident on the bus is not the chip's own refusal.
    for fault in [Fault::BusError, Fault::Status(Status::CommunicationError)] {
        let chip = legacy_envelopes();
        let before = memory(&chip);
        let mut vault = sealed(&chip);
        for _ in 0..40 {
            chip.inject(fault);
        }
        assert!(matches!(vault.read(Setting::Uds), Err(VaultError::Chip(_))));
        chip.clear_faults();
        assert_eq!(memory(&chip), before);
        assert_eq!(vault.read(Setting::Uds), Ok(Some(UDS.to_vec())));
    }
    // Storing anew is possible, and takes the damaged one away.
    let chip = legacy_envelopes();
    chip.set_zone(6, 20, &[chip.zone(6).unwrap()[20] ^ 1]);
    assert_eq!(sealed(&chip).set(Setting::Uds, &UDS), Ok(Stored::Replaced));
    assert_eq!(sealed(&chip).read(Setting::Uds), Ok(Some(UDS.to_vec())));
}

#[test]
fn what_is_stored_anew_is_wiped_from_the_original_place() {
    let chip = with_legacy_text();
    let mut vault = plain(&chip);
    assert_eq!(vault.set(Setting::WifiSsid, b"Other"), Ok(Stored::Replaced));
    assert!(!contains(&chip, b"HomeAP"));
    assert!(contains(&chip, b"correct-horse-9\0#"), "other settings stay where they are");
    vault.adopt().unwrap();
    for (_, zone, _) in LEGACY {
        assert!(chip.zone(zone).unwrap().iter().all(|byte| *byte == 0));
    }
    assert_eq!(vault.read(Setting::Uds), Ok(Some(UDS.to_vec())));
    assert_eq!(vault.read(Setting::WifiSsid), Ok(Some(b"Other".to_vec())));

    let chip = with_legacy_text();
    let mut vault = plain(&chip);
    vault.remove(Setting::Uds).unwrap();
    assert_eq!(vault.read(Setting::Uds), Ok(None), "not resurrected");
    assert!(!contains(&chip, b"19e25a"));
}

#[test]
fn pairing_adopts_and_seals() {
    let chip = with_legacy_text();
    let mut vault = plain(&chip);
    vault.set(Setting::DpsIdScope, b"0ne00000000").unwrap();
    let token = || Irreversible::i_know_this_cannot_be_undone();
    assert_eq!(vault.pair(&keys(), token()), Ok(true));
    assert_eq!(vault.pair(&keys(), token()), Ok(false), "once");
    assert!(vault.is_paired());
    let mut vault = vault.into_sealed(keys());
    assert_eq!(vault.read(Setting::Uds), Err(VaultError::NotSealed(Setting::Uds)), "not until adopted");
    vault.adopt().unwrap();
    for (setting, _, text) in LEGACY {
        assert_eq!(vault.read(setting), Ok(Some(legacy_value(setting, text))));
        assert!(!contains(&chip, &legacy_value(setting, text)[..6]));
    }
    assert_eq!(vault.read(Setting::DpsIdScope), Ok(Some(b"0ne00000000".to_vec())));
    assert!(!contains(&chip, b"0ne0000"));
    vault.adopt().unwrap();
}

/// The way out of a chip whose counter comes to its end.
#[test]
fn what_was_sealed_can_be_kept_in_clear_again() {
    let chip = az3166();
    pair(&chip);
    let mut vault = AnyVault::open(&chip, true).unwrap();
    for setting in Setting::ALL {
        vault.set(setting, &value(setting, 1)).unwrap();
    }
    vault.unseal().unwrap();
    vault.unseal().unwrap();
    assert_eq!(
        vault.read(Setting::Uds),
        Err(VaultError::NotSealed(Setting::Uds)),
        "not in a session any more"
    );
    let mut vault = AnyVault::open(&chip, false).unwrap();
    for setting in Setting::ALL {
        assert_eq!(vault.read(setting), Ok(Some(value(setting, 1))));
        assert_eq!(vault.set(setting, &value(setting, 2)), Err(VaultError::Sealed(setting)), "not by a slip");
    }
    vault.keep_in_clear();
    for setting in Setting::ALL {
        vault.set(setting, &value(setting, 2)).unwrap();
        assert_eq!(vault.read(setting), Ok(Some(value(setting, 2))));
    }
}

#[test]
fn a_vault_that_gets_its_session_later_pairs_and_seals() {
    let chip = with_legacy_text();
    let mut vault = AnyVault::open(&chip, false).unwrap();
    vault.set(Setting::DpsIdScope, b"0ne00000000").unwrap();
    assert_eq!(vault.pair(&keys()), Ok(true));
    assert_eq!(vault.set(Setting::DpsIdScope, b"x"), Err(VaultError::Sealed(Setting::DpsIdScope)));
    vault.open_session(keys());
    assert_eq!(vault.read(Setting::Uds), Err(VaultError::NotSealed(Setting::Uds)), "not until adopted");
    vault.adopt().unwrap();
    for (setting, _, text) in LEGACY {
        assert_eq!(
            sealed(&chip).read(setting),
            Ok(Some(legacy_value(setting, text))),
            "for the typed one, too"
        );
        assert!(!contains(&chip, &legacy_value(setting, text)[..6]));
    }
    vault.close().echo(b"plain again").unwrap();
}

/// A chip that says it has no keys does not get any over a session: they would travel in clear.
#[test]
fn no_keys_are_given_away_in_a_session() {
    let chip = az3166();
    let mut vault = AnyVault::open(&chip, false).unwrap();
    vault.open_session(keys());
    assert_eq!(vault.pair(&keys()), Ok(false));
    assert_eq!(chip.host_counter(), None, "it has no keys still");
}

#[test]
fn a_plain_copy_cannot_be_slipped_into_a_sealed_vault() {
    let chip = az3166();
    let attacker = {
        let mut vault = plain(&chip);
        vault.set(Setting::Uds, &UDS).unwrap();
        [chip.zone(2).unwrap(), chip.zone(7).unwrap()]
    };
    pair(&chip);
    let mut vault = sealed(&chip);
    vault.set(Setting::Uds, &value(Setting::Uds, 1)).unwrap();
    chip.set_zone(2, 0, &attacker[0]);
    chip.set_zone(7, 0, &attacker[1]);
    assert_eq!(vault.read(Setting::Uds), Err(VaultError::NotSealed(Setting::Uds)));
}

#[test]
fn a_sealed_copy_is_bound_to_its_setting_and_number() {
    let chip = az3166();
    pair(&chip);
    let mut vault = sealed(&chip);
    vault.set(Setting::DpsIdScope, &[b'a'; 32]).unwrap();
    vault.set(Setting::WifiSsid, &[b'b'; 32]).unwrap();
    let zone = chip.zone(2).unwrap();
    // The ID scope's envelope under a header that makes it the SSID's, checksum and all.
    let forged = forge(&zone[128..192], |header| header[2] = zone[66]);
    chip.set_zone(2, 64, &forged);
    chip.set_zone(7, 160, &forged);
    assert_eq!(vault.read(Setting::WifiSsid), Err(VaultError::Damaged(Setting::WifiSsid)));
    // An old envelope under a newer number.
    let old = forge(&zone[128..192], |header| header[7] += 1);
    chip.set_zone(2, 128, &old);
    assert_eq!(vault.read(Setting::DpsIdScope), Err(VaultError::Damaged(Setting::DpsIdScope)));
}

/// Changes a copy's header and makes its checksum right again.
fn forge(copy: &[u8], change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut copy = copy.to_vec();
    change(&mut copy);
    let mut crc = u32::MAX;
    for byte in copy[..12].iter().chain(&copy[16..]) {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xEDB8_8320 };
        }
    }
    copy[12..16].copy_from_slice(&(!crc).to_be_bytes());
    copy
}

#[test]
fn either_copy_is_enough_and_repair_makes_the_other() {
    let setting = Setting::RegistrationId;
    for (zone, offset) in [(0, 712), (8, 712)] {
        for at in 0..16 + 128 {
            let chip = smallest();
            let mut vault = plain(&chip);
            vault.set(setting, &value(setting, 1)).unwrap();
            let whole = memory(&chip);
            let byte = chip.zone(zone).unwrap()[offset + at];
            chip.set_zone(zone, offset + at, &[byte ^ 0x10]);
            assert_eq!(vault.read(setting), Ok(Some(value(setting, 1))), "byte {at} of zone {zone}");
            vault.repair().unwrap();
            assert_eq!(memory(&chip), whole);
        }
    }
    let chip = smallest();
    let mut vault = plain(&chip);
    vault.set(setting, &value(setting, 1)).unwrap();
    for zone in [0, 8] {
        chip.set_zone(zone, 712 + 20, &[!chip.zone(zone).unwrap()[712 + 20]]);
    }
    assert_eq!(vault.read(setting), Err(VaultError::Damaged(setting)), "both gone: said so, not guessed");
    assert_eq!(vault.set(setting, b"x"), Ok(Stored::Replaced));
    assert_eq!(vault.read(setting), Ok(Some(b"x".to_vec())));
}

#[test]
fn strange_contents_are_not_taken_for_values() {
    let chip = smallest();
    for (setting, zone, _) in LEGACY {
        chip.set_zone(zone, 0, &[0x07; 88]);
        assert_eq!(plain(&chip).read(setting), Err(VaultError::Damaged(setting)));
        chip.set_zone(zone, 0, &[0xFF; 584]);
        assert_eq!(plain(&chip).read(setting), Ok(None));
    }
}

#[test]
fn a_chip_of_another_shape_is_refused() {
    let mut profile = Profile::az3166();
    profile.zones.remove(0);
    let chip = VirtualChip::new(profile, [0; 32]);
    let refused: Result<PlainVault, _> = Vault::open(driver(&chip));
    let Err(VaultError::Table(misfit)) = refused else { panic!("{refused:?}") };
    assert_eq!(misfit.setting, Setting::WifiPassword);
}

/// A fault at every transaction of every call: the call fails or succeeds, reads change nothing, and a store leaves the
/// old value or the new one.
#[test]
fn faults_on_the_bus_lose_nothing() {
    let faults = [
        Fault::BusError,
        Fault::StuckBusy,
        Fault::FlipCommand { at: 1, mask: 4 },
        Fault::FlipResponse { at: 3, mask: 4 },
        Fault::FlipRead { at: 1, mask: 4 },
        Fault::TruncateResponse(2),
        Fault::Status(Status::UnexpectedError),
        Fault::NackWrites(3),
        Fault::NackReads(100_000),
    ];
    let setting = Setting::WifiSsid;
    for seal in [false, true] {
        let base = az3166();
        if seal {
            pair(&base);
        }
        AnyVault::open(&base, seal).unwrap().set(setting, b"old").unwrap();
        for fault in faults {
            let mut failures = 0;
            for transaction in 0.. {
                let chip = base.fork();
                let before = memory(&chip);
                chip.inject_after(transaction, fault);
                let read = AnyVault::open(&chip, seal).and_then(|mut vault| vault.read(setting));
                assert!(
                    read.is_err() || read == Ok(Some(b"old".to_vec())),
                    "{fault:?} {transaction}: {read:?}"
                );
                assert_eq!(memory(&chip), before);

                let chip = base.fork();
                chip.inject_after(transaction, fault);
                let stored = AnyVault::open(&chip, seal).and_then(|mut vault| vault.set(setting, b"new"));
                let missed = chip.faults_waiting() > 0 && !matches!(fault, Fault::NackReads(_));
                chip.clear_faults();
                chip.reset();
                failures += usize::from(stored.is_err());
                let now = AnyVault::open(&chip, seal).unwrap().read(setting).unwrap().unwrap();
                assert!(
                    now == b"new" || (stored.is_err() && now == b"old"),
                    "{fault:?} {transaction}: {stored:?} {now:?}"
                );
                if missed || transaction > 400 {
                    break;
                }
            }
            // What the driver gets over by itself is no failure.
            let overcome = matches!(fault, Fault::FlipRead { .. } | Fault::NackWrites(_));
            assert_eq!(failures == 0, overcome, "{fault:?}: {failures}");
        }
    }
}

/// The async front is the same source; nothing here ever waits, so one poll is enough.
#[test]
fn the_async_vault_does_the_same() {
    use stsafe_a100::asynch::{Stsafe, Vault};
    let chip = az3166();
    let work = async {
        let driver = Stsafe::new(chip.bus(), chip.delay());
        let mut vault = Vault::open(driver).await?;
        vault.set(Setting::WifiSsid, b"HomeAP").await?;
        vault.generate(Setting::Uds, false).await?;
        vault.pair(&keys(), Irreversible::i_know_this_cannot_be_undone()).await?;
        let mut vault = vault.into_sealed(keys());
        vault.adopt().await?;
        let mut ssid = [0; 32];
        let len = vault.get(Setting::WifiSsid, &mut ssid).await?;
        assert_eq!((len, &ssid[..6]), (Some(6), &b"HomeAP"[..]));
        assert!(vault.contains(Setting::Uds).await?);
        vault.release().close().reset().await?;
        Ok::<(), VaultError<_, _>>(())
    };
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let done = std::pin::pin!(work).as_mut().poll(&mut context);
    assert_eq!(done, std::task::Poll::Ready(Ok(())));
    assert_eq!(sealed(&chip).read(Setting::WifiSsid), Ok(Some(b"HomeAP".to_vec())));
}

#[test]
fn a_vault_needs_little_memory() {
    let vault = size_of::<PlainVault>() - size_of_val(&driver(&az3166()));
    assert!(vault <= 1136, "{vault} bytes");
}
