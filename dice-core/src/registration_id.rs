//! Registration ids: the name a device enrols under, which is the common name of its certificate.

use crate::{Error, Result};
use core::fmt;

/// A registration id: 1 to 128 characters out of `a-z`, `0-9` and `-`.
///
/// The provisioning service takes a few characters more and compares without regard to case, while the hub's device
/// ids are case-sensitive. Ids in this form mean the same everywhere, and as file names.
///
/// ```
/// use dice_core::{Error, RegistrationId};
///
/// assert_eq!(RegistrationId::new("sensor-7f3a")?.as_str(), "sensor-7f3a");
/// assert_eq!(
///     RegistrationId::new("my_sensor"),
///     Err(Error::RegistrationIdCharacter { index: 2, found: '_' })
/// );
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RegistrationId<'a>(&'a str);

impl<'a> RegistrationId<'a> {
    /// The most characters an id may have.
    ///
    /// Certificates take fewer: 126 in the `riot` profile (the original's encoder), 64 in the `standard` profile
    /// (RFC 5280's bound for common names).
    pub const MAX_LEN: usize = 128;

    /// Checks an id.
    ///
    /// # Errors
    /// * [`Error::RegistrationIdCharacter`] names the first character that is not allowed, and its position;
    /// * [`Error::RegistrationIdLength`] if it is empty or too long.
    pub fn new(id: &'a str) -> Result<Self> {
        let allowed = |character: &char| matches!(character, 'a'..='z' | '0'..='9' | '-');
        if let Some((index, found)) = id.chars().enumerate().find(|(_, character)| !allowed(character)) {
            return Err(Error::RegistrationIdCharacter { index, found });
        }
        Self(id).checked_len(Self::MAX_LEN)
    }

    /// The id.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        self.0
    }

    /// This id if it has 1 to `limit` characters.
    pub(crate) fn checked_len(self, limit: usize) -> Result<Self> {
        let found = self.0.len();
        if found == 0 || found > limit { Err(Error::RegistrationIdLength { found, limit }) } else { Ok(self) }
    }
}

impl fmt::Display for RegistrationId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for RegistrationId<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn ids_are_checked_by_length_and_character() {
        let long = String::from("a").repeat(129);
        assert!(RegistrationId::new(&long[..128]).is_ok());
        assert_eq!(RegistrationId::new(&long), Err(Error::RegistrationIdLength { found: 129, limit: 128 }));
        assert_eq!(RegistrationId::new(""), Err(Error::RegistrationIdLength { found: 0, limit: 128 }));
        assert_eq!(RegistrationId::new("aé"), Err(Error::RegistrationIdCharacter { index: 1, found: 'é' }));
        assert_eq!(RegistrationId::new("éaB"), Err(Error::RegistrationIdCharacter { index: 0, found: 'é' }));
        assert_eq!(RegistrationId::new("a\0"), Err(Error::RegistrationIdCharacter { index: 1, found: '\0' }));
    }
}
