//! Which hub a device is assigned to.

use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::enrollment::{AllocationPolicy, Enrollment};
use super::shared::Shared;

/// What a custom allocation is asked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AllocationRequest {
    /// As the device gave it.
    pub registration_id: String,
    /// What the device sent as `payload`.
    pub payload: Option<Value>,
    /// The hubs to choose from.
    pub hubs: Vec<String>,
}

/// What a custom allocation answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// One of the request's hubs.
    pub hub: String,
    /// Returned to the device as `payload` of its registration state.
    pub payload: Option<Value>,
}

/// A custom allocation: the webhook of the service, as a function. `None`: it fails, and so does the registration.
pub(super) type Allocator = Arc<dyn Fn(&AllocationRequest) -> Option<Allocation> + Send + Sync>;

/// What an allocation comes to: the hub's index and the payload returned, or the service's code and message.
pub(super) type Allocated = Result<(usize, Option<Value>), (u32, &'static str)>;

impl Shared {
    /// Chooses the hub for a registration, by its enrolment's policy.
    pub(super) fn allocate(
        &self,
        enrollment: &Enrollment,
        registration_id: &str,
        payload: Option<Value>,
    ) -> Allocated {
        if let Some(hub) = self.faults.move_of(registration_id).and_then(|name| self.hub_index(&name)) {
            return Ok((hub, None));
        }
        let names = self.config.hub_names();
        let hubs: Vec<String> = match enrollment.hubs.as_slice() {
            // Not every device speaks MQTT 5.
            [] => {
                let classic = |(index, _): &(usize, String)| !self.config.is_mqtt5_hub(*index);
                names.into_iter().enumerate().filter(classic).map(|(_, name)| name).collect()
            }
            // In the enrolment's order: the first one is the static allocation's.
            wanted => {
                let known = |name: &&String| names.iter().any(|hub| hub.eq_ignore_ascii_case(name));
                wanted.iter().filter(known).cloned().collect()
            }
        };
        let index = |name: &str| self.hub_index(name).ok_or((400_208, "No IoT hub to assign to."));
        let first = hubs.first().ok_or((400_208, "No IoT hub to assign to."))?.clone();
        match enrollment.allocation {
            AllocationPolicy::Static | AllocationPolicy::GeoLatency => Ok((index(&first)?, None)),
            AllocationPolicy::Hashed => {
                let digest = Sha256::digest(registration_id.to_lowercase());
                let number = digest.iter().take(8).fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
                let chosen = number.checked_rem(hubs.len() as u64).and_then(|n| usize::try_from(n).ok());
                let name = chosen.and_then(|n| hubs.get(n)).unwrap_or(&first);
                Ok((index(name)?, None))
            }
            AllocationPolicy::Custom => match self.allocator() {
                None => Ok((index(&first)?, enrollment.payload.clone())),
                Some(allocator) => {
                    let registration_id = registration_id.to_owned();
                    let request = AllocationRequest { registration_id, payload, hubs: hubs.clone() };
                    let answer = allocator(&request)
                        .filter(|answer| hubs.iter().any(|hub| hub.eq_ignore_ascii_case(&answer.hub)))
                        .ok_or((400_207, "Custom allocation failed."))?;
                    Ok((index(&answer.hub)?, answer.payload))
                }
            },
        }
    }
}
