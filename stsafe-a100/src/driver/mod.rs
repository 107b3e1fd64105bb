//! The driver's shell around the pure layers. This directory is compiled twice, async and blocking: `super::front`
//! keeps or strips `async` and `.await`.

mod commands;
mod counter;
mod detect;
mod host;
mod keys;
mod port;
mod provision;
#[cfg(feature = "signature-session")]
mod signed;
#[cfg(feature = "ecdsa")]
mod slot_key;
mod zones;

pub use counter::CounterStore;
pub(crate) use detect::ENVELOPE_SLOT;
#[cfg(feature = "signature-session")]
pub use signed::SessionSignature;
#[cfg(feature = "ecdsa")]
pub use slot_key::SlotKey;

use super::{DelayNs, I2c, front};
use crate::channel::{Channel, Plain};
use crate::code::Code;
use crate::codec::Writer;
use crate::command::{Command, Query};
use crate::config::Config;
use crate::error::Error;
use crate::fmt::trace;
use crate::response::HostKeySlot;
use crate::rules::Rule;
use port::Port;

/// A chip on an I2C bus; `S` is the state of the connection: [`Plain`], a host session
/// ([`Host`](crate::session::Host)), or either of them within a signature session.
///
/// It owns one frame buffer of 509 bytes, wiped after every command that may carry a secret, and when dropped.
pub struct Stsafe<I2C, D, S = Plain> {
    port: Port<I2C, D>,
    channel: S,
}

impl<I2C, D, S> core::fmt::Debug for Stsafe<I2C, D, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Stsafe").field("config", self.port.config()).finish_non_exhaustive()
    }
}

impl<I2C, D> Stsafe<I2C, D> {
    /// A chip at its default address with checksums, taken for an A100 until [`detect`](Stsafe::detect) knows better.
    /// Nothing is sent.
    pub fn new(i2c: I2C, delay: D) -> Self {
        Self::with_config(i2c, delay, Config::default())
    }

    /// A chip configured otherwise.
    pub fn with_config(i2c: I2C, delay: D, config: Config) -> Self {
        Self { port: Port::new(i2c, delay, config), channel: Plain }
    }
}

impl<I2C, D, S> Stsafe<I2C, D, S> {
    /// Address, checksums, wait times.
    pub fn config(&self) -> &Config {
        self.port.config()
    }

    /// Changes address, checksums, wait times.
    pub fn config_mut(&mut self) -> &mut Config {
        self.port.config_mut()
    }

    /// Gives the bus and the delay back. Keys and buffer are wiped.
    pub fn release(self) -> (I2C, D) {
        self.port.release()
    }

    /// The state of the connection.
    pub(crate) fn channel(&self) -> &S {
        &self.channel
    }

    /// The same, to be changed.
    pub(crate) fn channel_mut(&mut self) -> &mut S {
        &mut self.channel
    }

    /// The same chip in another state.
    fn map<T>(self, state: impl FnOnce(S) -> T) -> Stsafe<I2C, D, T> {
        Stsafe { port: self.port, channel: state(self.channel) }
    }
}

#[front]
impl<I2C: I2c, D: DelayNs, S: Channel> Stsafe<I2C, D, S> {
    /// One command and its response's data field, through the channel.
    async fn exchange(&mut self, command: Command<'_>) -> Result<&[u8], Error<I2C::Error>> {
        let rule = self.port.config().rules.check(&command)?;
        let code = rule.code;
        if self.channel.wants_counter(rule) {
            let slot = self.read_counter().await?;
            self.channel.set_counter(slot)?;
        }
        let crc = self.port.config().crc;
        let frame = self.port.fresh();
        let len = emit(&command, frame)?;
        let (len, pending) = self.channel.seal(rule, frame, len, crc)?;
        match self.port.write(code, len).await {
            Ok(()) => {}
            Err(error @ Error::Timeout { .. }) => {
                self.channel.not_sent(pending);
                return Err(error);
            }
            Err(error) => return Err(error),
        }
        self.channel.sent(self.port.frame(len - crc.len()));
        let total = self.port.read(code).await?;
        let (header, data) = self.port.response(total)?;
        trace!("{:?} answered: header {}, {} bytes", code, header, data.len());
        self.channel.received(header, data);
        let len = self.channel.open(pending, rule, self.port.frame_mut(total), crc)?;
        Ok(self.port.data(len))
    }

    /// One command whose response is parsed at once; the frame buffer is wiped afterwards.
    async fn run<T>(
        &mut self,
        command: Command<'_>,
        parse: impl FnOnce(&[u8]) -> Result<T, Error<I2C::Error>>,
    ) -> Result<T, Error<I2C::Error>> {
        let result = match self.exchange(command).await {
            Ok(data) => parse(data),
            Err(error) => Err(error),
        };
        self.port.wipe();
        result
    }

    /// One command whose response is empty.
    async fn order(&mut self, command: Command<'_>) -> Result<(), Error<I2C::Error>> {
        self.run(command, |data| Ok(crate::response::parse_empty(data)?)).await
    }

    /// The host key slot, asked for without protection, as the C-MAC counter must be.
    async fn read_counter(&mut self) -> Result<HostKeySlot, Error<I2C::Error>> {
        let crc = self.port.config().crc;
        let frame = self.port.fresh();
        let len = emit(&Command::Query(Query::HostKeySlot), frame)?;
        let rule = Rule::free(Code::Query);
        let (len, ()) = Plain.seal(rule, frame, len, crc)?;
        self.port.write(Code::Query, len).await?;
        self.channel.sent(self.port.frame(len - crc.len()));
        let total = self.port.read(Code::Query).await?;
        let (header, data) = self.port.response(total)?;
        self.channel.received(header, data);
        let len = Plain.open((), rule, self.port.frame_mut(total), crc)?;
        Ok(HostKeySlot::parse(self.port.data(len))?)
    }
}

/// Writes a command's data field where it belongs in a frame and gives its length.
fn emit<E>(command: &Command<'_>, frame: &mut [u8]) -> Result<usize, Error<E>> {
    let mut w = Writer::new(frame.get_mut(1..).unwrap_or_default());
    command.emit(&mut w)?;
    Ok(w.len())
}
