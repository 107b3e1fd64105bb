//! Buttons and lamps: what a user presses and sees.

use std::sync::{Arc, Mutex};

use bridge_protocol::{Buttons, Lamp};

use crate::bus::with;

/// A lamp that took another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which one.
    pub lamp: Lamp,
    /// Its brightness now: 0 is off, 255 full.
    pub value: u8,
}

#[derive(Debug, Default)]
struct State {
    buttons: Buttons,
    lamps: [u8; Lamp::ALL.len()],
    log: Vec<Change>,
}

/// The buttons and lamps of a board. Clones are handles of the same panel.
#[derive(Clone, Debug, Default)]
pub struct Panel(Arc<Mutex<State>>);

impl Panel {
    /// All lamps off, no button pressed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Which buttons are pressed.
    #[must_use]
    pub fn buttons(&self) -> Buttons {
        with(&self.0, |state| state.buttons)
    }

    /// Presses and releases buttons, as `change` says.
    pub fn press(&self, change: impl FnOnce(&mut Buttons)) {
        with(&self.0, |state| change(&mut state.buttons));
    }

    /// A lamp's brightness.
    #[must_use]
    pub fn lamp(&self, lamp: Lamp) -> u8 {
        with(&self.0, |state| state.lamps.get(lamp as usize).copied().unwrap_or_default())
    }

    /// Red, green and blue of the RGB lamp.
    #[must_use]
    pub fn rgb(&self) -> [u8; 3] {
        [Lamp::Red, Lamp::Green, Lamp::Blue].map(|lamp| self.lamp(lamp))
    }

    /// Sets a lamp; only a new value is a change.
    pub fn set_lamp(&self, lamp: Lamp, value: u8) {
        with(&self.0, |state| {
            if let Some(current) = state.lamps.get_mut(lamp as usize)
                && *current != value
            {
                *current = value;
                state.log.push(Change { lamp, value });
            }
        });
    }

    /// The changes since the beginning or the last call, oldest first.
    #[must_use]
    pub fn take_changes(&self) -> Vec<Change> {
        with(&self.0, |state| core::mem::take(&mut state.log))
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, Panel};
    use crate::{Buttons, Lamp};

    #[test]
    fn changes_are_logged_once() {
        let panel = Panel::new();
        let other = panel.clone();
        other.set_lamp(Lamp::Azure, 255);
        other.set_lamp(Lamp::Azure, 255);
        other.set_lamp(Lamp::Red, 7);
        other.set_lamp(Lamp::Azure, 0);
        let change = |lamp, value| Change { lamp, value };
        assert_eq!(
            panel.take_changes(),
            [change(Lamp::Azure, 255), change(Lamp::Red, 7), change(Lamp::Azure, 0)]
        );
        assert_eq!(panel.take_changes(), []);
        assert_eq!((panel.lamp(Lamp::Azure), panel.rgb()), (0, [7, 0, 0]));
        panel.press(|buttons| buttons.b = true);
        assert_eq!(other.buttons(), Buttons { a: false, b: true });
    }
}
