//! Makes the certificates of both sides, and puts the memory map where the linker finds it.

use p256::pkcs8::DecodePrivateKey;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, PKCS_RSA_SHA384, SignatureAlgorithm, date_time_ymd,
};
use std::path::{Path, PathBuf};

fn main() {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
    println!("cargo:rustc-link-search={}", here.display());
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    // What azure-iot-tls-mbedtls computes itself; and the module `tickets` here.
    for function in
        ["mbedtls_ecdsa_read_signature", "mbedtls_mpi_exp_mod_unsafe", "mbedtls_ssl_config_defaults"]
    {
        println!("cargo:rustc-link-arg-bins=--wrap={function}");
    }
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rerun-if-changed=build.rs");

    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap());
    let keys = here.join("../../azure-iot-tls/tests/vectors/tls");
    let stored = |name: &str, algorithm: &'static SignatureAlgorithm| {
        let key = std::fs::read(keys.join(name)).unwrap();
        KeyPair::from_pkcs8_der_and_sign_algo(&key.as_slice().into(), algorithm).unwrap()
    };
    let new = |algorithm: &'static SignatureAlgorithm| KeyPair::generate_for(algorithm).unwrap();
    write_chain(
        &out,
        "rsa",
        [
            stored("rsa4096-root.pk8", &PKCS_RSA_SHA384),
            stored("rsa2048-issuer.pk8", &PKCS_RSA_SHA256),
            stored("rsa2048-leaf.pk8", &PKCS_RSA_SHA256),
        ],
    );
    let p384 = [(); 2].map(|()| new(&PKCS_ECDSA_P384_SHA384));
    let [root, issuer] = p384;
    write_chain(&out, "ecc", [root, issuer, new(&PKCS_ECDSA_P256_SHA256)]);
    let [root, issuer, leaf] = [(); 3].map(|()| new(&PKCS_ECDSA_P256_SHA256));
    let scalar = p256::SecretKey::from_pkcs8_der(&leaf.serialize_der()).unwrap().to_bytes();
    std::fs::write(out.join("device.key"), scalar).unwrap();
    write_chain(&out, "device", [root, issuer, leaf]);
}

/// Writes root, issuer and leaf in DER, the leaf's key in PKCS #8, and leaf and issuer as PEM text for C.
fn write_chain(out: &Path, name: &str, keys: [KeyPair; 3]) {
    let mut issuer: Option<Issuer<'_, KeyPair>> = None;
    let mut pem = String::new();
    for (file, key) in ["root", "issuer", "leaf"].into_iter().zip(keys) {
        let mut params = CertificateParams::new(vec!["my-hub.azure-devices.net".into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, format!("{name} {file}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        if file == "leaf" {
            params.is_ca = IsCa::ExplicitNoCa;
            std::fs::write(out.join(format!("{name}.pk8")), key.serialize_der()).unwrap();
        }
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2049, 1, 1));
        let cert = match &issuer {
            None => params.self_signed(&key).unwrap(),
            Some(issuer) => params.signed_by(&key, issuer).unwrap(),
        };
        std::fs::write(out.join(format!("{name}-{file}.der")), cert.der()).unwrap();
        if file != "root" {
            pem = cert.pem() + &pem;
        }
        issuer = Some(Issuer::new(params, key));
    }
    std::fs::write(out.join(format!("{name}-forged.pem")), forged(&pem) + "\0").unwrap();
    std::fs::write(out.join(format!("{name}.pem")), pem + "\0").unwrap();
}

/// With another signature of the leaf: one of its last characters is another.
fn forged(pem: &str) -> String {
    let at = pem.find("-----END").unwrap() - 16;
    let other = if pem.as_bytes()[at] == b'A' { "B" } else { "A" };
    [&pem[..at], other, &pem[at + 1..]].concat()
}
