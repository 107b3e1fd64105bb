//! Whether a file is a firmware image as it lies in flash, or something else that is easily taken for one.

use anyhow::{Result, bail};

/// The largest file that is read as an image, in bytes: twice the largest flash of a microcontroller.
pub const MAX_LEN: u64 = 16 << 20;

/// RP2040 images begin with a second boot stage of this length, in bytes.
const BOOT2_LEN: usize = 256;

/// Refuses what is not a firmware image as it lies in flash.
///
/// With `vector_table` it has to begin with the vector table of a Cortex-M. A linker map tells by itself where what is
/// measured lies.
///
/// # Errors
/// Says what the file seems to be, and how to get an image.
pub fn check(file: &str, image: &[u8], vector_table: bool) -> Result<()> {
    if image.is_empty() {
        bail!("{file} is empty");
    }
    let Some(what) = fault(file, image, vector_table) else {
        return Ok(());
    };
    bail!("{file} {what}. --force-image takes it all the same")
}

fn fault(file: &str, image: &[u8], vector_table: bool) -> Option<String> {
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let objcopy = |from: &str| {
        format!(
            "not an image as it lies in flash: arm-none-eabi-objcopy {from}-O binary {file} {stem}.bin makes one"
        )
    };
    let packed = "not an image as it lies in flash: unpack it first";
    for (magic, at, what, way) in [
        (&b"\x7fELF"[..], 0, "is an ELF file", objcopy("")),
        (
            b"UF2\n",
            0,
            "is a UF2 file",
            "not an image as it lies in flash: take the .bin of the build".to_owned(),
        ),
        (
            b"DfuSe",
            0,
            "is a DfuSe file",
            "not an image as it lies in flash: take the .bin of the build".to_owned(),
        ),
        (b"MZ", 0, "is a Windows program", "not firmware".to_owned()),
        (b"PK\x03\x04", 0, "is a ZIP archive", packed.to_owned()),
        (b"PK\x05\x06", 0, "is an empty ZIP archive", "not firmware".to_owned()),
        (b"\x1f\x8b", 0, "is a gzip file", packed.to_owned()),
        (b"BZh", 0, "is a bzip2 file", packed.to_owned()),
        (b"\xfd7zXZ\0", 0, "is an xz file", packed.to_owned()),
        (b"\x28\xb5\x2f\xfd", 0, "is a Zstandard file", packed.to_owned()),
        (b"7z\xbc\xaf\x27\x1c", 0, "is a 7z archive", packed.to_owned()),
        (b"ustar", 257, "is a tar archive", packed.to_owned()),
        (b"!<arch>\n", 0, "is a library of object files", "not firmware".to_owned()),
    ] {
        if image.get(at..).is_some_and(|rest| rest.starts_with(magic)) {
            return Some(format!("{what}, {way}"));
        }
    }
    let start = image.trim_ascii_start();
    let records = |mark: fn(u8) -> bool, kind: fn(u8) -> bool| {
        matches!(start, [first, second, digits @ ..]
            if mark(*first) && kind(*second) && digits.iter().take(6).all(u8::is_ascii_hexdigit))
    };
    if records(|mark| mark == b':', |digit| digit.is_ascii_hexdigit()) {
        return Some(format!("is Intel HEX, {}", objcopy("-I ihex ")));
    }
    if records(|mark| mark.eq_ignore_ascii_case(&b'S'), |kind| kind.is_ascii_digit()) {
        return Some(format!("is Motorola SREC, {}", objcopy("-I srec ")));
    }
    if super::text::decode(image).is_some_and(|text| text.chars().all(is_textual)) {
        return Some("is a text, not a firmware image".to_owned());
    }
    let first = image[0];
    if image.iter().all(|byte| *byte == first) {
        return Some(format!("is not a firmware image: every byte is {first:#04x}"));
    }
    if image.len() as u64 > MAX_LEN {
        return Some(format!("is not a firmware image: it has more than {} MiB", MAX_LEN >> 20));
    }
    if vector_table && !has_vector_table(image) && !image.get(BOOT2_LEN..).is_some_and(has_vector_table) {
        return Some(
            "does not begin with the vector table of a Cortex-M, as an image in flash does: is it the application \
             alone, without a header or a boot loader before it?"
                .to_owned(),
        );
    }
    None
}

fn is_textual(character: char) -> bool {
    !character.is_control() || matches!(character, '\t' | '\n' | '\r' | '\x0c' | '\x1a' | '\x1b')
}

/// Whether the first words can be the initial stack pointer, in RAM, and handlers, in Thumb code that lies together in
/// no more space than the image has.
fn has_vector_table(image: &[u8]) -> bool {
    let word = |number: usize| {
        image
            .get(4 * number..4 * number + 4)
            .and_then(|bytes| Some(u32::from_le_bytes(bytes.try_into().ok()?)))
    };
    let (Some(stack), Some(reset), Some(nmi), Some(hard_fault)) = (word(0), word(1), word(2), word(3)) else {
        return false;
    };
    // The memory map of ARMv6-M to ARMv8-M: code, SRAM, peripherals, external RAM.
    let memory = |address: u32| matches!(address, 0..0x4000_0000 | 0x6000_0000..0xa000_0000);
    let stack_fits = stack % 4 == 0 && stack >= 0x1000_0000 && memory(stack - 1);
    let handlers = [reset, nmi, hard_fault];
    let given = handlers.iter().copied().filter(|handler| *handler != 0);
    let (lowest, highest) = (given.clone().min().unwrap_or(0), given.clone().max().unwrap_or(0));
    stack_fits
        && reset != 0
        && given.clone().all(|handler| handler % 2 == 1 && memory(handler))
        && usize::try_from(highest - lowest).is_ok_and(|span| span < image.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A vector table and some code behind it.
    fn image(words: [u32; 4]) -> Vec<u8> {
        words
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .chain((0..2000_u32).map(|n| (n % 251) as u8))
            .collect()
    }

    const TABLE: [u32; 4] = [0x2004_0000, 0x0800_c401, 0x0800_c411, 0x0800_c421];

    fn message(bytes: &[u8]) -> String {
        check("fw.x", bytes, true).unwrap_err().to_string()
    }

    #[test]
    fn images_of_several_chips_are_taken() {
        for (what, words) in [
            ("STM32F4 behind a boot loader", TABLE),
            ("QEMU's mps2-an386", [0x2040_0000, 0x0000_0401, 0x0000_0405, 0x0000_0407]),
            ("core-coupled memory", [0x1001_0000, 0x0800_0189, 0x0800_0191, 0x0800_0193]),
            ("external flash", [0x2002_0000, 0x6000_2401, 0x6000_2421, 0x6000_2423]),
            ("no NMI handler", [0x2000_8000, 0x0000_0101, 0, 0x0000_0111]),
        ] {
            assert!(check("fw.bin", &image(words), true).is_ok(), "{what}");
        }
        let rp2040 =
            [vec![0x5a; BOOT2_LEN], image([0x2004_2000, 0x1000_01f7, 0x1000_01c3, 0x1000_01c5])].concat();
        assert!(check("fw.bin", &rp2040, true).is_ok());
        assert!(check("fw.bin", &image([1, 2, 3, 4]), false).is_ok(), "a map tells where the code is");
    }

    #[test]
    fn what_is_no_image_is_named() {
        let tar = [&[b'a'; 257][..], b"ustar\0\0"].concat();
        let huge = [image(TABLE), vec![1; 16 << 20]].concat();
        for (bytes, words) in [
            (
                &b"\x7fELF\x01\x01\x01"[..],
                "ELF file, not an image as it lies in flash: arm-none-eabi-objcopy -O binary fw.x fw.bin",
            ),
            (
                b":020000040800F2\r\n:10C00000",
                "Intel HEX, not an image as it lies in flash: arm-none-eabi-objcopy -I ihex -O binary",
            ),
            (b"\r\n:10C000000004", "Intel HEX"),
            (
                b"S00F000068656C6C6F202020",
                "Motorola SREC, not an image as it lies in flash: arm-none-eabi-objcopy -I srec",
            ),
            (b"PK\x03\x04\x14\0", "ZIP archive"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"UF2\n\x57\x51", "UF2"),
            (b"MZ\x90\0", "Windows program"),
            (&tar, "tar archive"),
            (b"the whole firmware image", "is a text"),
            (b"\xef\xbb\xbfFLASH 0x08000000\r\n", "is a text"),
            (b"\xff\xfeF\0L\0A\0", "is a text"),
            (&[0; 4096], "every byte is 0x00"),
            (&[0xff; 4096], "every byte is 0xff"),
            (&huge, "more than 16 MiB"),
            (&TABLE[0].to_le_bytes(), "vector table"),
        ] {
            let message = message(bytes);
            assert!(message.contains(words) && message.contains("--force-image"), "{words} in {message}");
        }
        assert_eq!(message(b""), "fw.x is empty");
    }

    #[test]
    fn a_vector_table_has_to_be_plausible() {
        for (place, wrong) in [
            (0, 0x2004_0001),
            (0, 0x4000_0400),
            (0, 0x0800_0000),
            (0, 0),
            (1, 0),
            (1, 0x0800_c400),
            (1, 0x4000_0001),
            (2, 0x0800_c410),
            (3, 0x0900_0001),
        ] {
            let mut words = TABLE;
            words[place] = wrong;
            assert!(message(&image(words)).contains("vector table"), "{place}: {wrong:#x}");
        }
    }
}
