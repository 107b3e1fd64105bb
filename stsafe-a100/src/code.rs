//! The command codes.

/// The command codes of the A100; the A110 has them too, but for the signature sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Code {
    /// 0x00.
    Echo = 0x00,
    /// 0x01.
    Reset = 0x01,
    /// 0x02.
    GenerateRandom = 0x02,
    /// 0x03.
    StartSession = 0x03,
    /// 0x04.
    Decrement = 0x04,
    /// 0x05.
    Read = 0x05,
    /// 0x06.
    Update = 0x06,
    /// 0x0C.
    Delete = 0x0C,
    /// 0x0D.
    Hibernate = 0x0D,
    /// 0x0E.
    WrapLocalEnvelope = 0x0E,
    /// 0x0F.
    UnwrapLocalEnvelope = 0x0F,
    /// 0x10.
    PutAttribute = 0x10,
    /// 0x11.
    GenerateKey = 0x11,
    /// 0x14.
    Query = 0x14,
    /// 0x15.
    GetSignature = 0x15,
    /// 0x16.
    GenerateSignature = 0x16,
    /// 0x17.
    VerifySignature = 0x17,
    /// 0x18.
    EstablishKey = 0x18,
    /// 0x1A.
    VerifyPassword = 0x1A,
}

impl Code {
    /// Every code, in numeric order.
    pub const ALL: [Self; 19] = [
        Self::Echo,
        Self::Reset,
        Self::GenerateRandom,
        Self::StartSession,
        Self::Decrement,
        Self::Read,
        Self::Update,
        Self::Delete,
        Self::Hibernate,
        Self::WrapLocalEnvelope,
        Self::UnwrapLocalEnvelope,
        Self::PutAttribute,
        Self::GenerateKey,
        Self::Query,
        Self::GetSignature,
        Self::GenerateSignature,
        Self::VerifySignature,
        Self::EstablishKey,
        Self::VerifyPassword,
    ];

    /// The code of a header's low five bits, if it is one of these.
    #[must_use]
    pub fn from_bits(bits: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.bits() == bits & 0x1F)
    }

    /// The five-bit value.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self as u8
    }
}
