//! A TLS client whose private key never leaves the secure element: mutual TLS 1.2 and 1.3 with a key that the chip
//! made.

use std::sync::{Arc, Mutex};

use azure_iot_tls::{Error, Identity, IdentityError, Signature, Trust, Versions, rustls::connect};
use der::Encode as _;
use der::asn1::{BitString, ObjectIdentifier};
use embedded_io_adapters::tokio_1::FromTokio;
use embedded_io_async::{Read as _, Write as _};
use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SubjectPublicKeyInfo};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use stsafe_a100::Irreversible;
use stsafe_a100::blocking::Stsafe;
use stsafe_a100::session::{HostKeys, MaybeHost};
use stsafe_a100::sim::{Profile, VirtualBus, VirtualChip, VirtualDelay};
use stsafe_a100::types::{Curve, KeyMode, MAX_SEC1, PublicKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_rustls::TlsAcceptor;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

const HOST: &str = "hub.example";

/// A key slot with the certificate for it, used in a host session if there is one.
struct ChipIdentity {
    chip: Mutex<Stsafe<VirtualBus, VirtualDelay, MaybeHost>>,
    slot: u8,
    certificate: Vec<u8>,
}

impl Identity for ChipIdentity {
    fn certificate(&self, index: usize) -> Option<&[u8]> {
        (index == 0).then_some(&self.certificate)
    }

    fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError> {
        let mut chip = self.chip.lock().map_err(|_| IdentityError::Signer)?;
        let signature = chip.sign(self.slot, digest).map_err(|_| IdentityError::Signer)?;
        let bytes = signature.to_bytes().try_into().map_err(|_| IdentityError::Signer)?;
        Ok(Signature::from_bytes(bytes))
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The public key as certificates hold it.
fn spki(key: &PublicKey) -> SubjectPublicKeyInfo {
    let der = SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned {
            oid: ObjectIdentifier::new_unwrap("1.2.840.10045.2.1"),
            parameters: Some((&ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7")).into()),
        },
        subject_public_key: BitString::from_bytes(key.to_sec1(&mut [0; MAX_SEC1])).unwrap(),
    }
    .to_der()
    .unwrap();
    SubjectPublicKeyInfo::from_der(&der).unwrap()
}

/// A server that wants a client certificate below `clients`; it answers a byte with the subject's key.
async fn serve(acceptor: TlsAcceptor, pipe: DuplexStream) -> std::io::Result<usize> {
    let mut stream = acceptor.accept(pipe).await?;
    let chain = stream.get_ref().1.peer_certificates().map_or(0, <[_]>::len);
    let byte = stream.read_u8().await?;
    stream.write_all(&[byte ^ 0xFF]).await?;
    stream.shutdown().await?;
    Ok(chain)
}

async fn exchange(
    identity: Arc<ChipIdentity>,
    clients: &CertifiedIssuer<'static, KeyPair>,
    versions: Versions,
) -> (Result<u8, Error>, std::io::Result<usize>) {
    let servers = authority("servers");
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new([HOST.to_owned()]).unwrap().signed_by(&key, &servers).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(clients.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from(leaf)],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    let (near, far) = tokio::io::duplex(1 << 14);
    let server = tokio::spawn(serve(TlsAcceptor::from(Arc::new(config)), far));
    let client = async {
        let roots: [&[u8]; 1] = [servers.der()];
        let trust = Trust::new(HOST, &roots)?.versions(versions);
        let identity: Arc<dyn Identity + Send + Sync> = identity;
        let mut stream = connect(FromTokio::new(near), &trust, Some(identity)).await?;
        stream.write_all(&[0x5A]).await?;
        stream.flush().await?;
        let mut answer = [0];
        stream.read(&mut answer).await?;
        Ok(answer[0])
    };
    (client.await, server.await.unwrap())
}

#[tokio::test]
async fn the_chip_proves_the_device_and_no_other_key_does() {
    each_family_proves_the_device(Profile::az3166(), None).await;
    // The A110's table wants signatures in a host session.
    let keys = HostKeys::new([0x11; 16], [0x22; 16]);
    each_family_proves_the_device(Profile::a110(), Some(keys)).await;
}

async fn each_family_proves_the_device(profile: Profile, keys: Option<HostKeys>) {
    let clients = authority("devices");
    let chip = VirtualChip::new(profile, [9; 32]);
    let mut driver = Stsafe::new(chip.bus(), chip.delay());
    let mut make = |slot| {
        let token = Irreversible::i_know_this_cannot_be_undone();
        driver.generate_key_pair(slot, Curve::NistP256, KeyMode::SIGN_DIGEST, 0xFFFF, token).unwrap()
    };
    let key = make(0);
    make(1);
    if let Some(keys) = &keys {
        driver.put_host_keys(keys, Irreversible::i_know_this_cannot_be_undone()).unwrap();
    }
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "device-1");
    let certificate = params.signed_by(&spki(&key), &clients).unwrap().der().to_vec();
    let identity = |slot| {
        let mut driver = Stsafe::new(chip.bus(), chip.delay());
        driver.detect().unwrap();
        let chip = Mutex::new(driver.host_session_if(keys.clone(), None));
        Arc::new(ChipIdentity { chip, slot, certificate: certificate.clone() })
    };

    for versions in [Versions::Tls12, Versions::Tls13] {
        let (answer, chain) = exchange(identity(0), &clients, versions).await;
        assert_eq!((answer, chain.unwrap()), (Ok(0xA5), 1), "{versions:?}");

        // The same certificate, the key of the other slot.
        let (answer, server) = exchange(identity(1), &clients, versions).await;
        assert!(answer.is_err() && server.is_err(), "{versions:?}: {answer:?}");
    }

    // A chip that is gone is told from a server that refuses.
    let identity = identity(0);
    chip.power_off();
    let (answer, server) = exchange(identity, &clients, Versions::Both).await;
    assert_eq!(answer, Err(Error::Identity(IdentityError::Signer)));
    assert!(server.is_err());
}
