//! The radio's card, command by command, as a controller sees it.

use peripherals::{SdioCard, SdioFault};

const MILLISECOND: u64 = 1_000_000;

fn read_argument(function: u32, address: u32) -> u32 {
    function << 28 | address << 9
}

fn write_argument(function: u32, address: u32, value: u8) -> u32 {
    1 << 31 | read_argument(function, address) | u32::from(value)
}

/// CMD52, which must succeed.
fn get(card: &mut SdioCard, function: u32, address: u32) -> u8 {
    let [data, flags, ..] = card.command(52, read_argument(function, address)).unwrap().to_le_bytes();
    assert_eq!(flags, 0x10, "function {function}, {address:#x}");
    data
}

fn put(card: &mut SdioCard, function: u32, address: u32, value: u8) {
    let answer = card.command(52, write_argument(function, address, value)).unwrap();
    assert_eq!(answer, 0x1000 | u32::from(value));
}

/// Selected, with its first function and the crystal running.
fn ready() -> SdioCard {
    let mut card = SdioCard::new();
    card.command(5, 0x0030_0000).unwrap();
    card.elapse(10 * MILLISECOND);
    assert!(card.command(5, 0x0030_0000).unwrap() >> 31 == 1);
    let address = card.command(3, 0).unwrap();
    card.command(7, address).unwrap();
    put(&mut card, 0, 0x02, 0x02);
    card.elapse(10 * MILLISECOND);
    put(&mut card, 1, 0x1_000E, 0x29);
    card.elapse(10 * MILLISECOND);
    card
}

fn window(card: &mut SdioCard, address: u32) {
    for (register, byte) in (0x1_000A..).zip(&address.to_le_bytes()[1..]) {
        put(card, 1, register, *byte);
    }
}

#[test]
fn commands_are_answered_in_their_state_only() {
    let mut card = SdioCard::new();
    assert_eq!(card.command(3, 0), None);
    assert_eq!(card.command(7, 0x1_0000), None);
    assert_eq!(card.command(52, read_argument(0, 0)), None);
    assert_eq!(card.command(53, read_argument(0, 0) | 4), None);
    assert_eq!(card.command(0, 0), None);
    // Asked without a voltage it tells what it is and does not power up.
    assert_eq!(card.command(5, 0), Some(0x20FF_8000));
    card.elapse(100 * MILLISECOND);
    assert_eq!(card.command(5, 0), Some(0x20FF_8000));
    assert_eq!(card.command(5, 0x0030_0000), Some(0x20FF_8000));
    card.elapse(10 * MILLISECOND);
    assert_eq!(card.command(5, 0x0030_0000), Some(0xA0FF_8000));
    let address = card.command(3, 0).unwrap();
    assert_ne!(address >> 16, 0);
    assert_eq!(card.command(52, read_argument(0, 0)), None, "not selected yet");
    assert_eq!(card.command(7, address ^ 0x2_0000), None, "another card");
    assert!(card.command(7, address).is_some());
    assert_eq!(get(&mut card, 0, 0x00), 0x32);
    // Its reset is understood and ends all that.
    put(&mut card, 0, 0x06, 0x08);
    assert_eq!(card.command(52, read_argument(0, 0)), None);
    assert!(card.command(5, 0).is_some());
}

#[test]
fn errors_are_in_the_bits_the_specification_gives_them() {
    let mut card = ready();
    let errors = |card: &mut SdioCard, index, argument| card.command(index, argument).unwrap() >> 8 & 0xCB;
    assert_eq!(errors(&mut card, 52, read_argument(2, 0)), 0x02, "not enabled");
    assert_eq!(errors(&mut card, 52, read_argument(5, 0)), 0x42, "does not exist");
    assert_eq!(errors(&mut card, 53, read_argument(1, 0) | 1 << 27 | 1), 0x01, "no block size");
    put(&mut card, 0, 0x110, 64);
    assert_eq!(errors(&mut card, 53, read_argument(1, 0) | 1 << 27), 0x01, "endless");
    assert_eq!(errors(&mut card, 53, read_argument(1, 0) | 1 << 27 | 1 << 26 | 1), 0);
    assert_eq!(card.announced(), Some((64, false)));
    assert_eq!(errors(&mut card, 53, read_argument(1, 0) | 1 << 26), 0);
    assert_eq!(card.announced(), Some((512, false)));
    assert!(card.read_data().is_some() && card.read_data().is_none(), "once");
    // Without the crystal there is no backplane; left to itself, the chip keeps it.
    put(&mut card, 1, 0x1_000E, 0);
    assert_eq!(errors(&mut card, 52, read_argument(1, 0)), 0);
    put(&mut card, 1, 0x1_000E, 0x20);
    assert_eq!(errors(&mut card, 52, read_argument(1, 0)), 0x08);
    assert_eq!(card.violations().len(), 1, "a register in 512 bytes: {:?}", card.violations());
}

#[test]
fn the_window_moves_and_registers_are_32_bits_wide_only_when_asked() {
    let mut card = ready();
    window(&mut card, 0x1800_0000);
    let read = |card: &mut SdioCard, address| {
        card.command(53, read_argument(1, address) | 1 << 26 | 4).unwrap();
        card.read_data().unwrap()
    };
    assert_eq!(read(&mut card, 0x8000), [0x62, 0xA9, 0x01, 0x10]);
    assert_eq!(get(&mut card, 1, 0x1), 0xA9);
    assert_eq!(card.violations(), [""; 0]);
    assert_eq!(read(&mut card, 0), [0x62; 4]);
    assert_eq!(card.violations().len(), 1);

    // The memory, once it is out of reset: across the window's end a transfer starts over.
    window(&mut card, 0x1810_0000);
    put(&mut card, 1, 0x4800, 0);
    put(&mut card, 1, 0x4408, 1);
    window(&mut card, 0x8000);
    card.command(53, 1 << 31 | read_argument(1, 0x8010) | 1 << 26 | 2).unwrap();
    assert!(card.write_data(&[0xAB, 0xCD]));
    assert_eq!((get(&mut card, 1, 0x10), get(&mut card, 1, 0x8011)), (0xAB, 0xCD));
    window(&mut card, 0);
    assert_ne!(get(&mut card, 1, 0x10), 0xAB);
    assert_eq!(card.violations().len(), 1);
    card.command(53, read_argument(1, 0x7FFE) | 1 << 26 | 4).unwrap();
    assert!(card.read_data().is_some());
    assert_eq!(card.violations().len(), 2);
}

#[test]
fn data_must_be_what_was_announced() {
    let mut card = ready();
    card.command(53, 1 << 31 | read_argument(0, 0x110) | 1 << 26 | 2).unwrap();
    assert!(!card.write_data(&[64]));
    card.command(53, 1 << 31 | read_argument(0, 0x110) | 1 << 26 | 2).unwrap();
    assert!(card.write_data(&[64, 0]));
    assert_eq!((get(&mut card, 0, 0x110), get(&mut card, 0, 0x111)), (64, 0));
    card.command(53, 1 << 31 | read_argument(0, 0x110) | 1 << 26 | 2).unwrap();
    assert_eq!(get(&mut card, 0, 0x110), 64);
    assert!(!card.write_data(&[1, 1]), "given up by another command");
    assert_eq!(card.violations().len(), 3, "{:?}", card.violations());
    // A fault acts where it was put.
    card.inject(SdioFault::SpoiltData { after: 1, count: 1 });
    card.command(53, read_argument(0, 0x110) | 1 << 26 | 2).unwrap();
    assert_eq!(card.read_data(), None);
    card.command(53, read_argument(0, 0x110) | 1 << 26 | 2).unwrap();
    assert_eq!(card.read_data(), Some(vec![64, 0]));
}

#[test]
fn a_firmware_starts_only_with_its_settings() {
    let start = |token: [u8; 4], vectors: [u8; 8], settings: &[u8; 8]| {
        let mut card = ready();
        put(&mut card, 0, 0x110, 0);
        window(&mut card, 0x1810_0000);
        put(&mut card, 1, 0x3800, 1);
        put(&mut card, 1, 0x4800, 0);
        put(&mut card, 1, 0x4408, 1);
        for (address, bytes) in [(0, &vectors[..]), (0x3_BFF4, &settings[..]), (0x3_BFFC, &token)] {
            window(&mut card, address);
            for (at, byte) in (address & 0x7FFF..).zip(bytes) {
                put(&mut card, 1, at, *byte);
            }
        }
        window(&mut card, 0x1810_0000);
        put(&mut card, 1, 0x3408, 1);
        put(&mut card, 1, 0x3800, 0);
        put(&mut card, 1, 0x1_000E, 0x10);
        put(&mut card, 0, 0x02, 0x06);
        assert_eq!((get(&mut card, 1, 0x1_000E) & 0x80, get(&mut card, 0, 0x03)), (0, 2), "not at once");
        card.elapse(100 * MILLISECOND);
        let served = (get(&mut card, 1, 0x1_000E) & 0x80 != 0, get(&mut card, 0, 0x03) & 4 != 0);
        assert_eq!(served.0, served.1);
        assert_eq!(served.0, card.started_with().is_some());
        served.0
    };
    let (token, vectors, settings) = ([2, 0, 0xFD, 0xFF], [0, 0, 4, 0, 9, 0, 0, 0], b"a=12345\0");
    assert!(start(token, vectors, settings));
    assert!(!start([2, 0, 0xFE, 0xFF], vectors, settings));
    assert!(!start([0, 0, 0xFF, 0xFF], vectors, settings));
    assert!(!start([0xFF, 0xFF, 0, 0], vectors, settings));
    assert!(!start(token, [0; 8], settings));
    assert!(!start(token, vectors, &[0; 8]));
}

#[test]
fn no_sequence_of_commands_upsets_it() {
    let mut random = 0x1234_5678_9ABC_DEF1_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut card = ready();
    for _ in 0..50_000 {
        let [index, kind, ..] = next().to_le_bytes();
        let index = [52, 53, 53, 7, 5, 3, 0, index & 63][usize::from(kind & 7)];
        let argument = u32::try_from(next() >> 32).unwrap();
        let function = if kind & 8 == 0 { 1 << 28 } else { argument & 0x7000_0000 };
        let argument = if index == 7 { 0x1_0000 } else { argument & !0x7000_0000 | function };
        card.command(index, argument);
        card.elapse(next() % MILLISECOND);
        match card.announced() {
            Some((len, true)) => drop(card.write_data(&vec![kind; len])),
            Some((len, false)) => assert!(card.read_data().is_none_or(|data| data.len() == len)),
            None => {}
        }
    }
    assert!(card.commands() > 50_000);
}
