//! The result of a registration, owned, and its cached form.
use crate::json::JsonStr;
use crate::message::{RegistrationState, Status};
use crate::{AnswerError, Error, Word};

/// Longest hub host name kept, in bytes. Hub names have at most 50 characters before the domain.
pub const MAX_HUB: usize = 128;
/// Longest device id, in bytes (Azure's limit).
pub const MAX_DEVICE_ID: usize = 128;

/// The protocol of the assigned hub. The wire's words are compared without case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ConnectionProfile {
    /// MQTT 3.1.1 (also AMQP and HTTPS); what an answer without the member means.
    #[default]
    Classic,
    /// MQTT 5 only, with topics and bodies of its own (preview in 2026).
    MqttV5,
}

impl ConnectionProfile {
    fn parse(word: JsonStr<'_>) -> Result<Self, Error> {
        if word.eq_ignore_ascii_case("classic") {
            Ok(Self::Classic)
        } else if word.eq_ignore_ascii_case("mqttV5") {
            Ok(Self::MqttV5)
        } else {
            Err(Error::UnknownConnectionProfile(Word::new(word)))
        }
    }
}

/// How an assignment came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Substatus {
    /// First assignment of the device, or to the same hub again.
    InitialAssignment,
    /// Moved to this hub with its twin.
    DeviceDataMigrated,
    /// Moved to this hub, its twin set back.
    DeviceDataReset,
    /// Set back to the initial assignment.
    ReprovisionedToInitialAssignment,
    /// A word of a newer service.
    Other,
}

impl Substatus {
    fn parse(word: JsonStr<'_>) -> Self {
        const ALL: [(&str, Substatus); 4] = [
            ("initialAssignment", Substatus::InitialAssignment),
            ("deviceDataMigrated", Substatus::DeviceDataMigrated),
            ("deviceDataReset", Substatus::DeviceDataReset),
            ("reprovisionedToInitialAssignment", Substatus::ReprovisionedToInitialAssignment),
        ];
        word.find(&ALL).unwrap_or(Self::Other)
    }
}

/// The hub a device belongs to and its name there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Assignment {
    hub: heapless::String<MAX_HUB>,
    device_id: heapless::String<MAX_DEVICE_ID>,
    profile: ConnectionProfile,
    substatus: Option<Substatus>,
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')
}

fn is_device_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b':'
                | b'.'
                | b'+'
                | b'%'
                | b'_'
                | b'#'
                | b'*'
                | b'?'
                | b'!'
                | b'('
                | b')'
                | b','
                | b'='
                | b'@'
                | b'$'
                | b'\''
        )
}

/// Copies a member that must be there, hold at least one character, and only allowed ones.
pub(crate) fn copy_member(
    name: &'static str,
    text: Option<JsonStr<'_>>,
    allowed: fn(u8) -> bool,
    out: &mut heapless::string::StringView,
) -> Result<(), AnswerError> {
    if !text.ok_or(AnswerError::Missing(name))?.copy_to(out) {
        return Err(AnswerError::TooLong(name));
    }
    if out.is_empty() || !out.bytes().all(allowed) {
        return Err(AnswerError::BadMember(name));
    }
    Ok(())
}

impl Assignment {
    /// The assignment in the state of a registration that is `assigned`.
    ///
    /// # Errors
    /// [`Error::Answer`] for hub and device id;
    /// [`Error::UnknownConnectionProfile`]; [`Error::NotAssigned`] if the state itself says so.
    pub fn from_state(state: &RegistrationState<'_>) -> Result<Self, Error> {
        if let Some(status) = state.status()?
            && status != Status::Assigned
        {
            return Err(Error::NotAssigned { status, code: state.error_code()? });
        }
        let mut assignment = Self {
            hub: heapless::String::new(),
            device_id: heapless::String::new(),
            profile: state
                .connection_profile()?
                .map_or(Ok(ConnectionProfile::Classic), ConnectionProfile::parse)?,
            substatus: state.substatus()?.map(Substatus::parse),
        };
        copy_member("assignedHub", state.assigned_hub()?, is_host_byte, &mut assignment.hub)?;
        copy_member("deviceId", state.device_id()?, is_device_id_byte, &mut assignment.device_id)?;
        Ok(assignment)
    }

    /// Host name of the hub.
    #[must_use]
    pub fn hub(&self) -> &str {
        &self.hub
    }

    /// The device's id at the hub, case-sensitive; with X.509 it is the leaf's common name.
    #[must_use]
    pub fn device_id(&self) -> &str {
        &self.device_id
    }

    /// The hub's protocol.
    #[must_use]
    pub fn profile(&self) -> ConnectionProfile {
        self.profile
    }

    /// How it came about, if the service said.
    #[must_use]
    pub fn substatus(&self) -> Option<Substatus> {
        self.substatus
    }
}
