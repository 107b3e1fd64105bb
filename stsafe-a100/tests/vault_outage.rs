//! The vault's promise: whatever byte the power fails at, a setting has its old value or its new one, and all others
//! keep theirs.
//!
//! Every store is interrupted at every step: before each byte on the bus, each byte written to memory and each memory
//! commit. What the interrupted write leaves is the written part alone, a damaged byte, or an erased page around it.

mod common {
    pub mod settings;
    pub mod vault;
}

use common::vault::{
    AnyVault, LEGACY, Outcome, Setting, UDS, az3166, keys, legacy_envelopes, legacy_value, pair, plain,
    smallest, value,
};
use proptest::prelude::*;
use stsafe_a100::Irreversible;
use stsafe_a100::sim::{Outage, Torn, VirtualChip};

type Values = Vec<Option<Vec<u8>>>;

fn values(chip: &VirtualChip, seal: bool) -> Values {
    let mut vault = AnyVault::open(chip, seal).unwrap();
    Setting::ALL.iter().map(|setting| vault.read(*setting).unwrap()).collect()
}

/// A chip with every setting stored.
fn full(seal: bool) -> VirtualChip {
    let chip = if seal { az3166() } else { smallest() };
    if seal {
        pair(&chip);
    }
    let mut vault = AnyVault::open(&chip, seal).unwrap();
    for setting in Setting::ALL {
        vault.set(setting, &value(setting, 1)).unwrap();
    }
    chip
}

/// A chip as the original leaves it.
fn legacy() -> VirtualChip {
    let chip = smallest();
    for (_, zone, text) in LEGACY {
        chip.set_zone(zone, 0, text);
    }
    chip
}

/// Interrupts `call` at every step and judges what is left with `check`; gives the number of interruptions.
fn interrupt(
    base: &VirtualChip,
    seal: bool,
    torn: Torn,
    call: impl Fn(&mut AnyVault) -> Outcome<()>,
    check: impl Fn(&Values, u64),
) -> u64 {
    let whole = base.fork();
    let mut vault = AnyVault::open(&whole, seal).unwrap();
    let opened = whole.steps();
    call(&mut vault).unwrap();
    let steps = whole.steps() - opened;
    let mut failures = 0;
    for step in 0..=steps {
        // The two outages alternate; they differ in what they do to the bus, not in what they do to the memory.
        let outage = if step % 2 == 0 { Outage::PowerCut } else { Outage::Reset };
        let chip = base.fork();
        chip.set_torn(torn);
        let mut vault = AnyVault::open(&chip, seal).unwrap();
        chip.outage_after(step, outage);
        let result = call(&mut vault);
        failures += u64::from(result.is_err());
        chip.clear_faults();
        chip.power_on();
        check(&values(&chip, seal), step);
        // The interrupted store can be made good, and its value then counts.
        if step % 16 == 0 {
            let mut vault = AnyVault::open(&chip, seal).unwrap();
            call(&mut vault).unwrap();
            check(&values(&chip, seal), steps);
        }
    }
    // A cut may fall where a byte that is lost would have been 0xFF anyway.
    assert!(failures <= steps && failures > steps - steps / 20);
    steps
}

/// Interrupts a store of one setting in a full vault.
fn interrupt_one(seal: bool, setting: Setting, new: Option<&[u8]>, torn: Torn) -> u64 {
    let base = full(seal);
    let before = values(&base, seal);
    let index = Setting::ALL.iter().position(|other| *other == setting).unwrap();
    let call = |vault: &mut AnyVault| match new {
        Some(new) => vault.set(setting, new),
        None => vault.remove(setting),
    };
    interrupt(&base, seal, torn, call, |after, step| {
        for (at, (after, before)) in after.iter().zip(&before).enumerate() {
            let is_new = at == index && after.as_deref() == new;
            assert!(
                is_new || after == before,
                "{setting:?} at step {step}: {:?} is {after:?}",
                Setting::ALL[at]
            );
        }
    })
}

const TORN: [Torn; 3] = [Torn::Clean, Torn::Byte, Torn::Page(32)];

#[test]
fn a_plain_store() {
    for torn in TORN {
        for setting in [Setting::Uds, Setting::WifiPassword] {
            assert!(interrupt_one(false, setting, Some(&value(setting, 2)), torn) > 1000);
        }
    }
}

#[test]
fn a_long_plain_store() {
    let setting = Setting::Connection;
    assert!(interrupt_one(false, setting, Some(&value(setting, 2)), Torn::Page(64)) > 1000);
}

#[test]
fn a_removal() {
    for torn in TORN {
        assert!(interrupt_one(false, Setting::WifiSsid, None, torn) > 1000);
    }
}

#[test]
fn a_sealed_store() {
    for torn in TORN {
        assert!(interrupt_one(true, Setting::Uds, Some(&value(Setting::Uds, 2)), torn) > 1000);
    }
}

#[test]
fn a_long_sealed_store() {
    let setting = Setting::Connection;
    assert!(interrupt_one(true, setting, Some(&value(setting, 2)), Torn::Page(32)) > 1000);
}

#[test]
fn a_sealed_removal() {
    assert!(interrupt_one(true, Setting::WifiSsid, None, Torn::Page(32)) > 1000);
}

/// What the original kept, as the settings it is.
fn originals() -> Values {
    let find = |setting: &Setting| {
        let (_, _, text) = LEGACY.iter().find(|(with, ..)| with == setting)?;
        Some(legacy_value(*setting, text))
    };
    Setting::ALL.iter().map(find).collect()
}

fn first_store_over_the_original(base: &VirtualChip, seal: bool, torn: Torn) {
    let before = originals();
    let new = value(Setting::Uds, 2);
    let store = |vault: &mut AnyVault| vault.set(Setting::Uds, &new);
    interrupt(base, seal, torn, store, |after, step| {
        assert_eq!(after[1..], before[1..], "step {step}");
        assert!(after[0].as_ref() == Some(&new) || after[0].as_deref() == Some(&UDS), "step {step}");
    });
}

#[test]
fn the_first_store_over_the_original_text() {
    for torn in TORN {
        first_store_over_the_original(&legacy(), false, torn);
    }
}

#[test]
fn the_first_store_over_the_originals_envelopes() {
    first_store_over_the_original(&legacy_envelopes(), true, Torn::Page(32));
}

fn adopting_the_original(base: &VirtualChip, seal: bool, torn: Torn) {
    let expected = originals();
    interrupt(base, seal, torn, AnyVault::adopt, |after, step| {
        assert_eq!(after, &expected, "step {step}");
    });
}

#[test]
fn adopting_the_original_text() {
    for torn in TORN {
        adopting_the_original(&legacy(), false, torn);
    }
}

#[test]
fn adopting_the_originals_envelopes() {
    adopting_the_original(&legacy_envelopes(), true, Torn::Byte);
}

#[test]
fn making_a_uds() {
    for seal in [false, true] {
        let base = full(seal);
        let before = values(&base, seal);
        interrupt(&base, seal, Torn::Byte, AnyVault::generate_uds, |after, step| {
            assert_eq!(after[1..], before[1..], "step {step}");
            let uds = after[0].as_ref().unwrap();
            assert!(uds.len() == 32 && uds.iter().any(|byte| *byte != uds[0]), "step {step}");
        });
    }
}

/// The repair that follows an interruption is interrupted itself.
#[test]
fn repairing_a_copy() {
    let setting = Setting::WifiPassword;
    for seal in [false, true] {
        let base = full(seal);
        let mut vault = AnyVault::open(&base, seal).unwrap();
        let opened = base.steps();
        AnyVault::open(&base.fork(), seal).unwrap().set(setting, &value(setting, 2)).unwrap();
        // Somewhere within the first copy's body.
        base.outage_after(2000, Outage::PowerCut);
        assert!(vault.set(setting, &value(setting, 2)).is_err() && base.steps() > opened);
        base.clear_faults();
        base.power_on();
        let expected = values(&base, seal);
        interrupt(&base, seal, Torn::Page(32), AnyVault::repair, |after, step| {
            assert_eq!(after, &expected, "step {step}");
        });
    }
}

/// Host keys and envelope key are there afterwards or not; the settings are.
#[test]
fn pairing() {
    let token = Irreversible::i_know_this_cannot_be_undone;
    let base = az3166();
    for (_, zone, text) in LEGACY {
        base.set_zone(zone, 0, text);
    }
    plain(&base).adopt().unwrap();
    let expected = values(&base, false);
    let whole = base.fork();
    let mut vault = plain(&whole);
    let opened = whole.steps();
    assert_eq!(vault.pair(&keys(), token()), Ok(true));
    for torn in [Torn::Clean, Torn::Page(32)] {
        for step in 0..whole.steps() - opened {
            let chip = base.fork();
            chip.set_torn(torn);
            let mut vault = plain(&chip);
            chip.outage_after(step, Outage::PowerCut);
            let _ = vault.pair(&keys(), token());
            chip.clear_faults();
            chip.power_on();
            let paired = chip.host_counter().is_some();
            if !paired {
                assert_eq!(values(&chip, false), expected, "step {step}");
            }
            let mut vault = plain(&chip);
            assert_eq!(vault.pair(&keys(), token()), Ok(!paired), "step {step}");
            vault.into_sealed(keys()).adopt().unwrap();
            assert_eq!(values(&chip, true), expected, "step {step}");
        }
    }
}

/// Plain copies become sealed ones; until the last one is, they are not accepted, but not lost either.
#[test]
fn sealing_what_was_plain() {
    let base = az3166();
    let mut vault = AnyVault::open(&base, false).unwrap();
    for setting in [Setting::Uds, Setting::WifiSsid] {
        vault.set(setting, &value(setting, 1)).unwrap();
    }
    pair(&base);
    let whole = base.fork();
    let mut vault = AnyVault::open(&whole, true).unwrap();
    let opened = whole.steps();
    vault.adopt().unwrap();
    let expected = values(&whole, true);
    for torn in [Torn::Clean, Torn::Page(32)] {
        for step in 0..whole.steps() - opened {
            let chip = base.fork();
            chip.set_torn(torn);
            let mut vault = AnyVault::open(&chip, true).unwrap();
            chip.outage_after(step, Outage::PowerCut);
            let _ = vault.adopt();
            chip.clear_faults();
            chip.power_on();
            AnyVault::open(&chip, true).unwrap().adopt().unwrap();
            assert_eq!(values(&chip, true), expected, "step {step}");
        }
    }
}

/// Interrupted, some settings are in clear and others sealed; called again, all are in clear.
#[test]
fn unsealing_what_was_sealed() {
    let base = az3166();
    pair(&base);
    let mut vault = AnyVault::open(&base, true).unwrap();
    for setting in [Setting::Uds, Setting::WifiSsid] {
        vault.set(setting, &value(setting, 1)).unwrap();
    }
    let expected = values(&base, true);
    let whole = base.fork();
    let mut vault = AnyVault::open(&whole, true).unwrap();
    let opened = whole.steps();
    vault.unseal().unwrap();
    for step in (0..whole.steps() - opened).step_by(5) {
        let chip = base.fork();
        chip.set_torn(Torn::Page(32));
        let mut vault = AnyVault::open(&chip, true).unwrap();
        chip.outage_after(step, Outage::PowerCut);
        let _ = vault.unseal();
        chip.clear_faults();
        chip.power_on();
        AnyVault::open(&chip, true).unwrap().unseal().unwrap();
        assert_eq!(values(&chip, false), expected, "step {step}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Set(usize, u8, usize),
    Remove(usize),
    Repair,
}

fn step() -> impl Strategy<Value = (Step, Option<u64>)> {
    let settings = 0..Setting::ALL.len();
    let call = prop_oneof![
        4 => (settings.clone(), 1..200_u8, 0..=512_usize)
            .prop_map(|(setting, seed, len)| Step::Set(setting, seed, len)),
        1 => settings.prop_map(Step::Remove),
        1 => Just(Step::Repair),
    ];
    // Most calls are interrupted, the next call's own repairs included.
    (call, proptest::option::weighted(0.8, 0..9000_u64))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Outage upon outage: a model keeps what each setting may be; a read fixes it.
    #[test]
    fn any_sequence_of_interrupted_calls(
        seal in any::<bool>(),
        page in 0..4_usize,
        steps in proptest::collection::vec(step(), 1..12),
    ) {
        let chip = full(seal);
        chip.set_torn([Torn::Clean, Torn::Byte, Torn::Page(16), Torn::Page(64)][page]);
        let mut model = values(&chip, seal);
        for (call, outage) in steps {
            let mut vault = AnyVault::open(&chip, seal).unwrap();
            if let Some(after) = outage {
                chip.outage_after(after, Outage::PowerCut);
            }
            let (index, new, result) = match call {
                Step::Set(index, seed, len) => {
                    let setting = Setting::ALL[index];
                    let len = if setting == Setting::Uds { 32 } else { len.min(setting.max_len()) };
                    let new = value(setting, seed)[..len].to_vec();
                    let result = vault.set(setting, &new);
                    (index, Some(new), result)
                }
                Step::Remove(index) => (index, None, vault.remove(Setting::ALL[index])),
                Step::Repair => (0, model[0].clone(), vault.repair()),
            };
            chip.clear_faults();
            chip.power_on();
            let now = values(&chip, seal);
            prop_assert!(result.is_ok() || outage.is_some());
            for (at, (now, before)) in now.iter().zip(&model).enumerate() {
                let is_new = at == index && *now == new;
                prop_assert!(is_new || (now == before && (at != index || result.is_err())), "{:?}", Setting::ALL[at]);
            }
            model = now;
        }
    }
}
