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

/// A host name: letters, digits, hyphens and dots.
pub(crate) fn is_host(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
}

/// Azure's alphabet of device ids.
pub(crate) fn is_device_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| {
        matches!(b, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'!' | b'#'..=b'%' | b'\''..=b'.' | b':' | b'=')
            || matches!(b, b'?' | b'@' | b'_')
    })
}

/// Copies a member that must be there, fit, and be right.
pub(crate) fn copy_member(
    name: &'static str,
    text: Option<JsonStr<'_>>,
    is_right: fn(&str) -> bool,
    out: &mut heapless::string::StringView,
) -> Result<(), AnswerError> {
    if !text.ok_or(AnswerError::Missing(name))?.copy_to(out) {
        return Err(AnswerError::TooLong(name));
    }
    if is_right(out) { Ok(()) } else { Err(AnswerError::BadMember(name)) }
}

impl Assignment {
    /// The assignment in the state of a registration that is `assigned`.
    ///
    /// # Errors
    /// [`Error::Answer`] for hub and device id;
    /// [`Error::UnknownConnectionProfile`]; [`Error::NotAssigned`] if the state itself says so.
    pub fn from_state(state: &RegistrationState<'_>) -> Result<Self, Error> {
        // Hub and id are what is needed; the rest counts where it can be read.
        if let Ok(Some(status)) = state.status()
            && status != Status::Assigned
        {
            return Err(Error::NotAssigned { status, code: state.error_code().ok().flatten() });
        }
        let profile = state.connection_profile().ok().flatten().filter(|word| !word.is_empty());
        let mut assignment = Self {
            hub: heapless::String::new(),
            device_id: heapless::String::new(),
            // An unknown word is not guessed at: the hub speaks something else.
            profile: profile.map_or(Ok(ConnectionProfile::Classic), ConnectionProfile::parse)?,
            substatus: state.substatus().ok().flatten().map(Substatus::parse),
        };
        copy_member("assignedHub", state.assigned_hub()?, is_host, &mut assignment.hub)?;
        copy_member("deviceId", state.device_id()?, is_device_id, &mut assignment.device_id)?;
        Ok(assignment)
    }

    /// From parts that have been checked; `None` if one is too long.
    pub(crate) fn from_parts(
        hub: &str,
        device_id: &str,
        profile: ConnectionProfile,
        substatus: Option<Substatus>,
    ) -> Option<Self> {
        Some(Self { hub: hub.try_into().ok()?, device_id: device_id.try_into().ok()?, profile, substatus })
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
