//! The verdict as an EAT attestation result (EAR, draft-ietf-rats-ear-04), as JSON claims, as a JWT, or as a CWT.

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ciborium::Value as Cbor;
use clap::ValueEnum;
use coset::{CoseSign1Builder, HeaderBuilder, TaggedCborSerializable as _, iana};
use dice_core::verify::Reason;
use p256::SecretKey;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::DecodePrivateKey as _;
use serde_json::{Value, json};

/// How the attestation result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// The claims as JSON, not signed
    Json,
    /// A JSON Web Token, signed with ES256
    Jwt,
    /// A CBOR Web Token (COSE_Sign1, binary), signed with ES256
    Cwt,
}

const PROFILE: &str = "tag:ietf.org,2026:rats/ear#04";
/// The one attester that is appraised.
const ATTESTER: &str = "dice";
const DEVELOPER: &str = env!("CARGO_PKG_NAME");
const BUILD: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

/// The tiers of AR4SI that this verifier gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tier {
    Affirming = 2,
    Warning = 32,
    Contraindicated = 96,
}

impl Tier {
    const fn name(self) -> &'static str {
        match self {
            Self::Affirming => "affirming",
            Self::Warning => "warning",
            Self::Contraindicated => "contraindicated",
        }
    }
}

/// Trustworthiness claims of AR4SI: the number of the claim, its name, its value.
type Claim = (u64, &'static str, i8);

const fn instance(value: i8) -> Claim {
    (0, "instance-identity", value)
}

const fn configuration(value: i8) -> Claim {
    (1, "configuration", value)
}

const fn executables(value: i8) -> Claim {
    (2, "executables", value)
}

/// What was found, in the words of AR4SI.
#[derive(Debug)]
pub struct Appraisal {
    status: Tier,
    claims: Vec<Claim>,
}

impl Appraisal {
    /// An accepted device: known, and its firmware approved at boot; without reference values its firmware is not
    /// known.
    #[must_use]
    pub fn accepted(with_references: bool) -> Self {
        if with_references {
            let claims = vec![instance(2), configuration(2), executables(3)];
            Self { status: Tier::Affirming, claims }
        } else {
            Self { status: Tier::Warning, claims: vec![instance(2), executables(33)] }
        }
    }

    /// A device that is known, and whose key is no longer to be trusted.
    #[must_use]
    pub fn revoked() -> Self {
        Self { status: Tier::Contraindicated, claims: vec![instance(96)] }
    }

    /// A refused one; `None` if not even the certificates could be read.
    #[must_use]
    pub fn refused(reason: Option<&Reason>) -> Self {
        let claims = match reason {
            // Known, and running or configured as it should not be.
            Some(Reason::NoReference | Reason::FirmwareDigest | Reason::IntegrityRegister) => {
                vec![instance(2), executables(33)]
            }
            Some(Reason::Svn { .. }) => vec![instance(2), executables(32)],
            Some(Reason::Flags { .. } | Reason::FlagsMask { .. }) => vec![instance(2), configuration(96)],
            // The proof itself fails.
            Some(Reason::Signature | Reason::SignatureAlgorithm(_) | Reason::PublicKey) => vec![instance(99)],
            Some(Reason::Malformed(_)) | None => vec![instance(1)],
            Some(_) => vec![instance(97)],
        };
        Self { status: Tier::Contraindicated, claims }
    }
}

/// An attestation result.
#[derive(Debug)]
pub struct Ear<'a> {
    /// When it is issued, seconds since 1970.
    pub issued_at: u64,
    /// The relying party's bytes against replay.
    pub nonce: Option<&'a [u8]>,
    /// Which reference values were used.
    pub policy: Option<String>,
    /// What was found.
    pub appraisal: &'a Appraisal,
}

/// Takes a nonce in hexadecimal.
///
/// # Errors
/// It is not 8 to 64 bytes.
pub fn nonce(text: &str) -> Result<Vec<u8>> {
    let nonce = hex::decode(text.trim()).context("--nonce is not hexadecimal")?;
    ensure!((8..=64).contains(&nonce.len()), "--nonce has {} bytes, 8 to 64 are allowed", nonce.len());
    Ok(nonce)
}

/// Reads the private key that signs: P-256 in PEM, PKCS#8 or SEC 1.
///
/// # Errors
/// It is something else.
pub fn key(pem: &[u8]) -> Result<SecretKey> {
    let text = std::str::from_utf8(pem).context("the key is not PEM")?;
    match SecretKey::from_pkcs8_pem(text).ok().or_else(|| SecretKey::from_sec1_pem(text).ok()) {
        Some(key) => Ok(key),
        None => bail!("the key is not a P-256 private key in PEM (PKCS#8 or SEC 1, not encrypted)"),
    }
}

impl Ear<'_> {
    /// The claims for JSON and JWT.
    #[must_use]
    pub fn json(&self) -> Value {
        let vector: serde_json::Map<_, _> =
            self.appraisal.claims.iter().map(|(_, name, value)| ((*name).to_owned(), json!(value))).collect();
        let mut appraisal =
            json!({ "ear_status": self.appraisal.status.name(), "ear_trustworthiness_vector": vector });
        if let Some(policy) = &self.policy {
            appraisal["ear_appraisal_policy_ids"] = json!([policy]);
        }
        let mut claims = json!({
            "eat_profile": PROFILE,
            "iat": self.issued_at,
            "ear_status": self.appraisal.status.name(),
            "ear_verifier_id": { "developer": DEVELOPER, "build": BUILD },
            "submods": { ATTESTER: appraisal },
        });
        if let Some(nonce) = self.nonce {
            claims["eat_nonce"] = json!(BASE64_URL_SAFE_NO_PAD.encode(nonce));
        }
        claims
    }

    /// The claims for CWT.
    fn cbor(&self) -> Cbor {
        let map = |fields: Vec<(u64, Cbor)>| {
            Cbor::Map(fields.into_iter().map(|(key, value)| (key.into(), value)).collect())
        };
        let text = |text: &str| Cbor::Text(text.to_owned());
        let status = || Cbor::from(self.appraisal.status as u64);
        let vector = self.appraisal.claims.iter().map(|(key, _, value)| (*key, Cbor::from(*value))).collect();
        let mut appraisal = vec![(1000, status()), (1001, map(vector))];
        if let Some(policy) = &self.policy {
            appraisal.push((1003, Cbor::Array(vec![text(policy)])));
        }
        let mut claims = vec![(6, self.issued_at.into())];
        if let Some(nonce) = self.nonce {
            claims.push((10, Cbor::Bytes(nonce.to_vec())));
        }
        claims.push((265, text(PROFILE)));
        claims.push((266, Cbor::Map(vec![(text(ATTESTER), map(appraisal))])));
        claims.push((1000, status()));
        claims.push((1004, map(vec![(0, text(DEVELOPER)), (1, text(BUILD))])));
        map(claims)
    }

    /// A JSON Web Token.
    #[must_use]
    pub fn jwt(&self, key: &SecretKey) -> String {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({ "typ": "JWT", "alg": "ES256" })), part(&self.json()));
        let signature: Signature = SigningKey::from(key).sign(signed.as_bytes());
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    /// A CBOR Web Token.
    ///
    /// # Errors
    /// None in practice: the claims are encodable.
    pub fn cwt(&self, key: &SecretKey) -> Result<Vec<u8>> {
        let mut payload = Vec::new();
        ciborium::into_writer(&self.cbor(), &mut payload).context("CBOR")?;
        let header = HeaderBuilder::new().algorithm(iana::Algorithm::ES256).build();
        let token =
            CoseSign1Builder::new().protected(header).payload(payload).create_signature(&[], |signed| {
                let signature: Signature = SigningKey::from(key).sign(signed);
                signature.to_bytes().to_vec()
            });
        token.build().to_tagged_vec().map_err(|error| anyhow::anyhow!("COSE: {error}"))
    }
}
