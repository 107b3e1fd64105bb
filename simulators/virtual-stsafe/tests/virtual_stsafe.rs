//! The virtual chip as a process.

use std::io::Write as _;
use std::process::{Command, Stdio};

fn talk(options: &[&str], lines: &str) -> (bool, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_virtual-stsafe"))
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The child may refuse its options and be gone before it has read.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_session_and_its_memory() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("chip.json");
    let state = state.to_str().unwrap();
    let (ok, said) = talk(&["--state", state, "--seed", "a"], &session());
    assert!(ok);
    let said: Vec<_> = said.lines().collect();
    assert_eq!(said[..3], ["A", "D 000002f078", "A"]);
    assert!(said[3].starts_with("D 000004415a"));
    assert_eq!(said[4], "E unknown line");

    let read = session().split_inclusive('\n').skip(2).take(2).collect::<String>();
    let (_, said) = talk(&["--state", state], &read);
    assert!(said.starts_with("A\nD 000004415a"), "the state file remembers");
    let (_, said) = talk(&[], &read);
    assert!(said.starts_with("A\nD 0000040000"), "without a file it forgets");
}

/// Writes "AZ" to zone 3, reads it back, and says something that is no command.
fn session() -> String {
    let frame = |bytes: &[u8]| {
        let sum = stsafe_a100::wire::crc16(bytes).to_be_bytes();
        format!("W {}{}\n", hex::encode(bytes), hex::encode(sum))
    };
    [&frame(b"\x06\0\x03\0\0AZ"), "R 5\n", &frame(b"\x05\0\x03\0\0\0\x02"), "R 7\n", "nonsense\n"].concat()
}

#[test]
fn both_families() {
    // The query for the A110's command authorisation table.
    let (_, said) = talk(&["--family", "a110"], "W 14249a90\nR 19\n");
    assert_eq!(said, "A\nD 00001000040e03020f0301160302180301048e\n");
    let (_, said) = talk(&["--family", "a100"], "W 14249a90\nR 5\n");
    assert_eq!(said, "A\nD 020002d36a\n");
    assert_eq!(talk(&["--family", "a120"], ""), (false, String::new()));
}

#[test]
fn faults_and_bad_options() {
    let (_, said) = talk(&["--fault", "nack-writes:1"], &session());
    assert!(said.starts_with("N\nN\nA\nD "));
    assert_eq!(talk(&["--fault", "nothing"], ""), (false, String::new()));
    assert_eq!(talk(&["--profile", "/nowhere"], "R 1\n"), (false, String::new()));
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("chip.json");
    std::fs::write(&broken, "{}").unwrap();
    assert_eq!(talk(&["--state", broken.to_str().unwrap()], "R 1\n"), (false, String::new()));
}
