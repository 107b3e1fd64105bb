//! The root certificates that Azure's device services are issued under, as data.
//!
//! Microsoft asks devices to carry [both RSA roots](AZURE), because either may sign the services' certificates, and
//! to pin nothing below them: leaves and issuing authorities change without notice. The ECC roots sign the ECC
//! certificates that hubs show to clients which offer nothing else.
//!
//! They are Mozilla's, as Debian's package `ca-certificates` has them; a test compares them with the crate
//! `webpki-root-certs` and with the fingerprints that the authorities publish. They are certificates that expire:
//! plan for an update of the firmware before the years given.

/// A root certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    /// The common name of its subject.
    pub name: &'static str,
    /// The certificate, DER.
    pub der: &'static [u8],
    /// SHA-256 over the certificate, as the authority publishes it.
    pub sha256: [u8; 32],
}

/// The roots of the RSA server certificates of DPS and IoT Hub, the normal case, for [`Trust::new`](super::Trust::new).
pub const AZURE: [&[u8]; 2] = [DIGICERT_GLOBAL_ROOT_G2.der, MICROSOFT_RSA_ROOT_2017.der];

/// The roots of their ECC server certificates.
pub const AZURE_ECC: [&[u8]; 2] = [DIGICERT_GLOBAL_ROOT_G3.der, MICROSOFT_ECC_ROOT_2017.der];

/// All of them.
pub const ALL: [Root; 4] =
    [DIGICERT_GLOBAL_ROOT_G2, MICROSOFT_RSA_ROOT_2017, DIGICERT_GLOBAL_ROOT_G3, MICROSOFT_ECC_ROOT_2017];

/// RSA-2048, until 2038-01-15: RSA server certificates.
pub const DIGICERT_GLOBAL_ROOT_G2: Root = Root {
    name: "DigiCert Global Root G2",
    der: include_bytes!("digicert-global-root-g2.der"),
    sha256: [
        0xcb, 0x3c, 0xcb, 0xb7, 0x60, 0x31, 0xe5, 0xe0, 0x13, 0x8f, 0x8d, 0xd3, 0x9a, 0x23, 0xf9, 0xde, 0x47,
        0xff, 0xc3, 0x5e, 0x43, 0xc1, 0x14, 0x4c, 0xea, 0x27, 0xd4, 0x6a, 0x5a, 0xb1, 0xcb, 0x5f,
    ],
};

/// RSA-4096, until 2042-07-18: RSA server certificates.
pub const MICROSOFT_RSA_ROOT_2017: Root = Root {
    name: "Microsoft RSA Root Certificate Authority 2017",
    der: include_bytes!("microsoft-rsa-root-2017.der"),
    sha256: [
        0xc7, 0x41, 0xf7, 0x0f, 0x4b, 0x2a, 0x8d, 0x88, 0xbf, 0x2e, 0x71, 0xc1, 0x41, 0x22, 0xef, 0x53, 0xef,
        0x10, 0xeb, 0xa0, 0xcf, 0xa5, 0xe6, 0x4c, 0xfa, 0x20, 0xf4, 0x18, 0x85, 0x30, 0x73, 0xe0,
    ],
};

/// P-384, until 2038-01-15: ECC server certificates.
pub const DIGICERT_GLOBAL_ROOT_G3: Root = Root {
    name: "DigiCert Global Root G3",
    der: include_bytes!("digicert-global-root-g3.der"),
    sha256: [
        0x31, 0xad, 0x66, 0x48, 0xf8, 0x10, 0x41, 0x38, 0xc7, 0x38, 0xf3, 0x9e, 0xa4, 0x32, 0x01, 0x33, 0x39,
        0x3e, 0x3a, 0x18, 0xcc, 0x02, 0x29, 0x6e, 0xf9, 0x7c, 0x2a, 0xc9, 0xef, 0x67, 0x31, 0xd0,
    ],
};

/// P-384, until 2042-07-18: ECC server certificates.
pub const MICROSOFT_ECC_ROOT_2017: Root = Root {
    name: "Microsoft ECC Root Certificate Authority 2017",
    der: include_bytes!("microsoft-ecc-root-2017.der"),
    sha256: [
        0x35, 0x8d, 0xf3, 0x9d, 0x76, 0x4a, 0xf9, 0xe1, 0xb7, 0x66, 0xe9, 0xc9, 0x72, 0xdf, 0x35, 0x2e, 0xe1,
        0x5c, 0xfa, 0xc2, 0x27, 0xaf, 0x6a, 0xd1, 0xd7, 0x0e, 0x8e, 0x4a, 0x6e, 0xdc, 0xba, 0x02,
    ],
};
