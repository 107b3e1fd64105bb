//! Puts the memory map where the linker finds it, and tells it what of Mbed TLS to leave out.

use std::path::PathBuf;
use std::{env, fs};

/// The stack of the memory map, which is enough for Mbed TLS.
const STACK: &str = "32K";
/// What embedded-tls needs: it has no heap.
const STACK_WITHOUT_HEAP: &str = "44K";

fn main() {
    let here = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let has_mbedtls = env::var_os("CARGO_FEATURE_MBEDTLS").is_some();
    let map = fs::read_to_string("memory.x").expect("memory.x is here");
    let map = if has_mbedtls { map } else { map.replace(STACK, STACK_WITHOUT_HEAP) };
    fs::write(out.join("memory.x"), map).expect("the folder for results takes files");
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rustc-link-search={here}");
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    if has_mbedtls {
        println!("cargo:rustc-link-arg-bins=@{here}/../common/mbedtls/link");
        println!("cargo:rerun-if-changed=../common/mbedtls/link");
    }
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rerun-if-changed=device.x");
}
