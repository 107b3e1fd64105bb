//! Reading what stands on the host board's display.

use peripherals::{Shared, Ssd1306, screen};

/// The four rows of text on a display, without the blanks at their ends.
#[must_use]
pub fn rows(display: &Shared<Ssd1306>) -> [String; screen::ROWS] {
    screen::read(&super::lock(display).picture())
}
