//! A debugger on the emulated core, to break a program in ways in which it does not break by itself: GDB's remote
//! protocol, the few packets that takes.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// How long the emulator may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that are read at once.
const MAX_READ: usize = 1024;
/// The stack pointer's and the program counter's number.
const PC: u32 = 15;

/// A connection, during which the core stands still.
pub(crate) struct Debugger(UnixStream);

impl Debugger {
    /// Halts the core. The emulator listens at this socket.
    pub(crate) async fn halt(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).await.context("the emulator's debugger port")?;
        let mut debugger = Self(stream);
        debugger.exchange("?").await?;
        // Single registers can be set by those only who have looked at what registers there are.
        debugger.exchange("qXfer:features:read:target.xml:0,400").await?;
        Ok(debugger)
    }

    pub(crate) async fn set_program_counter(&mut self, value: u32) -> Result<()> {
        self.set(PC, value).await
    }

    /// Writes to memory.
    pub(crate) async fn write(&mut self, address: u32, bytes: &[u8]) -> Result<()> {
        let packet = format!("M{address:x},{:x}:{}", bytes.len(), hex::encode(bytes));
        self.ok(&packet).await
    }

    /// Reads memory.
    pub(crate) async fn read(&mut self, address: u32, length: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let at = address + u32::try_from(bytes.len())?;
            let part = (length - bytes.len()).min(MAX_READ);
            let answer = self.exchange(&format!("m{at:x},{part:x}")).await?;
            bytes.extend(hex::decode(&answer).with_context(|| format!("memory at {at:#x}: {answer:?}"))?);
        }
        Ok(bytes)
    }

    /// Lets the core run on.
    pub(crate) async fn release(mut self) -> Result<()> {
        self.ok("D").await
    }

    async fn set(&mut self, register: u32, value: u32) -> Result<()> {
        let packet = format!("P{register:x}={}", hex::encode(value.to_le_bytes()));
        self.ok(&packet).await
    }

    async fn ok(&mut self, packet: &str) -> Result<()> {
        let answer = self.exchange(packet).await?;
        ensure!(answer == "OK", "the emulator's debugger port answers {packet:?} with {answer:?}");
        Ok(())
    }

    async fn exchange(&mut self, packet: &str) -> Result<String> {
        let sum = packet.bytes().fold(0_u8, u8::wrapping_add);
        self.0.write_all(format!("${packet}#{sum:02x}").as_bytes()).await?;
        let answer = async {
            loop {
                let answer = self.answer().await?;
                // That the core has stopped may be said twice.
                if packet == "?" || !answer.starts_with(['T', 'S']) {
                    return anyhow::Ok(answer);
                }
            }
        };
        match timeout(PATIENCE, answer).await {
            Ok(answer) => answer,
            Err(_) => bail!("the emulator's debugger port does not answer {packet:?}"),
        }
    }

    /// Acknowledgements are skipped, and given.
    async fn answer(&mut self) -> Result<String> {
        while self.0.read_u8().await? != b'$' {}
        let mut text = Vec::new();
        loop {
            match self.0.read_u8().await? {
                b'#' => break,
                byte => text.push(byte),
            }
        }
        let mut sum = [0; 2];
        self.0.read_exact(&mut sum).await?;
        self.0.write_all(b"+").await?;
        Ok(String::from_utf8(text)?)
    }
}
