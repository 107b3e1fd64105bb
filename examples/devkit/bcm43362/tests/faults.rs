//! What goes wrong with frames: each of a join lost, damaged, doubled, late; credits withheld; a radio that says
//! nothing, or nonsense. It joins, or says why not, and joins when it is started anew.

mod common;

use std::task::Poll;

use bcm43362::{ControlError, Error, Key, Loss, Polled, Security, Ssid, Status, Step};
use common::card;
use common::station::{PASSPHRASE, SSID, Station, receive, transmit, until};
use peripherals::{Direction, SdioFault};

const MS: u64 = 1_000_000;

async fn join(control: &mut bcm43362::Control<'static>) -> Result<(), ControlError> {
    let security = Security::Wpa2(Key::new(PASSPHRASE).unwrap());
    control.join(Ssid::new(SSID.as_bytes()).unwrap(), security).await
}

/// A station with faults. Gives how often it has to be started until it has joined.
fn starts(faults: &[SdioFault]) -> usize {
    let mut station = Station::new(card());
    for fault in faults {
        station.card.borrow_mut().inject(*fault);
    }
    let joined = (1..=3).find(|_| {
        let outcome = station.run(async |control, _, _| join(control).await);
        matches!(outcome, Ok(Ok(())))
    });
    joined.unwrap_or_else(|| panic!("{faults:?}: never joins"))
}

/// Frames of a join, to the host and from it.
fn frames() -> [u64; 2] {
    let mut station = Station::new(card());
    station.run(async |control, _, _| join(control).await).unwrap().unwrap();
    station.card.borrow().frames()
}

#[test]
fn each_frame_of_a_join_may_be_lost_doubled_or_late() {
    let [to_host, from_host] = frames();
    assert!(to_host > 20 && from_host > 15, "{to_host}, {from_host}");
    let mut at_once = 0;
    for number in 1..=from_host {
        // Every command is sent again.
        assert_eq!(starts(&[SdioFault::LostFrame(Direction::FromHost, number)]), 1, "{number}");
        assert_eq!(starts(&[SdioFault::DoubleFrame(Direction::FromHost, number)]), 1, "{number}");
    }
    for number in 1..=to_host {
        assert_eq!(starts(&[SdioFault::DoubleFrame(Direction::ToHost, number)]), 1, "{number}");
        let lost = starts(&[SdioFault::LostFrame(Direction::ToHost, number)]);
        at_once += usize::from(lost == 1);
        assert!(lost <= 2, "{number}");
        for late in [5 * MS, 200 * MS, 900 * MS] {
            assert!(starts(&[SdioFault::LateFrame(number, late)]) <= 2, "{number}");
        }
    }
    // Only two events cannot be done without: the link is up, the keys are in place.
    assert_eq!(u64::try_from(at_once).unwrap(), to_host - 2);
}

#[test]
fn each_frame_of_a_join_may_be_damaged() {
    let [to_host, from_host] = frames();
    for (direction, count) in [(Direction::ToHost, to_host), (Direction::FromHost, from_host)] {
        for number in 1..=count {
            for at in [0, 1, 2, 5, 7, 9, 12, 14, 16, 17, 20, 22, 26, 34, 38, 45, 50, 63] {
                for mask in [0x01, 0x80] {
                    starts(&[SdioFault::DamagedFrame { direction, number, at, mask }]);
                }
            }
        }
    }
}

/// The power goes in the midst of it, after each frame of it in turn; the radio comes back without any memory of it.
#[test]
fn the_power_may_go_after_each_frame_of_a_join() {
    let counts = frames();
    for (way, count) in counts.into_iter().enumerate() {
        for number in 1..=count {
            let mut station = Station::new(card());
            let card = station.card.clone();
            let outcome = station.run(async |control, _, _| {
                let cut = until(|| (card.borrow().frames()[way] >= number).then_some(()));
                embassy_futures::select::select(join(control), cut).await;
            });
            outcome.unwrap();
            station.card.borrow_mut().power_cycle();
            assert_eq!(station.control.status(), Status::Off);
            assert_eq!(station.air.joined(), None);
            station.run(async |control, _, _| join(control).await).unwrap().unwrap();
        }
    }
}

#[test]
fn credits_may_be_withheld_and_data_stopped_for_a_while() {
    for fault in
        [|from, until| SdioFault::NoCredit { from, until }, |from, until| SdioFault::NoData { from, until }]
            as [fn(u64, u64) -> SdioFault; 2]
    {
        let mut station = Station::new(card());
        let card = station.card.clone();
        let outcome = station.run(async |control, device, air| {
            join(control).await.unwrap();
            let now = card.borrow().now_ns();
            card.borrow_mut().inject(fault(now, now + 2000 * MS));
            for number in 0..40_u8 {
                transmit(device, &[number; 100]).await;
                let sent = until(|| air.take()).await;
                assert_eq!(sent, [number; 100]);
            }
            assert!(card.borrow().now_ns() >= now + 2000 * MS);
        });
        outcome.unwrap();
        assert_eq!(card.borrow().violations(), [""; 0]);
    }
}

#[test]
fn a_radio_that_falls_silent_or_halts_ends_the_run_and_is_started_anew() {
    for halts in [true, false] {
        let mut station = Station::new(card());
        let card = station.card.clone();
        let outcome = station.run(async |control, _, _| {
            join(control).await.unwrap();
            let now = card.borrow().now_ns();
            card.borrow_mut().inject(if halts {
                SdioFault::HaltedFirmware(now)
            } else {
                SdioFault::SilentRadio { from: now, until: u64::MAX }
            });
            // Somebody waits for an answer that does not come.
            control.signal().await
        });
        assert!(matches!(outcome, Err(Error::Hung { step: Step::Frames })), "{outcome:?}");
        assert_eq!(station.control.status(), Status::Off);
        assert_eq!(embassy_futures::block_on(station.control.lost()), Some(Loss::RadioFailed));
        assert_eq!(embassy_futures::block_on(station.control.signal()), Err(ControlError::RadioOff));
        station.card.borrow_mut().heal();
        station.card.borrow_mut().power_cycle();
        station.run(async |control, _, _| join(control).await).unwrap().unwrap();
    }
    // Without anybody who waits, and silent from the start of its firmware.
    let mut station = Station::<Polled>::new(card());
    station.card.borrow_mut().inject(SdioFault::SilentRadio { from: 0, until: u64::MAX });
    let outcome = station.run(async |_, _, _| ());
    assert!(matches!(outcome, Err(Error::Hung { step: Step::Setup })), "{outcome:?}");
}

/// Random numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % limit
    }
}

/// What a host may take for an Ethernet frame, by a reading of the headers that is not the driver's.
fn expected(sent: &[u8]) -> Option<Vec<u8>> {
    let len = usize::from(*sent.first()?) | usize::from(*sent.get(1)?) << 8;
    let mut frame = sent.to_vec();
    frame.resize(len.max(4), 0);
    let is_intact = frame[0] == !frame[2] && frame[1] == !frame[3] && (13..=1604).contains(&len);
    if !is_intact || frame[5] & 0x0F != 2 || frame[7] < 12 {
        return None;
    }
    let bdc = frame.get(usize::from(frame[7])..)?;
    let [flags, _, interface, words, ..] = *bdc else { return None };
    let ethernet = bdc.get(4 + 4 * usize::from(words)..)?;
    let is_ours = flags >> 4 == 2 && interface % 16 == 0;
    (is_ours && (14..=1514).contains(&ethernet.len())).then(|| ethernet.to_vec())
}

/// The same of all that the radio gives at once: what goes on behind the length that a frame says is the next one,
/// unless the host gives it up.
fn all_expected(mut sent: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while !sent.is_empty() {
        let mut first = sent.to_vec();
        first.resize(first.len().max(4), 0);
        let len = usize::from(first[0]) | usize::from(first[1]) << 8;
        let rest = len.saturating_sub(4);
        let read = match first[..4] {
            [0, 0, 0, 0] => 0,
            [a, b, c, d] if a == !c && b == !d && (12..=1604).contains(&len) => match rest {
                ..=32 => rest.next_power_of_two(),
                _ => rest.next_multiple_of(64),
            },
            _ => break,
        };
        frames.extend(expected(sent));
        sent = sent.get(4 + read..).unwrap_or_default();
    }
    frames
}

/// A frame in form, of any channel.
fn well_formed(random: &mut Random) -> Vec<u8> {
    let channel = [2, 2, 2, 1, 0, 3][random.below(6)];
    let len = [18 + 14, 60, 200, 1532, 18 + random.below(1500)][random.below(5)];
    let mut frame: Vec<u8> = (0..len).map(|_| random.below(256).to_le_bytes()[0]).collect();
    let [low, high, ..] = len.to_le_bytes();
    frame[..4].copy_from_slice(&[low, high, !low, !high]);
    (frame[5], frame[7], frame[8]) = (channel, 14, 0);
    frame[14..18].copy_from_slice(&[0x20, 0, 0, 0]);
    if channel == 1 && len >= 18 + 72 {
        frame[18 + 12..18 + 24].copy_from_slice(&[0x88, 0x6C, 0x80, 1, 0, 0, 0, 0, 0x10, 0x18, 0, 1]);
        let kind = [0, 3, 5, 16, 46, 69, 44][random.below(7)];
        frame[18 + 28..18 + 32].copy_from_slice(&[0, 0, 0, kind]);
        frame[18 + 32..18 + 36].copy_from_slice(&[0, 0, 0, random.below(9).to_le_bytes()[0]]);
        frame[18 + 44..18 + 48].copy_from_slice(&[0, 0, 0, random.below(80).to_le_bytes()[0]]);
    }
    frame
}

#[test]
fn whatever_the_radio_sends_nothing_is_delivered_that_was_not_sent() {
    // RADIO_FRAMES=1000000 for a longer run.
    let count = std::env::var("RADIO_FRAMES").ok().map_or(100_000, |count| count.parse().unwrap());
    let mut station = Station::new(card());
    let card = station.card.clone();
    let mut random = Random(0x1234_5678_9ABC_DEF1);
    let (mut sent, mut delivered, mut starts, mut joins) = (0_u64, 0_u64, 0_u64, 0_u64);
    while sent < count {
        starts += 1;
        let outcome = station.run(async |control, device, _| {
            while sent < count {
                if control.status() != Status::Joined {
                    joins += 1;
                    if let Err(error) = join(control).await {
                        assert!(error != ControlError::WrongPassphrase || sent > 0);
                        continue;
                    }
                }
                let mut frame = well_formed(&mut random);
                for _ in 0..random.below(4) {
                    let limit = [frame.len().min(24), frame.len()][random.below(2)];
                    let at = random.below(limit);
                    match random.below(4) {
                        0 => frame[at] ^= 1 << random.below(8),
                        1 => frame[at] = random.below(256).to_le_bytes()[0],
                        2 => frame.truncate(at.max(4)),
                        _ => frame.extend_from_within(at..),
                    }
                }
                sent += 1;
                card.borrow_mut().send_raw(&frame);
                until(|| (!card.borrow().has_frame()).then_some(())).await;
                // The driver has it; whoever listens gets it in the next turns.
                for _ in 0..4 {
                    embassy_futures::yield_now().await;
                }
                let arrived: Vec<_> = std::iter::from_fn(|| at_once(device)).collect();
                delivered += u64::try_from(arrived.len()).unwrap();
                let expected = all_expected(&frame);
                if control.status() == Status::Joined {
                    assert_eq!(arrived, expected, "frame {sent}: {frame:02x?}");
                } else {
                    assert!(
                        arrived.iter().all(|frame| expected.contains(frame)),
                        "frame {sent}: {frame:02x?}"
                    );
                }
            }
        });
        match outcome {
            Ok(()) => {}
            Err(Error::Hung { .. } | Error::Rejected { .. }) => card.borrow_mut().power_cycle(),
            Err(error) => panic!("{error}"),
        }
    }
    println!("{sent} frames, {delivered} delivered, {joins} joins, {starts} starts");
    assert!(delivered > sent / 20);
}

/// What is there at once.
fn at_once(device: &mut bcm43362::Device<'static>) -> Option<Vec<u8>> {
    match embassy_futures::poll_once(receive(device)) {
        Poll::Ready(frame) => Some(frame),
        Poll::Pending => None,
    }
}
