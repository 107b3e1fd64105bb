//! `dps-cert-gen verify`: checks a device's chain against reference values and says precisely why it is refused.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::{Args, ValueEnum};
use der::asn1::ObjectIdentifier;
use dice_core::Error;
use dice_core::asn1::oid;
use dice_core::tcg::{self, List, TcbInfo};
use dice_core::verify::{Certificate, Evidence, Policy, Reason, Reference, TrustAnchor, Verifier};
use dice_core::x509::Time;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::crl::{self, Refusal, RevocationList};
use super::ear::{self, Appraisal, Ear, Form};
use super::reference::{self, Alternative, Digests};
use super::shown::{self, Shown};
use super::{certificates, files};

/// Checks a DICE certificate chain: signatures and rules of RFC 5280, evidence (TcbInfo) about every layer, and, if
/// given, reference values of what may run. Names each layer; says which certificate is refused and why.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The chain (PEM or DER), leaf first, as the device presents it and `--make chain` writes it; `-` is standard
    /// input
    #[arg(value_name = "CHAIN")]
    pub chain: PathBuf,

    /// What is trusted (PEM or DER): the DeviceID certificate or that of a CA above it
    #[arg(long, value_name = "FILE")]
    pub anchor: PathBuf,

    /// What may run: reference values in JSON, as `--make reference-values` writes them, or as a CoRIM in CBOR, as
    /// `--make corim` does. Without, every firmware may
    #[arg(long, value_name = "FILE")]
    pub reference_values: Option<PathBuf>,

    /// A certificate revocation list (PEM or DER) of the anchor or another CA of the chain, which the chain then has to
    /// pass; may be given several times
    #[arg(long, value_name = "FILE")]
    pub crl: Vec<PathBuf>,

    /// What the leaf is for: its extKeyUsage has to allow it
    #[arg(long, value_enum, default_value = "client-auth")]
    pub purpose: Purpose,

    /// Check validity at this time (seconds since 1970) in place of now
    #[arg(long, value_name = "SECONDS")]
    pub at: Option<u64>,

    /// Print the verdict as JSON
    #[arg(long)]
    pub json: bool,

    /// Print the verdict as an EAT attestation result (EAR)
    #[arg(long, value_enum, value_name = "FORM", conflicts_with = "json")]
    pub ear: Option<Form>,

    /// The private key (P-256, PEM) that signs the attestation result
    #[arg(long, value_name = "FILE", requires = "ear", required_if_eq_any = [("ear", "jwt"), ("ear", "cwt")])]
    pub ear_key: Option<PathBuf>,

    /// What the relying party wants to see in the attestation result, so that it knows it is new: 8 to 64 bytes
    #[arg(long, value_name = "HEX", requires = "ear")]
    pub nonce: Option<String>,
}

/// The largest file that is read as reference values, in bytes.
const MAX_REFERENCES_LEN: u64 = 16 << 20;
/// The largest file that is read as revocation lists, in bytes.
const MAX_CRL_LEN: u64 = 64 << 20;
/// The largest file that is read as a key, in bytes.
const MAX_KEY_LEN: u64 = 1 << 16;

/// What a leaf can be for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Purpose {
    /// To be a TLS client
    ClientAuth,
    /// To attest (tcg-dice-kp-attestLoc)
    Attest,
    /// Not asked
    Any,
}

impl Purpose {
    const fn oid(self) -> Option<ObjectIdentifier> {
        match self {
            Self::ClientAuth => Some(oid::CLIENT_AUTH),
            Self::Attest => Some(tcg::oid::KP_ATTEST_LOC),
            Self::Any => None,
        }
    }
}

/// One certificate of the chain, from the anchor down.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    subject: String,
    /// A CA above the device does not say what runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evidence: Vec<Component>,
}

/// What a TcbInfo says.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Component {
    vendor: Option<String>,
    model: Option<String>,
    version: Option<String>,
    svn: Option<u64>,
    layer: Option<u64>,
    digests: Vec<String>,
    flags: Vec<&'static str>,
}

impl Component {
    fn of(info: &TcbInfo<'_>) -> Self {
        Self {
            vendor: info.vendor.map(str::to_owned),
            model: info.model.map(str::to_owned),
            version: info.version.map(str::to_owned),
            svn: info.svn,
            layer: info.layer,
            digests: info.fwids.iter().flat_map(List::iter).map(|f| reference::digest_text(&f)).collect(),
            flags: reference::flag_names(info.flags.unwrap_or_default()),
        }
    }
}

impl std::fmt::Display for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let texts = [("vendor", &self.vendor), ("model", &self.model), ("version", &self.version)];
        let numbers = [("svn", self.svn), ("layer", self.layer)];
        let texts =
            texts.iter().filter_map(|(name, value)| Some(format!("{name} \"{}\"", Shown(value.as_ref()?))));
        let numbers = numbers.iter().filter_map(|(name, value)| Some(format!("{name} {}", (*value)?)));
        let flags = (!self.flags.is_empty()).then(|| format!("flags {}", self.flags.join(" ")));
        let parts: Vec<_> = texts.chain(numbers).chain(self.digests.iter().cloned()).chain(flags).collect();
        f.write_str(&parts.join(", "))
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    accepted: bool,
    #[serde(skip)]
    appraisal: Appraisal,
    layers: Vec<Layer>,
    /// The subject of the certificate at fault, where it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// An input cannot be read, or the chain is refused: the message says which certificate and why.
pub fn run(args: &VerifyArgs, stdin: &mut dyn Read, stdout: &mut dyn Write) -> Result<()> {
    let dash = Path::new("-");
    ensure!(
        args.anchor != dash || args.chain != dash,
        "chain and anchor cannot both come from standard input"
    );
    let anchor = read(&args.anchor, "the anchor", stdin)?;
    let [anchor] = &anchor[..] else {
        bail!("{}: expected one certificate as the anchor, found {}", args.anchor.display(), anchor.len());
    };
    let mut chain = read(&args.chain, "the chain", stdin)?;
    chain.reverse();
    // A chain may end with the anchor itself.
    if chain.len() > 1 && chain.first() == Some(anchor) {
        chain.remove(0);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs();
    let at = args.at.unwrap_or(now);
    let mut used = None;
    let alternatives = match &args.reference_values {
        Some(path) => {
            let bytes = files::read(path, "reference values", MAX_REFERENCES_LEN, &mut std::io::empty())?;
            used = Some(format!("sha-256;{}", hex::encode(Sha256::digest(&bytes))));
            Some(reference::read(&bytes, at).with_context(|| path.display().to_string())?)
        }
        None => None,
    };
    let time =
        Time::from_unix(at).map_err(|error| anyhow!("--at is not a time a certificate can name: {error}"))?;
    let nonce = args.nonce.as_deref().map(ear::nonce).transpose()?;
    let key = match &args.ear_key {
        Some(path) => {
            let pem = files::read(path, "a key", MAX_KEY_LEN, &mut std::io::empty())?;
            Some(ear::key(&pem).with_context(|| path.display().to_string())?)
        }
        None => None,
    };

    let mut lists = Vec::new();
    for path in &args.crl {
        let bytes = files::read(path, "a revocation list", MAX_CRL_LEN, &mut std::io::empty())?;
        let context = || path.display().to_string();
        for der in certificates::read_all(&bytes, certificates::REVOCATION_LIST).with_context(context)? {
            lists.push(RevocationList::from_der(&der).context("malformed").with_context(context)?);
        }
    }

    let policy = Policy { time: Some(time), purpose: args.purpose.oid(), ..Policy::default() };
    let verdict = evaluate(anchor, &chain, alternatives.as_deref(), (&lists, at), policy);
    let quiet = args.json || args.ear.is_some();
    if let Some(form) = args.ear {
        let ear =
            Ear { issued_at: now, nonce: nonce.as_deref(), policy: used, appraisal: &verdict.appraisal };
        match (form, &key) {
            (Form::Jwt, Some(key)) => writeln!(stdout, "{}", ear.jwt(key))?,
            (Form::Cwt, Some(key)) => stdout.write_all(&ear.cwt(key)?)?,
            (Form::Json, None) => writeln!(stdout, "{}", shown::json(&ear.json())?)?,
            (Form::Json, Some(_)) => bail!("--ear json is not signed: leave --ear-key out"),
            (Form::Jwt | Form::Cwt, None) => bail!("--ear-key is needed for a signed attestation result"),
        }
    } else if args.json {
        writeln!(stdout, "{}", shown::json(&verdict)?)?;
    } else {
        for layer in &verdict.layers {
            writeln!(stdout, "CN={}", Shown(&layer.subject))?;
            for component in &layer.evidence {
                writeln!(stdout, "  {component}")?;
            }
        }
    }
    match verdict {
        Verdict { accepted: true, .. } => {
            if !quiet {
                let what =
                    if alternatives.is_some() { "" } else { " (no reference values: any firmware may run)" };
                writeln!(stdout, "accepted{what}")?;
            }
            Ok(())
        }
        Verdict { certificate, reason, .. } => {
            let certificate =
                certificate.map_or_else(String::new, |name| format!("certificate CN={}: ", Shown(&name)));
            bail!("refused: {certificate}{}", reason.unwrap_or_default())
        }
    }
}

/// Why a chain is refused.
enum Fault {
    /// By the rules for certificates, evidence and reference values.
    Chain(Error),
    /// By a revocation list.
    Revocation(Refusal),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Chain(error)
    }
}

fn evaluate(
    anchor: &[u8],
    chain: &[Vec<u8>],
    references: Option<&[Alternative]>,
    revocation: (&[RevocationList], u64),
    policy: Policy<'_>,
) -> Verdict {
    let mut layers = Vec::new();
    match check(anchor, chain, references, revocation, policy, &mut layers) {
        Ok(()) => {
            let appraisal = Appraisal::accepted(references.is_some());
            Verdict { accepted: true, appraisal, layers, certificate: None, reason: None }
        }
        Err((certificate, error)) => {
            let appraisal = match &error {
                Fault::Revocation(Refusal::Revoked { .. }) => Appraisal::revoked(),
                Fault::Chain(Error::Refused { reason, .. }) => Appraisal::refused(Some(reason)),
                Fault::Chain(_) | Fault::Revocation(_) => Appraisal::refused(None),
            };
            let reason = match error {
                Fault::Chain(Error::Refused { reason, .. }) => reason.to_string(),
                Fault::Chain(error) => error.to_string(),
                Fault::Revocation(refusal) => refusal.to_string(),
            };
            let certificate = certificate.and_then(|der| Some(subject(&Certificate::parse(der).ok()?)));
            Verdict { accepted: false, appraisal, layers, certificate, reason: Some(reason) }
        }
    }
}

/// The whole chain by RFC 5280, then what is revoked, then the device's part of it by what it says about its layers.
fn check<'c>(
    anchor: &'c [u8],
    chain: &'c [Vec<u8>],
    references: Option<&[Alternative]>,
    revocation: (&[RevocationList], u64),
    policy: Policy<'_>,
    layers: &mut Vec<Layer>,
) -> Result<(), (Option<&'c [u8]>, Fault)> {
    let above = ca_count(chain);
    let mut names = Vec::new();
    let walk =
        |anchor: &'c [u8], chain: &'c [Vec<u8>], policy: Policy<'_>, accepted: &mut Accepted<'_, 'c>| {
            walk(anchor, chain, policy, accepted).map_err(|(certificate, error)| (certificate, error.into()))
        };
    walk(anchor, chain, policy, &mut |certificate| names.push(subject(certificate)))?;
    let (lists, at) = revocation;
    crl::check_chain(lists, anchor, chain, at)
        .map_err(|(certificate, refusal)| (certificate, Fault::Revocation(refusal)))?;
    layers.extend(names.into_iter().take(above).map(|subject| Layer { subject, evidence: Vec::new() }));

    let (cas, device) = chain.split_at(above);
    let digests: Vec<_> = references.into_iter().flatten().map(Alternative::digests).collect();
    let registers: Vec<_> = digests.iter().map(Digests::registers).collect();
    let references: Option<Vec<Reference<'_>>> = references
        .map(|list| {
            list.iter()
                .zip(digests.iter().zip(&registers))
                .map(|(one, known)| one.reference(known.0, known.1))
        })
        .map(Iterator::collect);
    let policy = Policy { evidence: Evidence::TcbInfo, references: references.as_deref(), ..policy };
    let device_id = cas.last().map_or(anchor, Vec::as_slice);
    walk(device_id, device, policy, &mut |certificate| {
        let several = certificate.multi_tcb_info().into_iter().flat_map(|multi| multi.0.iter());
        let evidence = certificate.tcb_info().copied().into_iter().chain(several);
        let evidence = evidence.map(|info| Component::of(&info)).collect();
        layers.push(Layer { subject: subject(certificate), evidence });
    })
}

/// How many certificates at the top are those of CAs above the device's layers: CAs without evidence. The leaf is never
/// one.
fn ca_count(chain: &[Vec<u8>]) -> usize {
    let is_above = |der: &Vec<u8>| {
        Certificate::parse(der).is_ok_and(|certificate| {
            certificate.is_ca() && certificate.tcb_info().is_none() && certificate.multi_tcb_info().is_none()
        })
    };
    chain.iter().take(chain.len().saturating_sub(1)).take_while(|der| is_above(der)).count()
}

/// What is done with each certificate that is accepted.
type Accepted<'a, 'c> = dyn FnMut(&Certificate<'c>) + 'a;

/// Verifies certificate by certificate; each that is accepted goes to `accepted`.
fn walk<'c>(
    anchor: &'c [u8],
    chain: &'c [Vec<u8>],
    policy: Policy<'_>,
    accepted: &mut Accepted<'_, 'c>,
) -> Result<(), (Option<&'c [u8]>, Error)> {
    let at = |error: Error| {
        let index = if let Error::Refused { certificate, .. } = error { certificate } else { 0 };
        (chain.get(index).map(Vec::as_slice), error)
    };
    let mut verifier =
        Verifier::new(TrustAnchor::Certificate(anchor), policy).map_err(|error| (Some(anchor), error))?;
    for (index, der) in chain.iter().enumerate() {
        let certificate = verifier.next(der).map_err(|error| match error {
            // The first certificate's issuer is the anchor.
            Error::Refused { reason: Reason::NotCa | Reason::KeyUsage, .. } if index == 0 => {
                (Some(anchor), error)
            }
            error => at(error),
        })?;
        accepted(&certificate);
    }
    verifier.finish().map(|_| ()).map_err(at)
}

fn subject(certificate: &Certificate<'_>) -> String {
    certificate.subject().text().unwrap_or("(no name)").to_owned()
}

/// All certificates of a file, in its order; at least one.
fn read(path: &Path, what: &str, stdin: &mut dyn Read) -> Result<Vec<Vec<u8>>> {
    let bytes = files::read(path, what, certificates::MAX_LEN, stdin)?;
    certificates::read(&bytes).with_context(|| path.display().to_string())
}
