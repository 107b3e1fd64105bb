//! A stream whose other side was written down before, and ways to run futures against it.

#![allow(dead_code, reason = "each test uses its part")]

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use embedded_io_async::{ErrorType, Read, Write};

/// Gives `input` in pieces and then its end; keeps what is written. Every other call has to wait once.
#[derive(Debug)]
pub(crate) struct Script {
    input: Vec<u8>,
    at: usize,
    piece: usize,
    waits: bool,
    waited: bool,
    /// What was written.
    pub(crate) output: Vec<u8>,
    /// Bytes of `output` that were flushed.
    pub(crate) flushed: usize,
}

impl Script {
    pub(crate) fn new(input: impl Into<Vec<u8>>, piece: usize) -> Self {
        let input = input.into();
        Self { input, at: 0, piece, waits: false, waited: false, output: Vec::new(), flushed: 0 }
    }

    pub(crate) fn waiting(self) -> Self {
        Self { waits: true, ..self }
    }

    /// What was not read.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.input[self.at..]
    }

    async fn wait(&mut self) {
        poll_fn(|_| {
            self.waited = self.waits && !self.waited;
            if self.waited { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }
}

impl ErrorType for Script {
    type Error = Infallible;
}

impl Read for Script {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        self.wait().await;
        let count = buf.len().min(self.piece).min(self.input.len() - self.at);
        buf[..count].copy_from_slice(&self.input[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

impl Write for Script {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        self.wait().await;
        let count = buf.len().min(self.piece);
        self.output.extend_from_slice(&buf[..count]);
        Ok(count)
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        self.wait().await;
        self.flushed = self.output.len();
        Ok(())
    }
}

/// Runs a future to its end.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

/// Polls a future once and drops it.
pub(crate) fn once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
