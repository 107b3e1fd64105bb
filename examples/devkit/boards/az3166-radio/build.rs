//! Puts the memory map where the linker finds it, and the radio's settings into the form its firmware reads.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    println!("cargo:rustc-link-search={}", here.display());
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    println!("cargo:rerun-if-changed=memory.x");

    let settings = env::var_os("RADIO_NVRAM").map_or_else(|| here.join("nvram.txt"), PathBuf::from);
    println!("cargo:rerun-if-env-changed=RADIO_NVRAM");
    println!("cargo:rerun-if-changed={}", settings.display());
    let text =
        fs::read_to_string(&settings).unwrap_or_else(|error| panic!("{}: {error}", settings.display()));
    let entries = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let bytes: Vec<u8> = entries.flat_map(|entry| entry.bytes().chain([0])).collect();
    fs::write(out.join("nvram.bin"), bytes).unwrap_or_else(|error| panic!("nvram.bin: {error}"));
}
