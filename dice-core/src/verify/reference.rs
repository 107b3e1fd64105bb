//! Reference values: what may run.

use super::Reason;
use crate::tcg::{Fwid, OperationalFlags, TcbInfo};

/// What a component may be: whom the value is for, and what is admitted there.
///
/// Fields that are `None` admit anything.
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
    /// Digests of which the component has to have one; without any, every firmware is admitted.
    pub fwids: &'a [Fwid<'a>],
    /// The least security version number.
    pub minimum_svn: Option<u64>,
    /// Flags that may be set.
    pub admitted_flags: OperationalFlags,
}

impl<'a> Reference<'a> {
    /// A component of any maker with one of these digests, in a state without flags.
    #[must_use]
    pub const fn firmware(fwids: &'a [Fwid<'a>]) -> Self {
        Self {
            vendor: None,
            model: None,
            layer: None,
            index: None,
            fwids,
            minimum_svn: None,
            admitted_flags: OperationalFlags(0),
        }
    }

    fn is_for(&self, info: &TcbInfo<'_>) -> bool {
        let texts = [(self.vendor, info.vendor), (self.model, info.model)];
        let numbers = [(self.layer, info.layer), (self.index, info.index)];
        texts.iter().all(|(wanted, stated)| wanted.is_none() || wanted == stated)
            && numbers.iter().all(|(wanted, stated)| wanted.is_none() || wanted == stated)
    }

    fn check(&self, info: &TcbInfo<'_>) -> Result<(), Reason> {
        let mut stated = info.fwids.iter().flatten();
        if !self.fwids.is_empty() && !stated.any(|fwid| self.fwids.contains(&fwid)) {
            return Err(Reason::FirmwareDigest);
        }
        if let Some(minimum) = self.minimum_svn
            && info.svn.is_none_or(|svn| svn < minimum)
        {
            return Err(Reason::Svn { found: info.svn, minimum });
        }
        let set = info.flags.unwrap_or_default();
        match OperationalFlags(set.0 & !self.admitted_flags.0 & !OperationalFlags::FIXED_WIDTH.0) {
            OperationalFlags(0) => Ok(()),
            refused => Err(Reason::Flags { refused }),
        }
    }
}

/// Checks a component against all values. One that admits it is enough; otherwise the reason is that of the value that
/// came closest.
pub(super) fn check(info: &TcbInfo<'_>, references: &[Reference<'_>]) -> Result<(), Reason> {
    let closeness = |reason: &Reason| match reason {
        Reason::NoReference => 0,
        Reason::FirmwareDigest => 1,
        Reason::Svn { .. } => 2,
        _ => 3,
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
