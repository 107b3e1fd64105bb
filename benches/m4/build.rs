//! Puts the memory map where the linker finds it, and Wycheproof's signatures where the compiler does.

fn main() {
    println!("cargo:rustc-link-search={}", std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default());
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "dice-vectors")]
    vectors::write();
}

#[cfg(feature = "dice-vectors")]
mod vectors {
    use serde_json::Value;
    use std::fmt::Write;

    /// Writes a constant: key, message, signature, and whether it is valid.
    pub(crate) fn write() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../dice-core/tests/vectors/dice/wycheproof_ecdsa_secp256r1_sha256_p1363.json"
        );
        println!("cargo:rerun-if-changed={file}");
        let all: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let mut source = String::from("&[");
        for group in all["testGroups"].as_array().unwrap() {
            let key = bytes(&group["publicKey"]["uncompressed"]);
            for test in group["tests"].as_array().unwrap() {
                let (message, signature) = (bytes(&test["msg"]), bytes(&test["sig"]));
                let valid = test["result"] == "valid";
                writeln!(source, "(&{key:?}, &{message:?}, &{signature:?}, {valid}),").unwrap();
            }
        }
        source.push(']');
        let out = std::env::var("OUT_DIR").unwrap();
        std::fs::write(format!("{out}/vectors.rs"), source).unwrap();
    }

    fn bytes(value: &Value) -> Vec<u8> {
        hex::decode(value.as_str().unwrap()).unwrap()
    }
}
