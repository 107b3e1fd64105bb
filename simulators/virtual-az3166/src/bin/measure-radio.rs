//! What the radio's driver costs, on the simulated board: `measure-radio <image of radio-bench>`. See
//! `tools/measure-radio`.

use anyhow::{Context, Result};
use virtual_az3166::measure_radio;

fn main() -> Result<()> {
    let image = std::env::args_os().nth(1).context("which image?")?;
    let figures = measure_radio(&std::fs::read(&image)?)?;
    println!("| Ethernet frames | bytes | frames a second | instructions a frame |");
    println!("|---|---:|---:|---:|");
    for speed in &figures.speeds {
        let way = if speed.is_receiving { "received" } else { "sent" };
        println!("| {way} | {} | {} | {} |", speed.len, speed.frames(), speed.instructions);
    }
    println!();
    println!(
        "longest wait of an interrupt behind a mask: {:.1} us",
        figures.longest_mask.as_secs_f64() * 1e6
    );
    println!(
        "SDIO's FIFO: at most {} of 32 words waited, {} transfers failed",
        figures.fullest_fifo, figures.fifo_faults
    );
    Ok(())
}
