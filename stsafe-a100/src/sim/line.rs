//! The virtual chip for programs in other languages: one line in, one line out.
//!
//! | line | meaning | answer |
//! |---|---|---|
//! | `W <hex>` | write transaction | `A` acknowledged, `N` not |
//! | `R <len>` | read transaction of `len` bytes, at most 4096 | `D <hex>`, `N` not acknowledged |
//! | `RESET` | pulse the reset pin | `A` |
//! | `POWER on`, `POWER off` | switch the power | `A` |
//! | `FAULT <fault>` | inject a fault, see [`parse_fault`] | `A` |
//!
//! Anything else is answered with `E` and a reason, and changes nothing.

use std::format;
use std::string::{String, ToString as _};
use std::vec;

use embedded_hal::i2c::I2c as _;

use super::{Busy, Fault, Outage, VirtualChip};
use crate::status::Status;

/// Longest read a line may ask for.
const MAX_READ: usize = 4096;

/// Carries out one line for the chip at `address` and gives the answer, without line end.
#[must_use]
pub fn line(chip: &VirtualChip, address: u8, line: &str) -> String {
    answer(chip, address, line.trim()).unwrap_or_else(|reason| format!("E {reason}"))
}

fn answer(chip: &VirtualChip, address: u8, line: &str) -> Result<String, &'static str> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let acknowledged = |ok| if ok { "A" } else { "N" }.to_string();
    match (verb, rest.trim()) {
        ("W", bytes) => {
            let bytes = hex::decode(bytes).map_err(|_| "bytes in hex are wanted")?;
            Ok(acknowledged(chip.bus().write(address, &bytes).is_ok()))
        }
        ("R", len) => {
            let len =
                len.parse().ok().filter(|len| *len <= MAX_READ).ok_or("a length up to 4096 is wanted")?;
            let mut out = vec![0; len];
            Ok(match chip.bus().read(address, &mut out) {
                Ok(()) => format!("D {}", hex::encode(out)),
                Err(_) => acknowledged(false),
            })
        }
        ("RESET", "") => {
            chip.reset();
            Ok(acknowledged(true))
        }
        ("POWER", "on") => {
            chip.power_on();
            Ok(acknowledged(true))
        }
        ("POWER", "off") => {
            chip.power_off();
            Ok(acknowledged(true))
        }
        ("FAULT", fault) => {
            parse_fault(fault)?.apply(chip);
            Ok(acknowledged(true))
        }
        _ => Err("unknown line"),
    }
}

/// Something to do to a chip, as written on a line or as a program's option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// [`VirtualChip::inject`].
    Fault(Fault),
    /// [`VirtualChip::outage_after`].
    Outage(u64, Outage),
    /// [`VirtualChip::set_busy`] with [`Busy::Reads`].
    Busy(u32),
}

impl Trouble {
    /// Does it.
    pub fn apply(self, chip: &VirtualChip) {
        match self {
            Self::Fault(fault) => chip.inject(fault),
            Self::Outage(steps, outage) => chip.outage_after(steps, outage),
            Self::Busy(reads) => chip.set_busy(Busy::Reads(reads)),
        }
    }
}

/// Reads a fault:
///
/// `nack-writes:N`, `nack-reads:N`, `busy:N` (every response after N refused reads), `flip-command:AT:MASK`,
/// `flip-response:AT:MASK`, `flip-read:AT:MASK`, `cut-command:N`, `cut-response:N`, `status:CODE`, `stuck`,
/// `bus-error`, `power-cut:STEPS`, `reset:STEPS`; numbers are decimal, MASK and CODE hexadecimal.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_fault(text: &str) -> Result<Trouble, &'static str> {
    let mut parts = text.split(':');
    let name = parts.next().unwrap_or_default();
    let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok()).ok_or("a number is wanted");
    let fault = match name {
        "nack-writes" => Fault::NackWrites(number()?),
        "nack-reads" => Fault::NackReads(number()?),
        "cut-command" => Fault::TruncateCommand(number()? as usize),
        "cut-response" => Fault::TruncateResponse(number()? as usize),
        "busy" => return Ok(Trouble::Busy(number()?)),
        "power-cut" => return Ok(Trouble::Outage(number()?.into(), Outage::PowerCut)),
        "reset" => return Ok(Trouble::Outage(number()?.into(), Outage::Reset)),
        "stuck" => Fault::StuckBusy,
        "bus-error" => Fault::BusError,
        "flip-command" | "flip-response" | "flip-read" => {
            let at = number()? as usize;
            let mask =
                parts.next().and_then(|part| u8::from_str_radix(part, 16).ok()).ok_or("a mask is wanted")?;
            match name {
                "flip-command" => Fault::FlipCommand { at, mask },
                "flip-response" => Fault::FlipResponse { at, mask },
                _ => Fault::FlipRead { at, mask },
            }
        }
        "status" => {
            let code = parts.next().and_then(|part| u8::from_str_radix(part, 16).ok());
            Fault::Status(Status::from_header(code.filter(|code| *code < 0x20).ok_or("a status is wanted")?))
        }
        _ => return Err("unknown fault"),
    };
    if parts.next().is_some() { Err("too many parts") } else { Ok(Trouble::Fault(fault)) }
}
