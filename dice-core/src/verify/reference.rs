//! Reference values: what may run.

use super::Reason;
use crate::tcg::{Fwid, IntegrityRegister, OperationalFlags, TcbInfo};

/// What a component may be: whom the value is for, and what is admitted there.
///
/// Fields that are `None` admit anything. [`firmware`](Self::firmware) gives the strictest value to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference<'a> {
    /// Maker of the component.
    pub vendor: Option<&'a str>,
    /// Product name of the component.
    pub model: Option<&'a str>,
    /// Layer of the component.
    pub layer: Option<u64>,
    /// Index of the component in its layer.
    pub index: Option<u64>,
    /// Digests admitted; without any, every firmware is. A component that states its digest in several hash functions
    /// has to state an admitted one in each of those that stand here, and in at least one.
    pub fwids: &'a [Fwid<'a>],
    /// Integrity registers: the component has to state these, told apart by name and number, and no others. Digests are
    /// compared as those of the firmware.
    pub integrity_registers: Option<&'a [IntegrityRegister<'a>]>,
    /// The least security version number.
    pub minimum_svn: Option<u64>,
    /// Flags that may be set. A flag that is set counts, whatever flagsMask says.
    pub admitted_flags: OperationalFlags,
    /// Flags whose state has to be known: set, or in flagsMask. Without flagsMask a component leaves open the state of
    /// every flag that is not set.
    pub known_flags: OperationalFlags,
}

impl<'a> Reference<'a> {
    /// A component of any maker with these digests, without integrity registers, in a state without flags.
    #[must_use]
    pub const fn firmware(fwids: &'a [Fwid<'a>]) -> Self {
        Self {
            vendor: None,
            model: None,
            layer: None,
            index: None,
            fwids,
            integrity_registers: Some(&[]),
            minimum_svn: None,
            admitted_flags: OperationalFlags(0),
            known_flags: OperationalFlags(0),
        }
    }

    fn is_for(&self, info: &TcbInfo<'_>) -> bool {
        let texts = [(self.vendor, info.vendor), (self.model, info.model)];
        let numbers = [(self.layer, info.layer), (self.index, info.index)];
        texts.iter().all(|(wanted, stated)| wanted.is_none() || wanted == stated)
            && numbers.iter().all(|(wanted, stated)| wanted.is_none() || wanted == stated)
    }

    fn check(&self, info: &TcbInfo<'_>) -> Result<(), Reason> {
        let stated = info.fwids.iter().flatten();
        if !self.fwids.is_empty() && !digests_match(stated, || self.fwids.iter().copied()) {
            return Err(Reason::FirmwareDigest);
        }
        if let Some(admitted) = self.integrity_registers {
            check_registers(info, admitted)?;
        }
        if let Some(minimum) = self.minimum_svn
            && info.svn.is_none_or(|svn| svn < minimum)
        {
            return Err(Reason::Svn { found: info.svn, minimum });
        }
        let width = OperationalFlags::FIXED_WIDTH.0;
        let set = info.flags.unwrap_or_default().0 & !width;
        let refused = OperationalFlags(set & !self.admitted_flags.0);
        if refused != OperationalFlags(0) {
            return Err(Reason::Flags { refused });
        }
        let outside = info.flags_mask.map_or(0, |mask| set & !mask.0);
        let known = set | info.flags_mask.unwrap_or_default().0;
        match OperationalFlags(outside | (self.known_flags.0 & !known & !width)) {
            OperationalFlags(0) => Ok(()),
            flags => Err(Reason::FlagsMask { flags }),
        }
    }
}

/// Whether in every hash function in common the digest is an admitted one, with at least one in common.
fn digests_match<'a, A: Iterator<Item = Fwid<'a>>>(
    stated: impl Iterator<Item = Fwid<'a>>,
    admitted: impl Fn() -> A,
) -> bool {
    let mut compared = false;
    for stated in stated {
        let mut in_common = admitted().filter(|admitted| admitted.algorithm == stated.algorithm).peekable();
        if in_common.peek().is_none() {
            continue;
        }
        if !in_common.any(|admitted| admitted.digest == stated.digest) {
            return false;
        }
        compared = true;
    }
    compared
}

/// Every register stated is admitted, and every one admitted is stated.
fn check_registers(info: &TcbInfo<'_>, admitted: &[IntegrityRegister<'_>]) -> Result<(), Reason> {
    let stated = || info.integrity_registers.iter().flatten();
    let same = |one: &IntegrityRegister<'_>, other: &IntegrityRegister<'_>| {
        one.name == other.name && one.number == other.number
    };
    let good = stated().all(|stated| {
        admitted
            .iter()
            .any(|one| same(one, &stated) && digests_match(stated.digests.iter(), || one.digests.iter()))
    });
    let complete = admitted.iter().all(|one| stated().any(|stated| same(one, &stated)));
    if good && complete { Ok(()) } else { Err(Reason::IntegrityRegister) }
}

/// Checks a component against all values. One that admits it is enough; otherwise the reason is that of the value that
/// came closest.
pub(super) fn check(info: &TcbInfo<'_>, references: &[Reference<'_>]) -> Result<(), Reason> {
    let closeness = |reason: &Reason| match reason {
        Reason::NoReference => 0,
        Reason::FirmwareDigest => 1,
        Reason::IntegrityRegister => 2,
        Reason::Svn { .. } => 3,
        _ => 4,
    };
    let mut closest = Reason::NoReference;
    for reference in references.iter().filter(|reference| reference.is_for(info)) {
        match reference.check(info) {
            Ok(()) => return Ok(()),
            Err(reason) if closeness(&reason) > closeness(&closest) => closest = reason,
            Err(_) => {}
        }
    }
    Err(closest)
}
