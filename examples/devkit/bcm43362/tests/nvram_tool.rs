//! `tools/radio-nvram` makes settings that the driver takes of a header and of a text, and refuses what is neither.

use std::path::Path;
use std::process::{Command, Output};

use bcm43362::Nvram;

fn convert(name: &str, content: &str) -> Output {
    let file = std::env::temp_dir().join(format!("radio-nvram-{}-{name}", std::process::id()));
    std::fs::write(&file, content).unwrap();
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tools/radio-nvram");
    let output = Command::new("python3").arg(tool).arg(&file).output().unwrap();
    std::fs::remove_file(file).unwrap();
    output
}

const HEADER: &str = r##"
/* Settings of a module that does not exist: "not=a setting" */
#pragma once
#define ADDRESS "macaddr=02:00:00:00:00:01" "\x00"
static const char module_nvram_image[] = // =
    "# a name"
    "\x00"
    "boardtype=0x1234"  "\x00" /* "commented=out" */
    ADDRESS
    GENERATED_BY_THE_BUILD
    "name=a \"quoted\" //value\x00" "empty=\000"
    "xtalfreq=37400\0"
    "\x00\x00";
const unsigned module_nvram_image_len = sizeof(module_nvram_image);
"##;

#[test]
fn a_header_and_a_text_become_lines() {
    let header = HEADER.replace("    \"# a name\"\n    \"\\x00\"\n", "");
    let output = convert("header", &header);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let expected = [
        "boardtype=0x1234",
        "macaddr=02:00:00:00:00:01",
        "name=a \"quoted\" //value",
        "empty=",
        "xtalfreq=37400",
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    assert!(String::from_utf8_lossy(&output.stderr).contains("GENERATED_BY_THE_BUILD"));
    // As the firmware's build makes them the driver's.
    let bytes: Vec<u8> = text.lines().flat_map(|line| line.bytes().chain([0])).collect();
    Nvram::new(&bytes).unwrap();
    // And once more: what it makes, it takes.
    let again = convert("again", &format!("# A comment.\n\n{text}"));
    assert_eq!(String::from_utf8(again.stdout).unwrap(), text);
}

#[test]
fn what_is_no_settings_is_refused_with_a_reason() {
    let long = format!("long={}", "x".repeat(5000));
    for (content, reason) in [
        ("", "no setting"),
        ("a text without any", "is no setting"),
        ("a=1\na=2\n", "twice"),
        (HEADER, "is no setting"),
        ("static const char image[] = 5 + 5 \"\";", "in the array"),
        (&*long, "longer"),
    ] {
        let output = convert("bad", content);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && output.stdout.is_empty() && error.contains(reason),
            "{content}: {error}"
        );
        assert!(!error.contains("Traceback"), "{error}");
    }
}
