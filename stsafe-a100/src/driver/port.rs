//! Raw exchanges: a frame written, a response read, each with bounded polling.

use embedded_hal::i2c::{Error as _, ErrorKind, NoAcknowledgeSource};
use zeroize::{Zeroize, Zeroizing};

use super::super::{DelayNs, I2c, front};
use crate::code::Code;
use crate::codec::len16;
use crate::config::Config;
use crate::error::{Error, Phase, ProtocolError};
use crate::fmt::trace;
use crate::frame::{MAX_RESPONSE, RESPONSE_PREFIX, ResponseFrame};
use crate::timing::Polls;

/// The bus, and the one frame buffer.
pub(super) struct Port<I2C, D> {
    i2c: I2C,
    delay: D,
    config: Config,
    buf: Zeroizing<[u8; MAX_RESPONSE]>,
}

impl<I2C, D> Port<I2C, D> {
    pub(super) fn new(i2c: I2C, delay: D, config: Config) -> Self {
        Self { i2c, delay, config, buf: Zeroizing::new([0; MAX_RESPONSE]) }
    }

    pub(super) fn release(self) -> (I2C, D) {
        (self.i2c, self.delay)
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn config_mut(&mut self) -> &mut Config {
        &mut self.config
    }

    pub(super) fn wipe(&mut self) {
        self.buf.zeroize();
    }

    /// The buffer, wiped, for a new command.
    pub(super) fn fresh(&mut self) -> &mut [u8] {
        self.wipe();
        self.buf.as_mut_slice()
    }

    pub(super) fn frame(&self, len: usize) -> &[u8] {
        self.buf.get(..len).unwrap_or_default()
    }

    pub(super) fn frame_mut(&mut self, len: usize) -> &mut [u8] {
        self.buf.get_mut(..len).unwrap_or_default()
    }

    /// The data field of a response, once it was found to be `len` bytes long.
    pub(super) fn data(&self, len: usize) -> &[u8] {
        self.buf.get(3..3 + len).unwrap_or_default()
    }

    /// Header byte and data field of the response frame just read.
    pub(super) fn response(&self, total: usize) -> Result<(u8, &[u8]), ProtocolError> {
        let response = ResponseFrame::parse(self.frame(total), self.config.crc)?;
        Ok((response.header_byte(), response.data))
    }
}

#[front]
impl<I2C: I2c, D: DelayNs> Port<I2C, D> {
    /// Writes the frame in the buffer. A chip that does not acknowledge its address has not taken it: tried again until
    /// the command's time is up. A frame refused later on the way may have been understood: not tried again.
    pub(super) async fn write(&mut self, code: Code, len: usize) -> Result<(), Error<I2C::Error>> {
        let mut polls = Polls::new(&self.config.timing, code);
        loop {
            let frame = self.buf.get(..len).unwrap_or_default();
            match self.i2c.write(self.config.address, frame).await {
                Ok(()) => return Ok(()),
                Err(source) => match source.kind() {
                    ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address | NoAcknowledgeSource::Unknown) => {
                    }
                    _ => return Err(Error::Bus { phase: Phase::Write, source }),
                },
            }
            let ms = polls.next().ok_or(Error::Timeout { code, phase: Phase::Write })?;
            self.delay.delay_ms(ms).await;
        }
    }

    /// Waits for the response, reads it into the buffer and gives its length. The frame is checked as far as its
    /// checksum; a damaged one is read again.
    pub(super) async fn read(&mut self, code: Code) -> Result<usize, Error<I2C::Error>> {
        self.delay.delay_ms(u32::from(self.config.timing.wait(code).first_ms)).await;
        let mut polls = Polls::new(&self.config.timing, code);
        let mut rereads = self.config.rereads;
        loop {
            let error = match self.read_once(code, &mut polls).await {
                Ok(total) => return Ok(total),
                Err(error @ Error::Timeout { .. }) => return Err(error),
                Err(error) => error,
            };
            trace!("answer to {:?} read again", code);
            self.wipe();
            rereads = rereads.checked_sub(1).ok_or(error)?;
        }
    }

    /// Header and length first, then the whole frame from its start: reading begins anew with every transfer.
    async fn read_once(&mut self, code: Code, polls: &mut Polls) -> Result<usize, Error<I2C::Error>> {
        let mut prefix = [0; RESPONSE_PREFIX];
        self.poll_read(code, polls, RESPONSE_PREFIX).await?;
        prefix.copy_from_slice(self.frame(RESPONSE_PREFIX));
        let total = ResponseFrame::total_len(&prefix, self.config.crc)?;
        if total > RESPONSE_PREFIX {
            self.poll_read(code, polls, total).await?;
            if self.frame(RESPONSE_PREFIX) != prefix {
                return Err(ProtocolError::Unstable.into());
            }
        }
        self.response(total)?;
        Ok(total)
    }

    /// Reads `len` bytes into the buffer, polling while the chip does not acknowledge.
    async fn poll_read(
        &mut self,
        code: Code,
        polls: &mut Polls,
        len: usize,
    ) -> Result<(), Error<I2C::Error>> {
        loop {
            let actual = len16(self.buf.len());
            let frame =
                self.buf.get_mut(..len).ok_or(ProtocolError::FrameLength { expected: len16(len), actual })?;
            match self.i2c.read(self.config.address, frame).await {
                Ok(()) => return Ok(()),
                Err(source) => match source.kind() {
                    ErrorKind::NoAcknowledge(_) => {}
                    _ => return Err(Error::Bus { phase: Phase::Read, source }),
                },
            }
            let ms = polls.next().ok_or(Error::Timeout { code, phase: Phase::Read })?;
            self.delay.delay_ms(ms).await;
        }
    }

    /// Makes a START condition that wakes a hibernating chip, and lets it boot. Whether it answers does not matter.
    pub(super) async fn knock(&mut self) {
        let _ = self.i2c.read(self.config.address, &mut [0; 1]).await;
        self.delay.delay_ms(u32::from(self.config.timing.wake_ms)).await;
    }
}
