//! The measurement of the radio's driver: its own firmware (`radio-bench` of `az3166-radio`) in a network whose other
//! end answers at once.

use std::sync::PoisonError;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use peripherals::{Air, DevKit};
use stsafe_a100::sim::{Profile, VirtualChip};

use crate::board::VirtualBoard;
use crate::radio::equip_radio;
use crate::time::{CORE_HZ, Cycles};

/// The longest that all of it may take, in the board's time.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where the payload of an Ethernet frame begins.
const PAYLOAD: usize = 14;

/// How fast frames of one length go one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed {
    /// Whether the radio receives them.
    pub is_receiving: bool,
    /// Bytes of a frame, without its checksum.
    pub len: usize,
    /// Instructions for each, those that wait for the bus included.
    pub instructions: Cycles,
}

impl Speed {
    /// Frames a second.
    #[must_use]
    pub fn frames(&self) -> u64 {
        CORE_HZ / self.instructions.max(1)
    }
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RadioFigures {
    /// The driver's speed, each way.
    pub speeds: Vec<Speed>,
    /// The longest that an interrupt waited because it was masked, while frames went.
    pub longest_mask: Duration,
    /// How often the controller's FIFO ran over or dry because of an interrupt.
    pub fifo_faults: u64,
    /// The most of its 32 words that waited.
    pub fullest_fifo: usize,
}

/// Runs the firmware that measures, and answers it.
///
/// # Errors
/// What the firmware says instead of figures; frames that are not those that were sent; those of the CPU emulator.
pub fn measure_radio(image: &[u8]) -> Result<RadioFigures> {
    let kit = DevKit::new(VirtualChip::new(Profile::az3166(), [7; 32]), [2, 0, 0, 0, 0, 1]);
    let mut board = VirtualBoard::new(image, kit, 1)?;
    let air = equip_radio(&mut board)?;
    board.power_on()?;
    let (mut said, mut next) = (String::new(), 0);
    let mut begun = false;
    let end = board.now() + PATIENCE;
    // The last line, and all of it.
    while !(said.contains("radio: ") && said.ends_with('\n')) {
        ensure!(board.now() < end, "it does not end: {said}");
        board.run_for(Duration::from_millis(1))?;
        said.push_str(&String::from_utf8_lossy(&board.take_console()));
        if !begun && air.joined().is_some() {
            begun = true;
            board.take_longest_mask();
            board.take_sdio_fifo();
        }
        while let Some(frame) = air.take() {
            answer(&air, &frame, &mut next)?;
        }
    }
    ensure!(said.contains("radio: measured"), "{said}");
    let violations = board.parts().radio.lock().unwrap_or_else(PoisonError::into_inner).violations().to_vec();
    ensure!(violations.is_empty(), "the card objects to {violations:?}");
    let (fifo_faults, fullest_fifo) = board.take_sdio_fifo();
    let speeds = said.lines().filter(|line| line.ends_with("cycles")).map(speed).collect::<Result<_>>()?;
    Ok(RadioFigures { speeds, longest_mask: board.take_longest_mask(), fifo_faults, fullest_fifo })
}

/// Takes a frame: the next one in a row, or a request for frames.
fn answer(air: &Air, frame: &[u8], next: &mut u32) -> Result<()> {
    let payload = frame.get(PAYLOAD..).context("a frame without a header")?;
    let word = |at: usize| -> Result<u32> {
        let word = payload.get(at..).and_then(|rest| rest.first_chunk()).context("a short frame")?;
        Ok(u32::from_be_bytes(*word))
    };
    if payload.first() != Some(&b'?') {
        ensure!(word(0)? == *next, "frame {} instead of {next}", word(0)?);
        *next += 1;
        return Ok(());
    }
    *next = 0;
    for number in 0..word(1)? {
        let mut frame = frame.to_vec();
        frame.resize(usize::try_from(word(5)?)?, 0x5A);
        frame[PAYLOAD..PAYLOAD + 4].copy_from_slice(&number.to_be_bytes());
        ensure!(air.send(frame), "the air is full");
    }
    Ok(())
}

/// Such as `send 1514: 200 frames, 5000000 cycles`: of the last 199.
fn speed(line: &str) -> Result<Speed> {
    let words: Vec<&str> = line.split([' ', ':', ',']).filter(|word| !word.is_empty()).collect();
    let [way, len, frames, "frames", cycles, "cycles"] = words[..] else { bail!("no figures: {line}") };
    let (frames, cycles): (Cycles, Cycles) = (frames.parse()?, cycles.parse()?);
    let instructions = cycles / (frames - 1).max(1);
    Ok(Speed { is_receiving: way == "receive", len: len.parse()?, instructions })
}
