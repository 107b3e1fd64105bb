//! Identities on the host: `dice-core` beside the same steps on the primitives of other libraries, in one run.
//!
//!     cargo bench -p benches --bench dice [--features aws-lc-rs]
//!
//! The others' signatures have random nonces; `dice-core` computes its nonces (RFC 6979), four HMACs more.

use std::hint::black_box;

use benches::derivation;
use benches::primitives::{Primitives, Ring};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use dice_core::hash::{Hash, Sha256};
use dice_core::key::SecretKey;
use dice_core::layer::{ECA_CERTIFICATE_MAX_LEN, Layer, Leaf};
use dice_core::open_dice::{Algorithm, Cdis, Config, Format, InputValues, KeyPair, MainFlow, Mode};
use dice_core::standard::{
    ALIAS_CERTIFICATE_MAX_LEN, AliasCertificate, DEVICE_ID_CERTIFICATE_MAX_LEN, DeviceIdCertificate,
    FirmwareInfo, Identity,
};
use dice_core::x509::Validity;
use dice_core::{FirmwareDigest, RegistrationId, Secret, Uds, riot};

const SECRET: [u8; 32] = *b"a device secret for tests only..";
const INFO: FirmwareInfo<'_> = FirmwareInfo::new("MXCHIP", "AZ3166", "1.0.0", 1);

fn uds() -> Uds {
    Uds::from_legacy_bytes_unchecked(black_box(SECRET))
}

fn id() -> RegistrationId<'static> {
    RegistrationId::new("az-c89346f8a1b2v1v0v0").expect("valid")
}

fn inputs(hashes: &[[u8; 64]; 2]) -> InputValues<'_> {
    InputValues::new(&hashes[0], Config::Descriptor(b"\xa0"), &hashes[1], Mode::Normal)
}

/// Everything the other libraries cannot compute themselves: public keys and what is to be signed.
struct Prepared {
    cdi_attest: [u8; 32],
    public: [[u8; 65]; 2],
    to_be_signed: [Vec<u8>; 2],
    riot_cdi: riot::Cdi,
    riot_fwid: riot::Fwid,
    riot_public: [[u8; 65]; 2],
    riot_to_be_signed: [Vec<u8>; 2],
}

fn prepare() -> Prepared {
    let hashes = [[0x5a; 64], [0xa5; 64]];
    let next = Cdis::from_uds(&uds()).next(&inputs(&hashes)).expect("derives");
    let cdi_attest = *next.attest.expose();
    // The other libraries have to come to the same keys: this confirms them, and `key` checks them once more.
    let [device_id, alias] = [SECRET, cdi_attest]
        .map(|cdi| SecretKey::from_scalar(Secret::new(derivation::scalar::<Ring>(&cdi))).expect("in range"));
    let firmware = FirmwareDigest::of(b"firmware").expect("not empty");
    let validity = Validity::NO_EXPIRY;
    let mut out = [0; 1024];
    let key = device_id.public_key();
    let root = DeviceIdCertificate { key, path_len: Some(0), validity };
    let leaf = AliasCertificate {
        issuer: key,
        key: alias.public_key(),
        id: id(),
        firmware: &firmware,
        info: INFO,
        validity,
    };
    let to_be_signed = [
        root.to_be_signed(&mut out).expect("fits").as_bytes().to_vec(),
        leaf.to_be_signed(&mut out).expect("fits").as_bytes().to_vec(),
    ];
    let riot_cdi = riot::Cdi::derive(&uds(), &riot::CoreDigest::of(&[0x5a; 1580]).expect("long enough"));
    let riot_fwid = riot::Fwid::of(&[0xa5; 496]);
    let riot_identity: riot::Identity = riot::Identity::from_cdi(&riot_cdi, riot_fwid).expect("in range");
    let riot_to_be_signed = [
        riot_identity.device_id_to_be_signed(&mut out).expect("fits").as_bytes().to_vec(),
        riot_identity.alias_to_be_signed(id(), &mut out).expect("fits").as_bytes().to_vec(),
    ];
    Prepared {
        cdi_attest,
        public: [*key.as_sec1(), *alias.public_key().as_sec1()],
        to_be_signed,
        riot_public: [riot_identity.device_id_key(), riot_identity.alias_key()]
            .map(|key| *key.public_key().as_sec1()),
        riot_cdi,
        riot_fwid,
        riot_to_be_signed,
    }
}

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Runs the same function on every other library.
macro_rules! others {
    ($function:ident, $group:expr, $prepared:expr) => {
        $function::<Ring>($group, $prepared);
        #[cfg(feature = "aws-lc-rs")]
        $function::<benches::primitives::AwsLc>($group, $prepared);
    };
}

fn measure(criterion: &mut Criterion) {
    fn other<P: Primitives>(group: &mut Group<'_>, image: &[u8]) {
        group.bench_function(P::NAME, |bencher| bencher.iter(|| P::sha256(&[black_box(image)])));
    }
    let image = vec![0x5a; 64 * 1024];
    let mut group = criterion.benchmark_group("measure 64 KiB");
    group.throughput(Throughput::Bytes(image.len() as u64));
    group.bench_function("dice-core", |bencher| bencher.iter(|| FirmwareDigest::of(black_box(&image))));
    others!(other, &mut group, &image);
}

fn uds_digest(criterion: &mut Criterion) {
    fn other<P: Primitives>(group: &mut Group<'_>, (): ()) {
        let name = format!("SHA-256, {}", P::NAME);
        group.bench_function(name, |bencher| bencher.iter(|| P::sha256(&[black_box(&SECRET)])));
    }
    let mut group = criterion.benchmark_group("UDS digest");
    group.bench_function("riot, dice-core", |bencher| {
        bencher.iter(|| riot::DiceHash::digest(&[black_box(&SECRET)]));
    });
    group.bench_function("SHA-256, dice-core", |bencher| {
        bencher.iter(|| Sha256::digest(black_box(&SECRET)));
    });
    others!(other, &mut group, ());
}

fn cdi(criterion: &mut Criterion) {
    fn other<P: Primitives>(group: &mut Group<'_>, hashes: &[[u8; 64]; 2]) {
        let name = format!("open-dice, {}", P::NAME);
        group.bench_function(name, |bencher| {
            bencher.iter(|| derivation::cdis::<P>(black_box(&SECRET), &SECRET, &inputs(hashes)));
        });
    }
    let hashes = [[0x5a; 64], [0xa5; 64]];
    let core = riot::CoreDigest::of(&[0x5a; 1580]).expect("long enough");
    let secret = uds();
    let current = Cdis::from_uds(&secret);
    let mut group = criterion.benchmark_group("CDI");
    group.bench_function("riot, dice-core", |bencher| {
        bencher.iter(|| riot::Cdi::derive(black_box(&secret), &core));
    });
    group.bench_function("open-dice, dice-core", |bencher| {
        bencher.iter(|| black_box(&current).next(&inputs(&hashes)));
    });
    others!(other, &mut group, &hashes);
}

fn keys(criterion: &mut Criterion) {
    fn other<P: Primitives>(group: &mut Group<'_>, prepared: &Prepared) {
        group.bench_function(format!("public key, {}", P::NAME), |bencher| {
            let scalar = derivation::scalar::<P>(&SECRET);
            bencher.iter(|| P::key(black_box(&scalar), &prepared.public[0]));
        });
        group.bench_function(format!("standard DeviceID, {}", P::NAME), |bencher| {
            bencher.iter(|| P::key(&derivation::scalar::<P>(black_box(&SECRET)), &prepared.public[0]));
        });
        group.bench_function(format!("riot DeviceID and alias, {}", P::NAME), |bencher| {
            bencher.iter(|| riot_keys::<P>(prepared));
        });
    }
    let prepared = prepare();
    let secret = uds();
    let cdi = Cdis::from_uds(&secret).attest;
    let scalar = derivation::scalar::<Ring>(&SECRET);
    let mut group = criterion.benchmark_group("keys");
    group.bench_function("public key, dice-core", |bencher| {
        bencher.iter(|| SecretKey::from_scalar(Secret::new(black_box(scalar))));
    });
    for (name, algorithm) in
        [("P-256", Algorithm::P256), ("P-384", Algorithm::P384), ("Ed25519", Algorithm::Ed25519)]
    {
        group.bench_function(format!("open-dice {name}, dice-core"), |bencher| {
            bencher.iter(|| KeyPair::from_cdi(black_box(&cdi), algorithm));
        });
    }
    group.bench_function("standard DeviceID, dice-core", |bencher| {
        bencher.iter(|| {
            dice_core::standard::derive_device_id::<dice_core::key::DefaultBackend>(black_box(&secret))
        });
    });
    group.bench_function("riot DeviceID and alias, dice-core", |bencher| {
        bencher.iter(|| {
            riot::Identity::<dice_core::key::DefaultBackend>::from_cdi(
                black_box(&prepared.riot_cdi),
                prepared.riot_fwid,
            )
        });
    });
    others!(other, &mut group, &prepared);
}

fn riot_keys<P: Primitives>(prepared: &Prepared) -> [P::Key; 2] {
    let [device_id, alias] =
        derivation::riot_scalars::<P>(black_box(prepared.riot_cdi.expose()), &prepared.riot_fwid.0);
    [P::key(&device_id, &prepared.riot_public[0]), P::key(&alias, &prepared.riot_public[1])]
}

fn certificates(criterion: &mut Criterion) {
    fn other<P: Primitives>(group: &mut Group<'_>, prepared: &Prepared) {
        let key = P::key(&derivation::scalar::<P>(&SECRET), &prepared.public[0]);
        group.bench_function(format!("alias, signature alone, {}", P::NAME), |bencher| {
            bencher.iter(|| P::sign(&key, black_box(&prepared.to_be_signed[1])));
        });
    }
    let prepared = prepare();
    let firmware = FirmwareDigest::of(b"firmware").expect("not empty");
    let standard = Identity::derive(&uds(), &firmware, &INFO).expect("derives");
    let riot: riot::Identity =
        riot::Identity::from_cdi(&prepared.riot_cdi, prepared.riot_fwid).expect("in range");
    let mut out = [0; 1024];
    let mut group = criterion.benchmark_group("certificate");
    group.bench_function("standard alias, dice-core", |bencher| {
        bencher.iter(|| black_box(&standard).alias_certificate(id(), &mut out).map(<[u8]>::len));
    });
    group.bench_function("standard DeviceID, dice-core", |bencher| {
        bencher.iter(|| black_box(&standard).device_id_certificate(&mut out).map(<[u8]>::len));
    });
    group.bench_function("riot alias, dice-core", |bencher| {
        bencher.iter(|| black_box(&riot).alias_certificate(id(), &mut out).map(<[u8]>::len));
    });
    others!(other, &mut group, &prepared);
}

fn identities(criterion: &mut Criterion) {
    /// Two keys and two signatures, with all derivations, on what has been laid out before.
    fn other<P: Primitives>(group: &mut Group<'_>, prepared: &Prepared) {
        let hashes = [[0x5a; 64], [0xa5; 64]];
        group.bench_function(format!("standard, {}", P::NAME), |bencher| {
            bencher.iter(|| {
                let [attest, _] = derivation::cdis::<P>(black_box(&SECRET), &SECRET, &inputs(&hashes));
                assert_eq!(attest, prepared.cdi_attest);
                let device_id = P::key(&derivation::scalar::<P>(&SECRET), &prepared.public[0]);
                let alias = P::key(&derivation::scalar::<P>(&attest), &prepared.public[1]);
                let certificates = prepared.to_be_signed.each_ref().map(|tbs| P::sign(&device_id, tbs));
                (alias, certificates)
            });
        });
        group.bench_function(format!("riot, {}", P::NAME), |bencher| {
            bencher.iter(|| {
                let [device_id, alias] = riot_keys::<P>(prepared);
                let certificates = prepared.riot_to_be_signed.each_ref().map(|tbs| P::sign(&device_id, tbs));
                (alias, certificates)
            });
        });
    }
    let prepared = prepare();
    let secret = uds();
    let mut group = criterion.benchmark_group("identity");
    let firmware = FirmwareDigest::of(b"firmware").expect("not empty");
    let (mut first, mut second, mut third) =
        ([0; ALIAS_CERTIFICATE_MAX_LEN], [0; DEVICE_ID_CERTIFICATE_MAX_LEN], [0; ECA_CERTIFICATE_MAX_LEN]);
    group.bench_function("standard, dice-core", |bencher| {
        bencher.iter(|| {
            let identity = Identity::derive(black_box(&secret), &firmware, &INFO)?;
            identity.alias_certificate(id(), &mut first)?;
            identity.device_id_certificate(&mut second)?;
            dice_core::Result::Ok(identity.into_alias_key())
        });
    });
    // Equal curve arithmetic: what is left is what dice-core itself costs.
    #[cfg(feature = "aws-lc-rs")]
    group.bench_function("standard, dice-core with the curve of aws-lc-rs", |bencher| {
        bencher.iter(|| {
            let identity =
                Identity::<benches::primitives::AwsLc>::derive_on(black_box(&secret), &firmware, &INFO)?;
            identity.alias_certificate(id(), &mut first)?;
            identity.device_id_certificate(&mut second)?;
            dice_core::Result::Ok(identity.into_alias_key())
        });
    });
    group.bench_function("riot, dice-core", |bencher| {
        bencher.iter(|| {
            let identity: riot::Identity =
                riot::Identity::from_cdi(black_box(&prepared.riot_cdi), prepared.riot_fwid)?;
            identity.alias_certificate(id(), &mut first)?;
            identity.device_id_certificate(&mut second)?;
            dice_core::Result::Ok(identity.into_alias_key())
        });
    });
    group.bench_function("three layers, dice-core", |bencher| {
        bencher.iter(|| {
            let hardware = Layer::from_uds(black_box(&secret))?;
            hardware.device_id_certificate(Validity::NO_EXPIRY, &mut second)?;
            let (layer, _) = hardware.next(&firmware, &INFO, Validity::NO_EXPIRY, &mut third)?;
            let leaf = Leaf::tls_client(id());
            layer.leaf(&firmware, &INFO, &leaf, Validity::NO_EXPIRY, &mut first).map(|(key, _)| key)
        });
    });
    let hashes = [[0x5a; 64], [0xa5; 64]];
    let current = Cdis::from_uds(&secret);
    for (format_name, format) in [("X.509", Format::X509), ("CBOR", Format::Cbor)] {
        for (name, algorithm) in
            [("P-256", Algorithm::P256), ("P-384", Algorithm::P384), ("Ed25519", Algorithm::Ed25519)]
        {
            group.bench_function(format!("open-dice layer, {format_name} {name}, dice-core"), |bencher| {
                let flow = MainFlow::new(format, algorithm);
                let mut out = [0; 1024];
                bencher.iter(|| {
                    flow.run(black_box(&current), &inputs(&hashes), &mut out).map(|layer| layer.cdis)
                });
            });
        }
    }
    others!(other, &mut group, &prepared);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(1));
    targets = measure, uds_digest, cdi, keys, certificates, identities
}
criterion_main!(benches);
