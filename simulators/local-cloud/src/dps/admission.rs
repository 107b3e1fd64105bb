//! Who may register: the enrolment that a device's certificate chain, token or TPM opens.

use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::{Answer, Peer, RegisterBody};
use crate::cert::{ClientCertificate, find_anchor};
use crate::enrollment::{Attestation, Enrollment};
use crate::hub::Credential;
use crate::sas::{Token, derive_key};
use crate::shared::Shared;
use crate::tls::algorithms;

/// Why a device is not let in: the service's code and message.
pub(super) type Refusal = (u32, &'static str);

/// An enrolment that a device has proven to be its own.
pub(super) struct Admission {
    pub(super) device_id: String,
    pub(super) enrollment: Enrollment,
    /// The member of `registrationState` that tells the kind of attestation.
    pub(super) attestation: (&'static str, Value),
    pub(super) credential: Credential,
}

impl Admission {
    fn individual(e: Enrollment, attestation: (&'static str, Value), credential: Credential) -> Self {
        let device_id = e.device_id.clone().unwrap_or_else(|| e.id.clone());
        Self { device_id, enrollment: e, attestation, credential }
    }
}

/// This machine cannot read its enrolments now: that is said, and not that there are none.
const UNAVAILABLE: Refusal = (503_001, "The enrolments cannot be read now.");

fn valid_registration_id(id: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    (1..=128).contains(&id.len())
        && id.chars().all(allowed)
        && id.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '-')
}

impl Shared {
    /// Finds the enrolment that lets this device in.
    pub(super) fn admit(&self, peer: &Peer) -> Result<Admission, Refusal> {
        if !valid_registration_id(&peer.registration_id) {
            return Err((400_004, "Invalid registration id."));
        }
        match (peer.caller.chain.first(), &peer.token) {
            // As the service: a certificate goes before a token.
            (Some(leaf), _) => self.admit_certificate(peer, leaf),
            (None, Some(token)) => self.admit_token(peer, token),
            (None, None) => Err((401_000, "Unauthorized")),
        }
    }

    fn individual(&self, registration_id: &str) -> Result<Option<Enrollment>, Refusal> {
        self.enrollments.individual(registration_id).map_err(|_| UNAVAILABLE)
    }

    fn groups(&self) -> Result<Vec<Enrollment>, Refusal> {
        self.enrollments.groups().map_err(|_| UNAVAILABLE)
    }

    fn admit_certificate(&self, peer: &Peer, leaf: &ClientCertificate) -> Result<Admission, Refusal> {
        const INVALID: Refusal = (401_002, "Invalid certificate.");
        let now = SystemTime::now();
        if !leaf.common_name().is_some_and(|cn| cn.eq_ignore_ascii_case(&peer.registration_id)) {
            return Err((401_002, "The certificate's common name is not the registration id."));
        }
        leaf.check_validity(now).map_err(|_| (401_002, "The certificate is not valid at this time."))?;
        let credential = Credential::Thumbprints(vec![leaf.thumbprints().1]);
        let info = json!({ "certificateInfo": leaf.describe() });
        if let Some(enrollment) = self.individual(&peer.registration_id)? {
            let Attestation::X509 { primary, secondary } = &enrollment.attestation else {
                return Err((401_000, "Unauthorized"));
            };
            if leaf.der() != primary.as_slice() && Some(leaf.der()) != secondary.as_deref() {
                return Err(INVALID);
            }
            return Ok(Admission::individual(enrollment, ("x509", info), credential));
        }
        let (groups, anchors): (Vec<Enrollment>, Vec<ClientCertificate>) = self
            .groups()?
            .into_iter()
            .filter_map(|group| match &group.attestation {
                Attestation::X509 { primary, .. } => {
                    let anchor = ClientCertificate::from_der(primary).ok()?;
                    Some((group, anchor))
                }
                Attestation::SymmetricKey { .. } | Attestation::Tpm { .. } => None,
            })
            .unzip();
        let anchor = find_anchor(&peer.caller.chain, &anchors, now, &algorithms()).map_err(|_| INVALID)?;
        let group = anchor
            .and_then(|index| groups.into_iter().nth(index))
            .filter(|_| !leaf.is_authority())
            .ok_or((401_002, "CA certificate not found."))?;
        let mut info = info;
        info["enrollmentGroupId"] = json!(group.id);
        Ok(Admission {
            device_id: leaf.common_name().unwrap_or_default().to_owned(),
            enrollment: group,
            attestation: ("x509", info),
            credential,
        })
    }

    fn admit_token(&self, peer: &Peer, token: &Token) -> Result<Admission, Refusal> {
        const UNAUTHORIZED: Refusal = (401_002, "Unauthorized");
        let resource = format!("{}/registrations/{}", self.config.id_scope, peer.registration_id);
        if token.is_expired(self.faults.now()) || !token.is_for(&resource) {
            return Err(UNAUTHORIZED);
        }
        if token.policy.as_deref().is_some_and(|policy| policy != "registration") {
            return Err(UNAUTHORIZED);
        }
        if let Some(enrollment) = self.individual(&peer.registration_id)? {
            let attestation = enrollment.attestation.clone();
            let keys: Vec<_> = match attestation {
                Attestation::SymmetricKey { primary, secondary } => {
                    std::iter::once(primary).chain(secondary).collect()
                }
                Attestation::Tpm { .. } => {
                    let key =
                        self.registrations().challenges.get(&peer.registration_id.to_lowercase()).cloned();
                    key.into_iter().collect()
                }
                Attestation::X509 { .. } => return Err(UNAUTHORIZED),
            };
            if !keys.iter().any(|key| token.is_signed_with(key)) {
                return Err(UNAUTHORIZED);
            }
            if matches!(enrollment.attestation, Attestation::Tpm { .. }) {
                let identity = rand::random::<[u8; 32]>().to_vec();
                let info = json!({ "authenticationKey": BASE64_STANDARD.encode(&identity) });
                return Ok(Admission::individual(
                    enrollment,
                    ("tpm", info),
                    Credential::Keys(vec![identity]),
                ));
            }
            return Ok(Admission::individual(
                enrollment,
                ("symmetricKey", json!({})),
                Credential::Keys(keys),
            ));
        }
        let mut any_group = false;
        for group in self.groups()? {
            let Attestation::SymmetricKey { primary, secondary } = &group.attestation else {
                continue;
            };
            any_group = true;
            let keys: Vec<_> = std::iter::once(primary)
                .chain(secondary)
                .map(|key| derive_key(key, &peer.registration_id))
                .collect();
            if keys.iter().any(|key| token.is_signed_with(key)) {
                return Ok(Admission {
                    device_id: peer.registration_id.clone(),
                    attestation: ("symmetricKey", json!({ "enrollmentGroupId": group.id })),
                    enrollment: group,
                    credential: Credential::Keys(keys),
                });
            }
        }
        Err(if any_group { UNAUTHORIZED } else { (404_201, "Enrollment not found.") })
    }

    /// The first half of TPM attestation: a key that only the enrolled TPM could read, were it encrypted.
    pub(super) fn tpm_challenge(&self, peer: &Peer, body: &RegisterBody) -> Option<Answer> {
        if !peer.caller.chain.is_empty() || peer.token.is_some() {
            return None;
        }
        let enrollment = match self.individual(&peer.registration_id) {
            Ok(found) => found?,
            Err(refusal) => return Some(self.refuse(peer, refusal)),
        };
        let Attestation::Tpm { endorsement_key } = enrollment.attestation else {
            return None;
        };
        if BASE64_STANDARD.decode(body.endorsement_key.as_ref()?).ok()? != endorsement_key {
            return None;
        }
        let key = rand::random::<[u8; 32]>().to_vec();
        let mut answer = Answer::error(401_000, "Authorization required.");
        answer.body["authenticationKey"] = json!(BASE64_STANDARD.encode(&key));
        answer.body["unencryptedAuthenticationKey"] = Value::Null;
        answer.body["keyName"] = json!("registration");
        self.registrations().challenges.insert(peer.registration_id.to_lowercase(), key);
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registration_ids() {
        assert!(valid_registration_id("az-c89346f8a1b2v2v0v0"));
        assert!(valid_registration_id("A.b_c:d-"));
        for bad in ["", "a b", "a/b", "a.", "a_"] {
            assert!(!valid_registration_id(bad), "{bad}");
        }
        assert!(!valid_registration_id(&"a".repeat(129)));
    }
}
