//! The 128x64 display: rows of text on an SSD1306, drawn anew where they changed. A display that does not answer is
//! left alone for a while and then set up again.

use display_interface::DisplayError;
use embassy_time::{Duration, Instant};
use embedded_graphics::mono_font::{MonoTextStyle, MonoTextStyleBuilder};
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::prelude::{Drawable, Point};
use embedded_graphics::text::{Baseline, Text};
use embedded_hal_async::i2c::I2c;
use embedded_vintage_fonts::FONT_8X16;
use ssd1306::mode::{BufferedGraphicsModeAsync, DisplayConfigAsync};
use ssd1306::prelude::{DisplayRotation, DisplaySize128x64, I2CInterface};
use ssd1306::{I2CDisplayInterface, Ssd1306Async};

use crate::status::{ROWS, Row};

const ROW_HEIGHT: usize = 16;
/// After how long a display that did not answer is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Lit on dark, so that a new row covers the old one.
const STYLE: MonoTextStyle<'static, BinaryColor> = MonoTextStyleBuilder::new()
    .font(&FONT_8X16)
    .text_color(BinaryColor::On)
    .background_color(BinaryColor::Off)
    .build();

type Driver<I2C> =
    Ssd1306Async<I2CInterface<I2C>, DisplaySize128x64, BufferedGraphicsModeAsync<DisplaySize128x64>>;

/// The display.
pub(crate) struct Display<I2C> {
    driver: Driver<I2C>,
    /// What stands on it; `None` if that is not known, or it has not been set up.
    shown: Option<[Row; ROWS]>,
    not_before: Instant,
}

impl<I2C: I2c> Display<I2C> {
    pub(crate) fn new(i2c: I2C) -> Self {
        let interface = I2CDisplayInterface::new(i2c);
        let driver = Ssd1306Async::new(interface, DisplaySize128x64, DisplayRotation::Rotate0);
        Self { driver: driver.into_buffered_graphics_mode(), shown: None, not_before: Instant::MIN }
    }

    /// Shows these rows, if they do not stand there already.
    pub(crate) async fn show(&mut self, rows: &[Row; ROWS]) {
        if self.shown.as_ref() == Some(rows) || Instant::now() < self.not_before {
            return;
        }
        if self.update(rows).await.is_ok() {
            self.shown = Some(rows.clone());
        } else {
            self.shown = None;
            self.not_before = Instant::now() + RETRY;
        }
    }

    async fn update(&mut self, rows: &[Row; ROWS]) -> Result<(), DisplayError> {
        let shown = self.shown.take();
        if shown.is_none() {
            self.driver.init().await?;
        }
        for ((index, row), y) in rows.iter().enumerate().zip((0..).step_by(ROW_HEIGHT)) {
            if shown.as_ref().and_then(|rows| rows.get(index)) == Some(row) {
                continue;
            }
            let mut padded = row.clone();
            while padded.push(' ').is_ok() {}
            Text::with_baseline(&padded, Point::new(0, y), STYLE, Baseline::Top).draw(&mut self.driver)?;
        }
        self.driver.flush().await
    }
}
