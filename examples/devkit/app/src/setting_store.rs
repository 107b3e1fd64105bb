//! The device's settings in its secure element, plain or sealed, and the console's requests carried out on them.

use devkit_console::{Answer, KeySource, Request, SecureLevel, Settings};
use devkit_settings::pairing::level1_keys;
use devkit_settings::{BY_SERVICE, KEY_SLOT, Setting, UDS_LEN, VaultError};
use embedded_hal_async::delay::DelayNs;
use embedded_hal_async::i2c::I2c;
use embedded_storage_async::nor_flash::NorFlash;
use stsafe_a100::Irreversible;
use stsafe_a100::asynch::{Stsafe, Vault};
use stsafe_a100::error::{CryptoError, Error};
use stsafe_a100::session::{HostKeys, MaybeHost};
use stsafe_a100::types::{Curve, HostKeySlot, KeyMode};
use stsafe_a100::vault::Stored;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::host_keys::{HostKeyError, HostKeyStore, Sealing, StoredKeys};

/// The device's settings in its secure element, plain or sealed.
///
/// ```
/// use devkit_app::setting_store::{SettingStore, Shown};
/// use devkit_console::{Answer, Request};
/// use devkit_app::host_keys::{HostKeyStore, NoFlash};
/// use stsafe_a100::asynch::Stsafe;
/// use stsafe_a100::sim::{Profile, VirtualChip};
///
/// # fn block_on<T>(work: impl Future<Output = T>) -> T {
/// #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// #     match std::pin::pin!(work).poll(&mut context) {
/// #         std::task::Poll::Ready(done) => done,
/// #         std::task::Poll::Pending => unreachable!("the virtual chip never waits"),
/// #     }
/// # }
/// # block_on(async {
/// let chip = VirtualChip::new(Profile::az3166(), [0; 32]);
/// let mut keys = HostKeyStore::new(NoFlash);
/// let mut store = SettingStore::open(Stsafe::new(chip.bus(), chip.delay()), &mut keys).await?;
/// let mut shown = Shown::new();
/// let request = Request::GenerateUds { replace: false };
/// let answer = store.carry_out(request, &mut shown, &mut keys).await;
/// assert!(matches!(answer, Some(Answer::Done)));
/// assert!(store.uds().await?.is_some());
/// # Ok::<(), devkit_app::setting_store::OpenError<stsafe_a100::sim::BusError>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct SettingStore<I2C, D> {
    vault: Vault<Setting, I2C, D, MaybeHost>,
}

/// Why the settings are out of reach; `E` is the bus error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError<E> {
    /// The vault says so.
    Vault(VaultError<E>),
    /// The host keys cannot be read.
    HostKeys(HostKeyError),
    /// This device is paired with a chip, and the one on the bus says that it has no host keys: it is another chip, or
    /// another device answers at its address.
    ChipWithoutKeys,
}

impl<E> From<VaultError<E>> for OpenError<E> {
    fn from(error: VaultError<E>) -> Self {
        Self::Vault(error)
    }
}

impl<E> From<Error<E>> for OpenError<E> {
    fn from(error: Error<E>) -> Self {
        Self::Vault(error.into())
    }
}

impl<E> From<HostKeyError> for OpenError<E> {
    fn from(error: HostKeyError) -> Self {
        Self::HostKeys(error)
    }
}

impl<E: core::fmt::Debug> core::fmt::Display for OpenError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Vault(error) => error.fmt(f),
            Self::HostKeys(error) => error.fmt(f),
            Self::ChipWithoutKeys => f.write_str(CHIP_WITHOUT_KEYS),
        }
    }
}

impl<E: core::fmt::Debug> core::error::Error for OpenError<E> {}

impl<E> OpenError<E> {
    /// The answer to the user.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Vault(error) => reason(error),
            Self::HostKeys(error) => error.reason(),
            Self::ChipWithoutKeys => CHIP_WITHOUT_KEYS,
        }
    }
}

const CHIP_WITHOUT_KEYS: &str = "the secure chip says that it has no key, but this device was paired with one: \
    the chip was replaced, or another device answers at its address; \"forget_keys\" gives the old one up";

/// Room for the values `show` prints, about 830 bytes, wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Shown {
    wifi_ssid: [u8; Setting::WifiSsid.max_len()],
    connection: [u8; Setting::Connection.max_len()],
    dps_endpoint: [u8; Setting::DpsEndpoint.max_len()],
    dps_id_scope: [u8; Setting::DpsIdScope.max_len()],
    registration_id: [u8; Setting::RegistrationId.max_len()],
}

impl Shown {
    /// Empty.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            wifi_ssid: [0; _],
            connection: [0; _],
            dps_endpoint: [0; _],
            dps_id_scope: [0; _],
            registration_id: [0; _],
        }
    }
}

impl Default for Shown {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for Shown {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Shown").finish_non_exhaustive()
    }
}

impl<I2C: I2c, D: DelayNs> SettingStore<I2C, D> {
    /// The settings on this chip; with the host keys if the device has paired with it. A pairing or an unsealing that
    /// was interrupted is finished; otherwise nothing is changed.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open<F: NorFlash>(
        chip: Stsafe<I2C, D>,
        keys: &mut HostKeyStore<F>,
    ) -> Result<Self, OpenError<I2C::Error>> {
        let (mut store, interrupted) = Self::open_as_it_is(chip, keys).await?;
        if let Some(task) = interrupted {
            store.finish(task, keys).await?;
        }
        Ok(store)
    }

    /// As [`Self::open`], for the console, where the user is at the device: a setting that cannot be sealed
    /// does not keep the console from replacing it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_for_setup<F: NorFlash>(
        chip: Stsafe<I2C, D>,
        keys: &mut HostKeyStore<F>,
    ) -> Result<Self, OpenError<I2C::Error>> {
        let (mut store, interrupted) = Self::open_as_it_is(chip, keys).await?;
        if let Some(task) = interrupted {
            // The next start tries again.
            let _ = store.finish(task, keys).await;
        }
        Ok(store)
    }

    /// Opens the vault and returns what was interrupted.
    async fn open_as_it_is<F: NorFlash>(
        mut chip: Stsafe<I2C, D>,
        keys: &mut HostKeyStore<F>,
    ) -> Result<(Self, Option<Interrupted>), OpenError<I2C::Error>> {
        let Some(StoredKeys { keys, paired, sealing, lowest }) = keys.read().await? else {
            return Ok((Self { vault: Vault::open(chip.host_session_if(None, None)).await? }, None));
        };
        let chip_has_keys = chip.host_key_slot().await? != HostKeySlot::Empty;
        let (keys, interrupted) = match sealing {
            Sealing::Clear => (None, None),
            // The pairing was interrupted before the chip got the keys.
            Sealing::Sealed if !paired && !chip_has_keys => (None, None),
            _ if !chip_has_keys => return Err(OpenError::ChipWithoutKeys),
            Sealing::Unsealing => (Some(keys), Some(Interrupted::Unsealing)),
            Sealing::Sealed => (Some(keys), (!paired).then_some(Interrupted::Pairing)),
        };
        let mut vault = Vault::open(chip.host_session_if(keys, lowest)).await?;
        if sealing == Sealing::Clear {
            vault.keep_in_clear();
        }
        Ok((Self { vault }, interrupted))
    }

    async fn finish<F: NorFlash>(
        &mut self,
        task: Interrupted,
        keys: &mut HostKeyStore<F>,
    ) -> Result<(), OpenError<I2C::Error>> {
        match task {
            Interrupted::Pairing => self.finish_pairing(keys).await,
            Interrupted::Unsealing => self.finish_unsealing(keys).await,
        }
    }

    /// Seals what is not sealed yet, and notes that the device is paired.
    async fn finish_pairing<F: NorFlash>(
        &mut self,
        keys: &mut HostKeyStore<F>,
    ) -> Result<(), OpenError<I2C::Error>> {
        self.vault.adopt().await?;
        // The channel works without the note; the next start tries again.
        let _ = keys.confirm().await;
        Ok(())
    }

    /// Stores in clear what is still sealed, and goes on without the channel.
    async fn finish_unsealing<F: NorFlash>(
        &mut self,
        keys: &mut HostKeyStore<F>,
    ) -> Result<(), OpenError<I2C::Error>> {
        self.vault.unseal().await?;
        keys.set_sealing(Sealing::Clear).await?;
        self.vault.close_session();
        self.vault.keep_in_clear();
        Ok(())
    }

    /// Remembers how far the channel's counter has come: before what was read is used. Starts leave the last room in
    /// the flash to changes.
    ///
    /// # Errors
    /// [`HostKeyError`].
    pub async fn save_counter<F: NorFlash>(
        &mut self,
        keys: &mut HostKeyStore<F>,
    ) -> Result<(), HostKeyError> {
        if self.vault.has_session() && !keys.is_almost_full().await? {
            self.vault.chip().save_counter(keys).await?;
        }
        Ok(())
    }

    /// How many commands the chip will still take over the secure channel, as far as this session knows; `None`
    /// without one.
    pub fn commands_left(&mut self) -> Option<u32> {
        self.vault.chip().lowest_counter().map(stsafe_a100::session::Counter::commands_left)
    }

    /// The unique device secret.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn uds(&mut self) -> Result<Option<Zeroizing<[u8; UDS_LEN]>>, VaultError<I2C::Error>> {
        let mut uds = Zeroizing::new([0; UDS_LEN]);
        // The table lets no other length pass.
        Ok(self.vault.get(Setting::Uds, &mut *uds).await?.map(|_| uds))
    }

    /// Reads a setting into `out`.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn get<'o>(
        &mut self,
        setting: Setting,
        out: &'o mut [u8],
    ) -> Result<Option<&'o [u8]>, VaultError<I2C::Error>> {
        let len = self.vault.get(setting, out).await?;
        Ok(len.and_then(|len| out.get(..len)))
    }

    /// Gives the chip back.
    #[must_use]
    pub fn release(self) -> Stsafe<I2C, D> {
        self.vault.release().close()
    }

    /// Carries out a request that concerns the stored settings. `None` for the others, which are the board's: versions,
    /// reboot, scan, certificate.
    ///
    /// `keys` keeps the host keys if the chip is to be paired. It must be the one the store was opened with. If it
    /// cannot, the chip stays as it is.
    pub async fn carry_out<'s, F: NorFlash>(
        &mut self,
        request: Request<'_>,
        shown: &'s mut Shown,
        keys: &mut HostKeyStore<F>,
    ) -> Option<Answer<'s>> {
        let changes = !matches!(request, Request::Show);
        let done = match request {
            Request::Versions
            | Request::Reboot
            | Request::Scan
            | Request::Certificate
            | Request::ForgetKeys => {
                return None;
            }
            Request::Store(setting, value) => self.set(setting, value).await.map(|_| Answer::Done),
            Request::StoreUds(uds) => self.set(Setting::Uds, uds).await.map(identity),
            Request::GenerateUds { replace } => {
                self.vault.generate(Setting::Uds, replace).await.map(identity)
            }
            Request::EnableSecure(level) => self.enable_secure(level, keys).await,
            Request::DisableSecure => self.disable_secure(keys).await,
            Request::SetIdentity(source) => self.set_identity(source).await,
            Request::Show => self.show(shown).await.map(Answer::Settings),
        };
        let answer = match done {
            Ok(answer) => answer,
            Err(error) => {
                // An attacker on the bus could still have a failed command executed later; after this, no more.
                if changes && may_be_executed(&error) && self.vault.settle().await.is_err() {
                    return Some(Answer::Failed(OUTCOME_UNKNOWN));
                }
                refusal(&error)
            }
        };
        // Before success is reported, what was recorded until now is made worthless.
        if changes && self.vault.has_session() && self.vault.chip().save_counter(keys).await.is_err() {
            return Some(Answer::Failed(
                "it is stored, but the flash memory with the channel's counter fails",
            ));
        }
        Some(answer)
    }

    async fn set(&mut self, setting: Setting, value: &[u8]) -> Result<Stored, VaultError<I2C::Error>> {
        // An empty value is a cleared one.
        if value.is_empty() {
            self.vault.remove(setting).await?;
            return Ok(Stored::Replaced);
        }
        self.vault.set(setting, value).await
    }

    async fn enable_secure<F: NorFlash>(
        &mut self,
        level: SecureLevel<'_>,
        key_store: &mut HostKeyStore<F>,
    ) -> Result<Answer<'static>, VaultError<I2C::Error>> {
        if self.vault.has_session() {
            // Ends what an interruption may have left plain.
            self.vault.adopt().await?;
            let _ = key_store.confirm().await;
            return Ok(Answer::Exists);
        }
        let vault = &mut self.vault;
        if vault.is_paired() {
            return Ok(Answer::Failed("the secure chip is paired with other keys"));
        }
        let keys = match level {
            SecureLevel::Preset => level1_keys(),
            SecureLevel::Given(key) => host_keys(key),
            SecureLevel::Random => {
                let mut key = Zeroizing::new([0; 32]);
                vault.chip().random(&mut *key).await?;
                host_keys(&key)
            }
        };
        // What cannot be adopted is found out before anything is done that cannot be undone.
        vault.adopt().await?;
        if let Err(error) = key_store.keep(&keys).await {
            return Ok(Answer::Failed(error.reason()));
        }
        if !vault.pair(&keys, Irreversible::i_know_this_cannot_be_undone()).await? {
            return Ok(Answer::Failed("the secure chip is paired with other keys"));
        }
        vault.open_session(keys);
        self.vault.adopt().await?;
        // The channel works without the note; the next start tries again.
        let _ = key_store.confirm().await;
        Ok(Answer::Done)
    }

    async fn disable_secure<F: NorFlash>(
        &mut self,
        keys: &mut HostKeyStore<F>,
    ) -> Result<Answer<'static>, VaultError<I2C::Error>> {
        if !self.vault.has_session() {
            return Ok(Answer::Exists);
        }
        if let Err(error) = keys.set_sealing(Sealing::Unsealing).await {
            return Ok(Answer::Failed(error.reason()));
        }
        match self.finish_unsealing(keys).await {
            Ok(()) => Ok(Answer::Done),
            Err(OpenError::Vault(error)) => Err(error),
            Err(error) => Ok(Answer::Failed(error.reason())),
        }
    }

    /// Makes a key in the chip, and notes its public half; or forgets that, which leaves the key in the chip unused.
    /// Who issues the certificate for it is noted last and forgotten first: alone it means nothing.
    async fn set_identity(&mut self, source: KeySource) -> Result<Answer<'static>, VaultError<I2C::Error>> {
        let present = self.key_source().await?;
        if source == present {
            return Ok(Answer::Exists);
        }
        if present == KeySource::Issued {
            self.vault.remove(Setting::CertificateSource).await?;
        }
        match (source, present) {
            (KeySource::Derived, _) => self.vault.remove(Setting::SlotKey).await?,
            (_, KeySource::Derived) => {
                let (curve, mode) = (Curve::NistP256, KeyMode::SIGN_DIGEST);
                let token = Irreversible::i_know_this_cannot_be_undone();
                // The key before it may have been the device's, until another identity was chosen.
                let made =
                    self.vault.chip().generate_key_pair(KEY_SLOT, curve, mode, UNLIMITED, token).await?;
                let mut point = [0; Setting::SlotKey.max_len()];
                point.iter_mut().zip(made.x().iter().chain(made.y())).for_each(|(to, from)| *to = *from);
                self.vault.set(Setting::SlotKey, &point).await?;
            }
            _ => {}
        }
        if source == KeySource::Issued {
            self.vault.set(Setting::CertificateSource, BY_SERVICE).await?;
        }
        Ok(Answer::Done)
    }

    async fn key_source(&mut self) -> Result<KeySource, VaultError<I2C::Error>> {
        let slot_key = self.vault.contains(Setting::SlotKey).await?;
        let by_service = slot_key && self.vault.contains(Setting::CertificateSource).await?;
        Ok(KeySource::new(slot_key, by_service))
    }

    async fn show<'s>(&mut self, shown: &'s mut Shown) -> Result<Settings<'s>, VaultError<I2C::Error>> {
        let wifi_password = self.vault.contains(Setting::WifiPassword).await?;
        let uds = self.vault.contains(Setting::Uds).await?;
        let identity = self.key_source().await?;
        let Shown { wifi_ssid, connection, dps_endpoint, dps_id_scope, registration_id } = shown;
        Ok(Settings {
            wifi_ssid: self.get(Setting::WifiSsid, wifi_ssid).await?,
            wifi_password,
            connection: self.get(Setting::Connection, connection).await?,
            dps_endpoint: self.get(Setting::DpsEndpoint, dps_endpoint).await?,
            dps_id_scope: self.get(Setting::DpsIdScope, dps_id_scope).await?,
            registration_id: self.get(Setting::RegistrationId, registration_id).await?,
            uds,
            identity,
            secure_channel: self.channel_commands().await?,
        })
    }

    /// As [`Self::commands_left`]; asks the chip if this session has not used the channel yet.
    async fn channel_commands(&mut self) -> Result<Option<u32>, VaultError<I2C::Error>> {
        if !self.vault.has_session() || self.commands_left().is_some() {
            return Ok(self.commands_left());
        }
        Ok(match self.vault.chip().host_key_slot().await? {
            HostKeySlot::Present { counter } => {
                Some(counter.map_or(0, stsafe_a100::session::Counter::commands_left))
            }
            HostKeySlot::Empty => None,
        })
    }
}

/// Whether the last command may have been executed, or may be yet: a refusal without a MAC proves nothing.
fn may_be_executed<E>(error: &VaultError<E>) -> bool {
    let VaultError::Chip(error) = error else { return false };
    error.outcome_unknown() || matches!(error, Error::Device(_) | Error::Timeout { .. })
}

/// A key that may be used for ever.
const UNLIMITED: u16 = 0xFFFF;

/// What an interruption left to do.
#[derive(Clone, Copy)]
enum Interrupted {
    Pairing,
    Unsealing,
}

const OUTCOME_UNKNOWN: &str =
    "the secure chip cannot be reached; the change may or may not have been made, run the command again";

/// The MAC key and the cipher key, one after the other.
fn host_keys(key: &[u8; 32]) -> HostKeys {
    let (mut mac, mut cipher) = ([0; 16], [0; 16]);
    mac.iter_mut().chain(&mut cipher).zip(key).for_each(|(to, from)| *to = *from);
    let keys = HostKeys::new(mac, cipher);
    mac.zeroize();
    cipher.zeroize();
    keys
}

fn identity(stored: Stored) -> Answer<'static> {
    match stored {
        Stored::New | Stored::Unchanged => Answer::Done,
        Stored::Replaced => Answer::Replaced,
    }
}

/// The answer to the user.
fn refusal<E>(error: &VaultError<E>) -> Answer<'static> {
    match error {
        VaultError::Exists(_) => Answer::Exists,
        error => Answer::Failed(reason(error)),
    }
}

fn reason<E>(error: &VaultError<E>) -> &'static str {
    match error {
        VaultError::Chip(Error::Timeout { .. }) => "the secure chip does not answer",
        VaultError::Chip(Error::Device(_)) => "the secure chip refused the command",
        VaultError::Chip(Error::Crypto(CryptoError::CounterWentBack)) => {
            "the secure chip's counter went back: another device may be answering at its address"
        }
        VaultError::Chip(Error::Crypto(CryptoError::CounterExhausted)) => {
            "the secure chip accepts no more commands over the secure channel"
        }
        VaultError::Chip(Error::Crypto(_)) => "the secure chip's answer is not authentic",
        VaultError::Chip(_) => "communication with the secure chip failed",
        VaultError::Table(_) => "the zones of this secure chip are not those of the DevKit",
        VaultError::Damaged(Setting::Uds) => "the stored UDS is damaged, store it again",
        VaultError::Damaged(_) => "a stored value is damaged, store it again",
        VaultError::Sealed(_) => "the secure channel is enabled, and its key is missing",
        VaultError::NotSealed(_) => "a stored value is not protected, run enable_secure again",
        VaultError::NotWritten(_) => "the stored value reads back differently",
        VaultError::Exists(_) => "a value is stored already",
        VaultError::Value(_) => "the value is not valid for this setting",
        _ => "the settings cannot be read or stored",
    }
}
