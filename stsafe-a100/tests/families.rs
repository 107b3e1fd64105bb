//! Who is there: no chip, another one, an A100, an A110, one that lies; and what works on which.

mod common {
    pub mod settings;
    pub mod vault;
}

use std::sync::{Arc, Mutex};

use common::vault::{Error as VaultFailure, Read as _, Setting, keys, pair, value};
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use proptest::prelude::*;
use stsafe_a100::blocking::{Stsafe, Vault};
use stsafe_a100::config::{CommandAccess, Encryption, Rules, Timing};
use stsafe_a100::error::{ForeignSign, ProtocolError, Status, Unsuitable};
use stsafe_a100::session::HostKeys;
use stsafe_a100::sim::{
    BusError, CommandLine, Fault, Profile, VirtualBus, VirtualChip, VirtualDelay, ZoneProfile,
};
use stsafe_a100::types::{Code, Curve, Family, KeyMode, LifeCycle, Pairing, PublicKey, Signature};
use stsafe_a100::vault::VaultError;
use stsafe_a100::wire::{CrcMode, EnvelopeKeyKind, ResponseFrame, crc16};
use stsafe_a100::{Error, Irreversible};

type Driver = Stsafe<VirtualBus, VirtualDelay>;

fn token() -> Irreversible {
    Irreversible::i_know_this_cannot_be_undone()
}

fn chip(profile: Profile) -> VirtualChip {
    VirtualChip::new(profile, [7; 32])
}

fn driver(chip: &VirtualChip) -> Driver {
    Stsafe::new(chip.bus(), chip.delay())
}

fn line(code: Code, ac: u8, host_enc: u8) -> CommandLine {
    CommandLine { code: code.bits(), ac, host_enc }
}

/// An A110 with another line in its table.
fn a110_with(lines: &[CommandLine]) -> Profile {
    let mut profile = Profile::a110();
    for new in lines {
        profile.command_authorization.retain(|line| line.code != new.code);
        profile.command_authorization.push(*new);
    }
    profile
}

/// A bus that answers every read with the same bytes, and counts what is written.
struct Answers {
    answer: Vec<u8>,
    reads: Result<(), ErrorKind>,
    written: Vec<Vec<u8>>,
}

impl ErrorType for Answers {
    type Error = ErrorKind;
}

impl I2c for Answers {
    fn transaction(&mut self, _: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        for operation in operations {
            match operation {
                Operation::Write(frame) => self.written.push(frame.to_vec()),
                Operation::Read(out) => {
                    self.reads?;
                    let answer = self.answer.iter().copied().chain(std::iter::repeat(0xFF));
                    out.iter_mut().zip(answer).for_each(|(to, from)| *to = from);
                }
            }
        }
        Ok(())
    }
}

struct NoDelay;

impl DelayNs for NoDelay {
    fn delay_ns(&mut self, _: u32) {}
}

fn detect_in(answer: &[u8], reads: Result<(), ErrorKind>) -> Unsuitable {
    let bus = Answers { answer: answer.to_vec(), reads, written: vec![] };
    match Stsafe::new(bus, NoDelay).detect() {
        Err(Error::Unsuitable(cause)) => cause,
        other => panic!("{other:?}"),
    }
}

/// A response frame with its checksum.
fn frame(status: u8, data: &[u8]) -> Vec<u8> {
    let sum = crc16(&[&[status], data].concat()).to_be_bytes();
    let len = u16::try_from(data.len() + 2).unwrap().to_be_bytes();
    [&[status], &len[..], data, &sum].concat()
}

#[test]
fn nobody_and_others_are_told_apart() {
    let gone = chip(Profile::az3166());
    gone.power_off();
    let error = driver(&gone).detect().unwrap_err();
    assert_eq!(error, Unsuitable::Absent { address: 0x20 }.into());
    assert!(error.is_retriable() && !error.outcome_unknown());
    assert!(error.to_string().contains("0x20: check power, wiring"), "{error}");

    let nack = Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address));
    let foreign = |sign| Unsuitable::Foreign { address: 0x20, sign };
    assert_eq!(detect_in(&[], nack), foreign(ForeignSign::Silent));
    let malformed = |cause| foreign(ForeignSign::Malformed(cause));
    assert_eq!(detect_in(&[0xFF; 16], Ok(())), malformed(ProtocolError::Header(0xFF)));
    assert_eq!(detect_in(&[0; 16], Ok(())), malformed(ProtocolError::LengthField(0)));
    // What an EEPROM may hold: neither a header nor a length.
    assert!(matches!(
        detect_in(b"\x0512345678", Ok(())),
        Unsuitable::Foreign { sign: ForeignSign::Malformed(_), .. }
    ));
    assert_eq!(detect_in(&frame(4, &[]), Ok(())), foreign(ForeignSign::Refused(Status::UnsupportedCommand)));
    // Truncated, oversized, and with a wrong checksum.
    let mut product = vec![1, 3, 0, 0x40, 0, 2, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    let whole = frame(0, &product);
    for bad in [whole[..8].to_vec(), frame(0, &product[..12]), [&whole[..18], &[0, 0]].concat()] {
        assert!(matches!(detect_in(&bad, Ok(())), Unsuitable::Foreign { .. }), "{bad:02x?}");
    }
    assert_eq!(detect_in(&[0, 2, 0, 1, 3], Ok(())), malformed(ProtocolError::LengthField(512)));
    product.extend([3, 200]);
    assert!(matches!(detect_in(&frame(0, &product), Ok(())), Unsuitable::Foreign { .. }));

    // Other families are named, and not worked with.
    for (mask_id, family, word) in
        [([0, 0x60, 0], Family::A120, "A120"), ([0, 0x3F, 0xFF], Family::Unknown, "unknown family")]
    {
        let chip = chip(Profile { mask_id, ..Profile::az3166() });
        let error = driver(&chip).detect().unwrap_err();
        assert_eq!(error, Unsuitable::Family { family, mask_id }.into());
        assert!(error.to_string().contains(word), "{error}");
    }
    for (state, word) in [(0x01, "personalised"), (0x84, "replace it"), (0x02, "operational")] {
        let chip = chip(Profile::az3166());
        driver(&chip).put_life_cycle(LifeCycle::from_byte(state), token()).unwrap();
        let error = driver(&chip).detect().unwrap_err();
        assert_eq!(error, Unsuitable::LifeCycle(LifeCycle::from_byte(state)).into());
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn pairing_is_told_step_by_step() {
    for profile in [Profile::az3166(), Profile::a110()] {
        let family = Family::of_mask(profile.mask_id);
        let paired = chip(profile.clone());
        let mut driver = driver(&paired);
        let found = driver.detect().unwrap();
        assert_eq!((found.family(), found.pairing()), (family, Pairing::None));
        assert_eq!(found.require_paired(), Err(Unsuitable::HostKeysMissing { envelope_key: false }));
        driver.generate_envelope_key(0, EnvelopeKeyKind::Aes128, token()).unwrap();
        let found = driver.detect().unwrap();
        assert_eq!(found.pairing(), Pairing::EnvelopeKeyOnly);
        assert_eq!(found.require_paired(), Err(Unsuitable::HostKeysMissing { envelope_key: true }));
        driver.put_host_keys(&keys(), token()).unwrap();
        assert_eq!(driver.detect().unwrap().require_paired(), Ok(()));

        // With keys of another chip or host nothing is spent.
        let counter = paired.host_counter();
        let mut stranger = driver.host_session(HostKeys::new([1; 16], [2; 16]));
        assert_eq!(stranger.check_host_keys(), Err(Unsuitable::OtherHostKeys.into()));
        assert_eq!(paired.host_counter(), counter);
        let mut own = stranger.close().host_session(keys());
        assert_eq!(own.check_host_keys(), Ok(()));

        // Host keys and nothing to seal with.
        let half = chip(profile);
        self::driver(&half).put_host_keys(&keys(), token()).unwrap();
        let mut driver = self::driver(&half);
        assert_eq!(driver.detect().unwrap().require_paired(), Err(Unsuitable::EnvelopeKeyMissing));
        let mut vault = Vault::open(driver.host_session(keys())).unwrap();
        let missing: VaultFailure = VaultError::Chip(Unsuitable::EnvelopeKeyMissing.into());
        assert_eq!(vault.set(Setting::Uds, &value(Setting::Uds, 1)), Err(missing));
        vault.chip().generate_envelope_key(0, EnvelopeKeyKind::Aes128, token()).unwrap();
        vault.set(Setting::Uds, &value(Setting::Uds, 1)).unwrap();
        // The same when there is something to open: it is not taken for damaged.
        half.set_envelope_key(0, &[]);
        assert_eq!(vault.read(Setting::Uds), Err(missing));
    }
}

/// What only one family has is refused by the driver, before anything is sent.
#[test]
fn commands_of_the_other_family_are_not_sent() {
    let quiet = || Answers { answer: vec![], reads: Ok(()), written: vec![] };
    let key = PublicKey::new(Curve::NistP256, &[1; 32], &[2; 32]).unwrap();
    let signature = Signature::new(&[1; 32], &[2; 32]).unwrap();
    let other = |code, only| Error::Unsuitable(Unsuitable::OtherFamily { code, only });

    let mut a110 = Stsafe::new(quiet(), NoDelay);
    a110.config_mut().rules = Rules::A110;
    let only = Family::A100;
    assert_eq!(a110.challenge().unwrap_err(), other(Code::GenerateRandom, only));
    assert_eq!(a110.verify_entity(&signature).unwrap_err(), other(Code::VerifySignature, only));
    assert_eq!(a110.public_key_slot().unwrap_err(), other(Code::Query, only));
    assert_eq!(a110.put_public_key(&key, token()).unwrap_err(), other(Code::PutAttribute, only));
    let mut a110 = a110.signature_session(Curve::NistP256);
    assert_eq!(a110.start(0).unwrap_err(), other(Code::StartSession, only));
    assert!(a110.leave().release().0.written.is_empty());

    let mut a100 = Stsafe::new(quiet(), NoDelay);
    assert_eq!(a100.command_authorisation().unwrap_err(), other(Code::Query, Family::A110));
    assert!(a100.release().0.written.is_empty());

    // And by the chips themselves, if a host insists.
    let mut wrong = driver(&chip(Profile::a110()));
    assert_eq!(wrong.challenge(), Err(Error::Device(Status::InconsistentData)));
    assert_eq!(
        wrong.signature_session(Curve::NistP256).start(0),
        Err(Error::Device(Status::UnsupportedCommand))
    );
    let mut wrong = driver(&chip(Profile::az3166()));
    wrong.config_mut().rules = Rules::A110;
    assert_eq!(wrong.command_authorisation().map(drop), Err(Error::Device(Status::InconsistentData)));
}

#[test]
fn an_a110_orders_what_its_table_says() {
    let lines = [
        line(Code::VerifySignature, 0, 0),
        line(Code::Delete, 2, 0),
        line(Code::Read, 5, 3),
        line(Code::Update, 3, 2),
    ];
    let chip = chip(a110_with(&lines));
    pair(&chip);
    let mut plain = driver(&chip);
    plain.detect().unwrap();
    assert_eq!(plain.config().timing, Timing::A110);
    let key = plain.generate_key_pair(0, Curve::NistP256, KeyMode::NONE, 0xFFFF, token()).unwrap();
    let unsuitable = |cause| Err(Error::Unsuitable(cause));
    let needs = |code| unsuitable(Unsuitable::NeedsHostSession(code));
    assert_eq!(plain.sign(0, &[1; 32]).map(drop), needs(Code::GenerateSignature));
    assert_eq!(plain.read(6, 0, &mut [0; 4]), needs(Code::Read));
    let signature = Signature::new(&[1; 32], &[2; 32]).unwrap();
    assert_eq!(plain.verify(&key, &signature, &[1; 32]).map(drop), {
        unsuitable(Unsuitable::Never(Code::VerifySignature))
    });
    assert_eq!(plain.delete_password(token()), unsuitable(Unsuitable::AdminOnly(Code::Delete)));

    // A host that does not ask is refused by the chip.
    let mut ignorant = driver(&chip);
    assert_eq!(ignorant.sign(0, &[1; 32]).map(drop), Err(Error::Device(Status::AccessCondition)));
    assert_eq!(ignorant.verify(&key, &signature, &[1; 32]), Err(Error::Device(Status::NotAuthorised)));

    let mut host = plain.host_session(keys());
    let signed = host.sign(0, &[1; 32]).unwrap();
    let verifier = p256::ecdsa::VerifyingKey::from_sec1_bytes(key.to_sec1(&mut [0; 97])).unwrap();
    verifier
        .verify_prehash(&[1; 32], &p256::ecdsa::Signature::from_slice(signed.to_bytes()).unwrap())
        .unwrap();
    // Longer than one exchange can carry, encrypted or not.
    let long: Vec<u8> = (0..=255).cycle().take(1000).collect();
    host.update(0, 0, &long).unwrap();
    let mut read = vec![0; 1000];
    host.read(0, 0, &mut read).unwrap();
    assert_eq!(read, long);

    // The counter is asked for in clear even where queries are for the host.
    let strict = self::chip(a110_with(&[line(Code::Query, 3, 0)]));
    let mut driver = self::driver(&strict);
    driver.config_mut().rules = Rules::A110.with(Code::Query, CommandAccess::Host, Encryption::NONE);
    assert_eq!(driver.life_cycle().map(drop), needs(Code::Query));
}

#[test]
fn a_vault_and_a_slot_key_on_every_family() {
    let strict = [line(Code::Read, 3, 3), line(Code::Update, 3, 2), line(Code::GenerateRandom, 3, 1)];
    for (profile, open_zones) in
        [(Profile::az3166(), true), (Profile::a110(), true), (a110_with(&strict), false)]
    {
        let chip = chip(profile);
        let detected = || {
            let mut driver = driver(&chip);
            driver.detect().unwrap();
            driver
        };
        if open_zones {
            let mut vault = Vault::open(detected()).unwrap();
            vault.set(Setting::WifiSsid, b"plain").unwrap();
            assert!(vault.pair(&keys(), token()).unwrap());
            vault.into_sealed(keys()).adopt().unwrap();
        } else {
            let refused: Result<_, VaultFailure> = Vault::open(detected()).unwrap().read(Setting::Uds);
            let cause = Unsuitable::NeedsHostSession(Code::Read);
            assert_eq!(refused, Err(VaultError::Chip(cause.into())));
            pair(&chip);
        }
        let mut vault = Vault::open(detected().host_session(keys())).unwrap();
        vault.generate(Setting::Uds, false).unwrap();
        for setting in Setting::ALL {
            vault.set(setting, &value(setting, 2)).unwrap();
        }
        let mut vault = Vault::open(detected().host_session(keys())).unwrap();
        for setting in Setting::ALL {
            assert_eq!(vault.read(setting), Ok(Some(value(setting, 2))));
        }
        vault.remove(Setting::Uds).unwrap();
        assert_eq!(vault.read(Setting::Uds), Ok(None));
        let mut host = vault.release();
        let key = host.generate_key_pair(1, Curve::NistP256, KeyMode::SIGN_DIGEST, 0xFFFF, token()).unwrap();
        let signature = host.sign(1, &[5; 32]).unwrap();
        assert!(host.verify(&key, &signature, &[5; 32]).unwrap());
    }
}

/// A bus that replaces the answers to the query for the table.
struct Forger {
    bus: VirtualBus,
    table: Vec<u8>,
    asked: bool,
    /// Everything that passed.
    seen: Arc<Mutex<Vec<u8>>>,
}

impl ErrorType for Forger {
    type Error = BusError;
}

impl I2c for Forger {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        if let [Operation::Write(frame)] = operations {
            self.asked = frame.starts_with(&[0x14, 0x24]);
            self.seen.lock().unwrap().extend_from_slice(frame);
        }
        match operations {
            [Operation::Read(out)] if self.asked => {
                let bytes = self.table.iter().copied().chain(std::iter::repeat(0xFF));
                out.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
                Ok(())
            }
            _ => self.bus.transaction(address, operations),
        }
    }
}

fn forged(chip: &VirtualChip, table: &[u8], seen: &Arc<Mutex<Vec<u8>>>) -> Stsafe<Forger, VirtualDelay> {
    let (table, seen) = (table.to_vec(), seen.clone());
    Stsafe::new(Forger { bus: chip.bus(), table, asked: false, seen }, chip.delay())
}

#[test]
fn a_forged_table_takes_no_protection_away() {
    let chip = chip(Profile::a110());
    pair(&chip);
    driver(&chip).generate_key_pair(0, Curve::NistP256, KeyMode::NONE, 0xFFFF, token()).unwrap();
    // Everything is free and in clear, it says.
    let table = frame(0, &[0, 4, 0x0E, 1, 0, 0x0F, 1, 0, 0x16, 1, 0, 0x18, 1, 0]);
    let seen = Arc::default();
    let mut forged = forged(&chip, &table, &seen);
    forged.detect().unwrap();
    let in_clear = |code| Err(Error::Unsuitable(Unsuitable::InClear(code)));
    let mut host = forged.host_session(keys());
    let secret = *b"a secret that must not be seen!!";
    assert_eq!(host.wrap(0, &secret, &mut [0; 40]).map(drop), in_clear(Code::WrapLocalEnvelope));
    assert_eq!(host.unwrap(0, &[1; 40], &mut [0; 32]).map(drop), in_clear(Code::UnwrapLocalEnvelope));
    let peer = PublicKey::new(Curve::NistP256, &[1; 32], &[2; 32]).unwrap();
    assert_eq!(host.establish_key(0, &peer).map(drop), in_clear(Code::EstablishKey));
    // What it lifts beyond that, the chip itself refuses.
    assert!(matches!(host.sign(0, &[1; 32]), Err(Error::Device(_))));
    assert!(!seen.lock().unwrap().windows(8).any(|window| window == &secret[..8]));
}

#[test]
fn a_chip_that_is_not_what_it_says() {
    let a110 = chip(Profile::a110());
    let seen = Arc::default();
    let foreign = |sign| Err(Error::Unsuitable(Unsuitable::Foreign { address: 0x20, sign }));
    let good = frame(0, &[0, 1, 0x0E, 3, 2]);
    // It calls itself an A110 and refuses the table as an A100 does; or sends a broken one.
    let mut wrong_sum = good.clone();
    *wrong_sum.last_mut().unwrap() ^= 1;
    for (table, sign) in [
        (frame(2, &[]), ForeignSign::Refused(Status::InconsistentData)),
        (frame(0, &[]), ForeignSign::Malformed(ProtocolError::DataLength { expected: 1, actual: 0 })),
        (
            frame(0, &[0, 2, 0x0E, 3, 2]),
            ForeignSign::Malformed(ProtocolError::DataLength { expected: 6, actual: 5 }),
        ),
        (frame(0, &[0, 0, 9]), ForeignSign::Malformed(ProtocolError::DataLength { expected: 2, actual: 3 })),
        (vec![0, 2, 0, 0, 1], ForeignSign::Malformed(ProtocolError::LengthField(512))),
        (vec![0x40, 0, 5, 1, 2], ForeignSign::Malformed(ProtocolError::LengthField(5))),
    ] {
        let mut driver = forged(&a110, &table, &seen);
        assert_eq!(driver.detect().map(drop), foreign(sign), "{table:02x?}");
        assert_eq!((driver.config().rules, driver.config().timing), (Rules::A100, Timing::A100));
    }
    let refused = forged(&a110, &wrong_sum, &seen).detect().unwrap_err();
    assert!(matches!(
        refused,
        Error::Unsuitable(Unsuitable::Foreign {
            sign: ForeignSign::Malformed(ProtocolError::Crc { .. }),
            ..
        })
    ));
    // A disturbed bus is read again.
    a110.inject(Fault::FlipRead { at: 3, mask: 4 });
    assert_eq!(driver(&a110).detect().unwrap().family(), Family::A110);

    // Two chips of different families on one board, one after the other.
    let mut first = driver(&a110);
    first.detect().unwrap();
    let config = *first.config();
    let a100 = chip(Profile { zones: vec![ZoneProfile::open(0, 64)], ..Profile::az3166() });
    let mut second = Stsafe::with_config(a100.bus(), a100.delay(), config);
    assert_eq!(second.detect().unwrap().family(), Family::A100);
    assert_eq!((second.config().rules, second.config().timing), (Rules::A100, Timing::A100));
}

#[test]
fn an_a110_survives_in_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chip.json");
    let profile = a110_with(&[line(Code::Read, 3, 3)]);
    pair(&VirtualChip::open(&path, profile, [1; 32]).unwrap());
    let again = VirtualChip::open(&path, Profile::az3166(), [2; 32]).unwrap();
    let mut driver = driver(&again);
    assert_eq!(driver.detect().unwrap().family(), Family::A110);
    assert!(driver.config().rules.of(Code::Read).needs_host());
    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to) in [("\"ac\": 3", "\"ac\": 6"), ("\"code\": 5", "\"code\": 14")] {
        assert!(text.contains(from));
        std::fs::write(&path, text.replace(from, to)).unwrap();
        assert!(VirtualChip::open(&path, Profile::az3166(), [2; 32]).is_err(), "{to}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    /// Any table: found or refused, and a secret goes out encrypted or not at all.
    #[test]
    fn any_table(bytes in proptest::collection::vec(prop_oneof![0u8..6, any::<u8>()], 0..40)) {
        let chip = chip(Profile::a110());
        pair(&chip);
        let seen = Arc::default();
        let mut driver = forged(&chip, &frame(0, &bytes), &seen);
        let found = driver.detect();
        prop_assert!(found.is_ok() || driver.config().rules == Rules::A100);
        let secret = *b"a secret that must not be seen!!";
        let _ = driver.host_session(keys()).wrap(0, &secret, &mut [0; 40]);
        prop_assert!(!seen.lock().unwrap().windows(8).any(|window| window == &secret[..8]));
        let frame = frame(0, &bytes);
        prop_assert!(ResponseFrame::parse(&frame, CrcMode::On).is_ok());
    }
}
