//! The cable between the emulated Ethernet controller and QEMU's user-mode network: every frame passes through here,
//! and some may get lost.
//!
//! QEMU hands frames out and takes them back over sockets (`filter-redirector`): a length of four bytes, big-endian,
//! and the frame.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// Longest frame that is taken.
const MAX_FRAME: usize = 64 * 1024;

/// Both directions of the cable.
pub(crate) struct Wire {
    ways: [Way; 2],
    loss: Arc<Loss>,
}

struct Way {
    name: &'static str,
    /// QEMU's name for the queue: `rx` is what its network receives from the guest.
    queue: &'static str,
    out: (PathBuf, UnixListener),
    back: (PathBuf, UnixListener),
}

/// How many frames get lost.
#[derive(Default)]
pub(crate) struct Loss {
    percent: AtomicU32,
    lost: AtomicU64,
    passed: AtomicU64,
}

impl Loss {
    /// From now on this many of a hundred frames get lost, in each direction.
    pub(crate) fn set_percent(&self, percent: u32) {
        self.percent.store(percent, Ordering::Relaxed);
    }

    /// Frames lost, and frames passed, since the beginning.
    pub(crate) fn count(&self) -> (u64, u64) {
        (self.lost.load(Ordering::Relaxed), self.passed.load(Ordering::Relaxed))
    }

    fn takes(&self) -> bool {
        let lost = rand::random_range(0..100) < self.percent.load(Ordering::Relaxed);
        let counter = if lost { &self.lost } else { &self.passed };
        counter.fetch_add(1, Ordering::Relaxed);
        lost
    }
}

impl Wire {
    /// A cable that loses nothing yet; its sockets lie in the folder.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let socket = |name: &str| -> Result<_> {
            let path = folder.join(name);
            let listener = UnixListener::bind(&path).with_context(|| format!("socket {}", path.display()))?;
            Ok((path, listener))
        };
        let way = |name, queue| -> Result<_> {
            let (out, back) = (socket(&format!("{name}-out"))?, socket(&format!("{name}-back"))?);
            Ok(Way { name, queue, out, back })
        };
        Ok(Self { ways: [way("sent", "rx")?, way("received", "tx")?], loss: Arc::default() })
    }

    pub(crate) fn loss(&self) -> &Loss {
        &self.loss
    }

    /// QEMU's arguments for the network device `netdev`.
    pub(crate) fn arguments(&self, netdev: &str) -> Vec<String> {
        let mut arguments = Vec::new();
        for way in &self.ways {
            let name = way.name;
            for (end, (path, _)) in [("out", &way.out), ("back", &way.back)] {
                arguments.push("-chardev".to_owned());
                arguments.push(format!("socket,id={name}-{end},path={}", path.display()));
            }
            arguments.push("-object".to_owned());
            arguments.push(format!(
                "filter-redirector,id={name},netdev={netdev},queue={},outdev={name}-out,indev={name}-back",
                way.queue
            ));
        }
        arguments
    }

    /// Takes the connections of a QEMU that was just started, and carries frames until it ends.
    pub(crate) async fn connect(&self) -> Result<()> {
        for way in &self.ways {
            let (out, _) = way.out.1.accept().await?;
            let (back, _) = way.back.1.accept().await?;
            tokio::spawn(carry(out, back, self.loss.clone()));
        }
        Ok(())
    }
}

/// One direction, until QEMU closes it.
async fn carry(mut out: UnixStream, mut back: UnixStream, loss: Arc<Loss>) {
    let mut frame = Vec::new();
    loop {
        let Ok(length) = out.read_u32().await else { return };
        let Some(size) = usize::try_from(length).ok().filter(|size| *size <= MAX_FRAME) else { return };
        frame.clear();
        frame.extend_from_slice(&length.to_be_bytes());
        frame.resize(4 + size, 0);
        if out.read_exact(&mut frame[4..]).await.is_err() {
            return;
        }
        if !loss.takes() && back.write_all(&frame).await.is_err() {
            return;
        }
    }
}
