//! What is to be seen on a display of one colour.

use std::fmt;
use std::io::{self, Write};

/// A picture of the display's size; a pixel is lit or dark.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// By row, from the top; from the left.
    lit: Vec<bool>,
}

impl Picture {
    /// Pixels in a row.
    pub const WIDTH: usize = 128;
    /// Rows.
    pub const HEIGHT: usize = 64;

    /// The picture that is lit where `lit` says, by column and row.
    #[must_use]
    pub fn from_fn(mut lit: impl FnMut(usize, usize) -> bool) -> Self {
        let rows = 0..Self::HEIGHT;
        Self {
            lit: rows.flat_map(|y| (0..Self::WIDTH).map(move |x| (x, y))).map(|(x, y)| lit(x, y)).collect(),
        }
    }

    /// Whether the pixel of a column and a row, from the upper left corner, is lit; outside nothing is.
    #[must_use]
    pub fn is_lit(&self, x: usize, y: usize) -> bool {
        x < Self::WIDTH && self.lit.get(y * Self::WIDTH + x).copied().unwrap_or_default()
    }

    /// How many pixels are lit.
    #[must_use]
    pub fn count_lit(&self) -> usize {
        self.lit.iter().filter(|lit| **lit).count()
    }

    /// Writes a PNG in grey, each pixel `scale` by `scale` large.
    ///
    /// # Errors
    /// Those of `out`; [`io::ErrorKind::InvalidInput`] for a scale of 0 or above 64.
    pub fn write_png(&self, out: impl Write, scale: u8) -> io::Result<()> {
        if !(1..=64).contains(&scale) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the scale must be from 1 to 64"));
        }
        let step = usize::from(scale);
        let size = |pixels: usize| u32::try_from(pixels * step).unwrap_or(u32::MAX);
        let mut encoder = png::Encoder::new(out, size(Self::WIDTH), size(Self::HEIGHT));
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Eight);
        let pixels: Vec<u8> = (0..Self::HEIGHT * step)
            .flat_map(|y| (0..Self::WIDTH * step).map(move |x| (x, y)))
            .map(|(x, y)| if self.is_lit(x / step, y / step) { 0xFF } else { 0 })
            .collect();
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&pixels)?;
        writer.finish()?;
        Ok(())
    }
}

/// Two rows of pixels in a line of text, as half blocks: for terminals.
impl fmt::Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for y in (0..Self::HEIGHT).step_by(2) {
            let line: String = (0..Self::WIDTH)
                .map(|x| match (self.is_lit(x, y), self.is_lit(x, y + 1)) {
                    (false, false) => ' ',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (true, true) => '█',
                })
                .collect();
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Picture with {} lit pixels:\n{self}", self.count_lit())
    }
}
