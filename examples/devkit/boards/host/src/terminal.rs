//! The user's end of a board's serial line.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// What the console writes when it waits for a command.
const PROMPT: &str = "\r\n# ";

/// Longest wait for a text.
const LIMIT: Duration = Duration::from_mins(1);

/// A terminal: what is typed goes to the board, what the board writes is kept.
#[derive(Debug)]
pub struct Terminal {
    line: DuplexStream,
    received: Vec<u8>,
    /// What of it has been given out.
    seen: usize,
}

impl Terminal {
    pub(super) fn new(line: DuplexStream) -> Self {
        Self { line, received: Vec::new(), seen: 0 }
    }

    /// Everything the board wrote so far.
    #[must_use]
    pub fn received(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }

    /// Reads for ever; a terminal nobody reads holds the board up.
    pub async fn listen(&mut self) {
        while self.receive().await.is_ok() {}
        std::future::pending::<()>().await;
    }

    async fn receive(&mut self) -> io::Result<()> {
        match self.line.read_buf(&mut self.received).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Waits until the board has written `text`, and gives all it wrote up to it since the last call.
    ///
    /// # Errors
    /// The line is gone, or the text does not come in time.
    pub async fn until(&mut self, text: &str) -> io::Result<String> {
        let wait = async {
            loop {
                let new = self.received.get(self.seen..).unwrap_or_default();
                if let Some(at) = new.windows(text.len()).position(|window| window == text.as_bytes()) {
                    let end = self.seen + at + text.len();
                    let told = self.received.get(self.seen..end).unwrap_or_default();
                    let told = String::from_utf8_lossy(told).into_owned();
                    self.seen = end;
                    return Ok(told);
                }
                self.receive().await?;
            }
        };
        tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(|_| {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("no {text:?} on the terminal")))
        })
    }

    /// Types keys.
    ///
    /// # Errors
    /// The line is gone.
    pub async fn type_keys(&mut self, keys: &[u8]) -> io::Result<()> {
        self.line.write_all(keys).await
    }

    /// Types a command at the console's prompt and gives what it shows, echo included.
    ///
    /// # Errors
    /// The line is gone, or there is no prompt again.
    pub async fn command(&mut self, command: &str) -> io::Result<String> {
        self.type_keys(command.as_bytes()).await?;
        self.type_keys(b"\r").await?;
        let shown = self.until(PROMPT).await?;
        Ok(shown.strip_suffix(PROMPT).unwrap_or(&shown).to_owned())
    }

    /// Waits for the console's first prompt.
    ///
    /// # Errors
    /// As [`until`](Self::until).
    pub async fn prompt(&mut self) -> io::Result<String> {
        self.until(PROMPT).await
    }
}
