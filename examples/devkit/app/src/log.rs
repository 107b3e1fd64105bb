//! Lines for the terminal, written without waiting and carried there by a task of its own.

use core::cell::Cell;
use core::fmt::{self, Write as _};
use core::time::Duration;

use der::DateTime;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::pipe::Pipe;
use embassy_time::Instant;
use heapless::String;

/// Bytes that may wait for the terminal: a bit more than the longest burst of lines, that of the start.
const CAPACITY: usize = 1536;
/// Longest line, its end included; a longer one is cut.
const LINE: usize = 240;
const LINE_END: &str = "\r\n";

/// The lines that wait for the terminal.
pub(crate) struct Log {
    pipe: Pipe<NoopRawMutex, CAPACITY>,
    /// The time of day at the start of the clock, in seconds since 1970, once it is known.
    epoch_s: Cell<Option<u64>>,
    /// Lines that did not fit.
    lost: Cell<u32>,
}

impl Log {
    pub(crate) const fn new() -> Self {
        Self { pipe: Pipe::new(), epoch_s: Cell::new(None), lost: Cell::new(0) }
    }

    /// From now on lines carry the time of day.
    pub(crate) fn set_time(&self, unix_s: u64) {
        self.epoch_s.set(Some(unix_s.saturating_sub(Instant::now().as_secs())));
    }

    /// Text as it is, if there is room for it.
    pub(crate) fn raw(&self, text: &str) {
        if self.pipe.free_capacity() >= text.len() {
            // All of it fits, and there is no other writer meanwhile.
            let _ = self.pipe.try_write(text.as_bytes());
        } else {
            self.lost.set(self.lost.get().saturating_add(1));
        }
    }

    /// A line of information.
    pub(crate) fn info(&self, text: fmt::Arguments<'_>) {
        self.line("INFO: ", text);
    }

    /// A line about something that is not as it should be.
    pub(crate) fn warning(&self, text: fmt::Arguments<'_>) {
        self.line("WARN: ", text);
    }

    fn line(&self, level: &str, text: fmt::Arguments<'_>) {
        let lost = self.lost.get();
        if lost > 0 {
            // Nothing more until there is room for the line that reports the gap.
            if self.pipe.free_capacity() < 2 * LINE {
                self.lost.set(lost.saturating_add(1));
                return;
            }
            self.lost.set(0);
            let mut line = self.begin("WARN: ");
            // Fits.
            let _ = write!(line, "{lost} lines were lost");
            self.end(line);
        }
        let mut line = self.begin(level);
        // What does not fit is cut.
        let _ = write!(line, "{}", Printable(text));
        self.end(line);
    }

    fn begin(&self, level: &str) -> String<LINE> {
        let mut line = String::new();
        let now = Instant::now();
        let time = self.epoch_s.get().map(|epoch| Duration::from_secs(epoch.saturating_add(now.as_secs())));
        // Both fit.
        let _ = match time.and_then(|time| DateTime::from_unix_duration(time).ok()) {
            Some(t) => write!(
                line,
                "{}-{:02}-{:02} {:02}:{:02}:{:02} {level} ",
                t.year(),
                t.month(),
                t.day(),
                t.hour(),
                t.minutes(),
                t.seconds()
            ),
            None => write!(line, "{:>9}.{:03} s {level} ", now.as_secs(), now.as_millis() % 1000),
        };
        line
    }

    fn end(&self, mut line: String<LINE>) {
        while line.len() > LINE - LINE_END.len() {
            line.pop();
        }
        let _ = line.push_str(LINE_END);
        self.raw(&line);
    }

    /// Takes some of the waiting text; returns its length, 0 without any.
    pub(crate) fn take(&self, out: &mut [u8]) -> usize {
        self.pipe.try_read(out).unwrap_or(0)
    }

    /// Waits for text.
    pub(crate) async fn wait(&self, out: &mut [u8]) -> usize {
        self.pipe.read(out).await
    }
}

/// Prints without the characters a terminal could take for a command.
struct Printable<'a>(fmt::Arguments<'a>);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Filter<'f, 'g>(&'f mut fmt::Formatter<'g>);
        impl fmt::Write for Filter<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                text.chars().try_for_each(|c| self.0.write_char(if c.is_control() { '?' } else { c }))
            }
        }
        Filter(f).write_fmt(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(log: &Log) -> std::string::String {
        let mut out = [0; CAPACITY];
        let len = log.take(&mut out);
        std::string::String::from_utf8(out[..len].to_vec()).unwrap()
    }

    #[test]
    fn lines_carry_the_time_as_soon_as_it_is_known() {
        let log = Log::new();
        log.info(format_args!("first\x1b[2J\r\n"));
        let first = text(&log);
        assert!(first.ends_with(" s INFO:  first?[2J??\r\n"), "{first:?}");
        log.set_time(1_600_000_000);
        log.warning(format_args!("second"));
        assert!(text(&log).starts_with("2020-09-13 12:26:4"));
    }

    #[test]
    fn what_does_not_fit_is_cut_or_counted() {
        let log = Log::new();
        let long = "x".repeat(2 * LINE);
        for _ in 0..10 {
            log.info(format_args!("{long}"));
        }
        let all = text(&log);
        assert!(all.lines().all(|line| line.len() == LINE - 2) && all.lines().count() == CAPACITY / LINE);
        log.info(format_args!("again"));
        assert!(text(&log).contains("WARN:  4 lines were lost\r\n"));
    }
}
