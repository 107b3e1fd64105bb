//! Prints the steps of a story, and names the one at which something fails.

use std::time::Instant;

use anyhow::{Context, Result};

/// Counts the steps.
#[derive(Debug)]
pub struct Narrator {
    step: u32,
    began: Instant,
}

impl Narrator {
    /// Before the first step.
    #[must_use]
    pub fn new() -> Self {
        Self { step: 0, began: Instant::now() }
    }

    /// Begins a new step.
    pub fn step(&mut self, title: &str) {
        self.step += 1;
        println!("\n[{}] {title}  ({:.1} s)", self.step, self.began.elapsed().as_secs_f64());
    }

    /// Names the present step in an error.
    ///
    /// # Errors
    /// The result's own.
    pub fn in_step<T>(&self, result: Result<T>) -> Result<T> {
        result.with_context(|| format!("at step {}", self.step))
    }

    /// Says how long all of it took.
    pub fn end(&self) {
        println!("\nDone in {:.1} s.", self.began.elapsed().as_secs_f64());
    }
}

impl Default for Narrator {
    fn default() -> Self {
        Self::new()
    }
}

/// Prints what a step found.
pub fn line(text: &str) {
    println!("    {text}");
}
