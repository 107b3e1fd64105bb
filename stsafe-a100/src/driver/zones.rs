//! Zones: reading, updating, counters, access conditions.

use super::super::{DelayNs, I2c, front};
use super::Stsafe;
use super::commands::{copy, unexpected_length};
use crate::channel::Channel;
use crate::code::Code;
use crate::codec::Reader;
use crate::command::Command;
use crate::error::{Error, InputError, ProtocolError};
use crate::irreversible::Irreversible;
use crate::response::parse_counter;
use crate::zone::{
    Access, MAX_ATOMIC, MAX_READ, MAX_READ_ENCRYPTED, MAX_UPDATE_ENCRYPTED, ZoneOptions, chunks, der_length,
};

#[front]
impl<I2C: I2c, D: DelayNs, S: Channel> Stsafe<I2C, D, S> {
    /// Fills `out` from a data zone, up to [`MAX_READ`] bytes per exchange ([`MAX_READ_ENCRYPTED`] where the chip's
    /// rules encrypt them).
    ///
    /// # Errors
    /// [`InputError::ZoneRange`] if the range exceeds 16 bits; every [`Error`] of an exchange, `out` is then partly
    /// filled.
    pub async fn read(&mut self, zone: u8, offset: u16, out: &mut [u8]) -> Result<(), Error<I2C::Error>> {
        let encrypted = self.config().rules.of(Code::Read).encryption.response;
        let step = if encrypted { MAX_READ_ENCRYPTED } else { MAX_READ };
        for chunk in chunks(offset, out.len(), step)? {
            let out = out.get_mut(chunk.start..chunk.start + chunk.len).unwrap_or_default();
            self.read_once(ZoneOptions::NONE, zone, chunk.offset, out).await?;
        }
        Ok(())
    }

    async fn read_once(
        &mut self,
        options: ZoneOptions,
        zone: u8,
        offset: u16,
        out: &mut [u8],
    ) -> Result<(), Error<I2C::Error>> {
        let len = read_len(out)?;
        self.run(Command::Read { options, zone, offset, len }, |data| copy(data, out)).await
    }

    /// Reads the DER object that starts at the zone's beginning, such as the chip's certificate, and gives its length.
    ///
    /// # Errors
    /// [`ProtocolError::Value`] if the zone does not start with a DER SEQUENCE; [`InputError::TooLong`] if the object
    /// is longer than `out`, with its length; every [`Error`] of an exchange.
    pub async fn read_der(&mut self, zone: u8, out: &mut [u8]) -> Result<usize, Error<I2C::Error>> {
        let mut head = [0; 4];
        self.read(zone, 0, &mut head).await?;
        let [first, ..] = head;
        let len = der_length(head).ok_or(ProtocolError::Value { at: 0, value: first })?;
        let max = u16::try_from(len).unwrap_or(u16::MAX);
        self.read(zone, 0, out.get_mut(..len).ok_or(InputError::TooLong { max })?).await?;
        Ok(len)
    }

    /// Writes to a data zone, in pieces of up to [`Channel::MAX_UPDATE`] bytes ([`MAX_UPDATE_ENCRYPTED`] where the
    /// chip's rules encrypt them), each an exchange. Not atomic: a power cut leaves the zone with any part of the new
    /// bytes.
    ///
    /// # Errors
    /// [`InputError::ZoneRange`] if the range exceeds 16 bits; every [`Error`] of an exchange, the zone is then partly
    /// written.
    pub async fn update(&mut self, zone: u8, offset: u16, data: &[u8]) -> Result<(), Error<I2C::Error>> {
        self.update_in_steps(ZoneOptions::NONE, zone, offset, data, S::MAX_UPDATE).await
    }

    /// Writes up to [`MAX_ATOMIC`] bytes to a data zone, all or nothing.
    ///
    /// # Errors
    /// [`InputError::TooLong`] for more; every [`Error`] of an exchange.
    pub async fn update_atomic(
        &mut self,
        zone: u8,
        offset: u16,
        data: &[u8],
    ) -> Result<(), Error<I2C::Error>> {
        self.order(Command::Update { options: ZoneOptions::ATOMIC, zone, offset, data }).await
    }

    /// Writes to a data zone in steps of [`MAX_ATOMIC`] bytes. Each step is atomic, the whole is not.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub async fn update_atomic_steps(
        &mut self,
        zone: u8,
        offset: u16,
        data: &[u8],
    ) -> Result<(), Error<I2C::Error>> {
        self.update_in_steps(ZoneOptions::ATOMIC, zone, offset, data, MAX_ATOMIC).await
    }

    async fn update_in_steps(
        &mut self,
        options: ZoneOptions,
        zone: u8,
        offset: u16,
        data: &[u8],
        step: usize,
    ) -> Result<(), Error<I2C::Error>> {
        let encrypted = self.config().rules.of(Code::Update).encryption.command;
        let step = if encrypted { step.min(MAX_UPDATE_ENCRYPTED) } else { step };
        for chunk in chunks(offset, data.len(), step)? {
            let data = data.get(chunk.start..chunk.start + chunk.len).unwrap_or_default();
            self.order(Command::Update { options, zone, offset: chunk.offset, data }).await?;
        }
        Ok(())
    }

    /// Reads from a data zone and makes its read condition stricter in the same command.
    ///
    /// # Errors
    /// [`InputError::TooLong`] for more than [`MAX_READ`] bytes; every [`Error`] of an exchange.
    pub async fn restrict_read(
        &mut self,
        zone: u8,
        offset: u16,
        out: &mut [u8],
        access: Access,
        _: Irreversible,
    ) -> Result<(), Error<I2C::Error>> {
        self.read_once(ZoneOptions::change(access), zone, offset, out).await
    }

    /// Writes to a data zone and makes its update condition stricter in the same command.
    ///
    /// # Errors
    /// [`InputError::TooLong`] for more than [`Channel::MAX_UPDATE`] bytes; every [`Error`] of an exchange.
    pub async fn restrict_update(
        &mut self,
        zone: u8,
        offset: u16,
        data: &[u8],
        access: Access,
        _: Irreversible,
    ) -> Result<(), Error<I2C::Error>> {
        if data.len() > S::MAX_UPDATE {
            return Err(InputError::TooLong { max: u16::try_from(S::MAX_UPDATE).unwrap_or(u16::MAX) }.into());
        }
        self.order(Command::Update { options: ZoneOptions::change(access), zone, offset, data }).await
    }

    /// Reads a counter zone: gives the counter and fills `out`, at most [`MAX_READ`] bytes, with the data beside it.
    ///
    /// # Errors
    /// [`InputError::TooLong`] for more; every [`Error`] of an exchange.
    pub async fn read_counter_zone(
        &mut self,
        zone: u8,
        offset: u16,
        out: &mut [u8],
    ) -> Result<u32, Error<I2C::Error>> {
        let len = read_len(out)?;
        let command = Command::Read { options: ZoneOptions::NONE, zone, offset, len };
        self.run(command, |data| {
            let mut r = Reader::new(data);
            let counter = r.u32().map_err(|_| unexpected_length(4 + out.len(), data.len()))?;
            copy(r.rest(), out)?;
            Ok(counter)
        })
        .await
    }

    /// Lowers a counter zone's counter by `amount`, overwrites bytes beside it in the same step, and gives the new
    /// counter. A counter never goes up again.
    ///
    /// # Errors
    /// Every [`Error`] of an exchange.
    pub async fn decrement(
        &mut self,
        zone: u8,
        amount: u32,
        offset: u16,
        data: &[u8],
    ) -> Result<u32, Error<I2C::Error>> {
        let command = Command::Decrement { options: ZoneOptions::NONE, zone, offset, amount, data };
        self.run(command, |data| Ok(parse_counter(data)?)).await
    }
}

/// The length field of a read that fills `out`.
fn read_len(out: &[u8]) -> Result<u16, InputError> {
    let too_long = InputError::TooLong { max: u16::try_from(MAX_READ).unwrap_or(u16::MAX) };
    if out.len() > MAX_READ {
        return Err(too_long);
    }
    u16::try_from(out.len()).map_err(|_| too_long)
}
