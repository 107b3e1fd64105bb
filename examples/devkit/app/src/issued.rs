//! Certificates for the key in the secure chip that others issue: the provisioning service at every start, the hub when
//! one is due for renewal.
//!
//! They are in memory only, as the derived identity is: a device that starts proves to the provisioning service which
//! firmware it runs, and gets a new one. So a certificate never outlives a change of the firmware, and a power cut at
//! any moment costs nothing: the key is in the chip, and what registers it is derived. While the device runs, the
//! present certificate is kept until the hub has let the device in with the next one.

use core::cell::RefCell;

use azure_iot_credentials::certificate::Leaf;
use azure_iot_credentials::key::{AsyncRequestSigner, Curve, PublicKey, RequestSigner, Signature};
use azure_iot_credentials::{Error, Policy, Renewal, request};
use dps_client::{API_VERSION_CONNECTION_PROFILE, RegistrationState};
use embedded_hal_async::delay::DelayNs;
use embedded_hal_async::i2c::I2c;
use heapless::Vec;
use iothub_mqtt::certificate::{self, Chain, Progress, Replace};
use iothub_mqtt::runner;

use crate::device_identity::DeviceIdentity;
use crate::identity::SlotKey;

/// The longest chain in bytes of DER; while it is read its last certificate stands there in base64.
pub(crate) const MAX_CHAIN: usize = 3072;
/// The longest request to the hub, in bytes: the certificate request in base64, the names, what is around them.
pub(crate) const MAX_REQUEST: usize = 768;

/// The certificates of one key, and the requests for them.
pub(crate) struct IssuedCertificates<'a> {
    /// The name that they are for.
    id: &'a str,
    key: PublicKey,
    /// The same for every certificate: key and name do not change.
    request: Vec<u8, { request::MAX_LEN }>,
    policy: Policy,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// The hub has let the device in with it; empty if there is none.
    present: Vec<u8, MAX_CHAIN>,
    /// Issued, and not shown with success yet; empty if there is none.
    next: Vec<u8, MAX_CHAIN>,
    renewal: Option<Renewal<KnownKey>>,
    reconnect: bool,
}

impl<'a> IssuedCertificates<'a> {
    /// Has the chip sign the request for certificates.
    ///
    /// # Errors
    /// [`Error::Signer`] if it does not; [`Error::Name`] and [`Error::Key`].
    pub(crate) async fn ask<I2C: I2c, D: DelayNs>(
        id: &'a str,
        key: &SlotKey,
        identity: &DeviceIdentity<'_, '_, I2C, D>,
        policy: Policy,
    ) -> Result<Self, Error> {
        let mut point = [4; 1 + size_of::<SlotKey>()];
        point.iter_mut().skip(1).zip(key).for_each(|(to, from)| *to = *from);
        let key = PublicKey::from_point(Curve::P256, &point)?;
        let mut out = [0; request::MAX_LEN];
        let request = request::write_async(id, &ChipKey { key, identity }, &mut out).await?;
        // As long as a request may be.
        let request = request.iter().copied().collect();
        Ok(Self { id, key, request, policy, state: RefCell::default() })
    }

    /// Sets what the runner asks provisioning service and hub for.
    ///
    /// # Errors
    /// Those of the settings; there are none with versions and requests of the usual form.
    pub(crate) fn prepare<'t>(
        &'t self,
        settings: &mut runner::Settings<'t>,
    ) -> Result<(), iothub_mqtt::Error> {
        let config = settings
            .registration
            .with_api_version(API_VERSION_CONNECTION_PROFILE)
            .and_then(|config| config.with_csr(&self.request));
        settings.registration = config.map_err(iothub_mqtt::Error::Registration)?;
        settings.announcement = settings.announcement.with_api_version(certificate::API_VERSION)?;
        settings.client.certificates = true;
        Ok(())
    }

    /// What the next connection to the hub shows; empty if nothing was issued.
    pub(crate) fn chain(&self) -> Vec<u8, MAX_CHAIN> {
        let state = self.state.borrow();
        if state.next.is_empty() { state.present.clone() } else { state.next.clone() }
    }

    /// The device is assigned, perhaps with a certificate; gives whether there is one.
    ///
    /// # Errors
    /// It is not for this device, or cannot be read; the hub sees the device's own then.
    pub(crate) fn assigned(&self, registration: &RegistrationState<'_>) -> Result<bool, Error> {
        let mut state = self.state.borrow_mut();
        // What it said before does not count any more.
        (state.present, state.next, state.renewal) = (Vec::new(), Vec::new(), None);
        let issued = registration.issued_certificate_chain().map_err(|_| Error::BadCertificate)?;
        let Some(issued) = issued else { return Ok(false) };
        let chain = decode(&Chain::new(issued))?;
        let mut asked = Renewal::new(self.policy, Leaf::parse(&chain)?.validity(), 0);
        asked.begin(KnownKey(self.key));
        asked.issued(&chain, self.id)?;
        state.next = chain;
        Ok(true)
    }

    /// The hub has let the device in: what it has seen is the certificate to keep, and to renew. Gives whether that is
    /// another one than before.
    pub(crate) fn connected(&self, random: u32) -> bool {
        let mut state = self.state.borrow_mut();
        state.reconnect = false;
        let is_new = !state.next.is_empty();
        if is_new {
            state.present = core::mem::take(&mut state.next);
        }
        // A request that was under way is lost with its connection.
        state.renewal =
            Leaf::parse(&state.present).ok().map(|leaf| Renewal::new(self.policy, leaf.validity(), random));
        is_new
    }

    /// The hub has refused the device. A certificate that has never been taken is given up: the present one is shown
    /// again. Gives whether there was one.
    pub(crate) fn refused(&self) -> bool {
        let mut state = self.state.borrow_mut();
        let had_next = !state.next.is_empty() && !state.present.is_empty();
        if had_next {
            state.next.clear();
        }
        had_next
    }

    /// How long until the next request, in seconds; `None` while one is under way, or there is nothing to renew.
    pub(crate) fn due_in_s(&self, now: Option<u64>) -> Option<u64> {
        let state = self.state.borrow();
        let renewal = state.renewal.as_ref().filter(|renewal| renewal.key().is_err())?;
        Some(renewal.due_in_s(now?))
    }

    /// Begins a renewal, and gives the request for the hub.
    ///
    /// # Errors
    /// There is nothing to renew, or the device's name is too long.
    pub(crate) fn begin(&self, device_id: &str) -> Result<Vec<u8, MAX_REQUEST>, Error> {
        let mut out = [0; MAX_REQUEST];
        let body = certificate::request_body(device_id, &self.request, Replace::Any, &mut out);
        let body = body.map_err(|_| Error::Name)?;
        let mut state = self.state.borrow_mut();
        state.renewal.as_mut().ok_or(Error::NoKey)?.begin(KnownKey(self.key));
        Ok(body.iter().copied().collect())
    }

    /// What became of the request. Gives whether a certificate has come, which the next connection shows.
    ///
    /// # Errors
    /// None has, and none will for this request.
    pub(crate) fn progress(&self, progress: &Progress<'_>) -> Result<bool, Error> {
        let chain = match progress {
            Progress::Accepted(_) => return Ok(false),
            Progress::Issued(chain) => decode(chain)?,
            _ => return Err(Error::NoKey),
        };
        let mut state = self.state.borrow_mut();
        let renewal = state.renewal.as_mut().ok_or(Error::NoKey)?;
        renewal.issued(&chain, self.id)?;
        (state.next, state.reconnect) = (chain, true);
        Ok(true)
    }

    /// The request came to nothing; gives after how many seconds there is another one.
    pub(crate) fn failed(&self, now: u64, asked_s: Option<u32>, random: u32) -> Option<u32> {
        self.state.borrow_mut().renewal.as_mut().map(|renewal| renewal.failed(now, asked_s, random))
    }

    /// Whether to connect anew, to show a certificate that has come; once.
    pub(crate) fn take_reconnect(&self) -> bool {
        core::mem::take(&mut self.state.borrow_mut().reconnect)
    }
}

fn decode(chain: &Chain<'_>) -> Result<Vec<u8, MAX_CHAIN>, Error> {
    let mut der = [0; MAX_CHAIN];
    let der = chain.decode(&mut der).map_err(|_| Error::BadCertificate)?;
    Ok(der.iter().copied().collect())
}

/// The key in the chip, as requests are signed with it.
struct ChipKey<'i, 'a, 'b, I2C, D> {
    key: PublicKey,
    identity: &'i DeviceIdentity<'a, 'b, I2C, D>,
}

impl<I2C: I2c, D: DelayNs> AsyncRequestSigner for ChipKey<'_, '_, '_, I2C, D> {
    fn public_key(&self) -> Result<PublicKey, Error> {
        Ok(self.key)
    }

    async fn sign(&self, digest: &[u8]) -> Result<Signature, Error> {
        let digest = digest.try_into().map_err(|_| Error::Signer)?;
        let signature = self.identity.sign_digest(digest).await.map_err(|_| Error::Signer)?;
        Signature::from_bytes(Curve::P256, signature.as_bytes())
    }
}

/// The key of a renewal, whose request was signed before.
#[derive(Debug)]
struct KnownKey(PublicKey);

impl RequestSigner for KnownKey {
    fn public_key(&self) -> Result<PublicKey, Error> {
        Ok(self.0)
    }

    fn sign(&self, _: &[u8]) -> Result<Signature, Error> {
        Err(Error::Signer)
    }
}
