//! The console's requests carried out on the vault in the secure element.

use embedded_hal_async::delay::DelayNs;
use embedded_hal_async::i2c::I2c;
use embedded_storage_async::nor_flash::NorFlash;
use stsafe_a100::Irreversible;
use stsafe_a100::asynch::{Stsafe, Vault};
use stsafe_a100::channel::MaybeHost;
use stsafe_a100::error::Error;
use stsafe_a100::mac::HostKeys;
use stsafe_a100::pairing::level1_keys;
use stsafe_a100::response::HostKeySlot;
use stsafe_a100::vault::{Layout, Setting as Kept, Stored, UDS_LEN, VaultError};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Answer, Request, SecureLevel, Setting, Settings};
use crate::host_keys::{HostKeyError, HostKeyStore, KeptKeys};

/// The device's settings in its secure element, plain or sealed.
///
/// ```
/// use devkit_app::console::{Answer, Request, SettingStore, Setting, Shown};
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
/// # Ok::<(), devkit_app::console::OpenError<stsafe_a100::sim::BusError>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct SettingStore<I2C, D> {
    vault: Vault<'static, I2C, D, MaybeHost>,
}

/// Why the settings are out of reach; `E` is the bus error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError<E> {
    /// The vault says so.
    Vault(VaultError<E>),
    /// The host keys cannot be read.
    HostKeys(HostKeyError),
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
        }
    }
}

impl<E: core::fmt::Debug> core::error::Error for OpenError<E> {}

/// Room for the values `show` prints, about 830 bytes, wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Shown {
    wifi_ssid: [u8; Kept::WifiSsid.max_len()],
    connection: [u8; Kept::Connection.max_len()],
    dps_endpoint: [u8; Kept::DpsEndpoint.max_len()],
    dps_id_scope: [u8; Kept::DpsIdScope.max_len()],
    registration_id: [u8; Kept::RegistrationId.max_len()],
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
    /// The settings on this chip; with the host keys if the device has paired with it. A pairing that was interrupted is
    /// finished; otherwise nothing is changed.
    ///
    /// A device that is known to be paired accepts a chip only that has the keys, too: one that says it has none may be
    /// another.
    ///
    /// # Errors
    /// [`OpenError`]; [`CryptoError::NoHostKeys`](stsafe_a100::error::CryptoError::NoHostKeys) in it if the device is paired
    /// and the chip has no keys.
    pub async fn open<F: NorFlash>(
        mut chip: Stsafe<I2C, D>,
        keys: &mut HostKeyStore<F>,
    ) -> Result<Self, OpenError<I2C::Error>> {
        let kept = match keys.read().await? {
            Some(kept) if !kept.paired && !has_keys(&mut chip).await? => None,
            kept => kept,
        };
        let interrupted = kept.as_ref().is_some_and(|kept| !kept.paired);
        let mut store = Self::with_keys(chip, kept).await?;
        if interrupted {
            store.finish_pairing(keys).await?;
        }
        Ok(store)
    }

    /// As [`Self::open`], for the console, where somebody stands beside the device: keys that the chip does not have are
    /// ignored, and a setting that cannot be sealed does not keep the console from replacing it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_for_setup<F: NorFlash>(
        mut chip: Stsafe<I2C, D>,
        keys: &mut HostKeyStore<F>,
    ) -> Result<Self, OpenError<I2C::Error>> {
        let paired = has_keys(&mut chip).await?;
        let kept = keys.read().await?.filter(|_| paired);
        let interrupted = kept.as_ref().is_some_and(|kept| !kept.paired);
        let mut store = Self::with_keys(chip, kept).await?;
        if interrupted {
            // The next start tries again.
            let _ = store.finish_pairing(keys).await;
        }
        Ok(store)
    }

    async fn with_keys(chip: Stsafe<I2C, D>, kept: Option<KeptKeys>) -> Result<Self, VaultError<I2C::Error>> {
        let chip = chip.host_session_if(kept.map(|kept| kept.keys));
        Ok(Self { vault: Vault::open(chip, &Layout::AZ3166).await? })
    }

    /// Seals what is not sealed yet, and notes that the device is paired.
    async fn finish_pairing<F: NorFlash>(
        &mut self,
        keys: &mut HostKeyStore<F>,
    ) -> Result<(), VaultError<I2C::Error>> {
        self.vault.adopt().await?;
        // The channel works without the note; the next start tries again.
        let _ = keys.confirm().await;
        Ok(())
    }

    /// The unique device secret.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn uds(&mut self) -> Result<Option<Zeroizing<[u8; UDS_LEN]>>, VaultError<I2C::Error>> {
        self.vault.uds().await
    }

    /// Reads a setting into `out`.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn get<'o>(
        &mut self,
        setting: Kept,
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
    /// `keys` keeps the host keys if the chip is to be paired. It must be the one the store was opened with. If it cannot, the
    /// chip stays as it is.
    pub async fn carry_out<'s, F: NorFlash>(
        &mut self,
        request: Request<'_>,
        shown: &'s mut Shown,
        keys: &mut HostKeyStore<F>,
    ) -> Option<Answer<'s>> {
        let done = match request {
            Request::Versions | Request::Reboot | Request::Scan | Request::Certificate => return None,
            Request::Store(setting, value) => self.set(kept(setting), value).await.map(|_| Answer::Done),
            Request::StoreUds(uds) => self.set(Kept::Uds, uds).await.map(identity),
            Request::GenerateUds { replace } => self.vault.generate_uds(replace).await.map(identity),
            Request::EnableSecure(level) => self.enable_secure(level, keys).await,
            Request::Show => self.show(shown).await.map(Answer::Settings),
        };
        Some(done.unwrap_or_else(|error| refusal(&error)))
    }

    async fn set(&mut self, setting: Kept, value: &[u8]) -> Result<Stored, VaultError<I2C::Error>> {
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
        kept: &mut HostKeyStore<F>,
    ) -> Result<Answer<'static>, VaultError<I2C::Error>> {
        if self.vault.has_session() {
            // Ends what an interruption may have left plain.
            self.finish_pairing(kept).await?;
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
        if let Err(error) = kept.keep(&keys).await {
            return Ok(Answer::Failed(error.reason()));
        }
        if !vault.pair(&keys, Irreversible::i_know_this_cannot_be_undone()).await? {
            return Ok(Answer::Failed("the secure chip is paired with other keys"));
        }
        vault.open_session(keys);
        self.finish_pairing(kept).await?;
        Ok(Answer::Done)
    }

    async fn show<'s>(&mut self, shown: &'s mut Shown) -> Result<Settings<'s>, VaultError<I2C::Error>> {
        let secure_channel = self.vault.has_session();
        let wifi_password = self.vault.contains(Kept::WifiPassword).await?;
        let uds = self.vault.contains(Kept::Uds).await?;
        let Shown { wifi_ssid, connection, dps_endpoint, dps_id_scope, registration_id } = shown;
        Ok(Settings {
            wifi_ssid: self.get(Kept::WifiSsid, wifi_ssid).await?,
            wifi_password,
            connection: self.get(Kept::Connection, connection).await?,
            dps_endpoint: self.get(Kept::DpsEndpoint, dps_endpoint).await?,
            dps_id_scope: self.get(Kept::DpsIdScope, dps_id_scope).await?,
            registration_id: self.get(Kept::RegistrationId, registration_id).await?,
            uds,
            secure_channel,
        })
    }
}

/// Whether the chip says that it has host keys.
async fn has_keys<I2C: I2c, D: DelayNs>(chip: &mut Stsafe<I2C, D>) -> Result<bool, VaultError<I2C::Error>> {
    Ok(chip.host_key_slot().await? != HostKeySlot::Empty)
}

/// The vault's name for the console's setting.
fn kept(setting: Setting) -> Kept {
    match setting {
        Setting::WifiSsid => Kept::WifiSsid,
        Setting::WifiPassword => Kept::WifiPassword,
        Setting::HubConnectionString | Setting::DpsConnectionString => Kept::Connection,
        Setting::DpsEndpoint => Kept::DpsEndpoint,
        Setting::DpsIdScope => Kept::DpsIdScope,
        Setting::RegistrationId => Kept::RegistrationId,
    }
}

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

/// What the user is told.
fn refusal<E>(error: &VaultError<E>) -> Answer<'static> {
    Answer::Failed(match error {
        VaultError::Exists(_) => return Answer::Exists,
        VaultError::Chip(Error::Timeout { .. }) => "the secure chip does not answer",
        VaultError::Chip(Error::Device(_)) => "the secure chip refused",
        VaultError::Chip(_) => "the secure chip could not be spoken to",
        VaultError::Layout(_) => "this secure chip has other zones",
        VaultError::Damaged(Kept::Uds) => "the stored UDS is damaged, store it anew",
        VaultError::Damaged(_) => "a stored value is damaged, store it anew",
        VaultError::Sealed(_) => "the secure channel is enabled, and its key is missing",
        VaultError::NotSealed(_) => "a stored value is not sealed, repeat enable_secure",
        VaultError::NotWritten(_) => "it reads back differently",
        _ => "it is not possible",
    })
}
