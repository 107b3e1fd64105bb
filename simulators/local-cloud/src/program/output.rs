//! Standard output, written by a thread of its own: a terminal that is held, or a pipe that nobody reads, stops the
//! printing and not the cloud.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tokio::sync::watch;

/// Lines that may wait to be printed.
const WAITING: usize = 10_000;
/// How long the last lines may take when the program ends.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where lines go out; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Output {
    lines: SyncSender<String>,
    /// Lines that were lost because nobody read.
    lost: Arc<AtomicU64>,
    /// Changes when there is nobody to print for any more.
    closed: watch::Receiver<bool>,
}

impl Output {
    /// # Errors
    /// The system has no thread to give.
    pub(super) fn start() -> io::Result<Self> {
        let (lines, inbox) = sync_channel(WAITING);
        let (closing, closed) = watch::channel(false);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = lost.clone();
        std::thread::Builder::new().name("output".to_owned()).spawn(move || {
            // An error means that whoever read has gone.
            let _ = write(&inbox, &counter);
            let _ = closing.send(true);
        })?;
        Ok(Self { lines, lost, closed })
    }

    /// Prints a line, or counts it as lost if too many wait already.
    pub(super) fn print(&self, line: String) {
        match self.lines.try_send(line) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Ends when nobody reads any more, for good.
    pub(super) async fn closed(&self) {
        // An error means that the thread has gone, which it does after the last line only.
        let _ = self.closed.clone().wait_for(|closed| *closed).await;
    }

    /// Waits until everything is printed, if somebody reads it.
    pub(super) fn finish(self) {
        let Self { lines, closed, .. } = self;
        drop(lines);
        let began = std::time::Instant::now();
        while !*closed.borrow() && closed.has_changed().is_ok() && began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn write(inbox: &Receiver<String>, lost: &AtomicU64) -> io::Result<()> {
    let mut out = io::stdout().lock();
    while let Ok(line) = inbox.recv() {
        writeln!(out, "{line}")?;
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            writeln!(out, "({lost} lines are not shown: nobody read the output)")?;
        }
        // A line that whoever reads sees at once.
        out.flush()?;
    }
    Ok(())
}
