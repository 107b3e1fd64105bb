//! The classes of answers: whether to try again.

/// What a status asks of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StatusClass {
    /// 2xx: the body tells how things stand.
    Success,
    /// 408, 429 and every 5xx: the same request may be sent again later.
    Retriable,
    /// 409: another registration of this device is under way; wait, then register again from the start.
    Conflict,
    /// Anything else: sending it again would give the same answer.
    Final,
}

impl StatusClass {
    /// The class of a status.
    #[must_use]
    pub fn of(status: u16) -> Self {
        match status {
            200..=299 => Self::Success,
            408 | 429 | 500..=599 => Self::Retriable,
            409 => Self::Conflict,
            _ => Self::Final,
        }
    }
}
