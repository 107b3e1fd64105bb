//! The simulated board as a device for the stories: it runs in a thread of its own while it is switched on, in real
//! time.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use access_point::{AccessPoint, Hosts};
use anyhow::{Context as _, Result, anyhow, ensure};
use peripherals::{Air, Buttons, DevKit, Hts221, Panel, SdioCard, Shared, Ssd1306};
use stories::{Device, HostKeys, Running, Terminal};
use stsafe_a100::sim::VirtualChip;

use crate::board::{FLASH_ADDRESS, KEY_ADDRESS, KEY_SECTOR_LEN, VirtualBoard};
use crate::live::{Live, NoLine};
use crate::radio::equip_radio;

/// Of the range of the board's maker.
const MAC: [u8; 6] = [0xC8, 0x93, 0x46, 0x12, 0x34, 0x56];

/// The flash sector with the host keys, as it was when the power went.
#[derive(Debug, Clone)]
struct KeySector(Arc<Mutex<Vec<u8>>>);

impl KeySector {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HostKeys for KeySector {
    fn contents(&self) -> Vec<u8> {
        self.bytes().clone()
    }

    fn replace(&self, bytes: &[u8]) -> Result<()> {
        let mut sector = self.bytes();
        sector.fill(0xFF);
        sector.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Ok(())
    }
}

/// An AZ3166 with this image in a network of its own, the way to which is the radio.
#[allow(missing_debug_implementations, reason = "a secure element has nothing to print")]
pub struct VirtualDevice {
    image: Vec<u8>,
    version: String,
    root: Vec<u8>,
    hosts: Hosts,
    chip: VirtualChip,
    keys: KeySector,
    radio: Arc<Mutex<Option<Shared<SdioCard>>>>,
    air: Arc<Mutex<Option<Air>>>,
    /// The board's time, in milliseconds.
    now_ms: Arc<AtomicU64>,
}

impl VirtualDevice {
    /// A new one, that trusts this root besides its own, in a network with these hosts.
    ///
    /// # Errors
    /// The image cannot be read.
    pub fn new(chip: VirtualChip, image: &Path, version: &str, root: &[u8], hosts: Hosts) -> Result<Self> {
        Ok(Self {
            image: read(image)?,
            version: version.to_owned(),
            root: root.to_vec(),
            hosts,
            chip,
            keys: KeySector(Arc::new(Mutex::new(vec![0xFF; KEY_SECTOR_LEN]))),
            radio: Arc::default(),
            air: Arc::default(),
            now_ms: Arc::default(),
        })
    }

    /// The time of the board that was last switched on.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_millis(self.now_ms.load(Ordering::Relaxed))
    }

    /// The air around the device that was last switched on.
    #[must_use]
    pub fn air(&self) -> Option<Air> {
        self.air.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The radio of the device that was last switched on.
    #[must_use]
    pub fn radio(&self) -> Option<Shared<SdioCard>> {
        self.radio.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn read(image: &Path) -> Result<Vec<u8>> {
    fs::read(image).with_context(|| format!("reading {}", image.display()))
}

/// What a device in its thread gives out.
struct Parts {
    panel: Panel,
    display: Shared<Ssd1306>,
    climate: Shared<Hts221>,
    radio: Shared<SdioCard>,
    air: Air,
}

impl Device for VirtualDevice {
    fn firmware_version(&self) -> &str {
        &self.version
    }

    fn secure_element(&self) -> &VirtualChip {
        &self.chip
    }

    fn host_keys(&self) -> &dyn HostKeys {
        &self.keys
    }

    fn flash(&mut self, image: &Path) -> Result<()> {
        self.image = read(image)?;
        Ok(())
    }

    async fn switch_on(&self, buttons: Buttons) -> Result<Running> {
        let (mut console, terminal) = UnixStream::pair().context("making the console's line")?;
        console.set_nonblocking(true)?;
        terminal.set_nonblocking(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (to, parts) = mpsc::channel();
        let (image, root, chip, keys) =
            (self.image.clone(), self.root.clone(), self.chip.clone(), self.keys.clone());
        let (stopped, now_ms) = (stop.clone(), self.now_ms.clone());
        let thread = std::thread::spawn(move || -> Result<()> {
            let mut board = VirtualBoard::new(&image, DevKit::new(chip, MAC), 1)?;
            board.write_flash(KEY_ADDRESS, &keys.contents())?;
            board.trust(&root)?;
            let air = equip_radio(&mut board)?;
            let kit = board.parts();
            kit.panel.press(|held| *held = buttons);
            let parts = Parts {
                panel: kit.panel.clone(),
                display: kit.display.clone(),
                climate: kit.climate.clone(),
                radio: kit.radio.clone(),
                air,
            };
            // Whoever wanted them has given up.
            let _ = to.send(parts);
            board.power_on()?;
            let result = run(&mut board, &mut console, &stopped, &now_ms);
            if let Err(error) = &result {
                // Whoever waits for something on the console sees why it does not come.
                let _ = write!(console, "\r\nthe simulation has ended: {error:#}\r\n");
            }
            board.power_off();
            let at = (KEY_ADDRESS - FLASH_ADDRESS) as usize;
            keys.replace(board.flash().get(at..at + KEY_SECTOR_LEN).unwrap_or_default())?;
            result
        });
        let power = Power { stop, thread: Some(thread) };
        let parts = tokio::task::spawn_blocking(move || parts.recv()).await?;
        let Ok(Parts { panel, display, climate, radio, air }) = parts else {
            power.cut().await?;
            return Err(anyhow!("the board did not start"));
        };
        *self.radio.lock().unwrap_or_else(PoisonError::into_inner) = Some(radio);
        *self.air.lock().unwrap_or_else(PoisonError::into_inner) = Some(air.clone());
        let hosts = self.hosts.clone();
        let network = tokio::spawn(async move { AccessPoint::new(air, hosts).run().await });
        let terminal = Terminal::new(tokio::net::UnixStream::from_std(terminal)?, false);
        Ok(Running::new(panel, terminal, display, climate, move || {
            Box::pin(async move {
                let end = power.cut().await;
                network.abort();
                end
            })
        }))
    }
}

/// Runs the board until it is stopped; what is typed and what it writes goes over the line.
fn run(
    board: &mut VirtualBoard,
    console: &mut UnixStream,
    stopped: &AtomicBool,
    now_ms: &AtomicU64,
) -> Result<()> {
    let mut live = Live::new(board, NoLine);
    let mut typed = [0; 1];
    while !stopped.load(Ordering::Relaxed) {
        // A character each millisecond: a little slower than the line.
        match console.read(&mut typed) {
            Ok(1) => board.type_on_console(&typed),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        live.step(board)?;
        now_ms.store(u64::try_from(board.now().as_millis())?, Ordering::Relaxed);
        let text = board.take_console();
        if !text.is_empty() {
            console.write_all(&text).context("the console's line")?;
        }
        ensure!(board.lockup().is_none(), "the core stands still: {:?}", board.lockup());
    }
    Ok(())
}

/// The power of a board in its thread; dropping it cuts it, too.
struct Power {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Power {
    async fn cut(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        tokio::task::spawn_blocking(move || thread.join())
            .await?
            .map_err(|_| anyhow!("the board panicked"))?
    }
}

impl Drop for Power {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
