//! Shared access signatures, the service's side: `SharedAccessSignature sr=..&sig=..&se=..[&skn=..]`, fields in any
//! order, signed over the resource exactly as it stands in the token.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::percent;

/// A token as received. `Debug` does not show the signature.
#[derive(Clone)]
pub(super) struct Token {
    signed_text: String,
    resource: String,
    signature: Vec<u8>,
    /// Seconds since 1970 UTC.
    pub(super) expiry: u64,
    pub(super) policy: Option<String>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("resource", &self.resource).finish_non_exhaustive()
    }
}

impl Token {
    /// Reads a token; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let fields = text.strip_prefix("SharedAccessSignature ").ok_or("not a SharedAccessSignature")?;
        let (mut sr, mut sig, mut se, mut skn) = (None, None, None, None);
        for (name, value) in percent::pairs(fields) {
            let slot = match name {
                "sr" => &mut sr,
                "sig" => &mut sig,
                "se" => &mut se,
                "skn" => &mut skn,
                _ => return Err("unknown field in the token"),
            };
            if slot.replace(value.ok_or("field without value in the token")?).is_some() {
                return Err("field twice in the token");
            }
        }
        let sr = sr.ok_or("no sr in the token")?;
        let se = se.ok_or("no se in the token")?;
        let resource = percent::decode(sr).ok_or("sr is not percent-encoded text")?;
        let sig =
            percent::decode(sig.ok_or("no sig in the token")?).ok_or("sig is not percent-encoded text")?;
        Ok(Self {
            signed_text: format!("{sr}\n{se}"),
            resource,
            signature: BASE64_STANDARD.decode(sig).map_err(|_| "sig is not base64")?,
            expiry: se.parse().map_err(|_| "se is not a number of seconds")?,
            policy: skn.map(str::to_owned),
        })
    }

    /// Whether the token names `resource` (compared without case).
    pub(super) fn is_for(&self, resource: &str) -> bool {
        self.resource.to_lowercase() == resource.to_lowercase()
    }

    /// Whether its time is over at `now` (seconds since 1970 UTC).
    /// What the token is for, decoded.
    pub(super) fn resource(&self) -> &str {
        &self.resource
    }

    pub(super) fn is_expired(&self, now: u64) -> bool {
        self.expiry <= now
    }

    /// Whether the signature was made with `key`.
    pub(super) fn is_signed_with(&self, key: &[u8]) -> bool {
        hmac(key).chain_update(&self.signed_text).verify_slice(&self.signature).is_ok()
    }
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    match Hmac::new_from_slice(key) {
        Ok(mac) => mac,
        Err(_) => unreachable!("HMAC takes keys of any length"),
    }
}

/// The key of a device in a symmetric-key group.
pub(super) fn derive_key(group_key: &[u8], registration_id: &str) -> Vec<u8> {
    hmac(group_key).chain_update(registration_id).finalize().into_bytes().to_vec()
}
