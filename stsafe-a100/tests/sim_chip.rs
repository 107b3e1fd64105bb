//! The virtual chip by itself: hostile commands, faults, outages, persistence, and its line protocol.

use embedded_hal::i2c::{ErrorKind, I2c, Operation};
use proptest::prelude::*;
use stsafe_a100::error::Status;
use stsafe_a100::session::SoftCrypto;
use stsafe_a100::sim::{BusError, Busy, Fault, Outage, Profile, Torn, VirtualChip, ZoneProfile, line};
use stsafe_a100::types::{Access, AccessCondition, Curve, ZoneOptions};
use stsafe_a100::wire::{
    Attribute, Code, Command, CommandFrame, Counter, CrcMode, EnvelopeKeyKind, Header, HostKeys, KeyMode,
    MAX_COMMAND, MAX_RESPONSE, Query, ResponseFrame, WakeUp, Writer, c_mac, crc16,
};

const ADDRESS: u8 = 0x20;
const MAC_KEY: [u8; 16] = [0x11; 16];
const CIPHER_KEY: [u8; 16] = [0x22; 16];

fn new_chip() -> VirtualChip {
    VirtualChip::new(Profile::az3166(), [9; 32])
}

/// The frame of a command without MAC.
fn plain(command: &Command<'_>) -> Vec<u8> {
    let mut data = [0; MAX_COMMAND];
    let mut w = Writer::new(&mut data);
    command.emit(&mut w).unwrap();
    seal(Header::plain(command.code().bits()), w.finish())
}

fn seal(header: Header, data: &[u8]) -> Vec<u8> {
    let mut wire = [0; MAX_COMMAND];
    let mac = header.c_mac.then(|| {
        let keys = HostKeys::new(MAC_KEY, CIPHER_KEY);
        c_mac(&mut SoftCrypto, &keys, Counter::ZERO, header, data)
    });
    let len = CommandFrame { header, data, mac }.emit(CrcMode::On, &mut wire).unwrap();
    wire[..len].to_vec()
}

/// Reads the answer and takes it apart, which must succeed.
fn answer(chip: &VirtualChip) -> Option<(Status, Vec<u8>)> {
    let mut wire = [0; MAX_RESPONSE];
    chip.bus().read(ADDRESS, &mut wire).ok()?;
    let len = ResponseFrame::total_len(&wire, CrcMode::On).unwrap();
    let frame = ResponseFrame::parse(&wire[..len], CrcMode::On).unwrap();
    assert!(wire[len..].iter().all(|byte| *byte == 0xFF));
    assert!(frame.status == Status::Ok || (frame.data.is_empty() && frame.mac.is_none()));
    Some((frame.status, frame.data.to_vec()))
}

fn run(chip: &VirtualChip, command: &Command<'_>) -> (Status, Vec<u8>) {
    chip.bus().write(ADDRESS, &plain(command)).unwrap();
    answer(chip).unwrap()
}

/// How many bytes have this value.
fn count(bytes: &[u8], value: u8) -> usize {
    bytes.iter().map(|byte| usize::from(*byte == value)).sum()
}

fn update(zone: u8, offset: u16, data: &[u8]) -> Command<'_> {
    Command::Update { options: ZoneOptions::NONE, zone, offset, data }
}

/// A chip with everything in it that a command could reach.
fn full_chip() -> VirtualChip {
    let mut profile = Profile::az3166();
    profile.zones.push(ZoneProfile { kind: 1, counter: 1000, ..ZoneProfile::open(5 + 6, 64) });
    profile.zones.push(ZoneProfile { read_ac: 1, update_ac: 1, ..ZoneProfile::open(12, 64) });
    let chip = VirtualChip::new(profile, [9; 32]);
    for slot in 0..2 {
        let (mode, use_limit) = (KeyMode::NONE, 0xFFFF);
        let curve = Curve::NistP256;
        assert!(run(&chip, &Command::GenerateKeyPair { slot, use_limit, mode, curve }).0.is_ok());
        let kind = EnvelopeKeyKind::Aes128;
        assert!(run(&chip, &Command::GenerateEnvelopeKey { slot, kind, seed: &[] }).0.is_ok());
    }
    let keys = Attribute::HostKeys { mac: &MAC_KEY, cipher: &CIPHER_KEY };
    assert!(run(&chip, &Command::PutAttribute(keys)).0.is_ok());
    chip.set_password(&[5; 16]);
    chip
}

/// Frames from nothing, and frames whose outside is right so that the inside is reached.
fn hostile_frame() -> impl Strategy<Value = (Vec<u8>, bool)> {
    let noise = proptest::collection::vec(any::<u8>(), 0..600);
    let data = proptest::collection::vec(prop_oneof![3 => 0..16_u8, 1 => any::<u8>()], 0..80);
    prop_oneof![
        1 => noise.prop_map(|frame| (frame, false)),
        6 => (any::<u8>(), data, any::<bool>()).prop_map(|(header, data, honest)| {
            let header = Header { c_mac: header & 0x80 != 0 && honest, ..Header::from_byte(header) };
            let mut frame = seal(header, &data);
            if !honest {
                let end = frame.len();
                frame[end - 1] ^= 1;
            }
            (frame, honest)
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_command_gets_a_well_formed_answer(
        frames in proptest::collection::vec(hostile_frame(), 1..60),
    ) {
        let chip = full_chip();
        for (frame, honest) in frames {
            let before: Vec<_> = (0..13).map(|zone| chip.zone(zone)).collect();
            chip.set_host_counter(0);
            if chip.bus().write(ADDRESS, &frame).is_err() {
                // Asleep after a Hibernate that was meant.
                chip.reset();
                continue;
            }
            match answer(&chip) {
                Some((status, _)) if !honest && !frame.is_empty() => {
                    let sealed = frame
                        .split_last_chunk::<2>()
                        .is_some_and(|(text, sum)| crc16(text).to_be_bytes() == *sum);
                    prop_assert!(!status.is_ok() || sealed);
                    prop_assert_eq!(before, (0..13).map(|zone| chip.zone(zone)).collect::<Vec<_>>());
                }
                Some(_) => {}
                // Only an all-zero digest may hang the chip; an empty write leaves nothing to read.
                None => {
                    let code = frame.first().map(|first| Header::from_byte(*first).code);
                    let hangs = [Code::GenerateSignature, Code::VerifySignature].map(|code| Some(code.bits()));
                    prop_assert!(frame.is_empty() || hangs.contains(&code));
                    chip.reset();
                }
            }
        }
    }

    #[test]
    fn a_wrong_mac_changes_nothing(
        code in 0..32_u8,
        data in proptest::collection::vec(any::<u8>(), 0..60),
        bit in 0..32_usize,
    ) {
        let chip = full_chip();
        let zones: Vec<_> = (0..13).map(|zone| chip.zone(zone)).collect();
        let mut frame = seal(Header::host(code, true), &data);
        let mac_at = frame.len() - 6;
        frame[mac_at + bit / 8] ^= 1 << (bit % 8);
        let sum = crc16(&frame[..mac_at + 4]).to_be_bytes();
        frame[mac_at + 4..].copy_from_slice(&sum);
        chip.bus().write(ADDRESS, &frame).unwrap();
        let expected = if Code::from_bits(code).is_some() { Status::InvalidCMac } else { Status::UnsupportedCommand };
        prop_assert_eq!(answer(&chip), Some((expected, vec![])));
        prop_assert_eq!(chip.host_counter(), Some(0));
        prop_assert_eq!(zones, (0..13).map(|zone| chip.zone(zone)).collect::<Vec<_>>());
    }
}

/// A million frames: noise, and noise behind a right command code and checksum. Whatever comes, the chip answers in its
/// form, and a paired chip's counter never moves.
#[test]
fn a_million_random_commands() {
    let chip = full_chip();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut wire = [0; MAX_RESPONSE];
    let (mut refused, mut hung, mut asleep) = (0, 0, 0);
    for _ in 0..1_000_000 {
        let mut frame: Vec<u8> = (0..=random() % 6).flat_map(|_| random().to_be_bytes()).collect();
        frame.truncate(1 + usize::try_from(random() % 48).unwrap());
        if random() % 8 != 0 {
            frame[0] = Header { c_mac: false, ..Header::from_byte(frame[0]) }.to_byte();
            // Small numbers, of which tags and slots are made.
            for byte in frame.iter_mut().skip(1).take(4) {
                *byte &= 0x1F;
            }
            frame.extend(crc16(&frame).to_be_bytes());
        }
        if chip.bus().write(ADDRESS, &frame).is_err() {
            asleep += 1;
            chip.reset();
            continue;
        }
        if chip.bus().read(ADDRESS, &mut wire).is_err() {
            hung += 1;
            chip.reset();
            continue;
        }
        let len = ResponseFrame::total_len(&wire, CrcMode::On).unwrap();
        let answer = ResponseFrame::parse(&wire[..len], CrcMode::On).unwrap();
        refused += u32::from(!answer.status.is_ok());
    }
    assert_eq!(chip.host_counter(), Some(0));
    assert!(refused > 500_000 && refused < 1_000_000, "{refused} refused");
    assert_eq!(hung, 0, "no all-zero digest among them");
    assert!(asleep > 0, "some said to hibernate");
}

#[test]
fn frames_of_every_length_are_answered() {
    let chip = new_chip();
    for len in 1..700 {
        let mut frame = vec![0; len];
        if let Some((body, sum)) = frame.split_last_chunk_mut::<2>() {
            *sum = crc16(body).to_be_bytes();
        }
        chip.bus().write(ADDRESS, &frame).unwrap();
        let (status, data) = answer(&chip).unwrap();
        match len {
            1 | 2 => assert_eq!(status, Status::CommunicationError),
            3..=MAX_COMMAND => assert_eq!((status, data.len()), (Status::Ok, len - 3)),
            _ => assert_eq!(status, Status::BufferLength),
        }
    }
}

#[test]
fn commands_are_taken_at_a_stop_condition_only() {
    let chip = new_chip();
    let frame = plain(&Command::Echo(b"abc"));
    let mut out = [0; 8];
    assert_eq!(chip.bus().write_read(ADDRESS, &frame, &mut out), Err(BusError::AddressNack));
    assert_eq!(chip.bus().read(ADDRESS, &mut out), Err(BusError::AddressNack));
    let (head, tail) = frame.split_at(3);
    let mut parts = [Operation::Write(head), Operation::Write(tail)];
    chip.bus().transaction(ADDRESS, &mut parts).unwrap();
    assert_eq!(answer(&chip), Some((Status::Ok, b"abc".to_vec())));
    assert_eq!(chip.bus().write(ADDRESS + 1, &frame), Err(BusError::AddressNack));
    chip.bus().write(ADDRESS, &[]).unwrap();
    assert_eq!(answer(&chip), Some((Status::Ok, b"abc".to_vec())), "an empty write asks only for presence");
}

#[test]
fn bus_errors_have_their_kind() {
    use embedded_hal::i2c::{Error as _, NoAcknowledgeSource};
    assert_eq!(BusError::AddressNack.kind(), ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address));
    assert_eq!(BusError::DataNack.kind(), ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data));
    assert_eq!(BusError::Bus.kind(), ErrorKind::Bus);
}

#[test]
fn faults_act_once_and_in_order() {
    let echo = Command::Echo(b"abcd");
    let chip = new_chip();
    let frame = plain(&echo);
    let mut bus = chip.bus();

    chip.inject(Fault::NackWrites(2));
    chip.inject(Fault::NackReads(1));
    assert!(bus.write(ADDRESS, &frame).is_err());
    assert!(bus.write(ADDRESS, &frame).is_err());
    bus.write(ADDRESS, &frame).unwrap();
    assert!(bus.read(ADDRESS, &mut [0; 9]).is_err());
    assert!(answer(&chip).is_some());

    chip.inject(Fault::BusError);
    assert_eq!(bus.write(ADDRESS, &frame), Err(BusError::Bus));
    chip.inject(Fault::FlipCommand { at: 2, mask: 0x40 });
    assert_eq!(run(&chip, &echo).0, Status::CommunicationError);
    chip.inject(Fault::TruncateCommand(4));
    assert_eq!(run(&chip, &echo).0, Status::CommunicationError);
    chip.inject(Fault::Status(Status::KeyBlocked));
    assert_eq!(run(&chip, &echo).0, Status::KeyBlocked);

    let read = |wire: &mut [u8; 9]| chip.bus().read(ADDRESS, wire).unwrap();
    let good = {
        let mut wire = [0; 9];
        run(&chip, &echo);
        read(&mut wire);
        wire
    };
    let mut wire = [0; 9];
    for (fault, lasts) in
        [(Fault::FlipResponse { at: 4, mask: 1 }, true), (Fault::FlipRead { at: 4, mask: 1 }, false)]
    {
        chip.inject(fault);
        bus.write(ADDRESS, &frame).unwrap();
        read(&mut wire);
        assert_eq!(wire[4], good[4] ^ 1);
        read(&mut wire);
        assert_eq!(wire[4] != good[4], lasts);
    }
    chip.inject(Fault::TruncateResponse(5));
    bus.write(ADDRESS, &frame).unwrap();
    read(&mut wire);
    assert_eq!(wire, [good[0], good[1], good[2], good[3], good[4], 0xFF, 0xFF, 0xFF, 0xFF]);

    chip.inject(Fault::StuckBusy);
    bus.write(ADDRESS, &frame).unwrap();
    for _ in 0..1000 {
        assert!(bus.read(ADDRESS, &mut wire).is_err() && bus.write(ADDRESS, &frame).is_err());
    }
    chip.reset();
    assert_eq!(run(&chip, &echo).0, Status::Ok);

    chip.inject(Fault::StuckBusy);
    chip.clear_faults();
    assert_eq!(run(&chip, &echo).0, Status::Ok);
}

#[test]
fn an_all_zero_digest_hangs_the_chip() {
    let chip = full_chip();
    // The driver's own check refuses such a command, so the frame is made by hand.
    let data = [&[0, 0, 32][..], &[0; 32]].concat();
    chip.bus().write(ADDRESS, &seal(Header::plain(0x16), &data)).unwrap();
    assert!(answer(&chip).is_none());
    chip.reset();
    assert!(run(&chip, &Command::Echo(b"x")).0.is_ok());
}

#[test]
fn hibernation_ends_by_a_start_or_a_reset() {
    let chip = new_chip();
    let echo = plain(&Command::Echo(b"x"));
    assert!(run(&chip, &Command::Hibernate(WakeUp::I2cOrReset)).0.is_ok());
    assert!(chip.bus().write(ADDRESS, &echo).is_err());
    assert!(chip.bus().write(ADDRESS, &echo).is_ok());
    assert!(run(&chip, &Command::Hibernate(WakeUp::ResetOnly)).0.is_ok());
    assert!((0..10).all(|_| chip.bus().write(ADDRESS, &echo).is_err()));
    chip.reset();
    assert!(chip.bus().write(ADDRESS, &echo).is_ok());
}

#[test]
fn time_passes_on_the_virtual_clock() {
    use embedded_hal::delay::DelayNs as _;
    let chip = new_chip();
    chip.set_busy(Busy::Time);
    chip.bus().write(ADDRESS, &plain(&Command::GenerateRandom { len: 8 })).unwrap();
    let mut polls = 0;
    while answer(&chip).is_none() {
        chip.delay().delay_ms(1);
        polls += 1;
    }
    assert!((9..=10).contains(&polls), "{polls}");
    chip.set_busy(Busy::Reads(3));
    chip.bus().write(ADDRESS, &plain(&Command::Echo(b"x"))).unwrap();
    assert_eq!((0..4).map(|_| answer(&chip).is_some()).collect::<Vec<_>>(), [false, false, false, true]);
}

/// An outage at every step of one update: nothing but the written range changes, and that only from the front.
#[test]
fn an_outage_leaves_a_prefix() {
    let new = [0xEE; 40];
    for torn in [Torn::Clean, Torn::Byte, Torn::Page(16)] {
        for outage in [Outage::PowerCut, Outage::Reset] {
            let mut full = false;
            for steps in 0.. {
                let chip = new_chip();
                chip.set_zone(2, 0, &[0x55; 200]);
                chip.set_torn(torn);
                chip.outage_after(steps, outage);
                let written = chip.bus().write(ADDRESS, &plain(&update(2, 20, &new)));
                let zone = chip.zone(2).unwrap();
                let changed = count(&zone, 0xEE);
                if outage == Outage::PowerCut && !chip.is_powered() {
                    assert!(chip.bus().write(ADDRESS, &[0]).is_err());
                    chip.power_on();
                }
                chip.clear_faults();
                assert!(run(&chip, &Command::Echo(b"x")).0.is_ok());
                match torn {
                    Torn::Clean => {
                        let mut expected = [0x55; 200];
                        expected[20..20 + changed].fill(0xEE);
                        assert_eq!(zone, expected);
                    }
                    Torn::Byte => {
                        let odd = zone.iter().filter(|byte| **byte != 0xEE && **byte != 0x55).count();
                        assert!(odd <= 1);
                    }
                    Torn::Page(_) => {
                        let erased = count(&zone, 0xFF);
                        assert!(erased == 0 || erased == 16);
                    }
                }
                if changed == new.len() {
                    if full {
                        break;
                    }
                    full = true;
                    assert!(written.is_ok());
                } else {
                    assert!(!full || torn != Torn::Clean);
                }
            }
        }
    }
}

#[test]
fn an_atomic_update_is_all_or_nothing() {
    let new = [0xEE; 64];
    let command = Command::Update { options: ZoneOptions::ATOMIC, zone: 2, offset: 8, data: &new };
    let mut seen = [false; 2];
    for steps in 0..100 {
        let chip = new_chip();
        chip.set_torn(Torn::Page(16));
        chip.outage_after(steps, Outage::PowerCut);
        let _ = chip.bus().write(ADDRESS, &plain(&command));
        let changed = chip.zone(2).unwrap().iter().filter(|byte| **byte != 0).count();
        assert!(changed == 0 || changed == 64);
        seen[changed / 64] = true;
    }
    assert_eq!(seen, [true, true]);
    let chip = new_chip();
    let too_long = [0; 65];
    let data = [&[0x80, 2, 0, 0][..], &too_long].concat();
    chip.bus().write(ADDRESS, &seal(Header::plain(0x06), &data)).unwrap();
    assert_eq!(answer(&chip).unwrap().0, Status::OutOfRange);
}

#[test]
fn access_rights_only_get_stricter() {
    let mut profile = Profile::az3166();
    profile.zones[1].read_cr = 1;
    let chip = VirtualChip::new(profile, [1; 32]);
    let read = |options| Command::Read { options, zone: 2, offset: 0, len: 4 };
    let change = |condition, changeable| ZoneOptions::change(Access { condition, changeable });
    assert!(run(&chip, &read(change(AccessCondition::Always, true))).0.is_ok());
    assert!(run(&chip, &read(change(AccessCondition::Host, true))).0.is_ok());
    assert_eq!(run(&chip, &read(ZoneOptions::NONE)).0, Status::AccessCondition);
    let update =
        Command::Update { options: change(AccessCondition::Host, false), zone: 2, offset: 0, data: &[1] };
    assert_eq!(run(&chip, &update).0, Status::AccessCondition, "the update right is not changeable");
    assert_eq!(chip.zone(2).unwrap()[0], 0);
}

#[test]
fn the_memory_survives_in_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chip.json");
    let seed = [3; 32];
    let chip = VirtualChip::open(&path, Profile::az3166(), seed).unwrap();
    assert!(run(&chip, &update(3, 0, b"ssid")).0.is_ok());
    let keys = Attribute::HostKeys { mac: &MAC_KEY, cipher: &CIPHER_KEY };
    assert!(run(&chip, &Command::PutAttribute(keys)).0.is_ok());
    let random = Command::GenerateRandom { len: 32 };
    let first = run(&chip, &random);
    assert_eq!(chip.store_error(), None);
    drop(chip);

    let chip = VirtualChip::open(&path, Profile::az3166(), [4; 32]).unwrap();
    assert_eq!(&chip.zone(3).unwrap()[..5], b"ssid\0");
    assert_eq!(chip.host_counter(), Some(0));
    assert_ne!(run(&chip, &random), first, "the generator goes on where it was");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

    let same = VirtualChip::new(Profile::az3166(), seed);
    assert_eq!(run(&same, &random), first, "one seed, one sequence");

    for damaged in ["", "{}", "not json"] {
        std::fs::write(&path, damaged).unwrap();
        assert!(VirtualChip::open(&path, Profile::az3166(), seed).is_err());
    }
    let good = serde_json::to_value(Profile::az3166()).unwrap();
    std::fs::write(&path, good.to_string()).unwrap();
    assert!(VirtualChip::open(&path, Profile::az3166(), seed).is_err(), "a profile is no state");
}

#[test]
fn a_torn_write_is_torn_in_the_file_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chip.json");
    let chip = VirtualChip::open(&path, Profile::az3166(), [1; 32]).unwrap();
    let frame = plain(&update(2, 0, &[7; 100]));
    chip.outage_after(1 + frame.len() as u64 + 50, Outage::PowerCut);
    chip.bus().write(ADDRESS, &frame).unwrap();
    assert!(!chip.is_powered());
    let chip = VirtualChip::open(&path, Profile::az3166(), [1; 32]).unwrap();
    assert_eq!(count(&chip.zone(2).unwrap(), 7), 50);
}

#[test]
fn passwords_block_after_three_misses() {
    let chip = full_chip();
    let verify = |password: &[u8; 16]| run(&chip, &Command::VerifyPassword(password));
    assert_eq!(verify(&[0; 16]), (Status::Ok, vec![0, 2]));
    assert_eq!(verify(&[5; 16]), (Status::Ok, vec![1, 3]));
    for remaining in [2, 1, 0] {
        assert_eq!(verify(&[0; 16]), (Status::Ok, vec![0, remaining]));
    }
    assert_eq!(verify(&[5; 16]).0, Status::PasswordBlocked);
}

#[test]
fn keys_obey_their_mode_and_limit() {
    let chip = new_chip();
    let make = Command::GenerateKeyPair {
        slot: 0,
        use_limit: 1,
        mode: KeyMode::SIGN_DIGEST,
        curve: Curve::NistP256,
    };
    assert!(run(&chip, &make).0.is_ok());
    let sign = Command::GenerateSignature { slot: 0, digest: &[1; 32] };
    assert_eq!(run(&chip, &Command::StartSignatureSession { slot: 0 }).0, Status::WrongKeyUsage);
    assert!(run(&chip, &sign).0.is_ok());
    assert_eq!(run(&chip, &sign).0, Status::KeyBlocked);
    let empty = Command::GenerateSignature { slot: 1, digest: &[1; 32] };
    assert_eq!(run(&chip, &empty).0, Status::KeyNotFound);
    let brainpool = Command::GenerateKeyPair {
        slot: 0,
        use_limit: 1,
        mode: KeyMode::NONE,
        curve: Curve::BrainpoolP256r1,
    };
    assert_eq!(run(&chip, &brainpool).0, Status::WrongKeyType);
    assert_eq!(run(&chip, &Command::GetSignature { challenge: &[] }).0, Status::WrongSession);
}

#[test]
fn the_line_protocol_speaks_for_the_chip() {
    let chip = new_chip();
    let say = |text: &str| line::line(&chip, ADDRESS, text);
    let echo = format!("W {}", hex::encode(plain(&Command::Echo(&[0xA4]))));
    assert_eq!(say(&echo), "A");
    assert_eq!(say("R 6"), "D 000003a4d20c".replace("d20c", &hex::encode(crc16(&[0, 0xA4]).to_be_bytes())));
    assert_eq!(say("R 8\r\n"), format!("{}ffff", say("R 6")));
    assert_eq!(say("FAULT nack-reads:1"), "A");
    assert_eq!(say("R 6"), "N");
    assert_eq!(say("RESET"), "A");
    assert_eq!(say("R 6"), "N");
    assert_eq!(say("POWER off"), "A");
    assert_eq!(say(&echo), "N");
    assert_eq!(say("POWER on"), "A");
    assert_eq!(say(&echo), "A");
    assert_eq!(say("FAULT power-cut:3"), "A");
    assert_eq!(say(&echo), "N");
    for bad in
        ["", "X", "W", "W 0", "W zz", "R", "R -1", "R 4097", "POWER", "FAULT", "FAULT stuck:1", "RESET now"]
    {
        let said = say(bad);
        assert!(said.starts_with("E ") || (bad == "W" && said == "N"), "{bad}: {said}");
    }
}

#[test]
fn every_fault_can_be_written() {
    use line::{Trouble, parse_fault};
    let faults = [
        ("nack-writes:2", Trouble::Fault(Fault::NackWrites(2))),
        ("nack-reads:3", Trouble::Fault(Fault::NackReads(3))),
        ("cut-command:4", Trouble::Fault(Fault::TruncateCommand(4))),
        ("cut-response:5", Trouble::Fault(Fault::TruncateResponse(5))),
        ("flip-command:1:80", Trouble::Fault(Fault::FlipCommand { at: 1, mask: 0x80 })),
        ("flip-response:1:ff", Trouble::Fault(Fault::FlipResponse { at: 1, mask: 0xFF })),
        ("flip-read:1:01", Trouble::Fault(Fault::FlipRead { at: 1, mask: 1 })),
        ("status:1f", Trouble::Fault(Fault::Status(Status::OldMessage))),
        ("stuck", Trouble::Fault(Fault::StuckBusy)),
        ("bus-error", Trouble::Fault(Fault::BusError)),
        ("busy:6", Trouble::Busy(6)),
        ("power-cut:7", Trouble::Outage(7, Outage::PowerCut)),
        ("reset:8", Trouble::Outage(8, Outage::Reset)),
    ];
    for (text, fault) in faults {
        assert_eq!(parse_fault(text), Ok(fault));
    }
    for bad in ["", "stick", "status:20", "status", "flip-read:1", "busy:x", "nack-reads:1:2"] {
        assert!(parse_fault(bad).is_err(), "{bad}");
    }
}

#[test]
fn queries_show_what_was_made() {
    let chip = full_chip();
    assert_eq!(run(&chip, &Command::Query(Query::LifeCycle)), (Status::Ok, vec![3]));
    assert_eq!(run(&chip, &Command::Query(Query::I2cParameters)), (Status::Ok, vec![0x40, 0]));
    assert_eq!(run(&chip, &Command::Query(Query::HostKeySlot)), (Status::Ok, vec![1, 0, 0, 0]));
    chip.set_host_counter(0x00FF_FFFF);
    chip.bus().write(ADDRESS, &seal(Header::host(0, true), b"x")).unwrap();
    assert_eq!(answer(&chip).unwrap().0, Status::MacCounterLimit);
}
