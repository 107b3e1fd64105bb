//! The terminal at a board's serial line, whatever the board is: this machine, an emulated or a simulated one.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the console writes when it waits for a command.
const PROMPT: &str = "\r\n# ";

/// Longest wait for a text.
const LIMIT: Duration = Duration::from_mins(1);

/// A serial line: what is typed goes to the board, what the board writes is kept.
trait Line: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

/// A terminal: what is typed goes to the board, what the board writes is read at once and kept.
#[allow(missing_debug_implementations, reason = "a serial line has nothing to print")]
pub struct Terminal {
    typed: WriteHalf<Box<dyn Line>>,
    received: watch::Receiver<Vec<u8>>,
    reader: JoinHandle<()>,
    /// What of it has been given out.
    seen: usize,
}

impl Terminal {
    /// The terminal at this line. With `show`, everything the board writes goes to standard output, too. Must be called
    /// within a Tokio runtime, on which the line is read until the terminal is dropped.
    pub fn new(line: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, show: bool) -> Self {
        let (mut read, typed) = tokio::io::split(Box::new(line) as Box<dyn Line>);
        let (sender, received) = watch::channel(Vec::new());
        let reader = tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok(count @ 1..) = read.read(&mut buffer).await {
                let bytes = &buffer[..count];
                if show {
                    let mut out = tokio::io::stdout();
                    // Nothing is left to do if nobody reads standard output.
                    let _ = out.write_all(bytes).await;
                    let _ = out.flush().await;
                }
                sender.send_modify(|received| received.extend_from_slice(bytes));
            }
        });
        Self { typed, received, reader, seen: 0 }
    }

    /// Everything the board has written so far.
    #[must_use]
    pub fn received(&self) -> String {
        String::from_utf8_lossy(&self.received.borrow()).into_owned()
    }

    /// Waits until the board has written `text`, and gives all it wrote up to it since the last call.
    ///
    /// # Errors
    /// The board has closed the line, or the text does not come within a minute; the error says what did.
    pub async fn until(&mut self, text: &str) -> io::Result<String> {
        let seen = self.seen;
        let find = |received: &Vec<u8>| {
            let new = received.get(seen..).unwrap_or_default();
            new.windows(text.len()).position(|window| window == text.as_bytes())
        };
        let waited = tokio::time::timeout(LIMIT, self.received.wait_for(|all| find(all).is_some())).await;
        let why = match &waited {
            Ok(Ok(_)) => None,
            Ok(Err(_)) => Some((io::ErrorKind::UnexpectedEof, "the line was closed")),
            Err(_) => Some((io::ErrorKind::TimedOut, "timed out")),
        };
        drop(waited);
        if let Some((kind, why)) = why {
            let shown = self.received();
            return Err(io::Error::new(
                kind,
                format!("no {text:?} on the terminal ({why}); it shows:\n{shown}"),
            ));
        }
        let received = self.received.borrow();
        let end = seen + find(&received).unwrap_or_default() + text.len();
        self.seen = end;
        Ok(String::from_utf8_lossy(received.get(seen..end).unwrap_or_default()).into_owned())
    }

    /// Types keys.
    ///
    /// # Errors
    /// The board has closed the line.
    pub async fn type_keys(&mut self, keys: &[u8]) -> io::Result<()> {
        self.typed.write_all(keys).await
    }

    /// Types a command at the console's prompt and gives what it shows, echo included.
    ///
    /// # Errors
    /// As [`until`](Self::until).
    pub async fn command(&mut self, command: &str) -> io::Result<String> {
        self.type_keys(command.as_bytes()).await?;
        self.type_keys(b"\r").await?;
        let shown = self.until(PROMPT).await?;
        Ok(shown.strip_suffix(PROMPT).unwrap_or(&shown).to_owned())
    }

    /// Waits for the console's next prompt.
    ///
    /// # Errors
    /// As [`until`](Self::until).
    pub async fn prompt(&mut self) -> io::Result<String> {
        self.until(PROMPT).await
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The line is closed when nobody reads it any more.
        self.reader.abort();
    }
}
