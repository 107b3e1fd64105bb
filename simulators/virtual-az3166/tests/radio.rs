//! The radio brought up on the simulated board, by the image that is flashed: flash chip, QUADSPI, SDIO, card.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use peripherals::{DevKit, SdioFault};
use stsafe_a100::sim::{Profile, VirtualChip};
use virtual_az3166::{VirtualBoard, measure_radio};

/// The images of the probe and of the measurement, built once for all tests.
fn images() -> &'static [Vec<u8>; 2] {
    static IMAGES: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let run = |command: &mut Command| {
            let status = command.current_dir(&root).status().unwrap();
            assert!(status.success(), "{command:?}");
        };
        let mut build = Command::new("tools/cargo-thumb");
        run(build
            .args(["build", "--quiet", "-p", "az3166-radio", "--profile", "firmware"])
            .env_remove("RADIO_NVRAM"));
        let folder = tempfile::tempdir().unwrap();
        ["radio-probe", "radio-bench"].map(|name| {
            let bin = folder.path().join(name);
            let elf = format!("target/thumb/thumbv7em-none-eabihf/firmware/{name}");
            run(Command::new("arm-none-eabi-objcopy").args(["-O", "binary", &elf]).arg(&bin));
            std::fs::read(bin).unwrap()
        })
    })
}

/// A firmware for the radio: vectors, then words that repeat themselves nowhere.
fn firmware(words: u32) -> Vec<u8> {
    (1..=words).flat_map(|word| word.wrapping_mul(0x9E37_79B1).to_le_bytes()).collect()
}

/// A board with this firmware for its radio, switched on.
fn board(firmware: &[u8], fault: Option<SdioFault>) -> VirtualBoard {
    let parts = DevKit::new(VirtualChip::new(Profile::az3166(), [7; 32]), [2, 0, 0, 0, 0, 1]);
    parts.flash.lock().unwrap().load(0x2000, firmware);
    if let Some(fault) = fault {
        parts.radio.lock().unwrap().inject(fault);
    }
    let mut board = VirtualBoard::new(&images()[0], parts, 1).unwrap();
    board.power_on().unwrap();
    board
}

/// What the probe says, and after which time.
fn result(board: &mut VirtualBoard) -> (String, Duration) {
    let mut said = Vec::new();
    let spoke = board.run_until(Duration::from_secs(8), |board| {
        said.extend(board.take_console());
        said.ends_with(b"\n")
    });
    assert!(spoke.unwrap(), "{:?}, {}", board.lockup(), String::from_utf8_lossy(&said));
    (String::from_utf8(said).unwrap().trim_end().to_owned(), board.now())
}

#[test]
fn the_image_that_is_flashed_starts_the_radio() {
    let firmware = firmware(52_000);
    let mut board = board(&firmware, None);
    let (said, took) = result(&mut board);
    assert_eq!(said, "radio: BCM43362 revision 1 runs a firmware of 208000 bytes");
    assert!(took < Duration::from_secs(2), "{took:?}");
    let radio = board.parts().radio.lock().unwrap();
    let memory = radio.started_with().unwrap();
    assert!(memory[..firmware.len()] == firmware);
    let settings = b"boardtype=0x0598\0xtalfreq=26000\0\0\0\0\0";
    assert_eq!(memory[memory.len() - 4 - settings.len()..memory.len() - 4], *settings);
    assert_eq!(radio.violations(), [""; 0]);
    assert!(radio.is_wide());
    drop(radio);
    assert_eq!(board.parts().flash.lock().unwrap().misused(), [0; 0]);
}

#[test]
fn what_is_wrong_is_reported() {
    for (len, fault, said) in [
        (0, None, "radio: there is no firmware for the radio"),
        (62_000, None, "radio: the radio's firmware needs 248000 bytes, there are 245720"),
        (
            600,
            Some(SdioFault::Silence { from: 1, count: u64::MAX }),
            "radio: identification of the card: timed out",
        ),
        (600, Some(SdioFault::ChipId(0x1541_A9A6)), "radio: not a BCM43362: chip 0xa9a6"),
        (600, Some(SdioFault::FlipMemory { at: 1234, mask: 1 }), "radio: the upload is damaged at 0x4d2"),
        (600, Some(SdioFault::SpoiltData { after: 20, count: 9 }), "radio: upload: Data"),
        (
            600,
            Some(SdioFault::Refusal { after: 70, flags: 0x08 }),
            "radio: start of the processor: the card refused with 0x08",
        ),
        (600, Some(SdioFault::NoFastClock), "radio: wait for the fast clock: timed out"),
    ] {
        assert_eq!(result(&mut board(&firmware(len), fault)).0, said, "{fault:?}");
    }
}

#[test]
fn spoilt_data_and_lost_commands_are_made_good() {
    for fault in [
        SdioFault::SpoiltData { after: 10, count: 2 },
        SdioFault::SpoiltData { after: 26, count: 2 },
        SdioFault::Silence { from: 60, count: 2 },
    ] {
        let firmware = firmware(2000);
        let mut board = board(&firmware, Some(fault));
        assert_eq!(
            result(&mut board).0,
            "radio: BCM43362 revision 1 runs a firmware of 8000 bytes",
            "{fault:?}"
        );
        let radio = board.parts().radio.lock().unwrap();
        assert!(radio.started_with().unwrap()[..firmware.len()] == firmware);
    }
}

#[test]
fn after_a_power_cut_in_the_upload_it_begins_anew() {
    let firmware = firmware(20_000);
    let mut board = board(&firmware, None);
    let (said, took) = result(&mut board);
    for part in [3, 5, 8] {
        board.power_off();
        board.power_on().unwrap();
        board.run_for(took * part / 9).unwrap();
        assert_eq!(board.take_console(), b"");
        board.power_off();
        board.power_on().unwrap();
        assert_eq!(result(&mut board).0, said);
        let radio = board.parts().radio.lock().unwrap();
        assert!(radio.started_with().unwrap()[..firmware.len()] == firmware);
    }
}

/// Every frame arrives, fast enough for what the device does; no interrupt waits for a transfer, and no transfer fails
/// because of an interrupt.
#[test]
fn frames_go_both_ways_without_masking_interrupts() {
    let figures = measure_radio(&images()[1]).unwrap();
    assert_eq!(figures.speeds.len(), 4, "{figures:?}");
    for speed in &figures.speeds {
        let least = if speed.len > 1000 { 1500 } else { 3000 };
        assert!(speed.frames() > least, "{speed:?}");
    }
    assert!(figures.longest_mask < Duration::from_micros(20), "{figures:?}");
    assert_eq!(figures.fifo_faults, 0, "{figures:?}");
}
