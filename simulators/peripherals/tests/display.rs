//! The display model, driven by the `ssd1306` crate and by hand.

use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::FONT_6X10;
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::{PrimitiveStyle, Rectangle};
use embedded_graphics::text::{Baseline, Text};
use embedded_hal::i2c::I2c as _;
use peripherals::{Bus, Picture, Shared, Ssd1306, shared};
use ssd1306::mode::DisplayConfig as _;
use ssd1306::prelude::*;
use ssd1306::{I2CDisplayInterface, Ssd1306 as Driver};

/// What [`embedded_graphics`] draws on: the picture as it should become.
struct Canvas(Vec<bool>);

impl Canvas {
    fn new() -> Self {
        Self(vec![false; Picture::WIDTH * Picture::HEIGHT])
    }

    fn picture(&self) -> Picture {
        Picture::from_fn(|x, y| self.0[y * Picture::WIDTH + x])
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(128, 64)
    }
}

impl DrawTarget for Canvas {
    type Color = BinaryColor;
    type Error = core::convert::Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<BinaryColor>>>(
        &mut self,
        pixels: I,
    ) -> Result<(), Self::Error> {
        for Pixel(at, color) in pixels {
            if let (Ok(x), Ok(y)) = (usize::try_from(at.x), usize::try_from(at.y))
                && x < Picture::WIDTH
                && y < Picture::HEIGHT
            {
                self.0[y * Picture::WIDTH + x] = color.is_on();
            }
        }
        Ok(())
    }
}

fn draw<D: DrawTarget<Color = BinaryColor>>(target: &mut D)
where
    D::Error: core::fmt::Debug,
{
    let style = MonoTextStyle::new(&FONT_6X10, BinaryColor::On);
    Text::with_baseline("Azure IoT DevKit", Point::new(3, 2), style, Baseline::Top).draw(target).unwrap();
    Text::with_baseline("22.5 C", Point::new(71, 51), style, Baseline::Top).draw(target).unwrap();
    let frame = PrimitiveStyle::with_stroke(BinaryColor::On, 1);
    Rectangle::new(Point::new(0, 20), Size::new(128, 23)).into_styled(frame).draw(target).unwrap();
}

fn display() -> (Bus, Shared<Ssd1306>) {
    let display = shared(Ssd1306::new());
    let mut bus = Bus::new();
    bus.attach(Ssd1306::ADDRESS, display.clone());
    (bus, display)
}

fn seen(display: &Shared<Ssd1306>) -> Picture {
    let display = display.lock().unwrap();
    assert_eq!(display.unknown_commands(), [0; 0]);
    display.picture()
}

fn commands(bus: &mut Bus, codes: &[u8]) {
    bus.write(Ssd1306::ADDRESS, &[&[0x00], codes].concat()).unwrap();
}

fn data(bus: &mut Bus, bytes: &[u8]) {
    bus.write(Ssd1306::ADDRESS, &[&[0x40], bytes].concat()).unwrap();
}

/// On, supplied, upright.
const ON: [u8; 5] = [0x8D, 0x14, 0xA1, 0xC8, 0xAF];

#[test]
fn shows_pixel_for_pixel_what_the_driver_crate_draws() {
    let (bus, display) = display();
    let mut driver = Driver::new(I2CDisplayInterface::new(bus), DisplaySize128x64, DisplayRotation::Rotate0)
        .into_buffered_graphics_mode();
    assert_eq!(seen(&display).count_lit(), 0);
    driver.init().unwrap();
    let mut canvas = Canvas::new();
    draw(&mut driver);
    draw(&mut canvas);
    driver.flush().unwrap();
    assert_eq!(seen(&display), canvas.picture());
    assert!(canvas.picture().count_lit() > 400);

    // A partial update moves the window.
    let dot = Rectangle::new(Point::new(60, 30), Size::new(3, 3));
    dot.into_styled(PrimitiveStyle::with_fill(BinaryColor::On)).draw(&mut driver).unwrap();
    dot.into_styled(PrimitiveStyle::with_fill(BinaryColor::On)).draw(&mut canvas).unwrap();
    driver.flush().unwrap();
    assert_eq!(seen(&display), canvas.picture());

    driver.set_invert(true).unwrap();
    let lit = canvas.picture().count_lit();
    assert_eq!(seen(&display).count_lit(), Picture::WIDTH * Picture::HEIGHT - lit);
    driver.set_invert(false).unwrap();
    driver.set_display_on(false).unwrap();
    assert_eq!(seen(&display).count_lit(), 0);
    driver.set_display_on(true).unwrap();
    assert_eq!(seen(&display), canvas.picture());
}

#[test]
fn rotation_by_half_a_turn_is_a_matter_of_the_remaps() {
    let (bus, display) = display();
    let mut driver =
        Driver::new(I2CDisplayInterface::new(bus), DisplaySize128x64, DisplayRotation::Rotate180)
            .into_buffered_graphics_mode();
    driver.init().unwrap();
    draw(&mut driver);
    driver.flush().unwrap();
    let mut canvas = Canvas::new();
    draw(&mut canvas);
    let upright = canvas.picture();
    assert_eq!(seen(&display), Picture::from_fn(|x, y| upright.is_lit(127 - x, 63 - y)));
}

#[test]
fn addressing_modes_walk_as_the_data_sheet_says() {
    let (mut bus, display) = display();
    commands(&mut bus, &ON);
    // Horizontal in a window of 3 columns and 2 pages: the seventh byte is back at the first place.
    commands(&mut bus, &[0x20, 0, 0x21, 10, 12, 0x22, 2, 3]);
    data(&mut bus, &[1, 0, 0, 0, 1, 0, 2]);
    let picture = seen(&display);
    assert!(picture.is_lit(10, 17) && picture.is_lit(11, 24));
    assert_eq!(picture.count_lit(), 2);
    // Vertical in the same window.
    commands(&mut bus, &[0x20, 1, 0x21, 10, 12, 0x22, 2, 3]);
    data(&mut bus, &[0, 0, 0, 4, 0, 0]);
    let picture = seen(&display);
    assert!(picture.is_lit(11, 26));
    assert_eq!(picture.count_lit(), 1);
    // Page mode: set by nibbles, around at the end of the page, not to the next.
    commands(&mut bus, &[0x20, 2, 0x0F, 0x17, 0xB7]);
    data(&mut bus, &[0x80, 0x01]);
    let picture = seen(&display);
    assert!(picture.is_lit(127, 63) && picture.is_lit(0, 56));
    // Page addresses mean nothing in the other modes.
    commands(&mut bus, &[0x20, 0, 0x21, 0, 127, 0x22, 0, 7, 0xB5, 0x05, 0x12]);
    data(&mut bus, &[0x01]);
    assert!(seen(&display).is_lit(0, 0));
}

#[test]
fn remaps_start_line_offset_and_ratio_move_the_picture() {
    let (mut bus, display) = display();
    let only = |x, y| Picture::from_fn(move |a, b| (a, b) == (x, y));
    commands(&mut bus, &ON);
    commands(&mut bus, &[0x20, 0]);
    data(&mut bus, &[0x01]);
    assert_eq!(seen(&display), only(0, 0));
    // The segment remap is for bytes to come; the scan direction for all.
    commands(&mut bus, &[0xA0]);
    assert_eq!(seen(&display), only(0, 0));
    commands(&mut bus, &[0xC0]);
    assert_eq!(seen(&display), only(0, 63));
    commands(&mut bus, &[0xC8, 0x40 | 8]);
    assert_eq!(seen(&display), only(0, 56));
    commands(&mut bus, &[0x40, 0xD3, 16]);
    assert_eq!(seen(&display), only(0, 48));
    commands(&mut bus, &[0xD3, 0, 0xA8, 31]);
    assert_eq!(seen(&display), only(0, 32));
    commands(&mut bus, &[0xA5]);
    assert_eq!(seen(&display).count_lit(), 128 * 32);
    commands(&mut bus, &[0xA4, 0xA8, 63, 0x8D, 0x10]);
    assert_eq!(seen(&display).count_lit(), 0, "no supply");
}

#[test]
fn control_bytes_are_followed_one_by_one_or_to_the_end() {
    let (mut bus, display) = display();
    // Single commands, a single data byte, then data to the end.
    let mixed = [0x80, 0x8D, 0x80, 0x14, 0x80, 0xA1, 0x80, 0xC8, 0x80, 0xAF, 0x80, 0x20, 0x80, 0x00];
    bus.write(Ssd1306::ADDRESS, &[&mixed[..], &[0xC0, 0x01, 0x40, 0x02, 0x04]].concat()).unwrap();
    let picture = seen(&display);
    assert!(picture.is_lit(0, 0) && picture.is_lit(1, 1) && picture.is_lit(2, 2));
    assert_eq!(picture.count_lit(), 3);
    // An argument may come in another transaction; an unknown command is remembered and does no harm.
    commands(&mut bus, &[0x81]);
    commands(&mut bus, &[0xAE]);
    assert!(display.lock().unwrap().is_on());
    commands(&mut bus, &[0xFF, 0xAE]);
    assert_eq!(display.lock().unwrap().unknown_commands(), [0xFF]);
    let mut status = [0];
    bus.read(Ssd1306::ADDRESS, &mut status).unwrap();
    assert_eq!(status, [0x40]);
}

#[test]
fn pictures_for_files_and_terminals() {
    let picture = Picture::from_fn(|x, y| (x, y) == (1, 0) || (x, y) == (2, 1) || x == 3 && y < 2);
    let text = picture.to_string();
    assert_eq!(text.lines().next(), Some(" ▀▄█"));
    assert_eq!(text.lines().count(), 32);

    let mut file = Vec::new();
    picture.write_png(&mut file, 3).unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (384, 192));
    assert_eq!(picture, Picture::from_fn(|x, y| pixels[(y * 3 + 1) * 384 + x * 3 + 2] == 0xFF));
    for scale in [0, 65] {
        assert_eq!(
            picture.write_png(Vec::new(), scale).unwrap_err().kind(),
            std::io::ErrorKind::InvalidInput
        );
    }
}
