//! Supervision of the tasks: the watchdog is fed only while every task checks in before its deadline.

/// The tasks that are supervised.
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

/// The deadline by which each task must check in again. Pure: the time is an argument.
#[derive(Debug)]
pub(crate) struct TaskSupervisor {
    /// In milliseconds; `None` for a task that waits for the user, or has ended.
    deadlines_ms: [Option<u64>; TASKS],
}

impl TaskSupervisor {
    /// No task is supervised yet.
    pub(crate) const fn new() -> Self {
        Self { deadlines_ms: [None; TASKS] }
    }

    /// The task makes progress now, and will check in again within this many milliseconds.
    pub(crate) fn check_in(&mut self, task: Task, now_ms: u64, within_ms: u32) {
        self.set(task, Some(now_ms.saturating_add(within_ms.into())));
    }

    /// Stops supervising the task: it waits for something that may never happen, or has ended.
    pub(crate) fn suspend(&mut self, task: Task) {
        self.set(task, None);
    }

    fn set(&mut self, task: Task, deadline_ms: Option<u64>) {
        if let Some(entry) = self.deadlines_ms.get_mut(task as usize) {
            *entry = deadline_ms;
        }
    }

    /// Whether no task has missed its deadline.
    pub(crate) fn all_on_time(&self, now_ms: u64) -> bool {
        self.deadlines_ms.iter().flatten().all(|deadline| now_ms <= *deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_late_task_is_enough() {
        let mut supervisor = TaskSupervisor::new();
        assert!(supervisor.all_on_time(u64::MAX));
        supervisor.check_in(Task::Main, 1000, 500);
        supervisor.check_in(Task::Panel, 1000, 200);
        assert!(supervisor.all_on_time(1200));
        assert!(!supervisor.all_on_time(1201), "the panel is late, the main task is not");
        supervisor.check_in(Task::Panel, 1201, 200);
        assert!(supervisor.all_on_time(1401));
        supervisor.check_in(Task::Panel, 1500, 200);
        assert!(!supervisor.all_on_time(1501), "now the main task is");
        supervisor.suspend(Task::Main);
        assert!(supervisor.all_on_time(1501));
    }
}
