//! CDC: commands to the radio's firmware and their answers, by number or as named variables.

use crate::field::{Writer, u16_at, u32_at};

/// Bytes of the header.
pub const HEADER_LEN: usize = 16;
/// In the header's flags: the command was refused.
const ERROR: u16 = 1;
/// In the header's flags: something is set.
const SET: u16 = 2;

/// Numbers of commands (`WLC_…` in public drivers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[expect(missing_docs, reason = "the firmware's own names")]
pub enum Command {
    Up = 2,
    SetInfra = 20,
    SetAuth = 22,
    SetSsid = 26,
    Disassoc = 52,
    SetPm = 86,
    SetGmode = 110,
    GetRssi = 127,
    SetWsec = 134,
    GetUp = 162,
    SetWpaAuth = 165,
    GetVar = 262,
    SetVar = 263,
    SetWsecPmk = 268,
}

/// What is asked of the firmware.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// The command.
    pub command: Command,
    /// The variable's name, for [`Command::GetVar`] and [`Command::SetVar`].
    pub name: Option<&'r str>,
    /// The value set; nothing for what is only read.
    pub value: &'r [u8],
    /// Bytes of room for what is read; 0 if something is set.
    pub room: u16,
}

impl<'r> Request<'r> {
    /// Sets by number.
    #[must_use]
    pub const fn set(command: Command, value: &'r [u8]) -> Self {
        Self { command, name: None, value, room: 0 }
    }

    /// Sets a variable.
    #[must_use]
    pub const fn set_var(name: &'r str, value: &'r [u8]) -> Self {
        Self { command: Command::SetVar, name: Some(name), value, room: 0 }
    }

    /// Reads by number.
    #[must_use]
    pub const fn get(command: Command, room: u16) -> Self {
        Self { command, name: None, value: &[], room }
    }

    /// Reads a variable.
    #[must_use]
    pub const fn get_var(name: &'r str, room: u16) -> Self {
        Self { command: Command::GetVar, name: Some(name), value: &[], room }
    }

    /// Writes header and payload with this id, and gives how many bytes; what does not fit is cut.
    #[must_use]
    pub fn emit(&self, id: u16, out: &mut [u8]) -> usize {
        let name = self.name.unwrap_or_default().as_bytes();
        let terminator: &[u8] = if self.name.is_some() { &[0] } else { &[] };
        let len = name.len() + terminator.len() + self.value.len();
        // The answer comes in the place of the request: there has to be room for it.
        let len = len.max(usize::from(self.room)).min(out.len().saturating_sub(HEADER_LEN));
        let flags = if self.room == 0 { SET } else { 0 };
        out.fill(0);
        let _ = Writer::new(out)
            .put(&u32::from(self.command as u16).to_le_bytes())
            .put(&u32::try_from(len).unwrap_or_default().to_le_bytes())
            .put(&flags.to_le_bytes())
            .put(&id.to_le_bytes())
            .put(&[0; 4])
            .put(name)
            .put(terminator)
            .put(self.value);
        HEADER_LEN + len
    }
}

/// The firmware's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'f> {
    /// The request's id.
    pub id: u16,
    /// What was read; or the firmware's error number.
    pub result: Result<&'f [u8], i32>,
}

impl<'f> Answer<'f> {
    /// Reads an answer; `None` if it is cut.
    #[must_use]
    pub fn parse(packet: &'f [u8]) -> Option<Self> {
        let payload = packet.get(HEADER_LEN..)?;
        let len = usize::try_from(u32_at(packet, 4)).ok()?;
        let status = u32_at(packet, 12).cast_signed();
        let result =
            if u16_at(packet, 8) & ERROR != 0 || status != 0 { Err(status) } else { Ok(payload.get(..len)?) };
        Some(Self { id: u16_at(packet, 10), result })
    }
}
