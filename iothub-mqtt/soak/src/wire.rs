//! Connections: two lanes of bytes with a delay, which can be cut or go dead.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use embassy_time::{Duration, Instant, Timer};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};

/// How long bytes travel.
const LATENCY: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Lane {
    /// Bytes and when they arrive; never earlier than those before them.
    pieces: VecDeque<(Instant, Vec<u8>)>,
    waker: Option<Waker>,
}

#[derive(Default)]
struct Wire {
    lanes: [Lane; 2],
    cut: bool,
    dead: bool,
}

impl Wire {
    fn wake(&mut self) {
        self.lanes.iter_mut().filter_map(|lane| lane.waker.take()).for_each(Waker::wake);
    }
}

/// One end of a connection.
pub(crate) struct End {
    wire: Rc<RefCell<Wire>>,
    /// The lane this end writes to; it reads the other one.
    lane: usize,
}

impl Drop for End {
    fn drop(&mut self) {
        self.cut();
    }
}

impl End {
    fn pair() -> (Self, Self) {
        let wire = Rc::new(RefCell::new(Wire::default()));
        (Self { wire: wire.clone(), lane: 0 }, Self { wire, lane: 1 })
    }

    /// Ends the connection for both sides; what is under way is lost.
    pub(crate) fn cut(&self) {
        let mut wire = self.wire.borrow_mut();
        if !wire.dead {
            wire.cut = true;
            wire.lanes.iter_mut().for_each(|lane| lane.pieces.clear());
            wire.wake();
        }
    }

    /// From here on nothing arrives any more on either side, and nobody is told.
    pub(crate) fn die(&self) {
        let mut wire = self.wire.borrow_mut();
        wire.dead = true;
        wire.lanes.iter_mut().for_each(|lane| lane.pieces.clear());
    }

    /// Sends bytes that arrive after `extra`, as do those behind them.
    pub(crate) fn send(&self, bytes: &[u8], extra: Duration) {
        let mut wire = self.wire.borrow_mut();
        if wire.dead || wire.cut {
            return;
        }
        let lane = &mut wire.lanes[self.lane];
        let at = Instant::now() + LATENCY + extra;
        let at = lane.pieces.back().map_or(at, |(before, _)| at.max(*before));
        lane.pieces.push_back((at, bytes.to_vec()));
        if let Some(waker) = lane.waker.take() {
            waker.wake();
        }
    }

    /// Waits until bytes are on their way, and gives when they arrive; `None` if the connection was cut.
    async fn coming(&self) -> Option<Instant> {
        poll_fn(|context| {
            let mut wire = self.wire.borrow_mut();
            if wire.cut {
                return Poll::Ready(None);
            }
            let lane = &mut wire.lanes[1 - self.lane];
            if let Some((at, _)) = lane.pieces.front() {
                return Poll::Ready(Some(*at));
            }
            lane.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl ErrorType for End {
    type Error = ErrorKind;
}

impl Read for End {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, ErrorKind> {
        while let Some(at) = self.coming().await {
            if at > Instant::now() {
                Timer::at(at).await;
                continue;
            }
            let mut wire = self.wire.borrow_mut();
            let lane = &mut wire.lanes[1 - self.lane];
            let Some((_, piece)) = lane.pieces.front_mut() else { continue };
            let n = out.len().min(piece.len());
            out[..n].copy_from_slice(&piece[..n]);
            piece.drain(..n);
            if piece.is_empty() {
                lane.pieces.pop_front();
            }
            return Ok(n);
        }
        Ok(0)
    }
}

impl Write for End {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        if self.wire.borrow().cut {
            return Err(ErrorKind::ConnectionReset);
        }
        self.send(bytes, Duration::from_ticks(0));
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

#[derive(Default)]
struct Listening {
    waiting: Option<End>,
    waker: Option<Waker>,
}

/// Where the hub listens.
#[derive(Clone, Default)]
pub(crate) struct Network(Rc<RefCell<Listening>>);

impl Network {
    /// Connects.
    pub(crate) fn connect(&self) -> End {
        let (device, hub) = End::pair();
        let mut listening = self.0.borrow_mut();
        listening.waiting = Some(hub);
        if let Some(waker) = listening.waker.take() {
            waker.wake();
        }
        device
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> End {
        poll_fn(|context| {
            let mut listening = self.0.borrow_mut();
            if let Some(end) = listening.waiting.take() {
                return Poll::Ready(end);
            }
            listening.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}
