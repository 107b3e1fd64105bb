//! The GNU linker map of a legacy image: where the two measured ranges lie in the `.bin`.

use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};

/// What the tool looks for in the map file, in the original's order.
const FLASH: &str = "FLASH            0x";
const CORE: [&str; 2] = ["__start_riot_core", "__stop_riot_core"];
const FIRMWARE: [&str; 2] = ["__start_riot_fw", "__stop_riot_fw"];

/// The two byte ranges of the image that the `riot` profile measures, as offsets into the `.bin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasuredRanges {
    /// The RIoT core, measured into the CDI.
    pub core: Range<usize>,
    /// The firmware section, measured into the FWID.
    pub firmware: Range<usize>,
}

impl MeasuredRanges {
    /// Reads the symbols from the text of a map file. As in the original, the last line that matches a name counts, and
    /// an address of zero counts as missing.
    ///
    /// # Errors
    /// Names the symbol that is missing, not a number, or out of order.
    pub fn from_map(text: &str) -> Result<Self> {
        let flash = last_address(text, FLASH).context(
            "the map file has no FLASH line with an origin (memory configuration): is it the image's linker map?",
        )?;
        Ok(Self { core: range(text, flash, CORE)?, firmware: range(text, flash, FIRMWARE)? })
    }

    /// The bytes of both ranges: (core, firmware).
    ///
    /// # Errors
    /// The image is too short for one of them.
    pub fn cut<'i>(&self, image: &'i [u8]) -> Result<(&'i [u8], &'i [u8])> {
        Ok((cut(image, &self.core, CORE)?, cut(image, &self.firmware, FIRMWARE)?))
    }
}

fn range(text: &str, flash: u64, [start_name, stop_name]: [&str; 2]) -> Result<Range<usize>> {
    let offset = |name: &str| -> Result<usize> {
        let address = last_address(text, &format!("{name} = ."))
            .with_context(|| format!("symbol {name} is missing in the map file"))?;
        let offset = address.checked_sub(flash).with_context(|| {
            format!("symbol {name} ({address:#x}) lies before the start of flash ({flash:#x})")
        })?;
        usize::try_from(offset)
            .with_context(|| format!("symbol {name} ({address:#x}) lies outside the image"))
    };
    let (start, stop) = (offset(start_name)?, offset(stop_name)?);
    ensure!(start <= stop, "symbol {stop_name} comes before {start_name}");
    Ok(start..stop)
}

fn cut<'i>(image: &'i [u8], range: &Range<usize>, [start, stop]: [&str; 2]) -> Result<&'i [u8]> {
    match image.get(range.clone()) {
        Some(bytes) => Ok(bytes),
        None => bail!(
            "the image has {} bytes, but {start}..{stop} is {}..{}: do image and map belong together, and is the image \
             the application alone (without boot loader)?",
            image.len(),
            range.start,
            range.end
        ),
    }
}

/// The hexadecimal number at the first `0x` of the last line that holds `needle` and such a number other than zero.
fn last_address(text: &str, needle: &str) -> Option<u64> {
    let line = text.lines().rfind(|line| line.contains(needle) && line.contains("0x"))?;
    let (_, digits) = line.split_once("0x")?;
    let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
    u64::from_str_radix(&digits[..end], 16).ok().filter(|address| *address != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "\
FLASH            0x0800c000         0x000f4000         xr
RAM              0x200001c4         0x0003fe3c         xrw
                0x0800c400                __start_riot_core = .
                0x0800ca2c                __stop_riot_core = .
                0x0800ca2c                __start_riot_fw = .
                0x0800cc1c                __stop_riot_fw = .
";

    #[test]
    fn cuts_both_ranges() {
        let ranges = MeasuredRanges::from_map(MAP).unwrap();
        assert_eq!(ranges, MeasuredRanges { core: 0x400..0xa2c, firmware: 0xa2c..0xc1c });
        let image: Vec<u8> = (0..0xc1c_u32).map(|i| (i % 251) as u8).collect();
        let (core, firmware) = ranges.cut(&image).unwrap();
        assert_eq!((core, firmware), (&image[0x400..0xa2c], &image[0xa2c..]));
        let error = ranges.cut(&image[..0xc1b]).unwrap_err().to_string();
        assert!(error.contains("3099 bytes") && error.contains("__stop_riot_fw"), "{error}");
    }

    #[test]
    fn each_missing_or_zero_symbol_is_named() {
        for name in CORE.iter().chain(&FIRMWARE) {
            let without: String = MAP.lines().filter(|l| !l.contains(name)).flat_map(|l| [l, "\n"]).collect();
            assert!(MeasuredRanges::from_map(&without).unwrap_err().to_string().contains(name));
            let zero = format!("{MAP}    0x00000000     {name} = .\n");
            assert!(MeasuredRanges::from_map(&zero).unwrap_err().to_string().contains(name));
        }
        assert!(MeasuredRanges::from_map("").unwrap_err().to_string().contains("FLASH"));
    }

    #[test]
    fn symbols_in_the_wrong_order_or_below_flash_are_refused() {
        let swapped = format!("{MAP}    0x0800c300     __stop_riot_core = .\n");
        assert!(MeasuredRanges::from_map(&swapped).unwrap_err().to_string().contains("comes before"));
        let below = format!("{MAP}    0x08000000     __start_riot_core = .\n");
        assert!(
            MeasuredRanges::from_map(&below).unwrap_err().to_string().contains("before the start of flash")
        );
        let huge = format!("{MAP}    0x1ffffffffffffffffff    __stop_riot_fw = .\n");
        assert!(MeasuredRanges::from_map(&huge).unwrap_err().to_string().contains("__stop_riot_fw"));
    }
}
