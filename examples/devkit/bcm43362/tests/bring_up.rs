//! From a card that has just got power to a firmware that runs, and everything that can stop it on the way.

mod common;

use bcm43362::{ChipId, Error, SdioErrorKind, Step};
use common::{
    Controller, Failure, NVRAM, Outcome, ReadFailed, bring_up, bring_up_with, card, firmware, flash,
};
use peripherals::SdioFault;
use proptest::prelude::*;

const RAM: usize = 0x3_C000;

/// What the memory must hold: firmware, settings, token.
fn assert_uploaded(memory: &[u8], firmware: &[u8], nvram: &[u8]) {
    assert_eq!(memory.len(), RAM);
    assert!(memory[..firmware.len()] == *firmware, "the firmware");
    let words = (nvram.len() + 1).div_ceil(4);
    let settings = RAM - 4 - 4 * words;
    assert_eq!(memory[settings..settings + nvram.len()], *nvram);
    assert!(memory[settings + nvram.len()..RAM - 4].iter().all(|byte| *byte == 0));
    let words = u16::try_from(words).unwrap();
    assert_eq!(memory[RAM - 4..], [words.to_le_bytes(), (!words).to_le_bytes()].concat());
}

#[test]
fn a_radio_comes_up_with_what_is_in_the_flash() {
    let card = card();
    let firmware = firmware(210_412);
    let radio = bring_up(&card, &mut flash(&firmware)).unwrap();
    assert_eq!(radio.chip(), ChipId { id: 0xA962, revision: 1 });
    assert_eq!(radio.firmware_len(), 210_412);
    let card = card.borrow();
    assert_uploaded(card.started_with().unwrap(), &firmware, NVRAM);
    assert_eq!(card.violations(), [""; 0]);
    assert!(card.is_wide());
}

/// Lengths around words, blocks, pieces, and windows; settings around words and across a window's end.
#[test]
fn every_length_arrives() {
    for len in [8, 12, 60, 64, 68, 508, 512, 516, 0x7FFC, 0x8000, 0x8004, 0x1_0000 + 0x1FC, RAM - 4 - 48] {
        let card = card();
        let firmware = firmware(len);
        bring_up(&card, &mut flash(&firmware)).unwrap();
        assert_uploaded(card.borrow().started_with().unwrap(), &firmware, NVRAM);
        assert_eq!(card.borrow().violations(), [""; 0]);
    }
    for len in [4, 5, 6, 7, 63, 64, 65, 508, 511, 512, 4096] {
        let mut nvram = vec![b'n'; len];
        nvram[1] = b'=';
        nvram[len - 1] = 0;
        let card = card();
        let firmware = firmware(1000);
        bring_up_with(Controller::new(&card), &mut flash(&firmware), &nvram).unwrap();
        assert_uploaded(card.borrow().started_with().unwrap(), &firmware, &nvram);
    }
}

#[test]
fn it_can_be_brought_up_again_and_again() {
    let card = card();
    let one = firmware(5000);
    let mut two = firmware(3000);
    two[100] ^= 1;
    bring_up(&card, &mut flash(&one)).unwrap();
    bring_up(&card, &mut flash(&two)).unwrap();
    assert_uploaded(card.borrow().started_with().unwrap(), &two, NVRAM);
}

#[test]
fn a_flash_without_firmware_or_with_too_much_of_it_does_not_reach_the_card() {
    for (firmware, error) in [
        (vec![], Error::NoFirmware),
        (firmware(RAM - 48), Error::TooLarge { needed: 0x3_BFD0, available: 0x3_BFCC }),
        (firmware(0x6_E000), Error::TooLarge { needed: 0x6_E000, available: 0x3_BFCC }),
    ] {
        let card = card();
        assert_eq!(bring_up(&card, &mut flash(&firmware)).map(drop), Err(error));
        assert_eq!(card.borrow().commands(), 0);
    }
    // A read that fails, in the search, the upload, or the comparison.
    let firmware = firmware(5000);
    let mut source = flash(&firmware);
    bring_up(&card(), &mut source).unwrap();
    let reads = u32::MAX - source.fails_after;
    for after in (0..reads).step_by(7).chain(reads - 20..reads) {
        source.fails_after = after;
        let card = card();
        assert_eq!(bring_up(&card, &mut source).map(drop), Err(Error::Source(ReadFailed)), "{after}");
        assert!(card.borrow().started_with().is_none());
    }
}

fn with(fault: SdioFault) -> Outcome {
    let card = card();
    card.borrow_mut().inject(fault);
    let outcome = bring_up(&card, &mut flash(&firmware(2000)));
    // Every wait has ended long before this.
    card.borrow_mut().elapse(1);
    outcome
}

#[test]
fn each_failure_has_its_own_error() {
    let timeout = |step| Error::Timeout { step };
    for (fault, error) in [
        (SdioFault::NeverPowersUp, timeout(Step::Identification)),
        (SdioFault::Silence { from: 1, count: u64::MAX }, timeout(Step::Identification)),
        (SdioFault::Functions(1), Error::WrongCard { ocr: 0x10FF_8000 }),
        (SdioFault::NeverReady(1), timeout(Step::BackplaneFunction)),
        (SdioFault::NoCrystalClock, timeout(Step::CrystalClock)),
        (SdioFault::ChipId(0x1541_A9A6), Error::WrongChip { id: 0xA9A6 }),
        (SdioFault::StuckProcessor, timeout(Step::Stop)),
        (SdioFault::StuckMemory, timeout(Step::Stop)),
        (SdioFault::FlipMemory { at: 1234, mask: 0x10 }, Error::Damaged { address: 1234 }),
        (SdioFault::FlipMemory { at: RAM - 1, mask: 1 }, Error::Damaged { address: 0x3_BFFF }),
        (SdioFault::FlipMemory { at: RAM - 20, mask: 1 }, Error::Damaged { address: 0x3_BFEC }),
        (SdioFault::NoFastClock, timeout(Step::FastClock)),
        (SdioFault::NeverReady(2), timeout(Step::WlanFunction)),
    ] {
        assert_eq!(with(fault).map(drop), Err(error), "{fault:?}");
    }
}

#[test]
fn a_firmware_that_is_none_does_not_start() {
    let card = card();
    let mut source = flash(&firmware(2000));
    source.bytes[0x2000..0x2008].fill(0);
    assert_eq!(bring_up(&card, &mut source).map(drop), Err(Error::Timeout { step: Step::FastClock }));
}

/// Commands of a whole bring-up.
fn commands() -> u64 {
    let card = card();
    bring_up(&card, &mut flash(&firmware(2000))).unwrap();
    let commands = card.borrow().commands();
    assert!((80..300).contains(&commands), "{commands}");
    commands
}

#[test]
fn a_lost_command_is_sent_again_and_a_dead_card_is_not_waited_for() {
    let whole = firmware(2000);
    for from in 1..=commands() {
        for count in [1, 2, u64::MAX] {
            let card = card();
            card.borrow_mut().inject(SdioFault::Silence { from, count });
            let outcome = bring_up(&card, &mut flash(&whole));
            if count == u64::MAX {
                let error = outcome.map(drop).unwrap_err();
                let silent = matches!(
                    error,
                    Error::Bus { source: Failure(SdioErrorKind::NoResponse), .. } | Error::Timeout { .. }
                );
                assert!(silent, "from {from}: {error:?}");
                assert!(card.borrow().commands() < from + 200, "from {from}");
            } else {
                outcome.unwrap();
                assert_uploaded(card.borrow().started_with().unwrap(), &whole, NVRAM);
            }
        }
    }
}

#[test]
fn spoilt_data_are_moved_again() {
    let whole = firmware(2000);
    let mut steps = Vec::new();
    for after in 0.. {
        for count in [1, 2] {
            let card = card();
            card.borrow_mut().inject(SdioFault::SpoiltData { after, count });
            bring_up(&card, &mut flash(&whole)).unwrap();
            assert_uploaded(card.borrow().started_with().unwrap(), &whole, NVRAM);
            assert_eq!(card.borrow().violations(), [""; 0]);
        }
        let card = card();
        card.borrow_mut().inject(SdioFault::SpoiltData { after, count: 3 });
        match bring_up(&card, &mut flash(&whole)) {
            Err(Error::Bus { step, source: Failure(SdioErrorKind::Data) }) => steps.push(step),
            // Fewer transfers than that.
            outcome => {
                outcome.unwrap();
                break;
            }
        }
    }
    assert!(steps.len() > 30 && steps.is_sorted_by_key(|step| *step as u8));
    assert!(
        [Step::ChipId, Step::Stop, Step::Upload, Step::Verification, Step::Start]
            .iter()
            .all(|step| steps.contains(step))
    );
}

#[test]
fn a_refusal_ends_it_except_for_one_about_the_command_before() {
    for after in 0..commands() - 10 {
        for flags in [0x40, 0x08, 0x02, 0x01] {
            let error = with(SdioFault::Refusal { after, flags }).map(drop).unwrap_err();
            assert!(
                matches!(error, Error::Refused { flags: seen, .. } if seen == flags),
                "{after}: {error:?}"
            );
        }
        assert!(with(SdioFault::Refusal { after, flags: 0x80 }).is_ok(), "after {after}");
    }
}

#[test]
fn a_controller_that_fails_is_believed_at_once() {
    for after in 2..commands() {
        let card = card();
        let mut controller = Controller::new(&card);
        controller.fails_after = after;
        let error = bring_up_with(controller, &mut flash(&firmware(2000)), NVRAM).map(drop).unwrap_err();
        assert!(matches!(error, Error::Bus { source: Failure(SdioErrorKind::Other), .. }), "{error:?}");
        assert!(card.borrow().commands() <= after);
    }
}

#[test]
fn errors_carry_their_cause() {
    use core::error::Error as _;
    let error: Error<Failure, ReadFailed> =
        Error::Bus { step: Step::Upload, source: Failure(SdioErrorKind::Data) };
    assert!(error.source().is_some());
    assert_eq!(error.to_string(), "upload: Failure(Data)");
    let error: Error<Failure, ReadFailed> = Error::WrongChip { id: 0x4330 };
    assert!(error.source().is_none());
    assert_eq!(error.to_string(), "not a BCM43362: chip 0x4330");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    /// Whatever goes wrong: it ends, and a firmware that runs is the one in the flash.
    #[test]
    fn any_faults_together(
        len in 2..600_usize,
        silences in proptest::collection::vec((1..300_u64, 1..4_u64), 0..4),
        spoilt in proptest::collection::vec((0..80_u64, 1..4_u64), 0..4),
        flip in proptest::option::of((0..3000_usize, 1..=255_u8)),
    ) {
        let whole = firmware(4 * len);
        let card = card();
        for (from, count) in silences {
            card.borrow_mut().inject(SdioFault::Silence { from, count });
        }
        for (after, count) in spoilt {
            card.borrow_mut().inject(SdioFault::SpoiltData { after, count });
        }
        if let Some((at, mask)) = flip {
            card.borrow_mut().inject(SdioFault::FlipMemory { at, mask });
        }
        let outcome = bring_up(&card, &mut flash(&whole));
        if outcome.is_ok() {
            assert_uploaded(card.borrow().started_with().unwrap(), &whole, NVRAM);
        } else {
            prop_assert!(card.borrow().started_with().is_none_or(|memory| memory[..whole.len()] == whole[..]));
        }
    }
}
