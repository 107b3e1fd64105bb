//! What a firmware image needs: flash and statics from its files, stack and heap from its memory while it runs.

use std::collections::HashMap;
use std::fmt::Write;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// What `cortex-m-rt` paints the stack with.
const PAINT: [u8; 4] = 0xcccc_cccc_u32.to_le_bytes();
/// Bytes of a kibibyte, for people.
const KIB: f64 = 1024.0;

/// An image's sizes, and where its memory is.
#[derive(Debug, Clone)]
pub struct Footprint {
    symbols: HashMap<String, u32>,
    flash: u32,
}

/// The most there was since a reset, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Peaks {
    /// Of the stack.
    pub stack: u32,
    /// Of the heap.
    pub heap: u32,
}

impl Footprint {
    /// Reads an image (`.bin`) and the ELF file beside it, with `arm-none-eabi-nm`.
    ///
    /// # Errors
    /// A file cannot be read, or the program is missing.
    pub fn of(image: &Path) -> Result<Self> {
        let flash = std::fs::metadata(image).with_context(|| format!("the image {}", image.display()))?.len();
        let elf = image.with_extension("elf");
        let output = Command::new("arm-none-eabi-nm").arg(&elf).output();
        let output = output.context("starting arm-none-eabi-nm (package binutils-arm-none-eabi)")?;
        ensure!(output.status.success(), "no symbols in {}", elf.display());
        let lines = String::from_utf8_lossy(&output.stdout);
        let symbols = lines.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            let (address, _, name) = (words.next()?, words.next()?, words.next()?);
            Some((name.to_owned(), u32::from_str_radix(address, 16).ok()?))
        });
        Ok(Self { symbols: symbols.collect(), flash: flash.try_into()? })
    }

    fn symbol(&self, name: &str) -> Result<u32> {
        self.symbols.get(name).copied().with_context(|| format!("no symbol {name}"))
    }

    /// Addresses of the stack, which is painted before the program starts.
    ///
    /// # Errors
    /// It is not such a firmware.
    pub fn stack(&self) -> Result<Range<u32>> {
        Ok(self.symbol("_stack_end")?..self.symbol("_stack_start")?)
    }

    /// Address of the 32-bit word that holds the most that was in use of the heap; `None` in a firmware without one.
    #[must_use]
    pub fn heap_peak(&self) -> Option<u32> {
        self.symbols.get("heap_peak").copied()
    }

    /// The peaks, given a way to read the device's memory: address and length.
    ///
    /// # Errors
    /// Those of reading; it is not such a firmware.
    pub async fn peaks(&self, mut read: impl AsyncFnMut(u32, usize) -> Result<Vec<u8>>) -> Result<Peaks> {
        let stack = self.stack()?;
        let bytes = read(stack.start, stack.len()).await?;
        let heap = match self.heap_peak() {
            Some(counter) => {
                let heap = read(counter, 4).await?;
                u32::from_le_bytes(heap.first_chunk().copied().context("the heap's counter")?)
            }
            None => 0,
        };
        Ok(Peaks { stack: used(&bytes).try_into()?, heap })
    }

    /// A Markdown table of everything, with the peaks of each phase.
    ///
    /// # Errors
    /// It is not such a firmware.
    pub fn table(&self, phases: &[(&str, Peaks)]) -> Result<String> {
        let stack = u32::try_from(self.stack()?.len())?;
        let statics = self.symbol("__euninit")?.checked_sub(self.symbol("__sdata")?);
        let statics = statics.context("the statics' symbols")?;
        let mut table = String::from("| what | bytes | KiB |\n|---|---:|---:|\n");
        let mut row =
            |what: &str, bytes: u32| writeln!(table, "| {what} | {bytes} | {:.1} |", f64::from(bytes) / KIB);
        row("flash: code, constants and initial values", self.flash)?;
        row("statics, the heap's memory included", statics)?;
        row("stack, reserved", stack)?;
        row("RAM: statics and stack", statics + stack)?;
        for (phase, peaks) in phases {
            row(&format!("most stack used: {phase}"), peaks.stack)?;
            row(&format!("most heap used: {phase}"), peaks.heap)?;
        }
        Ok(table)
    }
}

/// Bytes of a painted stack that were ever used.
fn used(stack: &[u8]) -> usize {
    stack.len() - 4 * stack.chunks(4).take_while(|word| **word == PAINT).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footprint() -> Footprint {
        let symbols = [
            ("_stack_end", 0x2000_0000),
            ("_stack_start", 0x2000_0400),
            ("__sdata", 0x2000_0400),
            ("__euninit", 0x2000_1000),
            ("heap_peak", 0x2000_0800),
        ];
        let symbols = symbols.map(|(name, address)| (name.to_owned(), address)).into();
        Footprint { symbols, flash: 2048 }
    }

    #[tokio::test]
    async fn peaks_are_read_from_paint_and_counter() {
        let memory = async |address, length| {
            Ok(match address {
                // Paint above the first used word is chance.
                0x2000_0000 => [vec![0xCC; 0x300], vec![1, 2, 3, 0xCC], vec![0xCC; length - 0x304]].concat(),
                0x2000_0800 => vec![0x39, 0x30, 0, 0],
                _ => panic!("{address:#x}"),
            })
        };
        let peaks = footprint().peaks(memory).await.unwrap();
        assert_eq!(peaks, Peaks { stack: 0x100, heap: 12345 });
        assert!(footprint().peaks(async |_, _| Ok(Vec::new())).await.is_err());
        let mut without_heap = footprint();
        without_heap.symbols.remove("heap_peak");
        let peaks = without_heap.peaks(memory).await.unwrap();
        assert_eq!(peaks, Peaks { stack: 0x100, heap: 0 });
    }

    #[test]
    fn the_table_adds_up() {
        let table = footprint().table(&[("start", Peaks { stack: 100, heap: 0 })]).unwrap();
        assert!(table.contains("| flash: code, constants and initial values | 2048 | 2.0 |"), "{table}");
        assert!(table.contains("| RAM: statics and stack | 4096 | 4.0 |"), "{table}");
        assert!(table.contains("| most stack used: start | 100 | 0.1 |"), "{table}");
        let mut other = footprint();
        other.symbols.remove("__sdata");
        assert!(other.table(&[]).is_err());
    }

    #[test]
    fn what_cannot_be_measured_is_said() {
        let error = Footprint::of(Path::new("no-such-image.bin")).unwrap_err();
        assert!(error.to_string().contains("no-such-image.bin"), "{error}");
    }
}
