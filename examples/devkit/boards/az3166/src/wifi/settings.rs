//! The radio's settings (NVRAM): those of its module, which are its maker's and which no image contains. The user
//! brings them into a flash sector outside the image, so that the image, and with it the device's identity, is the same
//! with and without them.

use bcm43362::Nvram;

/// Where they are: in the second half of the sector with the additional root.
const PLACE: *const u8 = 0x080F_0000 as *const u8;
/// What they begin with, followed by their length (32 bits, little-endian).
const MARK: [u8; 4] = *b"NVRM";
const HEADER_LEN: usize = 8;

/// The settings, if there are any.
pub(crate) fn nvram() -> Option<Nvram<'static>> {
    // SAFETY: flash that nothing writes to.
    let place = unsafe { core::slice::from_raw_parts(PLACE, HEADER_LEN + Nvram::MAX_LEN) };
    let (mark, rest) = place.split_first_chunk()?;
    let (len, rest) = rest.split_first_chunk()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok().filter(|_| *mark == MARK)?;
    Nvram::new(rest.get(..len)?).ok()
}

/// Whether there are any.
pub(crate) fn is_there() -> bool {
    nvram().is_some()
}
