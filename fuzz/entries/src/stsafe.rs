//! The secure element's driver, virtual chip and vault, and the bridge through which boards reach it.

use std::convert::Infallible;
use std::io::{self, Read, Write};

use devkit_settings::Setting;
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{ErrorType, I2c, Operation};
use peripherals::{DevKit, bridge};
use stsafe_a100::Error;
use stsafe_a100::blocking::{Stsafe, Vault};
use stsafe_a100::config::{Config, CrcMode, Rules, Timing};
use stsafe_a100::session::{Channel, Counter, HostKeys, HostOptions, SoftCrypto};
use stsafe_a100::sim::{Profile, VirtualChip};
use stsafe_a100::types::{Curve, PublicKey};
use stsafe_a100::wire::ResponseFrame;

use crate::bytes::Bytes;

/// The zones of the AZ3166.
pub(crate) const ZONES: [u8; 8] = [0, 2, 3, 5, 6, 7, 8, 10];

/// Takes whatever is written, answers with the same bytes until they change.
struct Answers<'a>(&'a [u8]);

impl ErrorType for Answers<'_> {
    type Error = Infallible;
}

impl I2c for Answers<'_> {
    fn transaction(&mut self, _: u8, operations: &mut [Operation<'_>]) -> Result<(), Infallible> {
        for operation in operations {
            if let Operation::Read(out) = operation {
                let bytes = self.0.iter().copied().chain(std::iter::repeat(0xFF));
                out.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
            }
        }
        Ok(())
    }
}

struct NoDelay;

impl DelayNs for NoDelay {
    fn delay_ns(&mut self, _: u32) {}
}

/// The next frame: its length in two bytes, then as much of it as there is.
fn frame<'a>(bytes: &mut Bytes<'a>) -> &'a [u8] {
    let len = usize::from(u16::from_be_bytes([bytes.byte(), bytes.byte()]));
    bytes.0.split_off(..len.min(bytes.0.len())).unwrap_or_default()
}

fn call<S: Channel>(chip: &mut Stsafe<Answers<'_>, NoDelay, S>, which: u8) -> Result<(), Error<Infallible>> {
    match which % 16 {
        0 => chip.echo(&[0xA5; 20]),
        1 => chip.random(&mut [0; 32]),
        2 => chip.product_data().map(drop),
        3 => chip.partition().map(|table| assert!(table.zones().count() < 256)),
        4 => chip.envelope_keys().map(|table| assert!(table.slots().count() < 256)),
        5 => chip.private_keys().map(|table| assert!(table.slots().count() < 256)),
        6 => chip.public_key_slot().map(drop),
        7 => chip.read(2, 0, &mut [0; 600]),
        8 => chip.read_counter_zone(5, 0, &mut [0; 8]).map(drop),
        9 => chip.sign(0, &[1; 32]).map(drop),
        10 => chip.verify_password(&[0; 16]).map(drop),
        11 => chip.read_der(0, &mut [0; 700]).map(drop),
        12 => chip.life_cycle().map(drop),
        13 => chip.i2c_parameters().map(drop),
        14 => chip.detect().map(drop),
        _ => chip.host_key_slot().map(drop),
    }
}

/// Any answers to any calls: no panic, and in a host session none is taken for genuine.
pub(crate) fn driver(input: &[u8]) {
    let mut bytes = Bytes(input);
    let mut config = Config::default();
    config.timing = Timing::POLL_AT_ONCE;
    while !bytes.is_empty() {
        let which = bytes.byte();
        let answer = frame(&mut bytes);
        // An A100, or an A110 as far as one answer makes it one.
        config.rules = if which & 0x80 == 0 { Rules::A100 } else { Rules::A110 };
        let mut plain = Stsafe::with_config(Answers(answer), NoDelay, config);
        let _ = call(&mut plain, which);
        if let Ok(table) = plain.command_authorisation() {
            let rules = Rules::from_table(&table);
            plain.config_mut().rules = rules;
        }

        let keys = HostKeys::new([0x5E; 16], [0xED; 16]);
        let options = HostOptions { counter: Counter::new(7), ..HostOptions::default() };
        let mut host = plain.host_session_with(keys, SoftCrypto, options);
        let outcome = match which / 16 % 4 {
            0 => host.wrap(0, &[1; 24], &mut [0; 32]).map(drop),
            1 => host.unwrap(0, &[1; 32], &mut [0; 24]).map(drop),
            2 => {
                let peer = PublicKey::new(Curve::NistP256, &[1; 32], &[2; 32]);
                peer.map_err(Error::Input).and_then(|peer| host.establish_key(0, &peer).map(drop))
            }
            _ => call(&mut host, which),
        };
        assert!(outcome.is_err(), "a forged answer was taken for genuine");
    }
}

/// Any frames to the virtual chip: each is answered in form, or not at all.
pub(crate) fn chip(input: &[u8]) {
    for profile in [Profile::az3166(), Profile::a110()] {
        answer(&VirtualChip::new(profile, [7; 32]), input);
    }
}

fn answer(chip: &VirtualChip, input: &[u8]) {
    let mut bus = chip.bus();
    let mut bytes = Bytes(input);
    while !bytes.is_empty() {
        let _ = bus.write(0x20, frame(&mut bytes));
        let mut answer = [0; 600];
        if bus.read(0x20, &mut answer).is_ok() {
            let len = ResponseFrame::total_len(&answer, CrcMode::On).expect("a length");
            ResponseFrame::parse(&answer[..len], CrcMode::On).expect("a frame");
        } else {
            // Asleep, or hanging.
            chip.reset();
        }
    }
}

fn memory(chip: &VirtualChip) -> Vec<Option<Vec<u8>>> {
    ZONES.iter().map(|zone| chip.zone(*zone)).collect()
}

/// Any content of the zones: a read never writes, and what is stored over it is there afterwards.
pub(crate) fn vault(input: &[u8]) {
    let chip = VirtualChip::new(Profile::az3166(), [7; 32]);
    let mut bytes = Bytes(input);
    while !bytes.is_empty() {
        let zone = ZONES[usize::from(bytes.byte()) % ZONES.len()];
        let offset = usize::from(u16::from_be_bytes([bytes.byte(), bytes.byte()]));
        chip.set_zone(zone, offset, frame(&mut bytes));
    }
    let before = memory(&chip);
    let mut vault = Vault::open(Stsafe::new(chip.bus(), chip.delay())).expect("it opens");
    for setting in Setting::ALL {
        let mut out = vec![0; setting.max_len()];
        let _ = vault.get(setting, &mut out);
    }
    assert!(memory(&chip) == before, "a read has written");
    let setting = Setting::ALL[usize::from(input.first().copied().unwrap_or_default()) % Setting::ALL.len()];
    let value: Vec<u8> = (1..).take(setting.max_len().min(32)).collect();
    vault.set(setting, &value).expect("storing repairs");
    let mut out = vec![0; setting.max_len()];
    assert_eq!(vault.get(setting, &mut out).expect("it was stored"), Some(value.len()));
    assert_eq!(out[..value.len()], value);
}

/// A connection that delivers the input and takes a bounded amount of answers.
struct Stream<'a>(&'a [u8], usize);

impl Read for Stream<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.1 += buf.len();
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Any requests through the bridge: it answers no more than was asked for, and ends.
pub(crate) fn bridge(input: &[u8]) {
    let mut kit = DevKit::new(VirtualChip::new(Profile::az3166(), [7; 32]), [0; 6]);
    let mut stream = Stream(input, 0);
    let _ = bridge::serve(&mut stream, &mut kit);
    // A request of six bytes asks for the longest answer.
    assert!(stream.1 <= input.len() * (bridge_protocol::MAX_TRANSACTION + 1));
    assert!(kit.display.lock().expect("whole").picture().count_lit() <= 128 * 64);
}
