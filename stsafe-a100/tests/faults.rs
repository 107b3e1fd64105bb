//! Every command with a fault at every step: bus errors, missing acknowledges, truncated and altered answers, and
//! futures dropped half-way. Never a wrong result, never a command sent twice, and afterwards the driver goes on.

mod common;

use common::bus::NoDelay;
use common::fake::{Fake, Fault, NACK, Slow, keys};
use embedded_hal::i2c::{ErrorKind, NoAcknowledgeSource};
use stsafe_a100::config::{Config, Timing};
use stsafe_a100::error::Phase;
use stsafe_a100::session::{Host, LastCommand};
use stsafe_a100::types::{Access, AccessCondition, Curve, PublicKey, Signature};
use stsafe_a100::wire::{EnvelopeKeyKind, I2cParameters, KeyMode, LifeCycle, LowPower, WakeUp};
use stsafe_a100::{Error, Irreversible, asynch, blocking};

type Chip = blocking::Stsafe<Fake, NoDelay, Host>;
type Outcome = Result<(), Error<ErrorKind>>;
type Call = fn(&mut Chip) -> Outcome;

fn config() -> Config {
    let mut config = Config::default();
    config.timing = Timing::POLL_AT_ONCE;
    config
}

fn chip(fault: Option<Fault>) -> Chip {
    let fake = Fake { fault, ..Fake::new() };
    blocking::Stsafe::with_config(fake, NoDelay::default(), config()).host_session(keys())
}

fn token() -> Irreversible {
    Irreversible::i_know_this_cannot_be_undone()
}

fn public_key() -> PublicKey {
    PublicKey::new(Curve::NistP256, &[1; 32], &[2; 32]).unwrap()
}

fn signature() -> Signature {
    Signature::new(&[4; 32], &[5; 32]).unwrap()
}

const STRICTER: Access = Access { condition: AccessCondition::Host, changeable: false };

/// Every call of the driver.
const CALLS: &[(&str, Call)] = &[
    ("echo", |c| c.echo(&[0xA5; 40])),
    ("reset", |c| c.reset()),
    ("random", |c| c.random(&mut [0; 300])),
    ("challenge", |c| c.challenge().map(drop)),
    ("hibernate", |c| c.hibernate(WakeUp::I2cOrReset)),
    ("product_data", |c| c.product_data().map(drop)),
    ("life_cycle", |c| c.life_cycle().map(drop)),
    ("i2c_parameters", |c| c.i2c_parameters().map(drop)),
    ("host_key_slot", |c| c.host_key_slot().map(drop)),
    ("public_key_slot", |c| c.public_key_slot().map(drop)),
    ("partition", |c| c.partition().map(drop)),
    ("envelope_keys", |c| c.envelope_keys().map(drop)),
    ("private_keys", |c| c.private_keys().map(drop)),
    ("verify_password", |c| c.verify_password(&[1; 16]).map(drop)),
    ("read", |c| c.read(2, 7, &mut [0; 600])),
    ("read_der", |c| c.read_der(0, &mut [0; 512]).map(drop)),
    ("update", |c| c.update(2, 7, &[1; 600])),
    ("update_atomic", |c| c.update_atomic(2, 7, &[1; 64])),
    ("update_atomic_steps", |c| c.update_atomic_steps(2, 7, &[1; 65])),
    ("restrict_read", |c| c.restrict_read(2, 7, &mut [0; 10], STRICTER, token())),
    ("restrict_update", |c| c.restrict_update(2, 7, &[0; 10], STRICTER, token())),
    ("read_counter_zone", |c| c.read_counter_zone(5, 0, &mut [0; 10]).map(drop)),
    ("decrement", |c| c.decrement(5, 1, 0, &[1; 10]).map(drop)),
    ("sign", |c| c.sign(0, &[1; 32]).map(drop)),
    ("verify", |c| c.verify(&public_key(), &signature(), &[1; 32]).map(drop)),
    ("verify_entity", |c| c.verify_entity(&signature()).map(drop)),
    ("generate_key_pair", |c| {
        c.generate_key_pair(0, Curve::NistP256, KeyMode::SIGN_DIGEST, 0xFFFF, token()).map(drop)
    }),
    ("generate_envelope_key", |c| c.generate_envelope_key(0, EnvelopeKeyKind::Aes128, token())),
    ("put_life_cycle", |c| c.put_life_cycle(LifeCycle::from_byte(3), token())),
    ("put_i2c_parameters", |c| {
        let parameters = I2cParameters { address: 0x21, low_power: LowPower::None, locked: false, idle: 0 };
        c.put_i2c_parameters(parameters, token())
    }),
    ("put_public_key", |c| c.put_public_key(&public_key(), token())),
    ("put_attribute", |c| c.put_attribute(9, &[1; 16], token())),
    ("delete_password", |c| c.delete_password(token())),
    ("wrap", |c| c.wrap(0, &[1; 48], &mut [0; 64]).map(drop)),
    ("unwrap", |c| c.unwrap(0, &[1; 56], &mut [0; 48]).map(drop)),
    ("establish_key", |c| c.establish_key(0, &public_key()).map(drop)),
];

/// Transfers and commands of a call that goes well, the counter's query among them.
fn undisturbed(call: Call) -> (usize, usize) {
    let mut chip = chip(None);
    call(&mut chip).unwrap();
    let fake = chip.release().0;
    (fake.transfers, fake.commands)
}

#[test]
fn a_missing_acknowledge_at_any_step_is_waited_out() {
    for (name, call) in CALLS {
        for at in 0..undisturbed(*call).0 {
            let mut chip = chip(Some(Fault::Transfer { at, times: 7, kind: NACK }));
            assert_eq!(call(&mut chip), Ok(()), "{name} at {at}");
            let (fake, delay) = chip.release();
            assert_eq!(fake.transfers, undisturbed(*call).0 + 7);
            assert_eq!(delay.slept_ns, 7 * 5_000_000);
        }
    }
}

#[test]
fn a_chip_that_never_acknowledges_ends_in_a_timeout_and_the_session_goes_on() {
    for (name, call) in CALLS {
        for at in 0..undisturbed(*call).0 {
            let mut chip = chip(Some(Fault::Transfer { at, times: 100_000, kind: NACK }));
            let error = call(&mut chip).unwrap_err();
            let Error::Timeout { phase, .. } = error else { panic!("{name} at {at}: {error}") };
            assert_eq!(error.is_retriable(), phase == Phase::Write);
            assert_eq!(error.outcome_unknown(), phase == Phase::Read);
            let (fake, delay) = chip.release();
            assert!(delay.slept_ns <= 2_500_000_000, "bounded");
            go_on(fake);
        }
    }
}

#[test]
fn a_bus_error_at_any_step_never_repeats_a_command() {
    let kinds =
        [ErrorKind::Other, ErrorKind::ArbitrationLoss, ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data)];
    for (name, call) in CALLS {
        let (transfers, commands) = undisturbed(*call);
        for at in 0..transfers {
            for kind in kinds {
                // Once: reads are repeated, writes are not.
                let mut chip = chip(Some(Fault::Transfer { at, times: 1, kind }));
                match call(&mut chip) {
                    Ok(()) => {}
                    Err(Error::Bus { phase, source }) => {
                        assert_eq!((phase, source), (Phase::Write, kind), "{name} at {at}");
                    }
                    Err(other) => panic!("{name} at {at}: {other}"),
                }
                assert!(chip.release().0.commands <= commands, "{name} at {at}: sent again");
            }
            // For ever, while reading.
            let mut chip = chip(Some(Fault::Transfer { at, times: 100_000, kind: ErrorKind::Bus }));
            assert!(matches!(call(&mut chip), Err(Error::Bus { .. })), "{name} at {at}");
        }
    }
}

#[test]
fn after_an_unknown_outcome_the_counter_decides() {
    let call: Call = |chip| chip.update(2, 0, &[1; 16]);
    // Transfers: query, answer twice, update, answer twice.
    assert_eq!(undisturbed(call), (6, 2));
    for (fault, told) in [
        (Fault::Transfer { at: 3, times: 1, kind: ErrorKind::Other }, LastCommand::NotAccepted),
        (Fault::AfterTransfer { at: 3, kind: ErrorKind::Other }, LastCommand::Accepted),
        (Fault::Transfer { at: 4, times: 3, kind: ErrorKind::Other }, LastCommand::Accepted),
        (Fault::Truncated { command: 1, len: 3 }, LastCommand::Accepted),
    ] {
        let mut chip = chip(Some(fault));
        let error = call(&mut chip).unwrap_err();
        assert!(error.outcome_unknown() && !error.is_retriable(), "{fault:?}: {error}");
        assert_eq!(chip.counter(), None);
        assert_eq!(chip.resync(), Ok(told), "{fault:?}");
        assert_eq!(chip.resync(), Ok(LastCommand::Settled));
        assert_eq!(chip.echo(b"goes on"), Ok(()));
    }
}

#[test]
fn somebody_elses_commands_are_noticed() {
    let mut chip = chip(Some(Fault::Transfer { at: 4, times: 3, kind: ErrorKind::Other }));
    chip.update(2, 0, &[1; 16]).unwrap_err();
    let (mut fake, delay) = chip.release();
    fake.counter += 5;
    let options = stsafe_a100::session::HostOptions {
        counter: stsafe_a100::wire::Counter::new(0xFE),
        ..Default::default()
    };
    let mut chip = blocking::Stsafe::with_config(fake, delay, config()).host_session_with(
        keys(),
        stsafe_a100::session::SoftCrypto,
        options,
    );
    assert_eq!(chip.resync(), Ok(LastCommand::Unknown));
    assert_eq!(chip.echo(b"goes on"), Ok(()));
}

#[test]
fn an_answer_cut_at_any_byte_is_refused() {
    for (name, call) in CALLS {
        for (command, answer) in answers(*call).iter().enumerate() {
            // A bus without a driver reads 0xFF: a cut before such bytes is none.
            for len in (0..answer.len()).filter(|len| answer[*len..].iter().any(|byte| *byte != 0xFF)) {
                let mut chip = chip(Some(Fault::Truncated { command, len }));
                let error = call(&mut chip).expect_err(name);
                assert!(error.outcome_unknown(), "{name}, {command} cut to {len}: {error}");
                go_on(chip.release().0);
            }
        }
    }
}

#[test]
fn an_altered_bit_is_refused_even_with_the_right_checksum() {
    for (name, call) in CALLS {
        // The first command is the counter's query, which nothing authenticates.
        let len = answers(*call)[1].len();
        for crc in [false, true] {
            // Making the checksum right undoes a bit turned in it.
            let len = if crc { len - 2 } else { len };
            for bit in 0..8 * len {
                let mut chip = chip(Some(Fault::Bit { command: 1, bit, crc }));
                let error = call(&mut chip).expect_err(name);
                // Only the status can be forged: it is not authenticated.
                assert!(error.outcome_unknown() || (crc && bit < 5), "{name} bit {bit}: {error}");
            }
        }
    }
}

/// The answers to a call's commands.
fn answers(call: Call) -> Vec<Vec<u8>> {
    let mut chip = chip(None);
    call(&mut chip).unwrap();
    chip.release().0.answers
}

#[test]
fn a_refused_mac_makes_the_session_ask_for_the_counter_and_never_repeats() {
    let mut chip = chip(None);
    chip.echo(b"a").unwrap();
    let (mut fake, delay) = chip.release();
    fake.counter += 1;
    let options = stsafe_a100::session::HostOptions {
        counter: stsafe_a100::wire::Counter::new(fake.counter - 1),
        ..Default::default()
    };
    let before = fake.commands;
    let mut chip = blocking::Stsafe::with_config(fake, delay, config()).host_session_with(
        keys(),
        stsafe_a100::session::SoftCrypto,
        options,
    );
    let error = chip.decrement(5, 1, 0, &[]).unwrap_err();
    assert_eq!(error, Error::Device(stsafe_a100::error::Status::InvalidCMac));
    assert!(error.is_retriable());
    assert_eq!(chip.decrement(5, 1, 0, &[]), Ok(41));
    let fake = chip.release().0;
    assert_eq!(fake.commands - before, 3, "refused, query, accepted");
}

/// The chip must be usable after whatever happened.
fn go_on(mut fake: Fake) {
    fake.fault = None;
    let mut chip = blocking::Stsafe::with_config(fake, NoDelay::default(), config()).host_session(keys());
    chip.echo(b"goes on").unwrap();
}

#[test]
fn a_future_dropped_at_any_transfer_leaves_a_session_that_goes_on() {
    for seen in [false, true] {
        for at in 0.. {
            let slow = Slow { fake: Fake::new(), wait: Some((at, seen)) };
            let mut chip =
                asynch::Stsafe::with_config(slow, NoDelay::default(), config()).host_session(keys());
            {
                let update = std::pin::pin!(chip.update(2, 0, &[1; 16]));
                let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                if update.poll(&mut context).is_ready() {
                    assert_eq!(at, 6, "every transfer was tried");
                    break;
                }
            }
            // Transfers: query, answer twice, update, answer twice.
            let expected = match (at, seen) {
                (0..=2, _) => LastCommand::Settled,
                (3, false) => LastCommand::NotAccepted,
                _ => LastCommand::Accepted,
            };
            assert_eq!(chip.counter(), None, "{at} {seen}");
            assert_eq!(common::bus::block_on(chip.resync()), Ok(expected), "{at} {seen}");
            assert_eq!(common::bus::block_on(chip.echo(b"goes on")), Ok(()));
        }
    }
}

#[cfg(feature = "signature-session")]
#[test]
fn a_signature_session_broken_by_a_fault_is_not_finished() {
    // Transfers: start, its answer, echo, its answer (two reads), get signature.
    let fake =
        Fake { fault: Some(Fault::Transfer { at: 3, times: 3, kind: ErrorKind::Other }), ..Fake::new() };
    let mut chip =
        blocking::Stsafe::with_config(fake, NoDelay::default(), config()).signature_session(Curve::NistP256);
    chip.start(0).unwrap();
    assert!(matches!(chip.echo(b"lost"), Err(Error::Bus { .. })));
    let refused = Err(Error::Input(stsafe_a100::error::InputError::NoSignatureSession));
    assert_eq!(chip.finish(&[]).map(drop), refused);
    chip.start(0).unwrap();
    chip.echo(b"again").unwrap();
    assert!(chip.finish(b"challenge").is_ok());
    assert_eq!(chip.finish(&[]).map(drop), refused);
}

#[test]
fn a_sleeping_chip_is_woken() {
    // Asleep, it acknowledges nothing for a while.
    let fake = Fake { fault: Some(Fault::Transfer { at: 0, times: 20, kind: NACK }), ..Fake::new() };
    let mut chip = blocking::Stsafe::with_config(fake, NoDelay::default(), config());
    assert_eq!(chip.wake(), Ok(()));
    let (fake, delay) = chip.release();
    assert_eq!(fake.commands, 1);
    assert_eq!(delay.slept_ns, 10_000_000 + 19 * 5_000_000);
}
