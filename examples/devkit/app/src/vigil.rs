//! When the watchdog is fed: only while every task does what it promised in time.

/// The tasks that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// The network, the provisioning service and the hub, or the console.
    Main,
    /// Screen, lamps and buttons.
    Panel,
    /// Sensors.
    Sensors,
    /// Text to the terminal.
    Log,
}

const TASKS: usize = 4;

/// What each task has promised. Pure: the time is an argument.
#[derive(Debug)]
pub(crate) struct Vigil {
    /// Until when each task must have come again, in milliseconds; `None`: it waits for a person, or has ended.
    until_ms: [Option<u64>; TASKS],
}

impl Vigil {
    /// Nobody has promised anything.
    pub(crate) const fn new() -> Self {
        Self { until_ms: [None; TASKS] }
    }

    /// The task makes progress now, and comes again within so many milliseconds.
    pub(crate) fn promise(&mut self, task: Task, now_ms: u64, within_ms: u32) {
        self.set(task, Some(now_ms.saturating_add(within_ms.into())));
    }

    /// The task waits for something that need not happen.
    pub(crate) fn excuse(&mut self, task: Task) {
        self.set(task, None);
    }

    fn set(&mut self, task: Task, until_ms: Option<u64>) {
        if let Some(entry) = self.until_ms.get_mut(task as usize) {
            *entry = until_ms;
        }
    }

    /// Whether every task has kept its promise.
    pub(crate) fn all_well(&self, now_ms: u64) -> bool {
        self.until_ms.iter().flatten().all(|until| now_ms <= *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_late_task_is_enough() {
        let mut vigil = Vigil::new();
        assert!(vigil.all_well(u64::MAX));
        vigil.promise(Task::Main, 1000, 500);
        vigil.promise(Task::Panel, 1000, 200);
        assert!(vigil.all_well(1200));
        assert!(!vigil.all_well(1201), "the panel is late, the main task is not");
        vigil.promise(Task::Panel, 1201, 200);
        assert!(vigil.all_well(1401));
        vigil.promise(Task::Panel, 1500, 200);
        assert!(!vigil.all_well(1501), "now the main task is");
        vigil.excuse(Task::Main);
        assert!(vigil.all_well(1501));
    }
}
