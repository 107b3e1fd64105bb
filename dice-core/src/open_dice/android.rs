//! The Android Profile for DICE: configuration descriptors and the handover from one boot stage to the next.

use super::cbor::{CborProblem, Reader, Writer};
use super::cose::expect_label;
use super::{Algorithm, CDI_LEN, CdiAttest, CdiSeal, Cdis, Format, InputValues, Layer, MainFlow};
use crate::key::{DefaultBackend, P256};
use crate::{Error, Result};

/// Name of the newest version of the profile: the one that aligns with Android 18.
pub const ANDROID_18: &str = "android.18";

// Labels of the configuration descriptor (Android Profile for DICE, "Configuration descriptor").
const COMPONENT_NAME: i64 = -70_002;
const COMPONENT_VERSION: i64 = -70_003;
const RESETTABLE: i64 = -70_004;
const SECURITY_VERSION: i64 = -70_005;
const RKP_VM_MARKER: i64 = -70_006;
const COMPONENT_INSTANCE_NAME: i64 = -70_007;

/// The version of a component, for humans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComponentVersion<'a> {
    /// A number.
    Number(i64),
    /// Text.
    Text(&'a str),
}

/// The configuration input of an Android boot stage; every field is optional.
///
/// ```
/// use dice_core::open_dice::Config;
/// use dice_core::open_dice::android::ConfigDescriptor;
///
/// let descriptor = ConfigDescriptor { component_name: Some("ABL"), security_version: Some(3), ..Default::default() };
/// let mut buffer = [0; 64];
/// let config = Config::Descriptor(descriptor.encode(&mut buffer)?);
/// # assert!(matches!(config, Config::Descriptor(bytes) if ConfigDescriptor::parse(bytes)? == descriptor));
/// # Ok::<(), dice_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConfigDescriptor<'a> {
    /// Name of the component.
    pub component_name: Option<&'a str>,
    /// Which one of several components of that name.
    pub component_instance_name: Option<&'a str>,
    /// Version of the component.
    pub component_version: Option<ComponentVersion<'a>>,
    /// Whether the layer's key changes on factory reset.
    pub resettable: bool,
    /// A number that grows with every update; required from `android.16` on.
    pub security_version: Option<u64>,
    /// Marks a virtual machine for remote key provisioning.
    pub rkp_vm_marker: bool,
}

impl<'a> ConfigDescriptor<'a> {
    /// Writes the descriptor and gives the part of `out` used.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`] with the size needed.
    pub fn encode<'b>(&self, out: &'b mut [u8]) -> Result<&'b [u8]> {
        let present = [
            self.component_name.is_some(),
            self.component_version.is_some(),
            self.resettable,
            self.security_version.is_some(),
            self.rkp_vm_marker,
            self.component_instance_name.is_some(),
        ];
        let mut writer = Writer::new(out);
        writer.map(present.into_iter().filter(|present| *present).count());
        if let Some(name) = self.component_name {
            writer.integer(COMPONENT_NAME);
            writer.text(name);
        }
        if let Some(version) = self.component_version {
            writer.integer(COMPONENT_VERSION);
            match version {
                ComponentVersion::Number(number) => writer.integer(number),
                ComponentVersion::Text(text) => writer.text(text),
            }
        }
        if self.resettable {
            writer.integer(RESETTABLE);
            writer.null();
        }
        if let Some(version) = self.security_version {
            writer.integer(SECURITY_VERSION);
            writer.unsigned(version);
        }
        if self.rkp_vm_marker {
            writer.integer(RKP_VM_MARKER);
            writer.null();
        }
        if let Some(name) = self.component_instance_name {
            writer.integer(COMPONENT_INSTANCE_NAME);
            writer.text(name);
        }
        writer.finish()
    }

    /// Reads a descriptor. Its own labels occur at most once, in any order; labels outside the profile's range, which
    /// belong to the implementation, are read over.
    ///
    /// # Errors
    /// [`Error::Cbor`] with the position of what is wrong.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let mut found = Self::default();
        for _ in 0..reader.map()? {
            let label_at = reader.clone();
            let label = reader.integer()?;
            let first = match label {
                COMPONENT_NAME => found.component_name.replace(reader.text()?).is_none(),
                COMPONENT_VERSION => {
                    found.component_version.replace(ComponentVersion::read(&mut reader)?).is_none()
                }
                RESETTABLE => {
                    reader.null()?;
                    !core::mem::replace(&mut found.resettable, true)
                }
                SECURITY_VERSION => found.security_version.replace(reader.unsigned()?).is_none(),
                RKP_VM_MARKER => {
                    reader.null()?;
                    !core::mem::replace(&mut found.rkp_vm_marker, true)
                }
                COMPONENT_INSTANCE_NAME => found.component_instance_name.replace(reader.text()?).is_none(),
                -70_999..=-70_000 => return Err(label_at.problem(CborProblem::Value)),
                _ => {
                    reader.skip()?;
                    true
                }
            };
            if !first {
                return Err(label_at.problem(CborProblem::DuplicateLabel { label }));
            }
        }
        reader.finish()?;
        Ok(found)
    }
}

impl<'a> ComponentVersion<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self> {
        if reader.kind()? == super::cbor::Kind::Text {
            reader.text().map(Self::Text)
        } else {
            reader.integer().map(Self::Number)
        }
    }
}

// Labels of the handover.
const CDI_ATTEST: i64 = 1;
const CDI_SEAL: i64 = 2;
const DICE_CHAIN: i64 = 3;

/// What one boot stage hands to the next (`AndroidDiceHandover`, formerly `BccHandover`): its CDIs and the chain of
/// certificates so far.
#[derive(Debug)]
pub struct Handover<'a> {
    /// The secrets of the stage that receives the handover, copied out of it.
    pub cdis: Cdis,
    /// The chain of certificates as it stands: an array of the root key and the certificates. The first stage has none.
    ///
    /// It is well-formed and has at least one certificate; [`DiceChain`](super::DiceChain) checks what it says.
    pub chain: Option<&'a [u8]>,
}

impl<'a> Handover<'a> {
    /// Reads a handover: a map with labels 1, 2 and, if there is a chain, 3, in this order and nothing else.
    ///
    /// # Errors
    /// [`Error::Cbor`] with the position of what is wrong.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let start = reader.clone();
        let pairs = reader.map()?;
        if !(2..=3).contains(&pairs) {
            return Err(start.problem(CborProblem::Count { found: pairs }));
        }
        expect_label(&mut reader, CDI_ATTEST)?;
        let attest: &[u8; CDI_LEN] = reader.bytes_array()?;
        expect_label(&mut reader, CDI_SEAL)?;
        let seal: &[u8; CDI_LEN] = reader.bytes_array()?;
        let chain = if pairs == 3 {
            expect_label(&mut reader, DICE_CHAIN)?;
            Some(skip_chain(&mut reader)?.bytes)
        } else {
            None
        };
        reader.finish()?;
        Ok(Self { cdis: Cdis { attest: CdiAttest::new(*attest), seal: CdiSeal::new(*seal) }, chain })
    }
}

/// A well-formed chain: the number of items in its array, and their bytes.
struct Chain<'a> {
    bytes: &'a [u8],
    count: usize,
    items: &'a [u8],
}

/// Reads over a chain of the root key and at least one certificate.
fn skip_chain<'a>(reader: &mut Reader<'a>) -> Result<Chain<'a>> {
    let start = reader.clone();
    let count = reader.clone().array()?;
    if count < 2 {
        return Err(start.problem(CborProblem::Count { found: count }));
    }
    let bytes = reader.skip()?;
    let head = Writer::measure(|writer| writer.array(count));
    Ok(Chain { bytes, count, items: bytes.get(head..).unwrap_or_default() })
}

/// The main flow of the Android profile: CBOR certificates, kept in one chain. `B` does the arithmetic of P-256.
#[derive(Clone, Copy, Debug)]
pub struct AndroidFlow<'p, B: P256 = DefaultBackend>(MainFlow<'p, B>);

impl AndroidFlow<'_> {
    /// Keys of one algorithm, the profile's newest version [`ANDROID_18`], the default P-256 backend.
    #[must_use]
    pub const fn new(algorithm: Algorithm) -> Self {
        Self::new_on(algorithm)
    }
}

impl<'p, B: P256> AndroidFlow<'p, B> {
    /// [`new`](AndroidFlow::new) with a P-256 backend chosen by the caller.
    #[must_use]
    pub const fn new_on(algorithm: Algorithm) -> Self {
        Self(MainFlow::new_on(Format::Cbor, algorithm).named(ANDROID_18))
    }

    /// Gives the next layer's key another algorithm than the current layer's.
    #[must_use]
    pub const fn certifying(self, subject: Algorithm) -> Self {
        Self(self.0.certifying(subject))
    }

    /// Follows another version of the profile, such as `android.16`.
    #[must_use]
    pub const fn named(self, profile_name: &'p str) -> Self {
        Self(self.0.named(profile_name))
    }

    /// The main flow with a chain: derives the next layer's CDIs, and writes the chain with the new certificate at its
    /// end to `out`.
    ///
    /// Without a chain, a new one is begun with the current layer's public key as its root.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`] with the exact size needed, [`Error::Cbor`] if `chain` is malformed.
    pub fn run_chain<'b>(
        &self,
        current: &Cdis,
        chain: Option<&[u8]>,
        inputs: &InputValues<'_>,
        out: &'b mut [u8],
    ) -> Result<Layer<'b>> {
        let authority = self.0.authority_key(current)?;
        let available = out.len();
        let mut writer = Writer::new(&mut *out);
        if let Some(chain) = chain {
            let mut reader = Reader::new(chain);
            let chain = skip_chain(&mut reader)?;
            reader.finish()?;
            writer.array(chain.count + 1);
            writer.raw(chain.items);
        } else {
            writer.array(2);
            authority.public_key().write_cose(&mut writer);
        }
        let before = writer.len();
        let rest = out.get_mut(before..).unwrap_or_default();
        let Layer { cdis, certificate } = self
            .0
            .run_as(&authority, current, inputs, rest)
            .map_err(|error| behind(before, available, error))?;
        let len = before + certificate.len();
        // A certificate that fitted lies inside `out`.
        let chain = out.get(..len).unwrap_or_default();
        Ok(Layer { cdis, certificate: chain })
    }

    /// The main flow from handover to handover: what a boot stage does before it starts the next one.
    ///
    /// `out` receives secrets: the caller passes it to the next stage and wipes it. On errors nothing secret is in it.
    ///
    /// # Errors
    /// Those of [`Handover::parse`] and [`run_chain`](Self::run_chain).
    pub fn run_handover<'b>(
        &self,
        handover: &[u8],
        inputs: &InputValues<'_>,
        out: &'b mut [u8],
    ) -> Result<&'b [u8]> {
        let Handover { cdis: current, chain } = Handover::parse(handover)?;
        let available = out.len();
        let before = Writer::measure(|writer| write_secrets(writer, &[0; CDI_LEN], &[0; CDI_LEN]));
        let rest = out.get_mut(before..).unwrap_or_default();
        let Layer { cdis, certificate: chain } = self
            .run_chain(&current, chain, inputs, rest)
            .map_err(|error| behind(before, available, error))?;
        let len = before + chain.len();
        write_secrets(&mut Writer::new(&mut *out), cdis.attest.expose(), cdis.seal.expose());
        Ok(out.get(..len).unwrap_or_default())
    }
}

/// Writes a handover up to the chain.
fn write_secrets(writer: &mut Writer<'_>, attest: &[u8; CDI_LEN], seal: &[u8; CDI_LEN]) {
    writer.map(3);
    writer.integer(CDI_ATTEST);
    writer.bytes(attest);
    writer.integer(CDI_SEAL);
    writer.bytes(seal);
    writer.integer(DICE_CHAIN);
}

/// Makes the error of a writer that started behind `before` bytes one of the whole buffer.
fn behind(before: usize, available: usize, error: Error) -> Error {
    match error {
        Error::BufferTooSmall { needed, .. } => {
            Error::BufferTooSmall { needed: before.saturating_add(needed), available }
        }
        error => error,
    }
}
