//! Commands to the radio's firmware and its answers: one at a time, sent again until it answers.

use crate::bus::SdioBus;
use crate::cdc::{self, Command};
use crate::control::VERSION_LEN;
use crate::error::{BusError, Error};
use crate::field::u32_at;
use crate::sdpcm::{self, Channel};
use crate::session::{Ends, Session};
use crate::timer::Timer;

/// Attempts of a command, and milliseconds for each.
const ATTEMPTS: u32 = 3;
const ANSWER_MS: u64 = 700;
/// How often an answer is polled for, in milliseconds.
const LOOK_MS: u32 = 1;
/// Bytes of a command: its headers, the longest value, and padding.
const COMMAND_LEN: usize = 192;

/// A command, at a place that suits DMA.
#[repr(align(4))]
struct CommandFrame([u8; COMMAND_LEN]);

/// The answer to the command that waits for one.
pub(crate) struct Answered {
    id: u16,
    /// How many bytes were read, or the firmware's error.
    result: Option<Result<usize, i32>>,
    pub(crate) bytes: [u8; VERSION_LEN],
}

impl Default for Answered {
    fn default() -> Self {
        Self { id: 0, result: None, bytes: [0; VERSION_LEN] }
    }
}

impl Answered {
    /// Takes the answer, if it is the one that is waited for.
    pub(crate) fn take(&mut self, packet: &[u8]) {
        let Some(answer) = cdc::Answer::parse(packet).filter(|answer| answer.id == self.id) else { return };
        self.result = Some(answer.result.map(|bytes| {
            self.bytes.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            bytes.len()
        }));
    }
}

impl<B: SdioBus, T: Timer> Session<'_, '_, B, T> {
    pub(crate) fn rejected(&self, command: Command, status: i32) -> BusError<B::Error> {
        Error::Rejected { step: self.backplane.card.step, command: command as u16, status }
    }

    /// A command that must succeed.
    pub(crate) async fn command(&mut self, request: &cdc::Request<'_>) -> Ends<usize, B> {
        let result = self.try_command(request).await?;
        result.map_err(|status| self.rejected(request.command, status))
    }

    pub(crate) async fn set(&mut self, command: Command, value: u32) -> Ends<(), B> {
        self.command(&cdc::Request::set(command, &value.to_le_bytes())).await.map(drop)
    }

    pub(crate) async fn set_var(&mut self, name: &str, value: &[u8]) -> Ends<(), B> {
        self.command(&cdc::Request::set_var(name, value)).await.map(drop)
    }

    pub(crate) async fn get(&mut self, request: &cdc::Request<'_>) -> Ends<u32, B> {
        self.command(request).await?;
        Ok(u32_at(&self.answered.bytes, 0))
    }

    /// A command, sent again if there is no answer in time. Gives how many bytes were read, or the firmware's error.
    pub(crate) async fn try_command(&mut self, request: &cdc::Request<'_>) -> Ends<Result<usize, i32>, B> {
        for _ in 0..ATTEMPTS {
            let deadline = self.now() + ANSWER_MS;
            while !self.sdpcm.has_credit() && self.now() < deadline {
                self.look().await?;
            }
            if !self.sdpcm.has_credit() {
                self.backplane.poke().await?;
                continue;
            }
            let id = self.answered.id.wrapping_add(1);
            self.answered = Answered { id, ..Answered::default() };
            let mut frame = CommandFrame([0; COMMAND_LEN]);
            let (header, rest) = frame.0.split_at_mut(sdpcm::HEADER_LEN);
            let len = sdpcm::HEADER_LEN + request.emit(id, rest);
            header.copy_from_slice(
                &self.sdpcm.header(Channel::Control, u16::try_from(len).unwrap_or_default()),
            );
            let is_sent = self.backplane.write_frame(&frame.0, len).await?;
            zeroize::Zeroize::zeroize(&mut frame.0);
            if !is_sent {
                continue;
            }
            let deadline = self.now() + ANSWER_MS;
            while self.now() < deadline {
                self.look().await?;
                if let Some(result) = self.answered.result.take() {
                    return Ok(result);
                }
            }
        }
        Err(self.hung())
    }

    /// Receives what there is, or waits a little.
    async fn look(&mut self) -> Ends<(), B> {
        if !self.receive().await? {
            self.timer().delay_ms(LOOK_MS).await;
        }
        Ok(())
    }
}
