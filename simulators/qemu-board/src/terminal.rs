//! The terminal at the device's serial console.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::timeout;

/// What the configuration console ends every answer with.
pub(crate) const PROMPT: &str = "\r\n# ";

/// What the device wrote, and a way to type.
pub(crate) struct Terminal {
    typed: tokio::net::unix::OwnedWriteHalf,
    text: watch::Receiver<String>,
    /// What was looked at before.
    seen: usize,
}

impl Terminal {
    /// The terminal over this line. With `show` everything the device writes goes to standard output, too.
    pub(crate) fn new(line: UnixStream, show: bool) -> Self {
        let (mut read, typed) = line.into_split();
        let (sender, text) = watch::channel(String::new());
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok(count @ 1..) = read.read(&mut buffer).await {
                let bytes = &buffer[..count];
                if show {
                    let mut out = tokio::io::stdout();
                    // Nobody looks any more.
                    let _ = out.write_all(bytes).await;
                    let _ = out.flush().await;
                }
                sender.send_modify(|text| text.push_str(&String::from_utf8_lossy(bytes)));
            }
        });
        Self { typed, text, seen: 0 }
    }

    /// Types a line.
    pub(crate) async fn enter(&mut self, line: &str) -> Result<()> {
        self.typed.write_all(format!("{line}\r").as_bytes()).await.context("typing on the console")
    }

    /// Types a command on the configuration console, and gives what comes before the next prompt.
    pub(crate) async fn ask(&mut self, command: &str, limit: Duration) -> Result<String> {
        self.enter(command).await?;
        self.wait_for(PROMPT, limit).await
    }

    /// Waits until the device has written `wanted`, and gives what came before it since the last time.
    pub(crate) async fn wait_for(&mut self, wanted: &str, limit: Duration) -> Result<String> {
        let seen = self.seen;
        let find = |text: &String| text[seen..].find(wanted);
        let outcome = timeout(limit, self.text.wait_for(|text| find(text).is_some())).await;
        let closed = matches!(outcome, Ok(Err(_)));
        drop(outcome);
        let text = self.text();
        let Some(at) = find(&text) else {
            let why = if closed { "it closed" } else { "it came not in time" };
            bail!("no {wanted:?} on the console: {why} ({limit:?}); it shows:\n{text}");
        };
        let (before, end) = (text[seen..seen + at].to_owned(), seen + at + wanted.len());
        self.seen = end;
        Ok(before)
    }

    /// Everything the device has written since it was switched on.
    pub(crate) fn text(&self) -> String {
        self.text.borrow().clone()
    }
}
