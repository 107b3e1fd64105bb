//! Reads the text on the display: what the user sees, not what the application meant to show.

use std::sync::LazyLock;

use embedded_graphics::geometry::OriginDimensions;
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::prelude::{DrawTarget, Drawable, Pixel, Point, Size};
use embedded_graphics::text::{Baseline, Text};
use embedded_vintage_fonts::FONT_8X16;

use crate::ssd1306::Picture;

/// Rows of text on the display.
pub const ROWS: usize = 4;
/// Characters in each.
const COLUMNS: usize = 16;
const WIDTH: usize = 8;
const HEIGHT: usize = 16;

/// A cell of one character: bits of each of its lines.
type Cell = [u8; HEIGHT];

/// Every printable ASCII character as the font draws it.
static GLYPHS: LazyLock<Vec<(char, Cell)>> =
    LazyLock::new(|| (' '..='~').map(|c| (c, Glyph::of(c).0)).collect());

/// The rows of text that the picture shows; a cell that shows no character of the font reads as `\u{fffd}`.
#[must_use]
pub fn read(picture: &Picture) -> [String; ROWS] {
    std::array::from_fn(|row| {
        let text: String = (0..COLUMNS)
            .map(|column| {
                let cell = cell(picture, column, row);
                GLYPHS.iter().find(|(_, glyph)| *glyph == cell).map_or('\u{fffd}', |(c, _)| *c)
            })
            .collect();
        text.trim_end().to_owned()
    })
}

fn cell(picture: &Picture, column: usize, row: usize) -> Cell {
    std::array::from_fn(|y| {
        (0..WIDTH)
            .fold(0, |bits, x| bits << 1 | u8::from(picture.is_lit(column * WIDTH + x, row * HEIGHT + y)))
    })
}

/// A character drawn with the display's font.
struct Glyph(Cell);

impl Glyph {
    fn of(c: char) -> Self {
        let mut glyph = Self([0; HEIGHT]);
        let style = MonoTextStyle::new(&FONT_8X16, BinaryColor::On);
        let mut bytes = [0; 4];
        let Ok(_) = Text::with_baseline(c.encode_utf8(&mut bytes), Point::zero(), style, Baseline::Top)
            .draw(&mut glyph);
        glyph
    }
}

impl OriginDimensions for Glyph {
    fn size(&self) -> Size {
        Size::new(8, 16)
    }
}

impl DrawTarget for Glyph {
    type Color = BinaryColor;
    type Error = std::convert::Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<BinaryColor>>>(
        &mut self,
        pixels: I,
    ) -> Result<(), Self::Error> {
        for Pixel(Point { x, y }, color) in pixels {
            let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { continue };
            if let Some(line) = self.0.get_mut(y).filter(|_| x < WIDTH && color.is_on()) {
                *line |= 0x80 >> x;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_looks_different() {
        let mut glyphs: Vec<_> = GLYPHS.iter().map(|(_, glyph)| *glyph).collect();
        glyphs.sort_unstable();
        glyphs.dedup();
        assert_eq!(glyphs.len(), 95);
    }

    #[test]
    fn text_is_read_back_from_pixels() {
        let rows = ["IoT DevKit", "10.0.2.15", "", "23.40C 48.10%"];
        let picture = Picture::from_fn(|x, y| {
            let c = rows[y / HEIGHT].chars().nth(x / WIDTH).unwrap_or(' ');
            Glyph::of(c).0[y % HEIGHT] & 0x80 >> (x % WIDTH) != 0
        });
        assert_eq!(read(&picture), rows);
        let lit = Picture::from_fn(|_, _| true);
        assert_eq!(read(&lit)[0], "\u{fffd}".repeat(COLUMNS));
    }
}
