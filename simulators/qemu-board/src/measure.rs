//! What the firmware needs, looked at in the running device's memory.

use anyhow::Result;
use footprint::{Footprint, Peaks};

use crate::args::Args;
use crate::device::QemuDevice;

/// Looks into the running device's memory, with its core halted.
pub(crate) async fn peaks(args: &Args, device: &QemuDevice) -> Result<Peaks> {
    let footprint = Footprint::of(&args.firmware)?;
    let mut core = device.debug().await?;
    let peaks = footprint.peaks(async |address, length| core.read(address, length).await).await?;
    core.release().await?;
    Ok(peaks)
}

/// Prints the table.
pub(crate) fn print(args: &Args, phases: &[(&str, Peaks)]) -> Result<()> {
    println!("\n{}", Footprint::of(&args.firmware)?.table(phases)?);
    Ok(())
}
