//! The command `virtual-devkit`, as a reader without a board uses it: the tutorial from the first start to telemetry.
//!
//! The firmware image is what the environment variable `AZ3166_IMAGE` names, or what `tools/firmware az3166` builds.

#[path = "firmware/device.rs"]
#[allow(dead_code, reason = "shared with the tests of the firmware")]
mod device;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use device::{PROMPT, UDS, enrolment_certificate, image_path};
use peripherals::{Picture, screen};
use virtual_az3166::{PASSPHRASE, SSID};

/// How long a step may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);
const ID: &str = "my-devkit";
/// Control keys.
const END: &str = "\x18";
const SHOW: &str = "\x04";
const CLOUD_COMMAND: &str = "\x14";

/// The running program, and what it has written to both outputs.
struct Session {
    child: Child,
    keyboard: ChildStdin,
    text: Arc<Mutex<String>>,
}

impl Session {
    fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let text = Arc::new(Mutex::new(String::new()));
        read_to(text.clone(), child.stdout.take().unwrap());
        read_to(text.clone(), child.stderr.take().unwrap());
        Self { keyboard: child.stdin.take().unwrap(), child, text }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    fn wait_for(&self, wanted: &str) -> String {
        let started = Instant::now();
        loop {
            let text = self.text();
            if text.contains(wanted) {
                return text;
            }
            assert!(started.elapsed() < PATIENCE, "no {wanted:?} in {text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn press(&mut self, keys: &str) {
        self.text.lock().unwrap().clear();
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    /// Types a command of the console; gives what the board answers.
    fn command(&mut self, line: &str) -> String {
        self.press(&format!("{line}\n"));
        self.wait_for(PROMPT)
    }

    /// Ends the program by its key; gives how it ended, and what was written since.
    fn end(mut self) -> (ExitStatus, String) {
        self.press(END);
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < PATIENCE, "it does not end: {}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        };
        // The outputs are read to their ends soon after.
        std::thread::sleep(Duration::from_millis(200));
        (status, self.text())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It has ended, unless a test fails.
        let _ = self.child.kill();
    }
}

fn read_to(text: Arc<Mutex<String>>, mut from: impl Read + Send + 'static) {
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(len @ 1..) = from.read(&mut bytes) {
            text.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..len]));
        }
    });
}

fn arguments<'a>(board: &'a Path, picture: &'a Path) -> [&'a OsStr; 7] {
    [
        OsStr::new("--image"),
        image_path().as_os_str(),
        OsStr::new("--device"),
        board.as_os_str(),
        OsStr::new("--cloud"),
        OsStr::new("--png"),
        picture.as_os_str(),
    ]
}

/// The rows of text in a picture that was saved.
fn rows(file: &Path) -> [String; screen::ROWS] {
    let mut reader = png::Decoder::new(BufReader::new(File::open(file).unwrap())).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let width = info.width as usize;
    let scale = width / Picture::WIDTH;
    screen::read(&Picture::from_fn(|x, y| pixels[y * scale * width + x * scale] != 0))
}

#[test]
fn the_tutorial_without_a_board() {
    let program = env!("CARGO_BIN_EXE_virtual-devkit");
    let folder = tempfile::tempdir().unwrap();
    let (board, picture) = (folder.path().join("board"), folder.path().join("display.png"));

    // Button A is held: the configuration console. A new board has no settings.
    let mut session =
        Session::start(Command::new(program).args(arguments(&board, &picture)).args(["--hold", "a"]));
    session.wait_for(PROMPT);
    let answer = session.command("scan");
    assert!(answer.contains(SSID), "{answer}");
    let answer = session.command(&format!("set_dps_uds {UDS}"));
    assert!(answer.contains("successfully") && !answer.contains(UDS), "{answer}");
    for setting in [
        &format!("set_wifissid {SSID}"),
        &format!("set_wifipwd {PASSPHRASE}"),
        "set_dps_idscope 0ne00000000",
        &format!("set_registration_id {ID}"),
    ] {
        let answer = session.command(setting);
        assert!(answer.contains("successfully"), "{setting}: {answer}");
    }
    assert_eq!(rows(&picture)[2], "Configuration");

    // The certificate is derived at the desk and enrolled; the board leaves the console and finds its cloud.
    let certificate = enrolment_certificate(image_path(), ID);
    std::fs::write(board.join("enrollments").join("my-devkit.pem"), certificate).unwrap();
    session.press("exit\n");
    session.wait_for("IoT Hub connected");
    session.wait_for("cloud: ");
    let text = session.wait_for("\"temperature\"");
    assert!(text.contains("Assigned to local-hub.azure-devices.net as my-devkit"), "{text}");

    // An order from the desk, and what is to be seen.
    session.press(&format!("{CLOUD_COMMAND}method {ID} stopp\x7f\n"));
    session.wait_for("cloud: 200");
    let started = Instant::now();
    loop {
        session.press(SHOW);
        let text = session.wait_for("B up");
        if text.contains("Wi-Fi * Azure * User .  RGB 000000  A up") {
            assert!(text.contains('█'), "{text}");
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{text}");
    }
    let shown = rows(&picture);
    assert_eq!((shown[0].as_str(), shown[1].as_str()), ("IoT DevKit", "10.0.2.15"), "{shown:?}");
    assert!(shown[3].ends_with('%'), "{shown:?}");
    let (status, _) = session.end();
    assert!(status.success(), "{status}");

    // Another day, at a terminal: the board has kept everything, and the terminal is left as it was.
    let words: Vec<_> =
        arguments(&board, &picture).iter().map(|word| word.to_str().unwrap().to_owned()).collect();
    let line = format!("{program} {}; echo over $?; stty -a", words.join(" "));
    let session = Session::start(Command::new("script").args(["-q", "-e", "-f", "-c", &line, "/dev/null"]));
    let text = session.wait_for("\"temperature\"");
    assert!(text.contains("as my-devkit"), "{text}");
    let (status, text) = session.end();
    assert!(status.success() && text.contains("over 0"), "{status}: {text}");
    assert!(text.contains(" icanon") && text.contains(" echo "), "{text}");
}

#[test]
fn what_is_missing_is_said() {
    let program = env!("CARGO_BIN_EXE_virtual-devkit");
    let folder = tempfile::tempdir().unwrap();
    let not_there = folder.path().join("image.bin");
    let said = |command: &mut Command| {
        let output = command.current_dir(folder.path()).stdin(Stdio::null()).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let text = said(Command::new(program).arg("--image").arg(&not_there));
    assert!(text.contains("image.bin") && text.contains("tools/firmware az3166"), "{text}");
    std::fs::write(&not_there, "no image").unwrap();
    let text = said(Command::new(program).arg("--image").arg(&not_there));
    assert!(text.contains("boot loader would not start"), "{text}");
    let text = said(Command::new(program).arg("--image").arg(image_path()).arg("--root").arg(&not_there));
    assert!(text.contains("no certificate"), "{text}");
}
