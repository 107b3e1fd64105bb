//! Certificates for the tests: server chains of the kinds Azure uses, bent where a test wants it, and a device's chain.

use azure_iot_tls::{Identity, IdentityError, SecretKey as DeviceKey, Signature};
use p256::SecretKey;
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::pkcs8::DecodePrivateKey;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, PKCS_RSA_SHA384,
    SanType, date_time_ymd,
};
use rustls::pki_types::PrivatePkcs8KeyDer;

/// The host that the test servers are for.
pub(crate) const HOST: &str = "my-hub.azure-devices.net";
/// 2026-06-15: the time the tests judge by. Server leaves are valid in 2026, CAs from 2020 to 2040.
pub(crate) const NOW: u64 = 1_781_481_600;

/// The keys of a server's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// P-256 throughout.
    P256,
    /// P-384 CAs, P-256 leaf: Azure's ECC chains.
    P384,
    /// RSA: root 4096 bits with SHA-384, issuer and leaf 2048 bits.
    Rsa,
}

impl Family {
    pub(crate) const ALL: [Self; 3] = [Self::P256, Self::P384, Self::Rsa];

    fn key(self, level: usize, leaf: bool) -> KeyPair {
        let stored = |bytes: &[u8], algorithm| {
            KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(bytes), algorithm).unwrap()
        };
        match self {
            Self::P384 if !leaf => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
            Self::P256 | Self::P384 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
            Self::Rsa if leaf => stored(include_bytes!("../vectors/tls/rsa2048-leaf.pk8"), &PKCS_RSA_SHA256),
            Self::Rsa if level == 0 => {
                stored(include_bytes!("../vectors/tls/rsa4096-root.pk8"), &PKCS_RSA_SHA384)
            }
            Self::Rsa => stored(include_bytes!("../vectors/tls/rsa2048-issuer.pk8"), &PKCS_RSA_SHA256),
        }
    }
}

/// A server's credentials and the root they lead to.
pub(crate) struct Server {
    /// What the server sends: the leaf first, without the root.
    pub(crate) chain: Vec<Vec<u8>>,
    /// The leaf's key, PKCS #8.
    pub(crate) key: Vec<u8>,
    pub(crate) root: Vec<u8>,
}

/// root, issuer, leaf for [`HOST`].
pub(crate) fn server(family: Family) -> Server {
    server_with(family, 2, |_, _| {})
}

/// `cas` authorities, each signing the next, then the leaf. `bend` may change each certificate before it is signed:
/// level 0 is the root, level `cas` the leaf.
pub(crate) fn server_with(
    family: Family,
    cas: usize,
    bend: impl Fn(usize, &mut CertificateParams),
) -> Server {
    let mut chain = Vec::new();
    let mut issuer: Option<Issuer<'_, KeyPair>> = None;
    for level in 0..=cas {
        let key = family.key(level, level == cas);
        let mut params = if level == cas { leaf_params() } else { ca_params(&format!("CA {level}")) };
        bend(level, &mut params);
        let cert = match &issuer {
            None => params.self_signed(&key).unwrap(),
            Some(issuer) => params.signed_by(&key, issuer).unwrap(),
        };
        chain.push(cert.der().to_vec());
        issuer = Some(Issuer::new(params, key));
    }
    let key = issuer.unwrap().key().serialize_der();
    let root = chain.remove(0);
    chain.reverse();
    Server { chain, key, root }
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::OrganizationName, "Test");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2040, 1, 1));
    params
}

fn leaf_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, HOST);
    params.subject_alt_names = names(&["*.other.example", HOST]);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2027, 1, 1));
    params
}

pub(crate) fn names(names: &[&str]) -> Vec<SanType> {
    names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())).collect()
}

/// A device: leaf, one certificate above it, and the root that a server knows.
pub(crate) struct Device {
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) root: Vec<u8>,
    pub(crate) key: SecretKey,
    pub(crate) broken: Option<IdentityError>,
}

pub(crate) fn device() -> Device {
    let made = server_with(Family::P256, 2, |level, params| {
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(4000, 1, 1));
        if level == 2 {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            params.distinguished_name.push(DnType::CommonName, "device-1");
            params.subject_alt_names.clear();
        }
    });
    Device {
        chain: made.chain,
        root: made.root,
        key: SecretKey::from_pkcs8_der(&made.key).unwrap(),
        broken: None,
    }
}

impl Identity for Device {
    fn certificate(&self, index: usize) -> Option<&[u8]> {
        self.chain.get(index).map(Vec::as_slice)
    }

    fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError> {
        if let Some(cause) = self.broken {
            return Err(cause);
        }
        let signature: p256::ecdsa::Signature = SigningKey::from(&self.key).sign_prehash(digest).unwrap();
        Ok(Signature::from_bytes(signature.to_bytes().into()))
    }

    fn secret_key(&self) -> Option<DeviceKey> {
        self.broken.is_none().then(|| DeviceKey::from_bytes(self.key.to_bytes().into()))
    }
}
