//! The emulated device: QEMU with the firmware, its virtual peripherals, and a power switch.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use peripherals::{Buttons, DevKit, FlashSector, bridge};
use stories::{Device, HostKeys, Running, Terminal};
use stsafe_a100::sim::{Profile, VirtualChip};
use tokio::process::Command;
use tokio::time::timeout;

use crate::debugger::Debugger;
use crate::wire::Wire;

/// The device's MAC address: of the range of the board's maker.
const MAC: [u8; 6] = [0xc8, 0x93, 0x46, 0x12, 0x34, 0x56];
/// Where the firmware looks for an additional root.
const ROOT_SECTOR: u32 = 0x000E_0000;
/// The socket of the debugger.
const DEBUGGER: &str = "debugger";
/// How long QEMU may take to start.
const START: Duration = Duration::from_secs(20);

/// Everything that survives a power cut.
pub(crate) struct QemuDevice {
    folder: PathBuf,
    firmware: PathBuf,
    version: String,
    chip: VirtualChip,
    key_flash: FlashSector,
    wire: Wire,
    console: tokio::net::UnixListener,
    bridge: UnixListener,
    show: bool,
    explains_refusals: bool,
}

impl QemuDevice {
    /// A device in this folder, with this firmware image, that trusts this root besides its own.
    pub(crate) fn new(
        folder: &Path,
        firmware: &Path,
        version: &str,
        root: &[u8],
        show: bool,
    ) -> Result<Self> {
        let chip = VirtualChip::open(
            &folder.join("secure-element.json"),
            Profile::az3166(),
            VirtualChip::random_seed()?,
        )
        .context("the secure element's file")?;
        let key_flash =
            FlashSector::open(&folder.join("key-sector.bin")).context("the file of the flash sector")?;
        let length = u32::try_from(root.len())?.to_le_bytes();
        fs::write(folder.join("root-sector.bin"), [b"ROOT", length.as_slice(), root].concat())?;
        let listen = |name: &str| {
            let path = folder.join(name);
            UnixListener::bind(&path).with_context(|| format!("socket {}", path.display()))
        };
        let console = listen("console")?;
        console.set_nonblocking(true)?;
        Ok(Self {
            folder: folder.to_owned(),
            firmware: firmware.to_owned(),
            version: version.to_owned(),
            chip,
            key_flash,
            wire: Wire::new(folder)?,
            console: tokio::net::UnixListener::from_std(console)?,
            bridge: listen("bridge")?,
            show,
            explains_refusals: true,
        })
    }

    /// The same with a TLS library that does not tell a server why it was refused.
    pub(crate) fn without_explanations(self) -> Self {
        Self { explains_refusals: false, ..self }
    }

    /// Whether the secure element has host keys.
    pub(crate) fn is_paired(&self) -> bool {
        self.chip.host_counter().is_some()
    }

    /// The cable to the network.
    pub(crate) fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Halts the core of the running device.
    pub(crate) async fn debug(&self) -> Result<Debugger> {
        Debugger::halt(&self.folder.join(DEBUGGER)).await
    }

    fn qemu(&self) -> Command {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let mac = MAC.map(|byte| format!("{byte:02x}")).join(":");
        let mut qemu = Command::new("qemu-system-arm");
        qemu.args(["-M", "mps2-an386", "-display", "none", "-monitor", "none", "-no-user-config"]);
        // The chardevs in the order in which the sockets are accepted.
        qemu.args(["-netdev", "user,id=net"]).args(self.wire.arguments("net"));
        qemu.args(["-net".to_owned(), format!("nic,netdev=net,model=lan9118,macaddr={mac}")]);
        qemu.args(["-serial".to_owned(), format!("unix:{}", file("console"))]);
        qemu.args(["-serial".to_owned(), format!("unix:{}", file("bridge"))]);
        qemu.arg("-kernel").arg(&self.firmware);
        let debugger = format!("socket,id=debugger,path={},server=on,wait=off", file(DEBUGGER));
        qemu.args(["-chardev", &debugger, "-gdb", "chardev:debugger"]);
        let root = format!("loader,file={},addr={ROOT_SECTOR:#x},force-raw=on", file("root-sector.bin"));
        qemu.args(["-device", &root]);
        // Ctrl-C is for this program.
        qemu.stdin(Stdio::null()).kill_on_drop(true).process_group(0);
        qemu
    }
}

impl Device for QemuDevice {
    fn firmware_version(&self) -> &str {
        &self.version
    }

    fn explains_refusals(&self) -> bool {
        self.explains_refusals
    }

    fn secure_element(&self) -> &VirtualChip {
        &self.chip
    }

    fn host_keys(&self) -> &dyn HostKeys {
        &self.key_flash
    }

    fn flash(&mut self, firmware: &Path) -> Result<()> {
        firmware.clone_into(&mut self.firmware);
        Ok(())
    }

    async fn switch_on(&self, buttons: Buttons) -> Result<Running> {
        self.chip.power_on();
        let mut kit = DevKit::new(self.chip.clone(), MAC);
        kit.key_flash = self.key_flash.clone();
        kit.panel.press(|held| *held = buttons);
        let (display, climate, panel) = (kit.display.clone(), kit.climate.clone(), kit.panel.clone());
        let mut qemu = self.qemu().spawn().context("starting qemu-system-arm")?;
        let bridge = self.bridge.try_clone()?;
        std::thread::spawn(move || {
            if let Ok((mut line, _)) = bridge.accept() {
                // It ends in the midst of a request when the plug is pulled.
                let _ = bridge::serve(&mut line, &mut kit);
            }
        });
        let connect = async {
            self.wire.connect().await?;
            let (line, _) = self.console.accept().await?;
            anyhow::Ok(line)
        };
        let line = tokio::select! {
            line = timeout(START, connect) => line.context("QEMU does not start")??,
            status = qemu.wait() => bail!("QEMU ended: {}", status?),
        };
        let (chip, terminal) = (self.chip.clone(), Terminal::new(line, self.show));
        Ok(Running::new(panel, terminal, display, climate, move || {
            Box::pin(async move {
                chip.power_off();
                qemu.kill().await.context("ending QEMU")
            })
        }))
    }
}
