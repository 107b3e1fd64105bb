//! A stream in memory between the two sides.

use core::cell::RefCell;
use core::convert::Infallible;
use core::future::poll_fn;
use core::task::Poll;
use embedded_io_async::{ErrorType, Read, Write};
use heapless::Deque;

type Pipe = RefCell<Deque<u8, 8192>>;

pub(crate) struct Pipes(Pipe, Pipe);

pub(crate) struct End<'a> {
    from: &'a Pipe,
    to: &'a Pipe,
}

impl Pipes {
    pub(crate) const fn new() -> Self {
        Self(RefCell::new(Deque::new()), RefCell::new(Deque::new()))
    }

    pub(crate) fn ends(&self) -> (End<'_>, End<'_>) {
        (End { from: &self.0, to: &self.1 }, End { from: &self.1, to: &self.0 })
    }
}

impl ErrorType for End<'_> {
    type Error = Infallible;
}

impl Read for End<'_> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        poll_fn(|_| {
            let mut pipe = self.from.borrow_mut();
            let count = pipe.len().min(buf.len());
            if count == 0 && !buf.is_empty() {
                return Poll::Pending; // whoever polls does it again
            }
            buf.iter_mut().take(count).for_each(|byte| *byte = pipe.pop_front().unwrap_or_default());
            Poll::Ready(Ok(count))
        })
        .await
    }
}

impl Write for End<'_> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        poll_fn(|_| {
            let mut pipe = self.to.borrow_mut();
            let count = buf.iter().take_while(|byte| pipe.push_back(**byte).is_ok()).count();
            if count == 0 && !buf.is_empty() {
                return Poll::Pending;
            }
            Poll::Ready(Ok(count))
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
