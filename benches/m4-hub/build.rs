//! Puts the memory map where the linker finds it, and links a device in C where one is asked for.

fn main() {
    println!("cargo:rustc-link-search={}", std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default());
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=COMPARE_LINK");
    if std::env::var_os("CARGO_FEATURE_OTHER").is_some() {
        for argument in std::env::var("COMPARE_LINK").unwrap_or_default().split_whitespace() {
            println!("cargo:rustc-link-arg-bins={argument}");
            println!("cargo:rerun-if-changed={argument}");
        }
    }
}
