//! The README's table of promises, each held by somebody on the bus who tries to break it.

mod common {
    pub mod settings;
    pub mod vault;
}

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;

use common::vault::{Setting, UDS, az3166, driver, keys, pair};
use embedded_hal::i2c::{ErrorType, I2c, Operation};
use stsafe_a100::blocking::{CounterStore, Stsafe, Vault};
use stsafe_a100::error::{CryptoError, Error};
use stsafe_a100::session::{Counter, CounterPolicy, Host, HostOptions, LastCommand, SoftCrypto};
use stsafe_a100::sim::{BusError, Profile, VirtualBus, VirtualChip, VirtualDelay};
use stsafe_a100::vault::VaultError;
use stsafe_a100::wire::crc16;

/// What the host remembers over a restart.
#[derive(Default)]
struct Memory(Option<Counter>);

impl CounterStore for Memory {
    type Error = Infallible;

    fn lowest(&mut self) -> Result<Option<Counter>, Infallible> {
        Ok(self.0)
    }

    fn raise(&mut self, lowest: Counter) -> Result<(), Infallible> {
        assert!(self.0 < Some(lowest), "it only goes up");
        self.0 = Some(lowest);
        Ok(())
    }
}

/// What was written and read, in order; an error is a missing acknowledge.
type Tape = Rc<RefCell<Vec<Result<Vec<u8>, BusError>>>>;

/// Somebody between host and chip.
struct Between {
    bus: VirtualBus,
    tape: Tape,
    /// Plays the tape from here, and lets nothing through to the chip.
    replay: Rc<Cell<Option<usize>>>,
    /// Keeps commands back that are longer than a query, and answers them with this status.
    refuse: Rc<Cell<Option<u8>>>,
    held: Rc<RefCell<Vec<Vec<u8>>>>,
    /// Every byte that was seen on the bus.
    seen: Rc<RefCell<Vec<u8>>>,
    answer: Option<Vec<u8>>,
}

#[derive(Clone, Default)]
struct Hands {
    tape: Tape,
    replay: Rc<Cell<Option<usize>>>,
    refuse: Rc<Cell<Option<u8>>>,
    held: Rc<RefCell<Vec<Vec<u8>>>>,
    seen: Rc<RefCell<Vec<u8>>>,
}

impl Hands {
    fn on(&self, chip: &VirtualChip) -> Stsafe<Between, VirtualDelay> {
        let Self { tape, replay, refuse, held, seen } = self.clone();
        Stsafe::new(Between { bus: chip.bus(), tape, replay, refuse, held, seen, answer: None }, chip.delay())
    }
}

impl ErrorType for Between {
    type Error = BusError;
}

impl I2c for Between {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        let [operation] = operations else { panic!("the driver writes or reads") };
        if let Some(at) = self.replay.get() {
            self.replay.set(Some(at + 1));
            let recorded = self.tape.borrow().get(at).cloned();
            let bytes = recorded.unwrap_or_else(|| self.bus.write(0x7F, &[]).map(|()| Vec::new()))?;
            if let Operation::Read(out) = operation {
                out.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
            }
            return Ok(());
        }
        if let (Some(status), Operation::Write(frame)) = (self.refuse.get(), &*operation)
            && frame.len() > 6
        {
            self.held.borrow_mut().push(frame.to_vec());
            let [high, low] = crc16(&[status]).to_be_bytes();
            self.answer = Some(vec![status, 0, 2, high, low]);
            return Ok(());
        }
        if let (Some(answer), Operation::Read(out)) = (&self.answer, &mut *operation) {
            let bytes = answer.iter().copied().chain(std::iter::repeat(0xFF));
            out.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
            if out.len() >= answer.len() {
                self.refuse.get().is_none().then(|| self.answer.take());
            }
            return Ok(());
        }
        let result = self.bus.transaction(address, std::slice::from_mut(operation));
        let bytes = match operation {
            Operation::Write(bytes) => bytes.to_vec(),
            Operation::Read(bytes) => bytes.to_vec(),
        };
        self.seen.borrow_mut().extend(&bytes);
        self.tape.borrow_mut().push(result.map(|()| bytes));
        result
    }
}

/// A paired chip with a sealed secret.
fn sealed_chip() -> VirtualChip {
    let chip = az3166();
    seal(&chip);
    chip
}

fn seal(chip: &VirtualChip) {
    pair(chip);
    let mut vault = Vault::open(driver(chip).host_session(keys())).unwrap();
    vault.set(Setting::Uds, &UDS).unwrap();
    vault.set(Setting::WifiSsid, b"HomeAP").unwrap();
}

/// A start as a firmware should do it: the secret is only used when the counter is safe.
fn start(chip: Stsafe<Between, VirtualDelay>, memory: &mut Memory) -> Result<[u8; 32], Fail> {
    let Ok(session) = chip.host_session_since(keys(), memory);
    let mut vault = Vault::open(session)?;
    let mut secret = [0; 32];
    assert_eq!(vault.get(Setting::Uds, &mut secret)?, Some(32));
    let Ok(()) = vault.chip().save_counter(memory);
    Ok(secret)
}

type Fail = VaultError<Setting, BusError>;
const BACK: Fail = VaultError::Chip(Error::Crypto(CryptoError::CounterWentBack));

/// "Replay a recorded session": with no chip on the bus, and after the secret was rotated.
#[test]
fn a_recorded_start_is_not_taken_a_second_time() {
    let chip = sealed_chip();
    let (hands, mut memory) = (Hands::default(), Memory::default());
    assert_eq!(start(hands.on(&chip), &mut memory), Ok(UDS));
    let recorded = hands.tape.borrow().len();
    assert!(recorded > 10);

    let mut careless = Memory::default();
    hands.replay.set(Some(0));
    assert_eq!(start(hands.on(&chip), &mut careless), Ok(UDS), "without a memory the recording is taken");
    hands.replay.set(Some(0));
    assert_eq!(start(hands.on(&chip), &mut memory), Err(BACK));

    // The chip itself goes on, and a rotated secret stays rotated.
    hands.replay.set(None);
    let Ok(session) = hands.on(&chip).host_session_since(keys(), &mut memory);
    let mut vault = Vault::open(session).unwrap();
    vault.generate(Setting::Uds, true).unwrap();
    let Ok(()) = vault.chip().save_counter(&mut memory);
    let new = start(hands.on(&chip), &mut memory).unwrap();
    assert_ne!(new, UDS);
    for from in (0..recorded).step_by(2) {
        hands.replay.set(Some(from));
        assert!(start(hands.on(&chip), &mut memory).is_err(), "from transfer {from}");
    }
}

/// "Replay": within one session.
#[test]
fn a_session_does_not_go_back() {
    let chip = sealed_chip();
    let hands = Hands::default();
    let options = HostOptions { policy: CounterPolicy::ReadEach, ..HostOptions::default() };
    let mut session = hands.on(&chip).host_session_with(keys(), SoftCrypto, options);
    let mut zone = [0; 16];
    chip.set_zone(3, 0, b"old content.....");
    session.read(3, 0, &mut zone).unwrap();
    chip.set_zone(3, 0, b"new content.....");
    hands.replay.set(Some(0));
    assert_eq!(session.read(3, 0, &mut zone), Err(Error::Crypto(CryptoError::CounterWentBack)));
    hands.replay.set(None);
    session.read(3, 0, &mut zone).unwrap();
    assert_eq!(&zone, b"new content.....");
}

/// "Make commands fail": a command that was refused, in a frame without a MAC, is executed later by the one who forged
/// the refusal; not any more once a later command has succeeded.
#[test]
fn a_command_held_back_is_dead_after_the_next_one_that_succeeds() {
    let later = |chip: &VirtualChip, hands: &Hands| {
        for frame in hands.held.borrow_mut().drain(..) {
            let _ = chip.bus().write(0x20, &frame);
            chip.elapse(1_000_000_000);
            let _ = chip.bus().read(0x20, &mut [0; 5]);
        }
        chip.zone(3).unwrap()[..4].to_vec()
    };
    for settled in [false, true] {
        let chip = sealed_chip();
        chip.set_zone(3, 0, b"old.");
        let hands = Hands::default();
        let mut session: Stsafe<Between, VirtualDelay, Host> = hands.on(&chip).host_session(keys());
        session.echo(b"x").unwrap();
        hands.refuse.set(Some(0x11));
        assert!(matches!(session.update(3, 0, b"new."), Err(Error::Device(_))), "as the forged answer says");
        hands.refuse.set(None);
        drop(session);
        if settled {
            let mut session = driver(&chip).host_session(keys());
            assert_eq!(session.settle(), Ok(LastCommand::Settled));
            assert_eq!(later(&chip, &hands), b"old.");
        } else {
            assert_eq!(later(&chip, &hands), b"new.", "that is why");
        }
    }
}

/// What the chip says of itself without a MAC stops the session at most; nothing of it is remembered.
#[test]
fn a_lie_about_the_counter_does_not_lock_the_chip_out() {
    let chip = sealed_chip();
    let (hands, mut memory) = (Hands::default(), Memory::default());
    start(hands.on(&chip), &mut memory).unwrap();
    let before = memory.0;
    for told in [0, 1, 0x00FF_0000, 0x00FF_FFFE, 0x00FF_FFFF] {
        let liar = chip.fork();
        liar.set_host_counter(told);
        // Another key in the same place: an impostor cannot make MACs.
        let mut session = driver(&liar).host_session_if(Some(keys()), before);
        let other = stsafe_a100::session::HostKeys::new([9; 16], [9; 16]);
        let mut impostor = driver(&liar).host_session_if(Some(other), before);
        assert!(impostor.echo(b"x").is_err());
        assert_eq!(impostor.lowest_counter(), before);
        let _ = session.echo(b"x");
    }
    assert_eq!(start(hands.on(&chip), &mut memory), Ok(UDS));
}

/// "Reads the bus": sees no secret, neither when it is made nor when it is read.
#[test]
fn nobody_who_listens_sees_a_secret() {
    let chip = sealed_chip();
    let hands = Hands::default();
    let mut vault = Vault::open(hands.on(&chip).host_session(keys())).unwrap();
    vault.set(Setting::WifiPassword, b"correct-horse-9").unwrap();
    for (setting, value) in [(Setting::WifiPassword, &b"correct-horse-9"[..]), (Setting::Uds, &UDS)] {
        let mut out = [0; 64];
        assert_eq!(vault.get(setting, &mut out), Ok(Some(value.len())));
        assert_eq!(&out[..value.len()], value);
        assert!(!hands.seen.borrow().windows(8).any(|window| window == &value[..8]));
    }
    assert!(hands.seen.borrow().len() > 1000);
}

/// "Put an older copy back": noticed by nobody where the zones are open to all. Restricted to the host, they refuse.
#[test]
fn an_old_envelope_is_refused_by_zones_that_only_the_host_may_write() {
    let mut profile = Profile::az3166();
    profile.zones.iter_mut().for_each(|zone| zone.update_cr = 1);
    let chip = VirtualChip::new(profile, [7; 32]);
    seal(&chip);
    let old = [chip.zone(2).unwrap(), chip.zone(7).unwrap()];
    let mut vault = Vault::open(driver(&chip).host_session(keys())).unwrap();
    vault.generate(Setting::Uds, true).unwrap();
    let new = [chip.zone(2).unwrap(), chip.zone(7).unwrap()];
    let put_back = || {
        for (zone, content) in [2, 7].into_iter().zip(&old) {
            let _ = driver(&chip).update(zone, 0, content);
        }
        [chip.zone(2).unwrap(), chip.zone(7).unwrap()]
    };
    assert_eq!(put_back(), old);
    let mut secret = [0; 32];
    let mut vault = Vault::open(driver(&chip).host_session(keys())).unwrap();
    assert_eq!(vault.get(Setting::Uds, &mut secret), Ok(Some(32)));
    assert_eq!(secret, UDS, "the old one, and nobody can tell");

    let access = stsafe_a100::types::Access {
        condition: stsafe_a100::types::AccessCondition::Host,
        changeable: false,
    };
    let mut session = driver(&chip).host_session(keys());
    for (zone, content) in [2, 7].into_iter().zip(&new) {
        let token = stsafe_a100::Irreversible::i_know_this_cannot_be_undone();
        session.update(zone, 0, content).unwrap();
        session.restrict_update(zone, 0, &content[..16], access, token).unwrap();
    }
    assert_eq!(put_back(), new);
    // The vault works as before.
    let mut vault = Vault::open(driver(&chip).host_session(keys())).unwrap();
    vault.set(Setting::Uds, &UDS).unwrap();
}

/// "Takes the chip to another board": nothing opens without the host keys.
#[test]
fn another_host_opens_nothing() {
    let chip = sealed_chip();
    let mut out = [0; 32];
    assert_eq!(
        Vault::open(driver(&chip)).unwrap().get(Setting::Uds, &mut out),
        Err(VaultError::Sealed(Setting::Uds))
    );
    let other = stsafe_a100::session::HostKeys::new([9; 16], [9; 16]);
    let mut vault = Vault::open(driver(&chip).host_session(other)).unwrap();
    assert!(matches!(vault.get(Setting::Uds, &mut out), Err(VaultError::Chip(Error::Device(_)))));
    assert_eq!(out, [0; 32]);
}

/// A chip's counter has 24 bits. Reading a setting costs one.
#[test]
fn a_start_spends_one_counter_for_each_setting_it_reads() {
    let chip = sealed_chip();
    let before = chip.host_counter().unwrap();
    let mut vault = Vault::open(driver(&chip).host_session(keys())).unwrap();
    assert!(vault.contains(Setting::Uds).unwrap());
    assert_eq!(chip.host_counter(), Some(before), "what only looks spends nothing");
    vault.get(Setting::Uds, &mut [0; 32]).unwrap();
    vault.get(Setting::WifiSsid, &mut [0; 32]).unwrap();
    assert_eq!(chip.host_counter(), Some(before + 2));
    assert_eq!(Counter::new(before).unwrap().commands_left(), 0x00FF_FFFF - before);
    // At its end the chip is of no use with a session, and says so.
    chip.set_host_counter(0x00FF_FFFE);
    vault = Vault::open(driver(&chip).host_session(keys())).unwrap();
    vault.get(Setting::Uds, &mut [0; 32]).unwrap();
    let end = vault.get(Setting::Uds, &mut [0; 32]);
    assert_eq!(end, Err(VaultError::Chip(Error::Crypto(CryptoError::CounterExhausted))));
}
