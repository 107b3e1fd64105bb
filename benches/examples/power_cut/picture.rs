//! How many are online, over time, one chart for each course.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::{Course, ratio};

/// Points of a line.
const POINTS: usize = 400;

pub(crate) fn draw(courses: &[Course], path: &Path) -> Result<()> {
    let fails = |error: &dyn std::fmt::Display| anyhow!("{}: {error}", path.display());
    let height = 300 * u32::try_from(courses.len())?;
    let area = SVGBackend::new(path, (900, height)).into_drawing_area();
    area.fill(&WHITE).map_err(|error| fails(&error))?;
    for (course, part) in courses.iter().zip(area.split_evenly((courses.len(), 1))) {
        let minutes = |ms: u64| ratio(ms, crate::MINUTE_MS);
        let end = minutes(course.done_ms.last().copied().unwrap_or_default()).max(0.1);
        let mut chart = ChartBuilder::on(&part)
            .margin(14)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..end, 0.0..100.0)
            .map_err(|error| fails(&error))?;
        chart
            .configure_mesh()
            .x_desc(format!("minutes; {}", course.name.replace('`', "")))
            .y_desc("% online")
            .draw()
            .map_err(|error| fails(&error))?;
        let step = (course.done_ms.len() / POINTS).max(1);
        let share = |index: usize| 100.0 * ratio(index as u64 + 1, course.devices.into());
        let online =
            course.done_ms.iter().enumerate().step_by(step).map(|(index, at)| (minutes(*at), share(index)));
        chart.draw_series(LineSeries::new(online, BLUE)).map_err(|error| fails(&error))?;
        // As fast as the quota lets them.
        let pace = 100.0 * ratio(course.quota.into(), course.devices.into());
        let least = [(0.0, 0.0), (end.min(100.0 / pace), (end * pace).min(100.0))];
        chart.draw_series(LineSeries::new(least, BLACK.mix(0.4))).map_err(|error| fails(&error))?;
    }
    area.present().map_err(|error| fails(&error))
}
