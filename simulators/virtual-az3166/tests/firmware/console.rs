//! From reset to the console, settings that last, and the identity of this very image.

use std::time::Duration;

use virtual_az3166::{IMAGE_ADDRESS, ResetCause};

use crate::device::{Device, PROMPT, UDS, chip, enrolment_certificate, image, image_path};

#[test]
fn a_held_button_opens_the_console_and_settings_last() {
    let chip = chip();
    let mut device = Device::new(&chip, 1);
    device.start_console();
    assert!(device.text.contains("**  MXChip AZ3166"), "{}", device.text);
    assert_eq!(device.screen()[0], "IoT DevKit");
    device.set(&format!("set_dps_uds {UDS}"));
    device.set("set_dps_idscope 0ne00000000");
    device.set("set_registration_id my-devkit");
    assert!(!device.text.contains(UDS), "the secret is echoed");
    device.type_line("exit");
    device.wait_for(PROMPT);
    let causes: Vec<_> = device.board.resets().iter().map(|(_, cause)| *cause).collect();
    assert_eq!(causes, [ResetCause::PowerOn, ResetCause::Software]);

    device.board.power_off();
    device.board.run_for(Duration::from_secs(1)).unwrap();
    let mut device = Device::new(&chip, 2);
    device.start_console();
    let shown = device.command("show");
    for wanted in ["0ne00000000", "my-devkit"] {
        assert!(shown.contains(wanted), "{wanted} in {shown}");
    }
    assert!(!shown.contains(UDS), "{shown}");
    assert_eq!(device.board.overruns(), 0);
}

#[test]
fn the_identity_is_that_of_the_bytes_in_flash() {
    let chip = chip();
    let mut device = Device::new(&chip, 3);
    device.start_console();
    device.set(&format!("set_dps_uds {UDS}"));
    device.set("set_registration_id my-devkit");
    let shown = device.command("cert");
    let certificate = enrolment_certificate(image_path(), "my-devkit");
    assert!(shown.replace("\r\n", "\n").contains(certificate.trim_end()), "{shown}\nis not\n{certificate}");
    let flash = device.board.flash();
    let at = (IMAGE_ADDRESS - 0x0800_0000) as usize;
    assert!(flash[at..].starts_with(&image()), "the image in flash is the file");

    // Another byte at the end of the image, in the last initial value of the statics, is another device.
    let mut other = image();
    let last = other.len() - 1;
    other[last] ^= 1;
    let mut device = Device::with_image(&other, &chip, 3);
    device.start_console();
    let shown = device.command("cert");
    assert!(shown.contains("BEGIN CERTIFICATE"), "{shown}");
    assert!(!shown.replace("\r\n", "\n").contains(certificate.trim_end()));
}

#[test]
fn the_display_s_picture_is_a_png_of_what_the_firmware_drew() {
    let mut device = Device::new(&chip(), 4);
    device.start_console();
    device.board.run_for(Duration::from_millis(500)).unwrap();
    let picture = device.board.parts().display.lock().unwrap().picture();
    let mut file = Vec::new();
    picture.write_png(&mut file, 4).unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (512, 256));
    let lit: usize = pixels.iter().map(|pixel| usize::from(*pixel == 0xFF)).sum();
    assert_eq!(lit, 16 * picture.count_lit());
    let [title, id, mode, _] = device.screen();
    assert_eq!((title.as_str(), mode.as_str()), ("IoT DevKit", "Configuration"));
    assert!(id.starts_with("id:02"), "the address made of the chip's id: {id}");
}

#[test]
fn two_runs_are_the_same_to_the_instruction() {
    let run = || {
        let mut device = Device::new(&chip(), 5);
        device.start_console();
        let text = device.command("gen_uds") + &device.command("cert");
        (text, device.board.cycles())
    };
    assert_eq!(run(), run());
}
