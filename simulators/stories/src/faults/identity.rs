//! The identity does not fit any more: host keys are lost, or the firmware was changed.

use std::fs;

use anyhow::{Context, Result, ensure};
use peripherals::Buttons;

use super::cloud::refusal;
use crate::bench::Bench;
use crate::device::{Device, Running};
use crate::narrator::line;

/// Part of the banner in every image: it may be changed, and the program still runs.
const TEXT: &[u8] = b"Microsoft Azure IoT Developer Kit";

/// A device without its host keys can read nothing that is sealed, says so, and destroys nothing.
///
/// # Errors
/// It does not, or does not go on with its keys.
pub async fn lost_keys<D: Device>(bench: &mut Bench<D>) -> Result<()> {
    let keys = bench.device.host_keys().contents();
    bench.device.host_keys().replace(&[])?;
    let mut running = bench.device.switch_on(Buttons::default()).await?;
    running.terminal.until("is sealed and cannot be opened without the host keys").await?;
    bench.display(&running, "lost-keys.png", |rows| rows[2] == "Failed!" && rows[3] == " > Settings").await?;
    running.cut_power().await?;
    bench.device.host_keys().replace(&keys)?;
    bench.events = bench.cloud.events();
    let running = bench.device.switch_on(Buttons::default()).await?;
    bench.telemetry(&running).await?;
    line("with its keys restored, the device goes on");
    running.cut_power().await
}

/// Flips one bit of the firmware in the device's flash; the power is off.
///
/// # Errors
/// The image cannot be read or written, or holds no banner.
pub fn change_firmware<D: Device>(bench: &mut Bench<D>) -> Result<()> {
    let mut image = fs::read(&bench.firmware)?;
    let at = image.windows(TEXT.len()).position(|window| window == TEXT);
    let at = at.context("the firmware's banner is not in the image")?;
    // A capital letter becomes a small one.
    image[at] ^= 0x20;
    let changed = bench.folder.join("changed.bin");
    fs::write(&changed, image)?;
    bench.device.flash(&changed)
}

/// One bit of the firmware is changed: the provisioning service refuses the device.
///
/// # Errors
/// It does not.
pub async fn changed_firmware<D: Device>(bench: &mut Bench<D>) -> Result<()> {
    change_firmware(bench)?;
    bench.events = bench.cloud.events();
    let running: Running = bench.device.switch_on(Buttons::default()).await?;
    let reason = refusal(bench, &running).await?;
    ensure!(reason.starts_with("401"), "the provisioning service refuses: {reason}");
    line(&format!("the provisioning service refuses: {reason}"));
    bench.display(&running, "refused.png", |rows| rows[2] == "DPS Failed!").await?;
    running.cut_power().await?;
    let original = bench.firmware.clone();
    bench.device.flash(&original)
}
