//! What a chip demands of each command: a host session, encryption. The A100 fixes it; the A110 has a command
//! authorisation table for it.

use crate::code::Code;
use crate::command::Command;
use crate::error::Unsuitable;
use crate::response::{AuthorisationTable, Family};

/// Who may give a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum CommandAccess {
    /// 0: nobody.
    Never = 0,
    /// 1: anybody.
    Free = 1,
    /// 2: an admin session.
    Admin = 2,
    /// 3: a host session.
    Host = 3,
    /// 4: an admin session, or anybody after the password.
    AdminOrPassword = 4,
    /// 5: an admin session or a host session.
    AdminOrHost = 5,
}

impl CommandAccess {
    const ALL: [Self; 6] =
        [Self::Never, Self::Free, Self::Admin, Self::Host, Self::AdminOrPassword, Self::AdminOrHost];

    /// From the byte on the wire; `None` for one without a meaning.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The byte on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// Which data fields of a command are encrypted in a host session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Encryption {
    /// Bit 1: the command's.
    pub command: bool,
    /// Bit 0: the response's.
    pub response: bool,
}

impl Encryption {
    /// Neither.
    pub const NONE: Self = Self { command: false, response: false };

    /// From the byte on the wire; `None` for one without a meaning.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        if code > 3 { None } else { Some(Self { command: code & 2 != 0, response: code & 1 != 0 }) }
    }

    /// The byte on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        (self.command as u8) << 1 | self.response as u8
    }
}

/// What a chip demands of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Rule {
    /// The command.
    pub code: Code,
    /// Who may give it.
    pub access: CommandAccess,
    /// What is encrypted.
    pub encryption: Encryption,
}

impl Rule {
    /// A command that anybody may give, in clear.
    #[must_use]
    pub const fn free(code: Code) -> Self {
        Self { code, access: CommandAccess::Free, encryption: Encryption::NONE }
    }

    /// Whether the command needs a host session: because it is for the host only, or because it is encrypted.
    #[must_use]
    pub const fn needs_host(self) -> bool {
        matches!(self.access, CommandAccess::Host | CommandAccess::AdminOrHost)
            || self.encryption.command
            || self.encryption.response
    }
}

/// What a chip demands of every command, and the family whose commands it has.
///
/// [`Stsafe::detect`](crate::blocking::Stsafe::detect) finds them; a host that knows its chip's personalisation can set
/// them in the [`Config`](crate::config::Config).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Rules {
    family: Family,
    /// For each code: access in bits 2..0, encryption in bits 4..3.
    entries: [u8; 32],
}

const ENCRYPTION_SHIFT: u32 = 3;

impl Rules {
    /// The rules that the A100 fixes: wrap, unwrap and key establishment in a host session, their secrets encrypted,
    /// everything else free.
    pub const A100: Self = Self::of_family(Family::A100);

    /// The A110's commands with the A100's rules: what holds where its table says nothing.
    pub const A110: Self = Self::of_family(Family::A110);

    const fn of_family(family: Family) -> Self {
        let secret_out = Encryption { command: false, response: true };
        Self { family, entries: [CommandAccess::Free.code(); 32] }
            .with(Code::WrapLocalEnvelope, CommandAccess::Host, Encryption { command: true, response: false })
            .with(Code::UnwrapLocalEnvelope, CommandAccess::Host, secret_out)
            .with(Code::EstablishKey, CommandAccess::Host, secret_out)
    }

    /// The same with another rule for one command.
    #[must_use]
    #[allow(clippy::indexing_slicing)] // a code is below 32; `get_mut` is not const
    pub const fn with(mut self, code: Code, access: CommandAccess, encryption: Encryption) -> Self {
        self.entries[code.bits() as usize] = access.code() | encryption.code() << ENCRYPTION_SHIFT;
        self
    }

    /// An A110's rules, from its table. Commands that the table does not name keep the rules of [`Self::A110`].
    #[must_use]
    pub fn from_table(table: &AuthorisationTable<'_>) -> Self {
        let mut rules = Self::A110;
        for entry in table.entries() {
            if let Some(code) = Code::from_bits(entry.code) {
                rules = rules.with(code, entry.access, entry.encryption);
            }
        }
        rules
    }

    /// The family whose commands the chip has.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// The rule for this code.
    #[must_use]
    pub fn of(&self, code: Code) -> Rule {
        // A code is below 32, and only meaningful bytes are stored, so no fallback is ever taken.
        let entry = self.entries.get(usize::from(code.bits())).copied().unwrap_or_default();
        Rule {
            code,
            access: CommandAccess::from_code(entry & 7).unwrap_or(CommandAccess::Never),
            encryption: Encryption::from_code(entry >> ENCRYPTION_SHIFT).unwrap_or_default(),
        }
    }

    /// The rule for a command that this driver is about to send.
    ///
    /// The table is read without a MAC, so it may only add to the protection: where it would have a secret travel in
    /// clear that an A100 encrypts, the command is refused.
    ///
    /// # Errors
    /// [`Unsuitable`] if the family does not have it, if nobody or only an admin session may give it, or if its secret
    /// would travel in clear.
    pub fn check(&self, command: &Command<'_>) -> Result<Rule, Unsuitable> {
        let code = command.code();
        if let Some(only) = command.only_family()
            && only != self.family
        {
            return Err(Unsuitable::OtherFamily { code, only });
        }
        let rule = self.of(code);
        match rule.access {
            CommandAccess::Never => return Err(Unsuitable::Never(code)),
            CommandAccess::Admin => return Err(Unsuitable::AdminOnly(code)),
            _ => {}
        }
        let least = Self::A100.of(code).encryption;
        if (least.command && !rule.encryption.command) || (least.response && !rule.encryption.response) {
            return Err(Unsuitable::InClear(code));
        }
        Ok(rule)
    }
}

#[cfg(test)]
mod tests {
    use super::{CommandAccess, Encryption, Rule, Rules};
    use crate::code::Code;
    use crate::command::{Command, Query};
    use crate::error::Unsuitable;
    use crate::response::{AuthorisationTable, Family};

    #[test]
    fn a100_and_a_table() {
        for code in Code::ALL {
            let secret =
                matches!(code, Code::WrapLocalEnvelope | Code::UnwrapLocalEnvelope | Code::EstablishKey);
            assert_eq!(Rules::A100.of(code).needs_host(), secret, "{code:?}");
            assert_eq!(Rules::A110.of(code), Rules::A100.of(code));
        }
        // Read for the host, signatures encrypted both ways, echo for nobody, reset for the admin; 0x1B this driver
        // does not have.
        let table = [1, 5, 0x05, 3, 0, 0x16, 5, 3, 0x00, 0, 0, 0x01, 2, 0, 0x1B, 1, 0];
        let rules = Rules::from_table(&AuthorisationTable::parse(&table).unwrap());
        assert_eq!(rules.family(), Family::A110);
        assert!(rules.of(Code::Read).needs_host());
        let both = Encryption { command: true, response: true };
        let sign =
            Rule { code: Code::GenerateSignature, access: CommandAccess::AdminOrHost, encryption: both };
        assert_eq!(rules.of(Code::GenerateSignature), sign);
        assert_eq!(rules.of(Code::Update), Rule::free(Code::Update));
        assert_eq!(rules.check(&Command::Echo(&[])), Err(Unsuitable::Never(Code::Echo)));
        assert_eq!(rules.check(&Command::Reset), Err(Unsuitable::AdminOnly(Code::Reset)));
        let wrap = Command::WrapLocalEnvelope { slot: 0, data: &[0; 16] };
        assert_eq!(rules.check(&wrap), Ok(Rules::A100.of(Code::WrapLocalEnvelope)));
    }

    #[test]
    fn what_only_one_family_has() {
        let session = Command::StartSignatureSession { slot: 0 };
        let table = Command::Query(Query::CommandAuthorisation);
        let other = |code, only| Err(Unsuitable::OtherFamily { code, only });
        assert_eq!(Rules::A110.check(&session), other(Code::StartSession, Family::A100));
        assert_eq!(Rules::A100.check(&table), other(Code::Query, Family::A110));
        assert!(Rules::A100.check(&session).is_ok() && Rules::A110.check(&table).is_ok());
    }
}
