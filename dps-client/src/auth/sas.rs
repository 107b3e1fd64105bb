//! Shared access signatures: `SharedAccessSignature sr=<resource>&sig=<signature>&se=<expiry>[&skn=<policy>]`.
//!
//! The signature is HMAC-SHA256 over [`string_to_sign`]. It can come from anywhere (a secure element, a TPM), or from
//! `SymmetricKey` with feature `sas`. A token is good until its expiry, an absolute time, so the device needs a clock;
//! [`Lifetime`] tells when to renew. MQTT has no renewal in a connection: connect again with a new token.
use crate::message::write_base64;
use crate::{Config, Error, MAX_DEVICE_ID, MAX_HUB, MAX_ID_SCOPE, MAX_REGISTRATION_ID, percent};
use azure_iot_common::text::Writer;

/// The policy name of DPS tokens.
pub const POLICY_REGISTRATION: &str = "registration";
/// Life of a token in Microsoft's SDKs, in seconds.
pub const DEFAULT_TTL_S: u64 = 3600;
/// Room for [`string_to_sign`] of a DPS token, in bytes.
pub const MAX_DPS_STRING_TO_SIGN: usize = MAX_DPS_RESOURCE + 1 + MAX_EXPIRY;
/// Room for [`token`] of DPS with [`POLICY_REGISTRATION`], in bytes.
pub const MAX_DPS_TOKEN: usize = PREFIX.len()
    + MAX_DPS_RESOURCE
    + SIGNATURE.len()
    + MAX_SIGNATURE
    + EXPIRY.len()
    + MAX_EXPIRY
    + POLICY.len()
    + POLICY_REGISTRATION.len();

/// Room for [`string_to_sign`] of a hub token, in bytes.
pub const MAX_HUB_STRING_TO_SIGN: usize = MAX_HUB_RESOURCE + 1 + MAX_EXPIRY;
/// Room for [`token`] of a device or module at a hub, without a policy, in bytes.
pub const MAX_HUB_TOKEN: usize =
    PREFIX.len() + MAX_HUB_RESOURCE + SIGNATURE.len() + MAX_SIGNATURE + EXPIRY.len() + MAX_EXPIRY;

const PREFIX: &str = "SharedAccessSignature sr=";
const SIGNATURE: &str = "&sig=";
const EXPIRY: &str = "&se=";
const POLICY: &str = "&skn=";
/// The separator as Microsoft's C library writes it for DPS; the service takes both cases.
const DPS_REGISTRATIONS: &str = "%2fregistrations%2f";
/// Of the registration id's alphabet only the colon grows.
const MAX_DPS_RESOURCE: usize = MAX_ID_SCOPE + DPS_REGISTRATIONS.len() + 3 * MAX_REGISTRATION_ID;
const HUB_DEVICES: &str = "%2Fdevices%2F";
const HUB_MODULES: &str = "%2Fmodules%2F";
/// In a host name nothing grows, in device and module ids any character may.
const MAX_HUB_RESOURCE: usize =
    MAX_HUB + HUB_DEVICES.len() + 3 * MAX_DEVICE_ID + HUB_MODULES.len() + 3 * MAX_DEVICE_ID;
/// Base64 of 32 bytes, each character encoded in the worst case.
const MAX_SIGNATURE: usize = 3 * 44;
/// Digits of the largest expiry.
const MAX_EXPIRY: usize = 20;

/// What a token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Resource<'a> {
    /// Registration of one device at DPS.
    Dps {
        /// The id scope.
        id_scope: &'a str,
        /// The registration id.
        registration_id: &'a str,
    },
    /// One device or module at its hub.
    Hub {
        /// Host name of the hub.
        host: &'a str,
        /// The device id.
        device_id: &'a str,
        /// The module id, for modules.
        module_id: Option<&'a str>,
    },
}

impl<'a> Resource<'a> {
    /// The DPS resource of a registration.
    #[must_use]
    pub fn of(config: &Config<'a>) -> Self {
        Self::Dps { id_scope: config.id_scope(), registration_id: config.registration_id() }
    }

    fn write(&self, out: &mut Writer<'_>) {
        match *self {
            Self::Dps { id_scope, registration_id } => {
                percent::write(id_scope.as_bytes(), out);
                out.text(DPS_REGISTRATIONS);
                percent::write(registration_id.as_bytes(), out);
            }
            Self::Hub { host, device_id, module_id } => {
                percent::write(host.as_bytes(), out);
                out.text(HUB_DEVICES);
                percent::write(device_id.as_bytes(), out);
                if let Some(module_id) = module_id {
                    out.text(HUB_MODULES);
                    percent::write(module_id.as_bytes(), out);
                }
            }
        }
    }
}

/// The text to sign: the resource as it stands in the token, a line feed, the expiry (seconds since 1970 UTC).
///
/// # Errors
/// [`Error::BufferTooSmall`] with the bytes needed.
pub fn string_to_sign<'b>(resource: &Resource<'_>, expiry: u64, out: &'b mut [u8]) -> Result<&'b str, Error> {
    let mut text = Writer::new(out);
    resource.write(&mut text);
    text.text("\n");
    text.decimal_u64(expiry);
    Ok(text.finish_str()?)
}

/// The token with a signature made elsewhere. `policy` is [`POLICY_REGISTRATION`] for DPS and `None` for a device key
/// at a hub.
///
/// ```
/// use dps_client::{Config, auth::sas};
/// let config = Config::new("0ne00000001", "my-device")?;
/// let resource = sas::Resource::of(&config);
/// let mut text = [0; sas::MAX_DPS_STRING_TO_SIGN];
/// let text = sas::string_to_sign(&resource, 1_900_000_000, &mut text)?;
/// # fn hmac_sha256_of_my_secure_element(_: &[u8]) -> [u8; 32] { [7; 32] }
/// let signature = hmac_sha256_of_my_secure_element(text.as_bytes());
/// let mut token = [0; sas::MAX_DPS_TOKEN];
/// let token = sas::token(&resource, 1_900_000_000, &signature, Some(sas::POLICY_REGISTRATION), &mut token)?;
/// assert!(token.starts_with("SharedAccessSignature sr=0ne00000001%2fregistrations%2fmy-device&sig="));
/// # Ok::<(), dps_client::Error>(())
/// ```
///
/// # Errors
/// [`Error::BufferTooSmall`] with the bytes needed.
pub fn token<'b>(
    resource: &Resource<'_>,
    expiry: u64,
    signature: &[u8; 32],
    policy: Option<&str>,
    out: &'b mut [u8],
) -> Result<&'b str, Error> {
    let mut base64 = [0; 44];
    let mut signature_text = Writer::new(&mut base64);
    write_base64(signature, &mut signature_text);
    let signature_text = signature_text.finish()?;
    let mut token = Writer::new(out);
    token.text(PREFIX);
    resource.write(&mut token);
    token.text(SIGNATURE);
    percent::write(signature_text, &mut token);
    token.text(EXPIRY);
    token.decimal_u64(expiry);
    if let Some(policy) = policy {
        token.text(POLICY);
        percent::write(policy.as_bytes(), &mut token);
    }
    Ok(token.finish_str()?)
}

/// From when to when a token is good, in seconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Lifetime {
    issued: u64,
    expiry: u64,
}

impl Lifetime {
    /// A token issued now that is good for `ttl` seconds.
    #[must_use]
    pub const fn new(now: u64, ttl: u64) -> Self {
        Self { issued: now, expiry: now.saturating_add(ttl) }
    }

    /// The expiry to sign.
    #[must_use]
    pub const fn expiry(&self) -> u64 {
        self.expiry
    }

    /// When to make the next token: after 80 % of the life.
    #[must_use]
    pub const fn renew_at(&self) -> u64 {
        let life = self.expiry - self.issued;
        self.expiry - life / 5
    }

    /// Whether it is time for the next token. So it is, too, when the clock stands before the time of issue.
    #[must_use]
    pub const fn is_due(&self, now: u64) -> bool {
        now >= self.renew_at() || now < self.issued
    }

    /// Whether the service refuses the token by now.
    #[must_use]
    pub const fn is_expired(&self, now: u64) -> bool {
        now >= self.expiry
    }
}

#[cfg(feature = "sas")]
pub use key::{KeyError, SymmetricKey};

#[cfg(feature = "sas")]
mod key {
    //! The key in software.
    use core::fmt;

    use base64ct::{Base64, Encoding};
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha256;
    use subtle::ConstantTimeEq;
    use zeroize::{Zeroize, ZeroizeOnDrop};

    use super::{Resource, string_to_sign, token};
    use crate::Error;

    /// A symmetric enrolment or device key of 16-64 bytes. Wiped on drop, not shown by `Debug`, compared in constant
    /// time.
    #[derive(Clone, Zeroize, ZeroizeOnDrop)]
    pub struct SymmetricKey {
        bytes: [u8; Self::MAX],
        len: usize,
    }

    /// Why a key is not acceptable.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    pub enum KeyError {
        /// Not base64 with padding (RFC 4648, section 4).
        Base64,
        /// Not 16-64 bytes.
        Length,
    }

    impl fmt::Display for KeyError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(match self {
                Self::Base64 => "the key is not base64",
                Self::Length => "the key has not 16-64 bytes",
            })
        }
    }

    impl core::error::Error for KeyError {}

    impl SymmetricKey {
        /// Fewest bytes the service takes.
        pub const MIN: usize = 16;
        /// Most bytes the service takes.
        pub const MAX: usize = 64;

        /// A key from its bytes.
        ///
        /// # Errors
        /// [`KeyError::Length`].
        pub fn new(key: &[u8]) -> Result<Self, KeyError> {
            let mut bytes = [0; Self::MAX];
            match bytes.get_mut(..key.len()) {
                Some(room) if key.len() >= Self::MIN => room.copy_from_slice(key),
                _ => return Err(KeyError::Length),
            }
            Ok(Self { bytes, len: key.len() })
        }

        /// A key as the portal shows it.
        ///
        /// # Errors
        /// [`KeyError`].
        pub fn from_base64(text: &str) -> Result<Self, KeyError> {
            // One more than allowed fits, so that a longer key is told apart from bad text.
            let mut bytes = [0; Self::MAX + 1];
            let key = match Base64::decode(text, &mut bytes) {
                Ok(key) => Self::new(key),
                Err(base64ct::Error::InvalidLength) => Err(KeyError::Length),
                Err(base64ct::Error::InvalidEncoding) => Err(KeyError::Base64),
            };
            bytes.zeroize();
            key
        }

        fn as_bytes(&self) -> &[u8] {
            self.bytes.get(..self.len).unwrap_or(&[])
        }

        /// HMAC-SHA256 of `data`.
        #[must_use]
        pub fn sign(&self, data: &[u8]) -> [u8; 32] {
            // HMAC takes keys of any length, so there is no error to handle.
            Hmac::<Sha256>::new_from_slice(self.as_bytes())
                .map(|hmac| hmac.chain_update(data).finalize().into_bytes().into())
                .unwrap_or_default()
        }

        /// The key of one device in an enrolment group: HMAC-SHA256 of the registration id, exactly as registered,
        /// under the group's key. Do this at manufacture; a device that holds the group key can be any device.
        #[must_use]
        pub fn derive(&self, registration_id: &str) -> Self {
            let mut derived = self.sign(registration_id.as_bytes());
            let mut bytes = [0; Self::MAX];
            for (to, from) in bytes.iter_mut().zip(&derived) {
                *to = *from;
            }
            let len = derived.len();
            derived.zeroize();
            Self { bytes, len }
        }

        /// A signed token; see [`token`]. `out` also holds the text to sign meanwhile, so it needs the token's length
        /// ([`MAX_DPS_TOKEN`](super::MAX_DPS_TOKEN) for DPS,
        /// [`MAX_HUB_TOKEN`](super::MAX_HUB_TOKEN) for a hub).
        ///
        /// # Errors
        /// [`Error::BufferTooSmall`] with the bytes needed.
        pub fn token<'b>(
            &self,
            resource: &Resource<'_>,
            expiry: u64,
            policy: Option<&str>,
            out: &'b mut [u8],
        ) -> Result<&'b str, Error> {
            let signature = self.sign(string_to_sign(resource, expiry, out)?.as_bytes());
            token(resource, expiry, &signature, policy, out)
        }
    }

    impl fmt::Debug for SymmetricKey {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("SymmetricKey(..)")
        }
    }

    impl ConstantTimeEq for SymmetricKey {
        fn ct_eq(&self, other: &Self) -> subtle::Choice {
            self.as_bytes().ct_eq(other.as_bytes())
        }
    }

    impl PartialEq for SymmetricKey {
        fn eq(&self, other: &Self) -> bool {
            self.ct_eq(other).into()
        }
    }

    impl Eq for SymmetricKey {}
}
