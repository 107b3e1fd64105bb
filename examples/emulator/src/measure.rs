//! What the firmware needs: from its ELF file and, while it runs, from its memory.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::args::Args;
use crate::stage::Stage;

/// What `cortex-m-rt` paints the stack with.
const PAINT: [u8; 4] = 0xcccc_cccc_u32.to_le_bytes();
/// Bytes of a kibibyte, for people.
const KIB: f64 = 1024.0;

/// The most there was since the last reset, in bytes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Peaks {
    stack: u32,
    heap: u32,
}

/// Looks into the running device's memory.
pub(crate) async fn peaks(args: &Args, stage: &Stage) -> Result<Peaks> {
    let symbols = symbols(args)?;
    let symbol = |name: &str| symbols.get(name).copied().with_context(|| format!("no symbol {name}"));
    let (bottom, top) = (symbol("_stack_end")?, symbol("_stack_start")?);
    let mut core = stage.device.debug().await?;
    let stack = core.read(bottom, usize::try_from(top - bottom)?).await?;
    let heap = core.read(symbol("heap_peak")?, 4).await?;
    core.release().await?;
    let untouched = stack.chunks(4).take_while(|word| **word == PAINT).count() * 4;
    let heap = heap.first_chunk().copied().map(u32::from_le_bytes).unwrap_or_default();
    Ok(Peaks { stack: top - bottom - u32::try_from(untouched)?, heap })
}

/// Prints the table.
pub(crate) fn print(args: &Args, phases: &[(&str, Peaks)]) -> Result<()> {
    let symbols = symbols(args)?;
    let size = |from: &str, to: &str| symbols.get(to)?.checked_sub(*symbols.get(from)?);
    let flash = u32::try_from(std::fs::metadata(&args.firmware)?.len())?;
    let stack = size("_stack_end", "_stack_start").context("the stack's symbols")?;
    let statics = size("__sdata", "__euninit").context("the statics' symbols")?;
    println!("\n| what | bytes | KiB |\n|---|---:|---:|");
    let row = |what: &str, bytes: u32| println!("| {what} | {bytes} | {:.1} |", f64::from(bytes) / KIB);
    row("flash: code, constants and initial values", flash);
    row("statics, the heap's memory included", statics);
    row("stack, reserved", stack);
    row("RAM: statics and stack", statics + stack);
    for (phase, peaks) in phases {
        row(&format!("most stack used: {phase}"), peaks.stack);
        row(&format!("most heap used: {phase}"), peaks.heap);
    }
    Ok(())
}

/// The symbols of the ELF file beside the image.
fn symbols(args: &Args) -> Result<HashMap<String, u32>> {
    let elf: PathBuf = args.firmware.with_extension("elf");
    let output = Command::new("arm-none-eabi-nm").arg(&elf).output();
    let output = output.context("starting arm-none-eabi-nm (package binutils-arm-none-eabi)")?;
    ensure!(output.status.success(), "no symbols in {}", elf.display());
    let lines = String::from_utf8_lossy(&output.stdout);
    let symbols = lines.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (address, _, name) = (words.next()?, words.next()?, words.next()?);
        Some((name.to_owned(), u32::from_str_radix(address, 16).ok()?))
    });
    Ok(symbols.collect())
}
