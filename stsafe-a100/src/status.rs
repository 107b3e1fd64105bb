//! What the chip says about a command: bits 4..0 of the response header.

/// A response status. All 32 values of the five-bit field have a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Status {
    /// 0x00: done.
    Ok = 0x00,
    /// 0x01: the command frame was garbled or its CRC wrong; nothing was executed.
    CommunicationError = 0x01,
    /// 0x02: the command data contradict themselves or the command.
    InconsistentData = 0x02,
    /// 0x03: a value is out of range.
    OutOfRange = 0x03,
    /// 0x04: this chip does not know the command.
    UnsupportedCommand = 0x04,
    /// 0x05: internal error.
    UnexpectedError = 0x05,
    /// 0x06: a length exceeds the I/O buffer.
    BufferLength = 0x06,
    /// 0x07: no session, or the wrong one.
    WrongSession = 0x07,
    /// 0x08: too many messages lost.
    TooManyMessagesLost = 0x08,
    /// 0x09: the C-MAC counter has reached its limit.
    MacCounterLimit = 0x09,
    /// 0x0A: there is no key in the slot.
    KeyNotFound = 0x0A,
    /// 0x0B: the key is blocked.
    KeyBlocked = 0x0B,
    /// 0x0C: the key is of another type.
    WrongKeyType = 0x0C,
    /// 0x0D: a counter is out of range.
    CounterOutOfRange = 0x0D,
    /// 0x0E: a depth is out of range.
    DepthOutOfRange = 0x0E,
    /// 0x0F: not allowed in this life-cycle state.
    InvalidLifeCycle = 0x0F,
    /// 0x10: no such entry.
    EntryNotFound = 0x10,
    /// 0x11: the access condition is not satisfied, such as a zone that wants a host C-MAC.
    AccessCondition = 0x11,
    /// 0x12: the command does not fit the zone's type.
    WrongZoneType = 0x12,
    /// 0x13: the counter cannot go below zero.
    CounterLimit = 0x13,
    /// 0x14: offset plus length lie beyond the zone.
    BoundaryExceeded = 0x14,
    /// 0x15: the private key is not usable.
    InvalidPrivateKey = 0x15,
    /// 0x16: the C-MAC is wrong: another key or another counter.
    InvalidCMac = 0x16,
    /// 0x17: a challenge is missing.
    ChallengeMissing = 0x17,
    /// 0x18: the command data could not be decrypted.
    DecryptionError = 0x18,
    /// 0x19: the public key is not a point of the curve.
    InvalidPublicKey = 0x19,
    /// 0x1A: the password is blocked.
    PasswordBlocked = 0x1A,
    /// 0x1B: the key must not be used for this.
    WrongKeyUsage = 0x1B,
    /// 0x1C: wrong mode of operation.
    WrongMode = 0x1C,
    /// 0x1D: wrong MAC length.
    WrongMacLength = 0x1D,
    /// 0x1E: the command is not authorised.
    NotAuthorised = 0x1E,
    /// 0x1F: an old message.
    OldMessage = 0x1F,
}

impl Status {
    /// Every status, in numeric order.
    pub const ALL: [Self; 32] = [
        Self::Ok,
        Self::CommunicationError,
        Self::InconsistentData,
        Self::OutOfRange,
        Self::UnsupportedCommand,
        Self::UnexpectedError,
        Self::BufferLength,
        Self::WrongSession,
        Self::TooManyMessagesLost,
        Self::MacCounterLimit,
        Self::KeyNotFound,
        Self::KeyBlocked,
        Self::WrongKeyType,
        Self::CounterOutOfRange,
        Self::DepthOutOfRange,
        Self::InvalidLifeCycle,
        Self::EntryNotFound,
        Self::AccessCondition,
        Self::WrongZoneType,
        Self::CounterLimit,
        Self::BoundaryExceeded,
        Self::InvalidPrivateKey,
        Self::InvalidCMac,
        Self::ChallengeMissing,
        Self::DecryptionError,
        Self::InvalidPublicKey,
        Self::PasswordBlocked,
        Self::WrongKeyUsage,
        Self::WrongMode,
        Self::WrongMacLength,
        Self::NotAuthorised,
        Self::OldMessage,
    ];

    /// The status in the low five bits of `header`.
    #[must_use]
    pub fn from_header(header: u8) -> Self {
        // The mask keeps the index below 32, so the fallback is never taken.
        Self::ALL.get(usize::from(header & 0x1F)).copied().unwrap_or(Self::UnexpectedError)
    }

    /// The five-bit value.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Whether the command was executed.
    #[must_use]
    pub const fn is_ok(self) -> bool {
        matches!(self, Self::Ok)
    }

    /// Whether the chip refused the frame before it looked at the command, so that its C-MAC counter stands still.
    #[must_use]
    pub const fn is_frame_refused(self) -> bool {
        matches!(self, Self::CommunicationError | Self::InvalidCMac)
    }

    /// A short description.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::CommunicationError => "communication error",
            Self::InconsistentData => "inconsistent command data",
            Self::OutOfRange => "value out of range",
            Self::UnsupportedCommand => "command not supported",
            Self::UnexpectedError => "unexpected error",
            Self::BufferLength => "buffer length exceeded",
            Self::WrongSession => "wrong session",
            Self::TooManyMessagesLost => "too many messages lost",
            Self::MacCounterLimit => "C-MAC counter at its limit",
            Self::KeyNotFound => "key not found",
            Self::KeyBlocked => "key blocked",
            Self::WrongKeyType => "wrong key type",
            Self::CounterOutOfRange => "counter out of range",
            Self::DepthOutOfRange => "depth out of range",
            Self::InvalidLifeCycle => "invalid life-cycle state",
            Self::EntryNotFound => "entry not found",
            Self::AccessCondition => "access condition not satisfied",
            Self::WrongZoneType => "wrong zone type",
            Self::CounterLimit => "counter limit exceeded",
            Self::BoundaryExceeded => "zone boundary exceeded",
            Self::InvalidPrivateKey => "invalid private key",
            Self::InvalidCMac => "invalid C-MAC",
            Self::ChallengeMissing => "challenge missing",
            Self::DecryptionError => "command decryption error",
            Self::InvalidPublicKey => "invalid public key",
            Self::PasswordBlocked => "password blocked",
            Self::WrongKeyUsage => "wrong key usage",
            Self::WrongMode => "wrong mode of operation",
            Self::WrongMacLength => "wrong MAC length",
            Self::NotAuthorised => "command not authorised",
            Self::OldMessage => "old message",
        }
    }
}

impl core::fmt::Display for Status {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} (0x{:02X})", self.description(), self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn every_value_returns_to_itself() {
        for (value, status) in (0u8..).zip(Status::ALL) {
            assert_eq!(status.code(), value);
            assert_eq!(Status::from_header(value), status);
            assert_eq!(Status::from_header(value | 0xE0), status);
            assert_eq!(status.is_ok(), value == 0);
        }
    }
}
