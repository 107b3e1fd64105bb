//! The device's display in a terminal: two by four pixels in a character.

use virtual_devices::{Picture, Shared, Ssd1306};

const WIDTH: usize = 2;
const HEIGHT: usize = 4;
/// The pixels of a character as the bits of its number in Unicode's block of Braille patterns.
const BITS: [[u32; WIDTH]; HEIGHT] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
const BLANK: u32 = 0x2800;

/// Prints the display.
pub(super) fn print(display: &Shared<Ssd1306>) {
    let picture = display.lock().unwrap_or_else(std::sync::PoisonError::into_inner).picture();
    for row in lines(&picture) {
        super::narrator::line(&row);
    }
}

/// The picture in a frame.
fn lines(picture: &Picture) -> Vec<String> {
    let edge = "─".repeat(Picture::WIDTH / WIDTH);
    let mut lines = vec![format!("┌{edge}┐")];
    for y in (0..Picture::HEIGHT).step_by(HEIGHT) {
        let row = (0..Picture::WIDTH).step_by(WIDTH).map(|x| character(picture, x, y));
        lines.push(format!("│{}│", row.collect::<String>()));
    }
    lines.push(format!("└{edge}┘"));
    lines
}

fn character(picture: &Picture, x: usize, y: usize) -> char {
    let bits = BITS.iter().enumerate().flat_map(|(dy, row)| {
        row.iter().enumerate().filter(move |(dx, _)| picture.is_lit(x + dx, y + dy)).map(|(_, bit)| bit)
    });
    char::from_u32(bits.fold(BLANK, |sum, bit| sum | bit)).unwrap_or(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_is_a_dot() {
        let picture = Picture::from_fn(|x, y| (x, y) == (0, 0) || (x, y) == (127, 63) || (x, y) == (2, 1));
        let lines = lines(&picture);
        assert_eq!(lines.len(), 18);
        assert!(lines[1].starts_with("│⠁⠂⠀"), "{}", lines[1]);
        assert!(lines[16].ends_with("⠀\u{2880}│"), "{}", lines[16]);
        assert!(lines.iter().all(|line| line.chars().count() == 66));
    }
}
