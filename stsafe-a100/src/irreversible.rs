//! The token that commands ask for which cannot be undone.

/// Says that the caller knows what an operation destroys for good: a key, a right, an address, a way back.
///
/// Operations that cannot be undone take one by value, so that none happens by a slip of the completion list:
///
/// ```
/// use stsafe_a100::Irreversible;
///
/// let token = Irreversible::i_know_this_cannot_be_undone();
/// # let _ = token;
/// ```
#[derive(Debug)]
pub struct Irreversible(());

impl Irreversible {
    /// The token for one operation.
    #[must_use]
    pub const fn i_know_this_cannot_be_undone() -> Self {
        Self(())
    }
}
