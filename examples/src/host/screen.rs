//! Reading what stands on the display, pixel by pixel.

use std::sync::LazyLock;

use embedded_graphics::Drawable;
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::prelude::{DrawTarget, OriginDimensions, Pixel, Point, Size};
use embedded_graphics::text::{Baseline, Text};
use embedded_vintage_fonts::FONT_8X16;
use virtual_devices::{Picture, Shared, Ssd1306};

const ROWS: usize = 4;
const COLUMNS: usize = 16;
const WIDTH: usize = 8;
const HEIGHT: usize = 16;
/// Stands for a place with pixels that are no character of the font.
const UNKNOWN: char = '\u{fffd}';

/// A character's pixels, row by row.
type Glyph = [u8; HEIGHT];

/// The pixels of every printable ASCII character.
static GLYPHS: LazyLock<Vec<(char, Glyph)>> = LazyLock::new(|| (' '..='~').map(|c| (c, draw(c))).collect());

struct Canvas(Glyph);

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(8, 16)
    }
}

impl DrawTarget for Canvas {
    type Color = BinaryColor;
    type Error = std::convert::Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Self::Error>
    where
        I: IntoIterator<Item = Pixel<Self::Color>>,
    {
        for Pixel(Point { x, y }, color) in pixels {
            let row = usize::try_from(y).ok().and_then(|y| self.0.get_mut(y));
            if let (Some(row), 0..8, true) = (row, x, color.is_on()) {
                *row |= 1 << x;
            }
        }
        Ok(())
    }
}

fn draw(character: char) -> Glyph {
    let mut canvas = Canvas(Glyph::default());
    let style = MonoTextStyle::new(&FONT_8X16, BinaryColor::On);
    let mut text = [0; 4];
    let text = Text::with_baseline(character.encode_utf8(&mut text), Point::zero(), style, Baseline::Top);
    match text.draw(&mut canvas) {
        Ok(_) => canvas.0,
    }
}

/// The four rows of text on a display, without the blanks at their ends.
#[must_use]
pub fn rows(display: &Shared<Ssd1306>) -> [String; ROWS] {
    read(&super::lock(display).picture())
}

/// The four rows of text in a picture.
fn read(picture: &Picture) -> [String; ROWS] {
    std::array::from_fn(|row| {
        let text: String = (0..COLUMNS).map(|column| character(picture, column, row)).collect();
        text.trim_end().to_owned()
    })
}

fn character(picture: &Picture, column: usize, row: usize) -> char {
    let glyph: Glyph = std::array::from_fn(|y| {
        let lit = |x: &usize| picture.is_lit(column * WIDTH + x, row * HEIGHT + y);
        (0..WIDTH).filter(lit).fold(0, |bits, x| bits | 1 << x)
    });
    GLYPHS.iter().find(|(_, known)| *known == glyph).map_or(UNKNOWN, |(character, _)| *character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_told_from_every_other() {
        let mut glyphs: Vec<_> = GLYPHS.iter().map(|(_, glyph)| *glyph).collect();
        glyphs.sort_unstable();
        glyphs.dedup();
        assert_eq!(glyphs.len(), 95);
    }

    #[test]
    fn what_is_no_text_is_not_read_as_one() {
        let rows = read(&Picture::from_fn(|x, y| x < 8 && y == 0));
        assert_eq!(rows, ["\u{fffd}", "", "", ""]);
    }
}
