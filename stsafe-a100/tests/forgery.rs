//! A million random answers: no panic, and inside a host session none is taken for genuine, by the rules of an A100 as
//! by those of an A110 that encrypts everything.

mod common;

use common::bus::NoDelay;
use common::fake::{Fake, keys, seal};
use embedded_hal::i2c::ErrorKind;
use proptest::prelude::*;
use stsafe_a100::config::{CommandAccess, Config, Encryption, Rules, Timing};
use stsafe_a100::session::{Channel, Host, HostOptions, SoftCrypto};
use stsafe_a100::types::{Curve, Family, Partition, PublicKey};
use stsafe_a100::wire::{
    self, AuthorisationTable, Code, Command, CommandFrame, Counter, CrcMode, EnvelopeKeyTable, HostKeySlot,
    MAX_COMMAND, MAX_RESPONSE, PasswordVerdict, PrivateKeyTable, ProductData, ResponseFrame, Writer,
};
use stsafe_a100::{Error, blocking};

/// A small generator (xorshift64*), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % end
    }

    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }

    /// Noise; a well-formed frame around noise, with or without R-MAC; or a genuine answer with some bytes altered.
    fn frame(&mut self, genuine: &[u8], out: &mut Vec<u8>) {
        out.clear();
        match self.below(4) {
            0 => {
                out.resize(self.below(MAX_RESPONSE + 4), 0);
                self.fill(out);
            }
            1 | 2 => {
                let len = if self.below(2) == 0 { genuine.len() - 3 } else { self.below(120) + 6 };
                out.resize(3 + len, 0);
                self.fill(out);
                out[0] = if self.below(8) == 0 { out[0] & 0x5F } else { 0x40 };
                [out[1], out[2]] = u16::try_from(len).unwrap().to_be_bytes();
                seal(out);
            }
            _ => {
                out.extend(genuine);
                for _ in 0..=self.below(4) {
                    let at = self.below(out.len() - 2);
                    out[at] ^= u8::try_from(1 + self.below(255)).unwrap();
                }
                // Alterations may have undone one another.
                if out == genuine {
                    out[3] ^= 1;
                }
                seal(out);
            }
        }
    }
}

type Chip<S> = blocking::Stsafe<Fake, NoDelay, S>;

fn config(rules: Rules) -> Config {
    let mut config = Config::default();
    config.timing = Timing::POLL_AT_ONCE;
    config.rereads = 0;
    config.rules = rules;
    config
}

/// An A100's rules, and an A110's whose table encrypts all there is.
fn families() -> [Rules; 2] {
    let both = Encryption { command: true, response: true };
    [
        Rules::A100,
        Code::ALL.into_iter().fold(Rules::A110, |rules, code| rules.with(code, CommandAccess::Host, both)),
    ]
}

/// Calls whose answers have all the shapes there are.
fn call<S: Channel>(chip: &mut Chip<S>, which: usize) -> Result<(), Error<ErrorKind>> {
    match which {
        0 => chip.echo(&[0xA5; 20]),
        1 => chip.reset(),
        2 => chip.random(&mut [0; 32]),
        3 => chip.product_data().map(drop),
        4 => chip.partition().map(|table| assert!(table.zones().count() < 256)),
        5 => chip.envelope_keys().map(|table| assert!(table.slots().count() < 256)),
        6 => chip.private_keys().map(|table| assert!(table.slots().count() < 256)),
        7 if chip.config().rules.family() == Family::A110 => chip.command_authorisation().map(drop),
        7 => chip.public_key_slot().map(drop),
        8 => chip.read(2, 0, &mut [0; 64]),
        9 => chip.read_counter_zone(5, 0, &mut [0; 8]).map(drop),
        10 => chip.sign(0, &[1; 32]).map(drop),
        11 => chip.verify_password(&[0; 16]).map(drop),
        _ => chip.host_key_slot().map(drop),
    }
}

const COMMON: usize = 13;

/// And those that are encrypted.
fn hosted(chip: &mut Chip<Host>, which: usize) -> Result<(), Error<ErrorKind>> {
    match which.checked_sub(COMMON) {
        None => call(chip, which),
        Some(0) => chip.wrap(0, &[1; 24], &mut [0; 32]).map(drop),
        Some(1) => chip.unwrap(0, &[1; 32], &mut [0; 24]).map(drop),
        Some(_) => {
            let peer = PublicKey::new(Curve::NistP256, &[1; 32], &[2; 32]).unwrap();
            chip.establish_key(0, &peer).map(drop)
        }
    }
}

const CALLS: usize = COMMON + 3;

fn session(fake: Fake) -> Chip<Host> {
    let counter = Counter::new(fake.counter);
    let options = HostOptions { counter, ..HostOptions::default() };
    let config = config(fake.rules);
    blocking::Stsafe::with_config(fake, NoDelay::default(), config).host_session_with(
        keys(),
        SoftCrypto,
        options,
    )
}

/// The genuine answer to each call at the session's first counter.
fn genuine(rules: Rules) -> Vec<Vec<u8>> {
    (0..CALLS)
        .map(|which| {
            let mut chip = session(Fake { rules, ..Fake::new() });
            hosted(&mut chip, which).unwrap();
            chip.release().0.answers.remove(0)
        })
        .collect()
}

#[test]
fn a_million_forged_answers() {
    let families = families();
    let genuine = families.map(genuine);
    let mut random = Random(0x5354_5341_4645);
    let mut fake = Fake::new();
    let mut frame = Vec::new();
    let mut refused_by_mac = 0;
    for i in 0..1_000_000 {
        let which = i % CALLS;
        let family = i / CALLS % 2;
        random.frame(&genuine[family][which], &mut frame);
        fake.rules = families[family];
        fake.counter = 0xFE;
        fake.answer_with = Some(std::mem::take(&mut frame));
        let mut chip = session(fake);
        let error = hosted(&mut chip, which).expect_err("a forgery was taken for genuine");
        refused_by_mac += usize::from(matches!(error, Error::Crypto(_)));
        fake = chip.release().0;
        frame = fake.answer_with.take().unwrap();
    }
    // Otherwise the frames were too bad to test the MAC.
    assert!(refused_by_mac > 500_000, "{refused_by_mac}");
}

#[test]
fn random_answers_without_a_session_do_no_harm() {
    let genuine = genuine(Rules::A100);
    let mut random = Random(0x4131_3030);
    let mut fake = Fake::new();
    let mut frame = Vec::new();
    for i in 0..200_000 {
        let which = i % COMMON;
        random.frame(&genuine[which], &mut frame);
        // Without R-MAC, so that the parsers see them.
        if let Some(header) = frame.first_mut().filter(|_| random.below(8) > 0) {
            *header &= 0x80;
            seal(&mut frame);
        }
        fake.answer_with = Some(std::mem::take(&mut frame));
        let mut chip = blocking::Stsafe::with_config(fake, NoDelay::default(), config(Rules::A100));
        let _ = call(&mut chip, which);
        fake = chip.release().0;
        frame = fake.answer_with.take().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn any_bytes_as_a_command_frame(bytes in proptest::collection::vec(any::<u8>(), 0..520), crc in any::<bool>()) {
        let crc = if crc { CrcMode::On } else { CrcMode::Off };
        if let Ok(frame) = CommandFrame::parse(&bytes, crc) {
            let mut out = [0; MAX_COMMAND];
            let len = frame.emit(crc, &mut out).unwrap();
            prop_assert_eq!(&out[..len], &bytes[..]);
        }
    }

    #[test]
    fn any_bytes_as_a_response_frame(bytes in proptest::collection::vec(any::<u8>(), 0..520), crc in any::<bool>()) {
        let crc = if crc { CrcMode::On } else { CrcMode::Off };
        if let Ok(frame) = ResponseFrame::parse(&bytes, crc) {
            let mut out = [0; MAX_RESPONSE];
            let len = frame.emit(crc, &mut out).unwrap();
            prop_assert_eq!(&out[..len], &bytes[..]);
        }
    }

    /// What parses as a command is that command: emitted again it gives the same bytes, unless the host refuses it.
    #[test]
    fn any_bytes_as_a_command(code in 0u8..32, bytes in proptest::collection::vec(any::<u8>(), 0..520)) {
        if let Ok(command) = Command::parse(code, &bytes) {
            let mut buf = [0; 520];
            let mut w = Writer::new(&mut buf);
            if command.emit(&mut w).is_ok() {
                prop_assert_eq!(w.finish(), &bytes[..]);
            }
        }
    }

    /// Small bytes make tables and lists more likely than any.
    #[test]
    fn any_bytes_as_a_response(bytes in proptest::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..80)) {
        if let Ok(table) = Partition::parse(&bytes) {
            prop_assert_eq!(table.zones().count(), usize::from(bytes[0]));
        }
        if let Ok(table) = AuthorisationTable::parse(&bytes) {
            prop_assert_eq!(table.entries().count(), usize::from(bytes[1]));
        }
        if let Ok(table) = EnvelopeKeyTable::parse(&bytes) {
            prop_assert_eq!(table.slots().count(), usize::from(bytes[0]));
        }
        if let Ok(table) = PrivateKeyTable::parse(&bytes) {
            prop_assert_eq!(table.slots().count(), usize::from(bytes[0]));
        }
        let _ = ProductData::parse(&bytes);
        let _ = HostKeySlot::parse(&bytes);
        let _ = PasswordVerdict::parse(&bytes);
        let _ = wire::parse_public_key_slot(&bytes);
        let _ = wire::parse_signature(&bytes);
        let _ = wire::parse_shared_secret(&bytes);
        let _ = wire::parse_i2c_parameters(&bytes);
    }
}
