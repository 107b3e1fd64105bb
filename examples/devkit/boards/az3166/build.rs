//! Puts the memory map where the linker finds it, and tells it what of Mbed TLS to leave out.

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo:rustc-link-search={here}");
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    println!("cargo:rustc-link-arg-bins=@{here}/../common/mbedtls/link");
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rerun-if-changed=../common/mbedtls/link");
}
