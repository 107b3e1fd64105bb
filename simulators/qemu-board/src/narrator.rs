//! Prints the steps, and names the present one when something fails.

use std::time::Instant;

use anyhow::{Context, Result};

/// The one who tells.
pub(crate) struct Narrator {
    step: u32,
    began: Instant,
}

impl Narrator {
    pub(crate) fn new() -> Self {
        Self { step: 0, began: Instant::now() }
    }

    /// A new step begins.
    pub(crate) fn step(&mut self, title: &str) {
        self.step += 1;
        println!("\n[{}] {title}  ({:.0} s)", self.step, self.began.elapsed().as_secs_f64());
    }

    /// Tells what a step found.
    pub(crate) fn line(text: &str) {
        println!("    {text}");
    }

    /// Puts the step into an error.
    pub(crate) fn failing<T>(&self, result: Result<T>) -> Result<T> {
        result.with_context(|| format!("at step {}", self.step))
    }

    pub(crate) fn end(&self) {
        println!("\nDone in {:.1} s.", self.began.elapsed().as_secs_f64());
    }
}
