//! Chains verified a second on one core: `dice-core` beside `rustls-webpki` over ring, in one run.
//!
//!     cargo bench -p benches --bench chains
//!
//! The chain is a device's: the DeviceID is trusted, the alias certificate is read and its signature verified.
//! `dice-core` reads the evidence about the firmware as well, `rustls-webpki` the validity and the purpose.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dice_core::open_dice::PublicKey;
use dice_core::standard::{ALIAS_CERTIFICATE_MAX_LEN, DEVICE_ID_CERTIFICATE_MAX_LEN, FirmwareInfo, Identity};
use dice_core::verify::{Evidence, Policy, TrustAnchor, verify_chain};
use dice_core::{FirmwareDigest, RegistrationId, Uds};
use rustls_pki_types::{CertificateDer, UnixTime};

fn chains(criterion: &mut Criterion) {
    let firmware = FirmwareDigest::of(b"firmware").expect("not empty");
    let uds = Uds::from_legacy_bytes_unchecked(*b"a device secret for tests only..");
    let info = FirmwareInfo::new("MXCHIP", "AZ3166", "1.0.0", 1);
    let identity = Identity::derive(&uds, &firmware, &info).expect("derives");
    let (mut leaf, mut root) = ([0; ALIAS_CERTIFICATE_MAX_LEN], [0; DEVICE_ID_CERTIFICATE_MAX_LEN]);
    let id = RegistrationId::new("az-c89346f8a1b2v1v0v0").expect("valid");
    let leaf = identity.alias_certificate(id, &mut leaf).expect("fits");
    let root = identity.device_id_certificate(&mut root).expect("fits");

    let mut group = criterion.benchmark_group("chain of a device");
    group.throughput(Throughput::Elements(1));
    let policy = Policy { evidence: Evidence::TcbInfo, ..Policy::default() };
    let key = PublicKey::P256(*identity.device_id_key().public_key());
    group.bench_function("dice-core", |bencher| {
        bencher.iter(|| verify_chain(TrustAnchor::Key(key), [black_box(leaf)], policy).expect("in order"));
    });
    let root = CertificateDer::from(root);
    let anchors = [webpki::anchor_from_trusted_cert(&root).expect("an anchor")];
    let now = UnixTime::since_unix_epoch(Duration::from_hours(495_000));
    group.bench_function("rustls-webpki, ring", |bencher| {
        bencher.iter(|| {
            let leaf = CertificateDer::from(black_box(leaf));
            let leaf = webpki::EndEntityCert::try_from(&leaf).expect("a certificate");
            let usage = webpki::KeyUsage::client_auth();
            let algorithms = [webpki::ring::ECDSA_P256_SHA256];
            leaf.verify_for_usage(&algorithms, &anchors, &[], now, usage, None, None)
                .map(|_| ())
                .expect("in order");
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(2));
    targets = chains
}
criterion_main!(benches);
