//! A board with the firmware, and a user who reads and types.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use peripherals::{DevKit, screen};
use stsafe_a100::sim::{Busy, Profile, VirtualChip};
use virtual_az3166::VirtualBoard;

/// The device secret of these tests.
pub(crate) const UDS: &str = "19e25a259d0c2be03a02d416c05c48ccf0cb7ec3d8d2a5d3c9e6a9a8f3c14101";
/// The last text before the console waits for input.
pub(crate) const PROMPT: &str = "\r\n# ";
/// The longest the firmware may take for a command or a start.
const PATIENCE: Duration = Duration::from_secs(20);

/// The image's file.
pub(crate) fn image_path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        if let Some(path) = std::env::var_os("AZ3166_IMAGE") {
            return path.into();
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let path = root.join("target/firmware/devkit-az3166.bin");
        let built = Command::new(root.join("tools/firmware")).arg("az3166").status().unwrap();
        assert!(built.success(), "building the firmware");
        path
    })
}

pub(crate) fn image() -> Vec<u8> {
    std::fs::read(image_path()).unwrap()
}

/// A secure element as the board has it when it is new.
pub(crate) fn chip() -> VirtualChip {
    let chip = VirtualChip::new(Profile::az3166(), [3; 32]);
    chip.set_busy(Busy::Time);
    chip
}

/// A board and what its console has written.
pub(crate) struct Device {
    pub(crate) board: VirtualBoard,
    /// Since the last command.
    pub(crate) text: String,
}

impl Device {
    /// Switched off.
    pub(crate) fn new(chip: &VirtualChip, seed: u64) -> Self {
        Self::with_image(&image(), chip, seed)
    }

    pub(crate) fn with_image(image: &[u8], chip: &VirtualChip, seed: u64) -> Self {
        let kit = DevKit::new(chip.clone(), [0xC8, 0x93, 0x46, 0, 0, 1]);
        Self { board: VirtualBoard::new(image, kit, seed).unwrap(), text: String::new() }
    }

    pub(crate) fn hold_a(&self, held: bool) {
        self.board.parts().panel.press(|buttons| buttons.a = held);
    }

    /// Switches on with button A held, up to the console's prompt.
    pub(crate) fn start_console(&mut self) {
        self.hold_a(true);
        self.text.clear();
        self.board.power_on().unwrap();
        self.wait_for(PROMPT);
    }

    /// Runs until the console has written this.
    pub(crate) fn wait_for(&mut self, wanted: &str) {
        assert!(self.appears(wanted, PATIENCE), "no {wanted:?} in {:?}, {:?}", self.text, self.board);
    }

    /// Whether the console writes this within a time.
    pub(crate) fn appears(&mut self, wanted: &str, limit: Duration) -> bool {
        self.board.read_until(wanted, limit, &mut self.text).unwrap()
    }

    /// Types a line, a character at a time.
    pub(crate) fn type_line(&mut self, line: &str) {
        self.text.clear();
        self.board.type_line(line).unwrap();
    }

    /// Types a command; gives the answer without the echo.
    pub(crate) fn command(&mut self, line: &str) -> String {
        self.type_line(line);
        self.wait_for(PROMPT);
        let answer = self.text.strip_suffix(PROMPT).unwrap();
        answer.split_once("\r\n").map_or("", |(_, answer)| answer).to_owned()
    }

    /// Whether a command is answered with success.
    pub(crate) fn set(&mut self, line: &str) {
        let answer = self.command(line);
        assert!(answer.contains("successfully"), "{line}: {answer}");
    }

    /// The rows of text on the display.
    pub(crate) fn screen(&self) -> [String; screen::ROWS] {
        screen::read(&self.board.parts().display.lock().unwrap().picture())
    }
}

/// The certificate `dps-cert-gen` makes for the device of these tests with this image.
pub(crate) fn enrolment_certificate(image: &Path, id: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("device.pem");
    let version = env!("CARGO_PKG_VERSION");
    let words =
        ["dps-cert-gen", "-b", image.to_str().unwrap(), "-u", UDS, "-i", id, "--firmware-version", version];
    let words = words.iter().map(Into::into).chain(["-o".into(), out.clone().into_os_string()]);
    dps_cert_gen::run(words.collect(), &mut std::io::empty(), &mut std::io::sink()).unwrap();
    std::fs::read_to_string(out).unwrap()
}
