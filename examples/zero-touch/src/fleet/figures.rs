//! How a fleet's registrations spread, as a table, as bars of text, and as a picture.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use stories::line;

use super::part::Step;

/// What the service allows, in registrations a minute.
const QUOTA: f64 = 1000.0;
/// The width of the bars.
const COLUMNS: usize = 60;
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// When what was reached, since the fleet was switched on.
#[derive(Debug, Default)]
pub(super) struct Figures {
    registering: Vec<Duration>,
    assigned: Vec<Duration>,
    /// First messages that the hub acknowledged.
    delivered: Vec<Duration>,
    /// Attempts that were repeated.
    pub(super) retries: usize,
}

impl Figures {
    pub(super) fn add(&mut self, step: Step, at: Duration) {
        match step {
            Step::Registering => &mut self.registering,
            Step::Assigned => &mut self.assigned,
            Step::Delivered => &mut self.delivered,
        }
        .push(at);
    }

    /// How many devices have come this far.
    pub(super) fn count(&self, step: Step) -> usize {
        match step {
            Step::Registering => self.registering.len(),
            Step::Assigned => self.assigned.len(),
            Step::Delivered => self.delivered.len(),
        }
    }

    /// In the order of time: what several processes say is not.
    pub(super) fn sort(&mut self) {
        for times in [&mut self.registering, &mut self.assigned, &mut self.delivered] {
            times.sort_unstable();
        }
    }

    fn rows(&self) -> [(&'static str, &[Duration]); 3] {
        [
            ("connect to DPS", &self.registering),
            ("assigned", &self.assigned),
            ("message delivered", &self.delivered),
        ]
    }

    fn end(&self) -> Duration {
        self.rows().iter().filter_map(|(_, times)| times.last()).max().copied().unwrap_or_default()
    }

    pub(super) fn print(&self) {
        line("                        first   median     95 %     last  busiest second");
        for (name, times) in self.rows() {
            let at = |percent: usize| {
                let index = (times.len().saturating_sub(1) * percent).div_ceil(100);
                times.get(index).map_or(0.0, Duration::as_secs_f64)
            };
            let columns = [0, 50, 95, 100].map(|percent| format!("{:7.2} s", at(percent)));
            line(&format!("{name:18} {} {:9}", columns.join(""), busiest_second(times)));
        }
        line("");
        for (name, times) in self.rows() {
            line(&format!("{name:18} |{}|", bars(times, self.end())));
        }
        let end = format!("{:.1} s", self.end().as_secs_f64());
        line(&format!("{:18}  0 s{end:>width$}", "", width = COLUMNS - 3));
        line(&format!("attempts that were repeated: {}", self.retries));
        #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
        let minutes = self.assigned.len() as f64 / QUOTA;
        line(&format!(
            "a real service takes {QUOTA:.0} registrations a minute: {minutes:.2} min for this fleet at the least"
        ));
    }

    /// Draws how many devices have come how far, over time.
    pub(super) fn draw(&self, path: &Path) -> Result<()> {
        #[allow(clippy::cast_precision_loss, reason = "a picture")]
        let most = self.registering.len().max(1) as f64;
        let end = self.end().as_secs_f64().max(0.1);
        let fails = |e: &dyn std::fmt::Display| anyhow!("{}: {e}", path.display());
        let area = SVGBackend::new(path, (900, 480)).into_drawing_area();
        area.fill(&WHITE).map_err(|e| fails(&e))?;
        let mut chart = ChartBuilder::on(&area)
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..end, 0.0..most)
            .map_err(|e| fails(&e))?;
        chart
            .configure_mesh()
            .x_desc("seconds since the power came back")
            .y_desc("devices")
            .y_label_formatter(&|y| format!("{y:.0}"))
            .draw()
            .map_err(|e| fails(&e))?;
        for ((name, times), colour) in self.rows().into_iter().zip([BLACK, BLUE, RED]) {
            #[allow(clippy::cast_precision_loss, reason = "a picture")]
            let points = times.iter().enumerate().map(|(count, at)| (at.as_secs_f64(), (count + 1) as f64));
            chart
                .draw_series(LineSeries::new(points, colour))
                .map_err(|e| fails(&e))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()
            .map_err(|e| fails(&e))?;
        area.present().map_err(|e| fails(&e))
    }
}

/// How much happened when, from the start to `end`: a bar for each part of the time, the highest one full.
fn bars(times: &[Duration], end: Duration) -> String {
    let mut counts = [0_usize; COLUMNS];
    for at in times {
        let column = at.as_micros() * COLUMNS as u128 / end.as_micros().max(1);
        if let Some(count) = counts.get_mut(usize::try_from(column).unwrap_or(COLUMNS).min(COLUMNS - 1)) {
            *count += 1;
        }
    }
    let most = counts.iter().copied().max().unwrap_or_default().max(1);
    // What is there at all is seen.
    counts.iter().filter_map(|count| BARS.get((count * (BARS.len() - 1)).div_ceil(most))).collect()
}

/// The most that happened in any second; the times are in order.
fn busiest_second(times: &[Duration]) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (last, at) in times.iter().enumerate() {
        while times.get(first).is_some_and(|from| *at >= *from + Duration::from_secs(1)) {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: &[u64]) -> Vec<Duration> {
        millis.iter().map(|ms| Duration::from_millis(*ms)).collect()
    }

    #[test]
    fn the_busiest_second_begins_with_an_event() {
        assert_eq!(busiest_second(&[]), 0);
        assert_eq!(busiest_second(&at(&[0, 999, 1000, 1001, 1998, 3000])), 4);
    }

    #[test]
    fn bars_are_as_high_as_what_happened() {
        let text = bars(&at(&[0, 1, 2, 3, 500, 1000]), Duration::from_secs(1));
        assert_eq!(text.chars().count(), COLUMNS);
        assert_eq!((text.chars().next(), text.chars().last()), (Some('█'), Some('▂')));
        assert_eq!(text.chars().filter(|bar| *bar != ' ').count(), 3, "{text:?}");
        assert_eq!(bars(&[], Duration::ZERO), " ".repeat(COLUMNS));
    }

    #[test]
    fn the_picture_has_a_line_for_each_step() {
        let mut figures = Figures::default();
        for (step, times) in
            [(Step::Registering, &[0, 10]), (Step::Assigned, &[5, 800]), (Step::Delivered, &[20, 900])]
        {
            for at in at(times) {
                figures.add(step, at);
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.svg");
        figures.draw(&path).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
        for name in ["connect to DPS", "assigned", "message delivered", "devices"] {
            assert!(svg.contains(name), "{name}: {svg}");
        }
        assert!(figures.draw(&folder.path().join("none/fleet.svg")).is_err());
    }
}
