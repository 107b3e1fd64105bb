//! What the radio needs besides the board: a firmware in the serial flash, settings, and a network in the air.
//!
//! Neither is a real radio's: the simulated card runs a model, whatever bytes it is started with.

use std::sync::PoisonError;

use anyhow::Result;
use peripherals::{Air, AirNetwork, AirSecurity};

use crate::board::VirtualBoard;

/// The name of the network in the air.
pub const SSID: &str = "virtual-devkit";
/// Its passphrase.
pub const PASSPHRASE: &str = "zero-touch";
/// Where the board's serial flash has the radio's firmware.
const FIRMWARE: usize = 0x2000;
/// Words of it: more than any window of the card, less than the real one, so that starts are quick.
const FIRMWARE_WORDS: u32 = 12_000;
/// Settings that only a simulated radio takes.
const SETTINGS: &[u8] = b"boardtype=0x0598\0xtalfreq=26000\0";

/// Gives the radio a firmware and settings, and brings a network into its reach: [`SSID`]. Returns the radio channel.
///
/// # Errors
/// Those of writing the flash.
pub fn equip_radio(board: &mut VirtualBoard) -> Result<Air> {
    let firmware: Vec<u8> =
        (1..=FIRMWARE_WORDS).flat_map(|word| word.wrapping_mul(0x9E37_79B1).to_le_bytes()).collect();
    board.set_radio_settings(SETTINGS)?;
    let parts = board.parts();
    parts.flash.lock().unwrap_or_else(PoisonError::into_inner).load(FIRMWARE, &firmware);
    let air = parts.radio.lock().unwrap_or_else(PoisonError::into_inner).air();
    air.add(AirNetwork::new(SSID, AirSecurity::Wpa2(PASSPHRASE.to_owned())));
    Ok(air)
}
