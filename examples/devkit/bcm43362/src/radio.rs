//! The way from a card that has just got power to a firmware that runs.

use embedded_hal_async::delay::DelayNs;

use crate::backplane::Backplane;
use crate::blob::{BlobSource, Region};
use crate::bus::SdioBus;
use crate::card::{Card, Wait};
use crate::command::Function;
use crate::cores::Core;
use crate::error::{BusError, Error, Step};
use crate::nvram::{Nvram, TOKEN_LEN};
use crate::registers::{backplane, chip};

/// Bytes written and compared at once; what the future of a bring-up holds twice.
const PIECE: usize = 512;
/// What function 2 keeps before it interrupts the sender: low, so that no transfer hangs when the clock stops.
const WATERMARK: u8 = 8;

const FUNCTION_READY: Wait = Wait { limit_ms: 500, poll_ms: 5 };
const CRYSTAL: Wait = Wait { limit_ms: 100, poll_ms: 5 };
const FAST_CLOCK: Wait = Wait { limit_ms: 1000, poll_ms: 10 };
const FIRMWARE: Wait = Wait { limit_ms: 3000, poll_ms: 10 };

/// What the chip says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChipId {
    /// Its number; 0xA962 is a BCM43362.
    pub id: u16,
    /// Its revision.
    pub revision: u8,
}

/// A radio whose firmware runs.
#[derive(Debug)]
pub struct Radio<B, D> {
    backplane: Backplane<B, D>,
    chip: ChipId,
    firmware_len: u32,
}

impl<B, D> Radio<B, D> {
    /// What the chip says it is.
    pub fn chip(&self) -> ChipId {
        self.chip
    }

    /// Bytes of the firmware.
    pub fn firmware_len(&self) -> u32 {
        self.firmware_len
    }

    pub(crate) fn into_backplane(self) -> Backplane<B, D> {
        self.backplane
    }

    /// Gives controller and delay back. The firmware goes on running.
    pub fn release(self) -> (B, D) {
        self.backplane.card.release()
    }
}

impl<B: SdioBus, D: DelayNs> Radio<B, D> {
    /// Identifies the card, uploads firmware and settings, verifies them, and starts the firmware.
    ///
    /// `bus` has powered the card and released its reset; `nvram` are the board's settings. It takes as long as two
    /// readings of the firmware and three passes of it over the bus, and every wait in it ends. After an error the
    /// card is in no particular state; another call begins anew.
    ///
    /// # Errors
    /// Every [`Error`], with the [`Step`] it occurred in where that says more.
    pub async fn bring_up<S: BlobSource>(
        bus: B,
        delay: D,
        source: &mut S,
        region: Region,
        nvram: Nvram<'_>,
    ) -> Result<Self, Error<B::Error, S::Error>> {
        let firmware_len = region.used(source).await?;
        let available = chip::RAM_SIZE - TOKEN_LEN - nvram.padded_len();
        if firmware_len > available {
            return Err(Error::TooLarge { needed: firmware_len, available });
        }
        let card = Card::new(bus, delay);
        let (mut backplane, chip) = prepare(card).await.map_err(BusError::with_source)?;
        let firmware = Region { len: firmware_len, ..region };
        backplane.card.step = Step::Upload;
        pass(&mut backplane, source, firmware, nvram, Pass::Write).await?;
        backplane.card.step = Step::Verification;
        pass(&mut backplane, source, firmware, nvram, Pass::Compare).await?;
        start(&mut backplane).await.map_err(BusError::with_source)?;
        Ok(Self { backplane, chip, firmware_len })
    }
}

/// Up to a memory that can be written and a processor that stands still.
async fn prepare<B: SdioBus, D: DelayNs>(
    mut card: Card<B, D>,
) -> Result<(Backplane<B, D>, ChipId), BusError<B::Error>> {
    use backplane::{ALP_AVAILABLE, ALP_REQUEST, CLOCK, FORCE_ALP, IGNORE_CHIP, PULL_UP};
    card.identify().await?;
    card.step = Step::CommonRegisters;
    card.set_up_bus().await?;
    card.step = Step::BackplaneFunction;
    card.enable(Function::Backplane, FUNCTION_READY).await?;
    card.step = Step::CrystalClock;
    card.put(Function::Backplane, CLOCK, IGNORE_CHIP | ALP_REQUEST | FORCE_ALP).await?;
    card.wait_for(Function::Backplane, CLOCK, ALP_AVAILABLE, CRYSTAL).await?;
    card.put(Function::Backplane, CLOCK, IGNORE_CHIP | FORCE_ALP).await?;
    // The host's pull-ups are enough.
    card.put(Function::Backplane, PULL_UP, 0).await?;
    card.step = Step::ChipId;
    let mut backplane = Backplane::new(card);
    let [low, high, revision, _] = backplane.get(chip::CHIP_ID).await?.to_le_bytes();
    let chip = ChipId { id: u16::from_le_bytes([low, high]), revision: revision & 0x0F };
    if chip.id != chip::BCM43362 {
        return Err(Error::WrongChip { id: chip.id });
    }
    backplane.card.step = Step::Stop;
    backplane.stop(Core::Arm).await?;
    backplane.restart(Core::SocSram).await?;
    if !backplane.is_up(Core::SocSram).await? {
        return Err(backplane.card.timeout());
    }
    Ok((backplane, chip))
}

/// The pieces of so many bytes: where each begins, and its length.
fn pieces(len: u32) -> impl Iterator<Item = (u32, usize)> {
    (0..len).step_by(PIECE).map(move |offset| (offset, PIECE.min((len - offset) as usize)))
}

/// What a pass over the memory's content does with it.
#[derive(Clone, Copy)]
enum Pass {
    Write,
    /// After everything was written: so a window in the wrong place shows, too.
    Compare,
}

/// Goes over what the memory is to hold: firmware, settings, and their token.
async fn pass<B: SdioBus, D: DelayNs, S: BlobSource>(
    backplane: &mut Backplane<B, D>,
    source: &mut S,
    firmware: Region,
    nvram: Nvram<'_>,
    pass: Pass,
) -> Result<(), Error<B::Error, S::Error>> {
    let mut buf = [0; PIECE];
    for (offset, len) in pieces(firmware.len) {
        let piece = buf.get_mut(..len).unwrap_or_default();
        source.read(firmware.address.saturating_add(offset), piece).await.map_err(Error::Source)?;
        do_piece(backplane, offset, piece, pass).await.map_err(BusError::with_source)?;
    }
    for (offset, len) in pieces(nvram.padded_len()) {
        let piece = buf.get_mut(..len).unwrap_or_default();
        nvram.piece(offset, piece);
        do_piece(backplane, nvram.address() + offset, piece, pass).await.map_err(BusError::with_source)?;
    }
    let token = nvram.token().to_le_bytes();
    do_piece(backplane, chip::RAM_SIZE - TOKEN_LEN, &token, pass).await.map_err(BusError::with_source)
}

async fn do_piece<B: SdioBus, D: DelayNs>(
    backplane: &mut Backplane<B, D>,
    address: u32,
    piece: &[u8],
    pass: Pass,
) -> Result<(), BusError<B::Error>> {
    match pass {
        Pass::Write => backplane.write(address, piece).await,
        Pass::Compare => compare(backplane, address, piece).await,
    }
}

async fn compare<B: SdioBus, D: DelayNs>(
    backplane: &mut Backplane<B, D>,
    address: u32,
    expected: &[u8],
) -> Result<(), BusError<B::Error>> {
    let mut buf = [0; PIECE];
    let found = buf.get_mut(..expected.len()).unwrap_or_default();
    backplane.read(address, found).await?;
    match (address..).zip(found.iter().zip(expected)).find(|(_, (found, expected))| found != expected) {
        None => Ok(()),
        Some((address, _)) => Err(Error::Damaged { address }),
    }
}

/// From a stopped processor to a firmware that serves the WLAN function.
async fn start<B: SdioBus, D: DelayNs>(backplane: &mut Backplane<B, D>) -> Result<(), BusError<B::Error>> {
    backplane.card.step = Step::Start;
    backplane.restart(Core::Arm).await?;
    if !backplane.is_up(Core::Arm).await? {
        return Err(backplane.card.timeout());
    }
    let card = &mut backplane.card;
    card.step = Step::FastClock;
    card.put(Function::Backplane, backplane::CLOCK, backplane::HT_REQUEST).await?;
    card.wait_for(Function::Backplane, backplane::CLOCK, backplane::HT_AVAILABLE, FAST_CLOCK).await?;
    card.step = Step::WlanFunction;
    card.enable(Function::Wlan, FIRMWARE).await?;
    card.put(Function::Backplane, backplane::WATERMARK, WATERMARK).await
}
