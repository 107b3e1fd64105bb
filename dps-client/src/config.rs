//! What a registration needs to know: ids, versions, the optional parts of the request, and timing. Everything is
//! checked when it is given, so nothing later can fail for it.
use crate::Error;
use crate::json;
use crate::message::{PartWriter, write_csr, write_tpm};
use azure_iot_common::Backoff;

/// The public cloud's device endpoint. The name is configuration: national clouds and simulators have others.
pub const GLOBAL_ENDPOINT: &str = "global.azure-devices-provisioning.net";

/// API version used unless another is set: the oldest documented one, enough for everything but certificate issuance
/// and the hub's connection profile.
pub const API_VERSION_DEFAULT: &str = "2019-03-31";

/// API version whose answers carry `issuedCertificateChain` and `connectionProfile`.
pub const API_VERSION_CONNECTION_PROFILE: &str = "2026-11-02-preview";

/// Longest id scope accepted, in bytes.
pub const MAX_ID_SCOPE: usize = 64;
/// Longest registration id, in bytes (Azure's limit; with X.509 the limit of a common name, 64, applies).
pub const MAX_REGISTRATION_ID: usize = 128;
/// Longest API version accepted, in bytes.
pub const MAX_API_VERSION: usize = 32;
/// Longest product text accepted, in bytes before percent-encoding.
pub const MAX_PRODUCT: usize = 64;

/// How the client talks to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Transport {
    /// MQTT 3.1.1 over TLS (port 8883) or WebSocket (443): connect, subscribe, then requests. A lost connection is
    /// a fault.
    #[default]
    Mqtt,
    /// HTTPS: no subscription; answers belong to requests by their connection; the server may close between two
    /// requests.
    Https,
}

/// Time limits and the retry ladder, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Timing {
    /// From [`Action::Connect`](crate::Action::Connect) to `Connected`: TCP, TLS and CONNACK.
    pub connect_ms: u32,
    /// From a request, or the subscription, to its answer.
    pub request_ms: u32,
    /// Between two polls when the service does not say (it usually says 3 s).
    pub poll_ms: u32,
    /// The first connection waits a random time up to this. Spreads a fleet that is switched on together.
    pub spread_ms: u32,
    /// The ladder of waiting times after faults.
    pub backoff: Backoff,
    /// Give up after so many faults in a row; 0 means never. Any success starts the count again.
    pub max_attempts: u32,
}

impl Timing {
    /// 60 s to connect, 30 s for an answer, polls every 2 s, no spread, [`Backoff::DEFAULT`], never give up.
    pub const DEFAULT: Self = Self {
        connect_ms: 60_000,
        request_ms: 30_000,
        poll_ms: 2_000,
        spread_ms: 0,
        backoff: Backoff::DEFAULT,
        max_attempts: 0,
    };
}

impl Default for Timing {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The public parts of a TPM that the service wants in the first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TpmKeys<'a> {
    /// The endorsement key's TPM2B_PUBLIC.
    pub endorsement_key: &'a [u8],
    /// The storage root key's TPM2B_PUBLIC.
    pub storage_root_key: &'a [u8],
}

/// A checked configuration of one registration.
///
/// ```
/// use dps_client::Config;
/// let config = Config::new("0ne00000001", "my-device")?
///     .with_product("acme-thermostat/1.2")?
///     .with_payload(br#"{"modelId":"dtmi:com:example:Thermostat;1"}"#)?;
/// assert_eq!(config.registration_id(), "my-device");
/// # Ok::<(), dps_client::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Config<'a> {
    id_scope: &'a str,
    registration_id: &'a str,
    api_version: &'a str,
    product: Option<&'a str>,
    payload: Option<&'a [u8]>,
    csr: Option<(&'a [u8], PartWriter)>,
    tpm: Option<(TpmKeys<'a>, PartWriter)>,
    transport: Transport,
    credentials: u8,
    timing: Timing,
}

/// Length within bounds and every byte allowed.
fn check(what: &'static str, text: &str, max: usize, allowed: fn(u8) -> bool) -> Result<(), Error> {
    if text.is_empty() || text.len() > max {
        return Err(Error::Invalid { what, at: text.len() });
    }
    match text.bytes().position(|byte| !allowed(byte)) {
        Some(at) => Err(Error::Invalid { what, at }),
        None => Ok(()),
    }
}

impl<'a> Config<'a> {
    /// A registration of `registration_id` in `id_scope` with the defaults: MQTT, one credential,
    /// [`API_VERSION_DEFAULT`], [`Timing::DEFAULT`].
    ///
    /// The registration id has 1-128 letters, digits, `-`, `.`, `_` and `:`, the last one a letter, a digit or `-`.
    /// It is sent as given; the service compares without case. With X.509 it must equal the leaf's common name.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the id and the position.
    pub fn new(id_scope: &'a str, registration_id: &'a str) -> Result<Self, Error> {
        check("id scope", id_scope, MAX_ID_SCOPE, |b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')
        })?;
        check("registration id", registration_id, MAX_REGISTRATION_ID, |b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':')
        })?;
        if registration_id.ends_with(['.', '_', ':']) {
            return Err(Error::Invalid { what: "registration id", at: registration_id.len() - 1 });
        }
        Ok(Self {
            id_scope,
            registration_id,
            api_version: API_VERSION_DEFAULT,
            product: None,
            payload: None,
            csr: None,
            tpm: None,
            transport: Transport::Mqtt,
            credentials: 1,
            timing: Timing::DEFAULT,
        })
    }

    /// Another API version; it decides which members the answers have.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless it is 1-32 letters, digits, `-` and `.`.
    pub fn with_api_version(mut self, api_version: &'a str) -> Result<Self, Error> {
        check("api version", api_version, MAX_API_VERSION, |b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')
        })?;
        self.api_version = api_version;
        Ok(self)
    }

    /// A product text for the service's logs (`ClientVersion`), percent-encoded by this crate.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is empty or longer than [`MAX_PRODUCT`].
    pub fn with_product(mut self, product: &'a str) -> Result<Self, Error> {
        check("product", product, MAX_PRODUCT, |_| true)?;
        self.product = Some(product);
        Ok(self)
    }

    /// JSON for the custom allocation webhook, sent as `payload`. The service wants an object there; Plug and Play
    /// devices send `{"modelId":"dtmi:..."}`.
    ///
    /// # Errors
    /// [`Error::Json`] if it is not one JSON value.
    pub fn with_payload(mut self, payload: &'a [u8]) -> Result<Self, Error> {
        json::check(payload).map_err(Error::Json)?;
        self.payload = Some(payload);
        Ok(self)
    }

    /// A PKCS#10 request in DER, asking the service to issue the device's certificate. Needs an API version of
    /// 2025-07-01-preview or later, such as [`API_VERSION_CONNECTION_PROFILE`].
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is empty.
    pub fn with_csr(mut self, der: &'a [u8]) -> Result<Self, Error> {
        if der.is_empty() {
            return Err(Error::Invalid { what: "CSR", at: 0 });
        }
        self.csr = Some((der, write_csr));
        Ok(self)
    }

    /// Attestation by a TPM, which the service offers over HTTPS only; this selects [`Transport::Https`] too.
    #[must_use]
    pub fn with_tpm(mut self, keys: TpmKeys<'a>) -> Self {
        self.tpm = Some((keys, write_tpm));
        self.transport = Transport::Https;
        self
    }

    /// MQTT or HTTPS. With a TPM it stays HTTPS.
    #[must_use]
    pub fn with_transport(mut self, transport: Transport) -> Self {
        if self.tpm.is_none() {
            self.transport = transport;
        }
        self
    }

    /// How many credentials the device has (primary, secondary...), at least 1. When the service refuses one, the
    /// next [`Action::Connect`](crate::Action::Connect) asks for the one after it.
    #[must_use]
    pub fn with_credentials(mut self, count: u8) -> Self {
        self.credentials = count.max(1);
        self
    }

    /// Other time limits.
    #[must_use]
    pub fn with_timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// The id scope.
    #[must_use]
    pub fn id_scope(&self) -> &'a str {
        self.id_scope
    }

    /// The registration id; also the MQTT client id.
    #[must_use]
    pub fn registration_id(&self) -> &'a str {
        self.registration_id
    }

    /// The API version.
    #[must_use]
    pub fn api_version(&self) -> &'a str {
        self.api_version
    }

    /// The product text, not yet encoded.
    #[must_use]
    pub fn product(&self) -> Option<&'a str> {
        self.product
    }

    /// The custom payload.
    #[must_use]
    pub fn payload(&self) -> Option<&'a [u8]> {
        self.payload
    }

    /// The certificate request.
    #[must_use]
    pub fn csr(&self) -> Option<&'a [u8]> {
        self.csr.map(|(der, _)| der)
    }

    pub(crate) fn csr_writer(&self) -> Option<PartWriter> {
        self.csr.map(|(_, write)| write)
    }

    /// The TPM's public keys.
    #[must_use]
    pub fn tpm(&self) -> Option<TpmKeys<'a>> {
        self.tpm.map(|(keys, _)| keys)
    }

    pub(crate) fn tpm_writer(&self) -> Option<PartWriter> {
        self.tpm.map(|(_, write)| write)
    }

    /// MQTT or HTTPS.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Number of credentials.
    #[must_use]
    pub fn credentials(&self) -> u8 {
        self.credentials
    }

    /// Time limits.
    #[must_use]
    pub fn timing(&self) -> &Timing {
        &self.timing
    }
}
