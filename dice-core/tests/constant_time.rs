//! No branch and no address depends on a secret: secrets are marked as undefined memory and the code runs under
//! valgrind, whose memcheck reports every decision made on undefined bits.
//!
//!     cargo test --release -p dice-core --test constant_time
//!
//! Needs valgrind on Linux, x86-64. Release, because the assertions of debug builds are decisions of their own (the
//! curve library asserts that its flags are 0 or 1). What stops being secret is marked as defined again: public keys,
//! signatures, and whether a scalar was in range. Two subjects that leak on purpose prove that leaks are found.

#[cfg(all(target_os = "linux", target_arch = "x86_64", not(debug_assertions)))]
fn main() -> std::process::ExitCode {
    tracked::main()
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64", not(debug_assertions))))]
fn main() {
    println!("constant_time: runs in release builds on Linux, x86-64, only");
}

#[cfg(all(target_os = "linux", target_arch = "x86_64", not(debug_assertions)))]
mod tracked {
    use dice_core::hash::{Hash, Hmac, Sha256, Sha512};
    use dice_core::kdf::{CounterWidth, counter_kdf, hkdf};
    use dice_core::key::{P256, Portable, SecretKey};
    use dice_core::layer::{Layer, Leaf};
    use dice_core::open_dice::{Algorithm, CdiAttest, KeyPair};
    use dice_core::standard::{FirmwareInfo, Identity, derive_cdis};
    use dice_core::x509::Validity;
    use dice_core::{FirmwareDigest, RegistrationId, Secret, Uds, riot};
    use std::hint::black_box;
    use std::process::{Command, ExitCode};
    use subtle::ConstantTimeEq;

    /// Requests to valgrind: a sequence of instructions without effect outside of it (valgrind.h, memcheck.h).
    mod request {
        const MAKE_UNDEFINED: u64 = 0x4d43_0001;
        const MAKE_DEFINED: u64 = 0x4d43_0002;

        fn send(number: u64, bytes: &mut [u8]) {
            let arguments = [number, bytes.as_mut_ptr() as u64, bytes.len() as u64, 0, 0, 0];
            // SAFETY: the rotations of rdi add up to 128 bits and rbx is exchanged with itself, so that nothing but rdx
            // changes on a processor; valgrind reads `arguments` and marks `bytes`.
            unsafe {
                std::arch::asm!(
                    "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
                    in("rax") &raw const arguments,
                    inout("rdx") 0_u64 => _,
                );
            }
        }

        pub(super) fn undefine(bytes: &mut [u8]) {
            send(MAKE_UNDEFINED, bytes);
        }

        pub(super) fn define(bytes: &mut [u8]) {
            send(MAKE_DEFINED, bytes);
        }
    }

    /// The portable arithmetic, telling valgrind what becomes public.
    #[derive(Debug)]
    struct Tracked;

    impl P256 for Tracked {
        fn mul_base(scalar: &Secret<32>) -> ([u8; 32], [u8; 32]) {
            let (mut x, mut y) = Portable::mul_base(scalar);
            request::define(&mut x);
            request::define(&mut y);
            (x, y)
        }

        fn publish(bytes: &mut [u8]) {
            request::define(bytes);
        }
    }

    fn secret<const N: usize>(seed: u8) -> [u8; N] {
        let mut bytes =
            std::array::from_fn(|i| seed.wrapping_add(u8::try_from(i).unwrap_or(0).wrapping_mul(29)));
        request::undefine(&mut bytes);
        bytes
    }

    fn uds() -> Uds {
        Uds::from_legacy_bytes_unchecked(secret(1))
    }

    const INFO: FirmwareInfo<'_> = FirmwareInfo::new("ACME", "Widget", "1.2.3", 4);

    fn firmware() -> FirmwareDigest {
        FirmwareDigest::of(b"firmware").unwrap()
    }

    fn id() -> RegistrationId<'static> {
        RegistrationId::new("device").unwrap()
    }

    fn hashes() {
        black_box(Sha256::digest(&secret::<100>(1)));
        black_box(Sha512::digest(&secret::<200>(1)));
        for len in [31, 64, 65, 200] {
            black_box(Hmac::<Sha256>::mac(&secret::<200>(1)[..len], &[&secret::<33>(2)]));
            black_box(Hmac::<Sha512>::mac(&secret::<200>(1)[..len], &[&secret::<33>(2)]));
        }
        black_box(riot::DiceHash::digest(&[&secret::<32>(1), &secret::<77>(2)]));
    }

    fn key_derivation() {
        let mut out = [0; 100];
        hkdf::<Sha512>(&secret::<32>(1), &secret::<64>(2), b"info", &mut out).unwrap();
        counter_kdf::<Sha256>(&secret::<32>(1), CounterWidth::Bits32, &[], &[b"label"], &mut out).unwrap();
        black_box(out);
    }

    fn comparisons() {
        let (a, b) = (Secret::new(secret::<32>(1)), Secret::new(secret::<32>(2)));
        black_box(a.ct_eq(&b));
        black_box(a == b);
        black_box(uds() == uds());
        let mut mac = Hmac::<Sha256>::new(&secret::<32>(1));
        mac.update(b"message");
        black_box(mac.verify(&[7; 32]));
    }

    fn keys_and_signatures() {
        for seed in 0..4 {
            let key: SecretKey<Tracked> = SecretKey::from_scalar_on(Secret::new(secret(seed))).unwrap();
            let signature = key.sign(b"message");
            key.public_key().verify(b"message", &signature).unwrap();
            let mut der = [0; 256];
            black_box(key.to_pkcs8_der(&mut der).unwrap().len());
        }
        let key: KeyPair<Tracked> =
            KeyPair::from_cdi_on(&CdiAttest::new(secret(1)), Algorithm::P256).unwrap();
        black_box(key.sign(b"message").unwrap());
    }

    /// Public key and signature stay marked: nothing is decided on them.
    ///
    /// P-384 is not followed: its library decides whether a scalar is in range without a place to say that this may be
    /// known.
    #[cfg(feature = "ed25519")]
    fn ed25519() {
        let key = KeyPair::from_cdi(&CdiAttest::new(secret(1)), Algorithm::Ed25519).unwrap();
        black_box(key.sign(b"message").unwrap());
    }

    fn standard_profile() {
        let mut out = [0; 1024];
        let identity = Identity::<Tracked>::derive_on(&uds(), &firmware(), &INFO).unwrap();
        black_box(identity.alias_certificate(id(), &mut out).unwrap());
        black_box(identity.device_id_certificate(&mut out).unwrap());
        black_box(derive_cdis(&uds(), &firmware(), &INFO).unwrap());
    }

    fn layers() {
        let mut out = [0; 1024];
        let layer = Layer::<_, Tracked>::from_uds_on(&uds()).unwrap();
        let (layer, _) = layer.next(&firmware(), &INFO, Validity::NO_EXPIRY, &mut out).unwrap();
        black_box(layer.sealing_key(b"label").unwrap());
        let leaf = Leaf::tls_client(id());
        black_box(layer.leaf(&firmware(), &INFO, &leaf, Validity::NO_EXPIRY, &mut out).unwrap());
    }

    fn riot_profile() {
        let core = riot::CoreDigest::of(&[1; 64]).unwrap();
        let cdi = riot::Cdi::derive(&uds(), &core);
        let identity = riot::Identity::<Tracked>::from_cdi(&cdi, riot::Fwid::of(b"firmware")).unwrap();
        let mut out = [0; riot::ALIAS_CERTIFICATE_MAX_LEN];
        black_box(identity.alias_certificate(id(), &mut out).unwrap());
    }

    /// Leaks by a branch.
    fn leaking_branch() {
        let bytes = secret::<32>(1);
        let mut calls = 0;
        for byte in black_box(&bytes) {
            if *byte & 1 == 1 {
                calls += black_box(1);
            }
        }
        black_box(calls);
    }

    /// Leaks by an address.
    fn leaking_address() {
        let table: [u8; 256] = std::array::from_fn(|i| u8::try_from(i).unwrap_or(0) ^ 0x5a);
        let bytes = secret::<32>(1);
        black_box(black_box(&table)[usize::from(black_box(bytes[3]))]);
    }

    type Subject = (&'static str, fn(), bool);

    /// Name, code, whether it leaks.
    const SUBJECTS: &[Subject] = &[
        ("hashes", hashes, false),
        ("key_derivation", key_derivation, false),
        ("comparisons", comparisons, false),
        ("keys_and_signatures", keys_and_signatures, false),
        #[cfg(feature = "ed25519")]
        ("ed25519", ed25519, false),
        ("standard_profile", standard_profile, false),
        ("layers", layers, false),
        ("riot_profile", riot_profile, false),
        ("leaking_branch", leaking_branch, true),
        ("leaking_address", leaking_address, true),
    ];

    const CHILD: &str = "DICE_CORE_CONSTANT_TIME_SUBJECT";
    const LEAK_FOUND: i32 = 42;

    pub(super) fn main() -> ExitCode {
        if let Ok(name) = std::env::var(CHILD) {
            let (_, run, _) = SUBJECTS.iter().find(|(subject, ..)| *subject == name).expect("known subject");
            run();
            return ExitCode::SUCCESS;
        }
        let this = std::env::current_exe().expect("path of this program");
        let mut failed = false;
        for &(name, _, leaks) in SUBJECTS {
            let output = Command::new("valgrind")
                .args(["--quiet", "--leak-check=no", &format!("--error-exitcode={LEAK_FOUND}")])
                .arg(&this)
                .env(CHILD, name)
                .output()
                .expect("this test needs valgrind (Debian package `valgrind`)");
            let found = output.status.code() == Some(LEAK_FOUND);
            let as_expected = found == leaks && (found || output.status.success());
            println!("constant_time: {name} ... {}", if as_expected { "ok" } else { "FAILED" });
            if !as_expected {
                println!("{}", String::from_utf8_lossy(&output.stderr));
                failed = true;
            }
        }
        if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}
