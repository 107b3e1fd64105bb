//! A board in real time: its clock keeps to this machine's, and its second serial port is connected.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::board::VirtualBoard;

/// How long the board runs before the line is served again.
const STEP: Duration = Duration::from_millis(1);

/// Runs a board at the speed of a real one, or slower where this machine is too slow.
///
/// The line is any byte stream that does not block, such as one end of a `UnixStream` pair.
#[derive(Debug)]
pub struct Live<L> {
    line: L,
    /// Wall clock and board's clock when they were last set side by side.
    start: (Instant, Duration),
}

impl<L: Read + Write> Live<L> {
    /// Connects the second serial port of a board.
    pub fn new(board: &VirtualBoard, line: L) -> Self {
        Self { line, start: (Instant::now(), board.now()) }
    }

    /// Runs until `done` says so, asked once a millisecond. Gives whether it did within `limit` of the board's time.
    ///
    /// # Errors
    /// Those of the CPU emulator and of the line.
    pub fn run_until(
        &mut self,
        board: &mut VirtualBoard,
        limit: Duration,
        mut done: impl FnMut(&mut VirtualBoard) -> bool,
    ) -> Result<bool> {
        let end = board.now() + limit;
        while !done(board) {
            if board.now() >= end {
                return Ok(false);
            }
            self.step(board)?;
        }
        Ok(true)
    }

    /// Runs a step, and waits until as much time has passed here.
    ///
    /// # Errors
    /// Those of the CPU emulator and of the line.
    pub fn step(&mut self, board: &mut VirtualBoard) -> Result<()> {
        let mut bytes = [0; 4096];
        match self.line.read(&mut bytes) {
            Ok(len) => board.send_to_serial(bytes.get(..len).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("reading the board's serial line"),
        }
        board.run_for(STEP)?;
        self.send(&board.take_serial()).context("writing the board's serial line")?;
        let (wall, clock) = self.start;
        let ahead = board.now().saturating_sub(clock).saturating_sub(wall.elapsed());
        if ahead.is_zero() {
            // A slow stretch is not made up for by a fast one: timeouts on this side would see that.
            self.start = (Instant::now(), board.now());
        } else {
            std::thread::sleep(ahead);
        }
        Ok(())
    }

    fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.line.write(bytes) {
                Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(STEP),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// No line: nothing ever comes, and what is sent is gone.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLine;

impl Read for NoLine {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::WouldBlock.into())
    }
}

impl Write for NoLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
