//! The console on a board: feeds the [`Console`] with bytes from the terminal, carries out its requests on secure
//! element, network and identity, and writes its answers. The same for every board.

use core::fmt::Write as _;
use core::pin::{Pin, pin};

use devkit_console::{Answer, Console, KeySource, Request, Setting};
use dice_core::Uds;
use dice_core::pem::{self, Label, Lines};
use dice_core::riot::{DEFAULT_REGISTRATION_ID_MAX_LEN, MacAddress};
use embassy_time::{Duration, Timer, with_timeout};
use embedded_hal_async::delay::DelayNs;
use embedded_hal_async::i2c::I2c;
use embedded_io_async::{Read, Write};
use embedded_storage_async::nor_flash::NorFlash;
use heapless::{String, Vec};
use stsafe_a100::asynch::Stsafe;
use zeroize::Zeroize;

use crate::board::{NETWORKS, Network, System};
use crate::event::Cause;
use crate::host_keys::{HostKeyError, HostKeyStore};
use crate::identity::{Identity, Profile};
use crate::setting_store::{SettingStore, Shown};
use crate::settings::Settings;
use crate::shared::Shared;

/// Room for what one byte from the terminal makes the console write: two certificates in PEM form at most.
const OUT: usize = 4096;
/// Longest text of the certificates.
const PEM: usize = 2048;
/// Lines `version` shows at most.
const VERSIONS: usize = 8;
/// Longest text about a scan that failed.
const SCAN_FAILURE: usize = 256;
/// How long a scan for networks may take.
const SCAN_TIMEOUT: Duration = Duration::from_secs(20);
/// The wait after a read error, so that a line with errors only does not keep the processor busy.
const READ_ERROR_PAUSE: Duration = Duration::from_millis(10);

/// The parts of the board the console works with.
pub(crate) struct ConsoleSession<'a, 's, I2C, D, N, F, S> {
    pub(crate) i2c: I2C,
    pub(crate) delay: &'a mut D,
    pub(crate) network: &'a mut N,
    pub(crate) keys: &'a mut HostKeyStore<F>,
    pub(crate) shared: &'a Shared<'s, S>,
    pub(crate) profile: &'a Profile,
}

impl<I2C: I2c, D: DelayNs, N: Network, F: NorFlash, S: System> ConsoleSession<'_, '_, I2C, D, N, F, S> {
    /// Serves the terminal until the user says `exit`, or it is gone.
    pub(crate) async fn serve<T: Read + Write>(&mut self, terminal: &mut T) {
        let mut console = Console::new();
        let mut out = [0; OUT];
        let mut rest = &mut out[..];
        let _ = console.start(&mut rest);
        let len = OUT - rest.len();
        if send(terminal, out.get(..len).unwrap_or_default()).await.is_err() {
            return;
        }
        let mut keys = [0; 32];
        loop {
            let len = match terminal.read(&mut keys).await {
                // The terminal is closed: `exit` cannot be entered any more.
                Ok(0) => break,
                Ok(len) => len,
                // Noise on the line: the user types again.
                Err(_) => {
                    Timer::after(READ_ERROR_PAUSE).await;
                    continue;
                }
            };
            for key in keys.get(..len).unwrap_or_default() {
                let key: Pin<&mut dyn Future<Output = bool>> =
                    pin!(self.handle_byte(&mut console, *key, &mut out, terminal));
                if key.await {
                    keys.zeroize();
                    return;
                }
            }
            keys.zeroize();
        }
    }

    /// One byte from the terminal; `true` if it ended the session.
    async fn handle_byte<T: Write>(
        &mut self,
        console: &mut Console,
        key: u8,
        out: &mut [u8; OUT],
        terminal: &mut T,
    ) -> bool {
        let mut rest = &mut out[..];
        // The buffer has room for everything one byte can cause.
        let request = console.push(key, &mut rest).ok().flatten();
        let left = rest.len();
        let echo = out.get(..OUT - left).unwrap_or_default();
        let Some(request) = request else { return send(terminal, echo).await.is_err() };
        // The echo is seen before the work begins.
        if send(terminal, echo).await.is_err() || request == Request::Reboot {
            return true;
        }
        let len = match request {
            Request::Versions => self.versions(console, out),
            Request::Scan => pin!(self.scan(console, out)).await,
            Request::Certificate => pin!(self.certificate(console, out)).await,
            request => {
                let mut shown = Shown::new();
                let answer = pin!(self.carry_out(request, &mut shown)).await;
                write_answer(console, answer, out)
            }
        };
        send(terminal, out.get(..len).unwrap_or_default()).await.is_err()
    }

    async fn carry_out<'r>(&mut self, request: Request<'_>, shown: &'r mut Shown) -> Answer<'r> {
        if let Request::Store(Setting::RegistrationId, id) = request
            && id.len() > self.profile.registration_id_max_len()
        {
            return Answer::Failed("it is longer than this firmware's certificate allows");
        }
        if let Request::SetIdentity(source @ (KeySource::Slot | KeySource::Issued)) = request {
            if *self.profile != Profile::Standard {
                return Answer::Failed("this firmware has no certificate for a key in the secure chip");
            }
            if source == KeySource::Issued && !cfg!(feature = "issued-certificates") {
                return Answer::Failed("this firmware does not ask DPS for certificates");
            }
        }
        // Erasing flash may hold the processor for seconds.
        self.shared.system.borrow_mut().feed_watchdog();
        if request == Request::ForgetKeys {
            return match pin!(self.keys.forget()).await {
                Ok(()) => Answer::Done,
                Err(error) => Answer::Failed(error.reason()),
            };
        }
        let mut opened = pin!(open(&mut self.i2c, self.delay, self.keys)).await;
        match &mut opened {
            Ok(store) => {
                let answer = pin!(store.carry_out(request, shown, self.keys)).await;
                answer.unwrap_or(Answer::Failed("not available on this device"))
            }
            Err(why) => Answer::Failed(why),
        }
    }

    #[inline(never)]
    fn versions(&self, console: &mut Console, out: &mut [u8; OUT]) -> usize {
        let system = self.shared.system.borrow();
        let mut firmware = String::<64>::new();
        // A version has no more than a few characters.
        let _ = firmware.push_str("firmware ").and_then(|()| firmware.push_str(system.firmware_version()));
        let own: &str = concat!("devkit-app ", env!("CARGO_PKG_VERSION"));
        let lines = [&*firmware, own].into_iter().chain(system.versions().iter().copied());
        let lines: Vec<&str, VERSIONS> = lines.take(VERSIONS).collect();
        write_answer(console, Answer::Lines(&lines), out)
    }

    async fn scan(&mut self, console: &mut Console, out: &mut [u8; OUT]) -> usize {
        let scanned = with_timeout(SCAN_TIMEOUT, pin!(self.network.scan())).await;
        match scanned {
            Ok(Ok(networks)) => {
                let names: Vec<&[u8], { NETWORKS }> = networks.iter().map(Vec::as_slice).collect();
                write_answer(console, Answer::Networks(&names), out)
            }
            Ok(Err(error)) => write_failure(console, &scan_failure(&error), out),
            Err(_) => write_failure(console, "scanning for networks took too long", out),
        }
    }

    async fn certificate(&mut self, console: &mut Console, out: &mut [u8; OUT]) -> usize {
        let mut settings = Settings::default();
        let uds = pin!(self.read_uds(&mut settings)).await;
        match uds.and_then(|uds| self.show_certificate(&uds, &settings, console, out)) {
            Ok(len) => len,
            Err(why) => write_failure(console, why, out),
        }
    }

    /// What the identity is made of.
    async fn read_uds(&mut self, settings: &mut Settings) -> Result<Uds, &'static str> {
        let mut store = pin!(open(&mut self.i2c, self.delay, self.keys)).await?;
        let uds = pin!(store.uds()).await.map_err(|_| "the UDS cannot be read")?.ok_or("no UDS is stored")?;
        pin!(settings.read(&mut store)).await.map_err(|_| "the settings cannot be read")?;
        pin!(store.save_counter(self.keys)).await.map_err(HostKeyError::reason)?;
        Uds::from_bytes(*uds).map_err(|_| "the stored UDS cannot be used, store another one")
    }

    /// The certificates the device will have with what is stored now.
    #[inline(never)]
    fn show_certificate(
        &self,
        uds: &Uds,
        settings: &Settings,
        console: &mut Console,
        out: &mut [u8; OUT],
    ) -> Result<usize, &'static str> {
        let system = self.shared.system.borrow();
        let mut id = [0; DEFAULT_REGISTRATION_ID_MAX_LEN];
        let id = settings
            .registration_id(MacAddress(system.mac()), system.firmware_version(), &mut id)
            .map_err(|_| "the registration ID is not valid in a certificate")?;
        let (image, version) = (system.image(), system.firmware_version());
        let identity = Identity::derive(self.profile, uds, image, version, id, settings.slot_key())
            .map_err(|_| "the identity cannot be derived from what is stored and this firmware")?;
        Ok(write_chain(&identity, settings.key_source(), console, out))
    }
}

/// Shows the chain in PEM form.
#[inline(never)] // its text is not on the stack while the identity is derived
fn write_chain(identity: &Identity, source: KeySource, console: &mut Console, out: &mut [u8; OUT]) -> usize {
    let mut text = [0; PEM];
    let mut used = 0;
    for certificate in identity.chain() {
        let block = text.get_mut(used..).unwrap_or_default();
        match pem::encode(Label::Certificate, certificate, Lines::Wrapped, block) {
            Ok(block) => used += block.len(),
            // Cannot be: there is room for the longest chain.
            Err(_) => return write_failure(console, "the certificate is too long to be shown", out),
        }
    }
    let text = core::str::from_utf8(text.get(..used).unwrap_or_default()).unwrap_or_default();
    write_answer(console, Answer::Certificate(source, text), out)
}

/// The vault, opened anew for every command: what an interrupted one left is seen as it is.
async fn open<'c, I2C: I2c, D: DelayNs, F: NorFlash>(
    i2c: &'c mut I2C,
    delay: &'c mut D,
    keys: &mut HostKeyStore<F>,
) -> Result<SettingStore<&'c mut I2C, &'c mut D>, &'static str> {
    let opened = pin!(SettingStore::open_for_setup(Stsafe::new(i2c, delay), keys)).await;
    opened.map_err(|error| error.reason())
}

/// What the console says about a scan that failed: the network's own text, with what the user can do if it has that.
/// A text that is too long is cut.
fn scan_failure(cause: &dyn Cause) -> String<SCAN_FAILURE> {
    let mut text = String::new();
    let _ = write!(text, "scanning for networks failed: {cause}");
    text
}

fn write_failure(console: &mut Console, why: &str, out: &mut [u8; OUT]) -> usize {
    write_answer(console, Answer::Failed(why), out)
}

/// Writes an answer and gives its length. The buffer has room for the longest answer; a longer one is cut.
fn write_answer(console: &mut Console, answer: Answer<'_>, out: &mut [u8; OUT]) -> usize {
    let mut rest = &mut out[..];
    let _ = console.answer(answer, &mut rest);
    OUT - rest.len()
}

async fn send<T: Write>(terminal: &mut T, text: &[u8]) -> Result<(), T::Error> {
    if text.is_empty() {
        return Ok(());
    }
    terminal.write_all(text).await?;
    terminal.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_scan_says_why() {
        let text = scan_failure(&"the radio's settings (NVRAM) are missing");
        assert_eq!(text, "scanning for networks failed: the radio's settings (NVRAM) are missing");
    }
}
