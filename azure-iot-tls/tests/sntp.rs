//! The SNTP client with right answers, wrong ones, and at the ends of eras.

use azure_iot_tls::sntp::{Error, Kiss, MAX_WAIT_MS, PACKET_LEN, Request, Time};
use proptest::prelude::*;

const NONCE: [u8; 8] = [0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6, 0x07, 0x18];
/// 2026-01-01
const FLOOR: u64 = 1_767_225_600;
/// 1900 to 1970, in seconds
const OFFSET: u64 = 2_208_988_800;
/// 2026-06-15T00:00:00Z
const NOW: u64 = 1_781_481_600;

/// A good answer: stratum 2, sent at `unix` and a half seconds, a quarter of a second after the request came.
fn answer(unix: u64) -> [u8; PACKET_LEN] {
    let mut packet = [0; PACKET_LEN];
    let seconds = ((unix + OFFSET) % (1 << 32)) << 32;
    packet[..4].copy_from_slice(&[0b00_100_100, 2, 6, 0xec]);
    packet[4..8].copy_from_slice(&0x0000_1000_u32.to_be_bytes());
    packet[8..12].copy_from_slice(&0x0000_0800_u32.to_be_bytes());
    packet[12..16].copy_from_slice(&[192, 0, 2, 1]);
    packet[16..24].copy_from_slice(&seconds.wrapping_sub(100 << 32).to_be_bytes());
    packet[24..32].copy_from_slice(&NONCE);
    packet[32..40].copy_from_slice(&(seconds + (1 << 30)).to_be_bytes());
    packet[40..48].copy_from_slice(&(seconds + (1 << 31)).to_be_bytes());
    packet
}

fn accept(packet: &[u8]) -> Result<Time, Error> {
    Request::new(NONCE).accept(packet, 650, FLOOR)
}

#[test]
fn request_has_nothing_but_version_mode_and_nonce() {
    let mut expected = [0; PACKET_LEN];
    expected[0] = 0x23;
    expected[40..].copy_from_slice(&NONCE);
    assert_eq!(Request::new(NONCE).bytes(), expected);
}

#[test]
fn good_answer() {
    // 650 ms, of which 250 in the server: 200 each way.
    assert_eq!(accept(&answer(NOW)), Ok(Time { unix_seconds: NOW, millis: 700, stratum: 2 }));
    let mut longer = answer(NOW).to_vec();
    longer.extend([0; 20]); // an authenticator
    assert_eq!(accept(&longer).unwrap().unix_seconds, NOW);
    // version 3, a leap second to come, stratum 1 and 15
    for (first, stratum) in [(0x1c, 2), (0x64, 1), (0xa4, 15)] {
        let mut packet = answer(NOW);
        (packet[0], packet[1]) = (first, stratum);
        assert_eq!(accept(&packet).unwrap().stratum, stratum);
    }
}

#[test]
fn half_the_way_may_reach_into_the_next_second() {
    let time = Request::new(NONCE).accept(&answer(NOW), 2_250, FLOOR).unwrap();
    assert_eq!((time.unix_seconds, time.millis), (NOW + 1, 500));
}

#[test]
fn eras() {
    let first_of_era_1 = (1 << 32) - OFFSET; // 2036-02-07T06:28:16Z
    for unix in [FLOOR, NOW, first_of_era_1 - 1, first_of_era_1, 4_102_444_800, FLOOR + (1 << 32) - 1] {
        assert_eq!(accept(&answer(unix)).unwrap().unix_seconds, unix);
    }
    // What is before the floor is taken for 136 years later: far beyond any certificate.
    assert_eq!(accept(&answer(FLOOR - 1)).unwrap().unix_seconds, FLOOR - 1 + (1 << 32));
    let late = 10_000_000_000;
    let time = Request::new(NONCE).accept(&answer(late + 5), 650, late).unwrap();
    assert_eq!(time.unix_seconds, late + 5);
    let end = Request::new(NONCE).accept(&answer(NOW), 650, u64::MAX).unwrap();
    assert_eq!(end.unix_seconds, u64::MAX);
}

#[test]
fn not_the_answer() {
    for (at, value) in [(24, 0xa0), (31, 0x19), (0, 0x23), (0, 0x25), (0, 0x04), (0, 0x2c), (0, 0x14)] {
        let mut packet = answer(NOW);
        packet[at] = value;
        assert_eq!(accept(&packet), Err(Error::NotTheAnswer), "{at} {value:#x}");
    }
    for length in 0..PACKET_LEN {
        assert_eq!(accept(&answer(NOW)[..length]), Err(Error::NotTheAnswer));
    }
    // the request itself, come back
    assert_eq!(accept(&Request::new(NONCE).bytes()), Err(Error::NotTheAnswer));
}

#[test]
fn server_without_time() {
    let mut alarm = answer(NOW);
    alarm[0] |= 0xc0;
    assert_eq!(accept(&alarm), Err(Error::Unsynchronised));
    for stratum in [16, 17, 255] {
        let mut packet = answer(NOW);
        packet[1] = stratum;
        assert_eq!(accept(&packet), Err(Error::Unsynchronised));
    }
    for zero in [32, 40] {
        let mut packet = answer(NOW);
        packet[zero..zero + 8].fill(0);
        assert_eq!(accept(&packet), Err(Error::Unsynchronised));
    }
    for at in [4, 8] {
        for value in [[0, 1, 0, 0], [0xff, 0xff, 0, 0]] {
            let mut packet = answer(NOW);
            packet[at..at + 4].copy_from_slice(&value);
            assert_eq!(accept(&packet), Err(Error::Inaccurate));
        }
    }
}

#[test]
fn times_that_do_not_fit() {
    let request = Request::new(NONCE);
    assert!(request.accept(&answer(NOW), MAX_WAIT_MS, FLOOR).is_ok());
    assert_eq!(request.accept(&answer(NOW), MAX_WAIT_MS + 1, FLOOR), Err(Error::Slow));
    // The server claims to have worked for longer than the answer took; or to have sent it before the request came.
    assert_eq!(request.accept(&answer(NOW), 249, FLOOR), Err(Error::Inaccurate));
    let mut packet = answer(NOW);
    packet[32..40].copy_from_slice(&[0xff; 8]);
    assert_eq!(accept(&packet), Err(Error::Inaccurate));
}

#[test]
fn kiss_of_death() {
    for (code, is_final, is_rate) in
        [(b"DENY", true, false), (b"RSTR", true, false), (b"RATE", false, true), (b"INIT", false, false)]
    {
        let mut packet = answer(NOW);
        packet[0] |= 0xc0;
        packet[1] = 0;
        packet[12..16].copy_from_slice(code);
        assert_eq!(accept(&packet), Err(Error::Kiss(Kiss(*code))));
        assert_eq!((Kiss(*code).is_final(), Kiss(*code).is_rate()), (is_final, is_rate));
    }
    let text = Error::Kiss(Kiss([b'A', 0, b'\n', 0xff])).to_string();
    assert!(text.ends_with(r"A\x00\n\xff"), "{text}");
    // Anybody can send that; without the nonce it is nothing.
    let mut forged = answer(NOW);
    forged[1] = 0;
    forged[24] ^= 1;
    assert_eq!(accept(&forged), Err(Error::NotTheAnswer));
}

proptest! {
    #[test]
    fn any_datagram(bytes in prop::collection::vec(any::<u8>(), 0..100), waited: u32, floor: u64, own: bool) {
        let mut bytes = bytes;
        if own && bytes.len() >= 32 {
            bytes[24..32].copy_from_slice(&NONCE);
        }
        if let Ok(time) = Request::new(NONCE).accept(&bytes, waited, floor) {
            prop_assert!(time.unix_seconds >= floor && time.millis < 1000);
        }
    }
}
