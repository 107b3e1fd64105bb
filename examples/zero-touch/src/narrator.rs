//! Telling the steps, and waiting for the device to reach them.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use devkit_app::{End, EndOf};
use tokio::sync::mpsc::UnboundedReceiver;

use super::told::Told;
use devkit_host::{HostBoard, Terminal};

/// The running device and what it tells.
pub(super) struct Watch<'t, F> {
    pub(super) told: UnboundedReceiver<Told>,
    pub(super) terminal: &'t mut Terminal,
    pub(super) device: F,
}

impl<F: Future<Output = EndOf<HostBoard>> + Unpin> Watch<'_, F> {
    async fn next(&mut self) -> Result<Told> {
        tokio::select! {
            biased;
            told = self.told.recv() => told.ok_or_else(|| anyhow!("the device is gone")),
            () = self.terminal.listen() => Err(anyhow!("the terminal is gone")),
            end = &mut self.device => Err(failure(end)),
        }
    }

    /// Lets the device run; ends only if it fails for good.
    pub(super) async fn failure(&mut self) -> anyhow::Error {
        tokio::select! {
            end = &mut self.device => failure(end),
            () = self.terminal.listen() => anyhow!("the terminal is gone"),
        }
    }
}

fn failure(end: EndOf<HostBoard>) -> anyhow::Error {
    match end {
        End::Failed(failure) => failure.into(),
        End::Restart => anyhow!("the device restarts"),
    }
}

/// Prints what a step found.
pub(super) fn line(text: &str) {
    println!("    {text}");
}

/// Prints the steps, and names the present one when something fails.
pub(super) struct Narrator {
    pub(super) step: u32,
    pub(super) limit: Duration,
}

impl Narrator {
    pub(super) fn step(&mut self, title: &str) {
        self.step += 1;
        println!("\n[{}] {title}", self.step);
    }

    pub(super) fn failing<T>(&self, result: Result<T>) -> Result<T> {
        result.with_context(|| format!("at step {}", self.step))
    }

    /// Waits until the device tells what `wanted` takes, and prints the retries in between.
    pub(super) async fn until<T, F>(
        &self,
        watch: &mut Watch<'_, F>,
        mut wanted: impl FnMut(Told) -> Option<T>,
    ) -> Result<T>
    where
        F: Future<Output = EndOf<HostBoard>> + Unpin,
    {
        let story = async {
            loop {
                let told = watch.next().await?;
                if let Told::Retrying(cause) = &told {
                    line(&format!("{cause}; trying again"));
                }
                if let Some(found) = wanted(told) {
                    return Ok(found);
                }
            }
        };
        let limit = self.limit.as_secs();
        self.failing(match tokio::time::timeout(self.limit, story).await {
            Ok(result) => result,
            Err(_) => bail!("at step {}: nothing happened for {limit} s", self.step),
        })
    }

    /// Waits until the device tells this.
    pub(super) async fn told<F>(&self, watch: &mut Watch<'_, F>, what: &Told) -> Result<()>
    where
        F: Future<Output = EndOf<HostBoard>> + Unpin,
    {
        self.until(watch, |told| (told == *what).then_some(())).await
    }

    /// Waits for something that happens in the cloud while the device runs.
    pub(super) async fn meanwhile<T, F>(
        &self,
        watch: &mut Watch<'_, F>,
        what: impl Future<Output = Result<T>>,
    ) -> Result<T>
    where
        F: Future<Output = EndOf<HostBoard>> + Unpin,
    {
        let result = tokio::select! {
            result = tokio::time::timeout(self.limit, what) => result.context("nothing arrived in time").flatten(),
            failure = watch.failure() => Err(failure),
        };
        self.failing(result)
    }
}
