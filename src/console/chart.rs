//! How a metric went, as a table first: a sentence, a line drawn of the same values, and the values.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{json::Text, time::When};
use crate::event::Micros;

/// Lines of one chart; the rest is told of in words.
const LINES_MAX: usize = 5;
/// The size of the drawing, in its own units.
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 60.0;

/// What `/v1/series` answers.
#[derive(Debug, Deserialize)]
pub(crate) struct Series {
    since: When,
    step_seconds: i64,
    #[serde(rename = "series")]
    all: Vec<Went>,
    left_out: usize,
}

#[derive(Debug, Deserialize)]
struct Went {
    labels: BTreeMap<String, Text>,
    values: Vec<Option<f64>>,
}

/// How the values of one moment become one, where several series have the same name in a chart.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Together {
    /// All of them: rates, amounts.
    Sum,
    /// The largest: ages, quantiles.
    Largest,
}

/// How one chart is made of its metric.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drawn {
    /// What it shows.
    pub(crate) title: &'static str,
    pub(crate) metric: &'static str,
    /// The label that names a line.
    pub(crate) by: &'static str,
    pub(crate) together: Together,
    /// What stands behind a value.
    pub(crate) unit: &'static str,
}

/// One line of a chart.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// The newest value.
    pub(crate) newest: String,
    /// Points of the drawing, a text for each stretch without a hole.
    pub(crate) stretches: Vec<String>,
    values: Vec<Option<f64>>,
}

/// A chart.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) title: &'static str,
    pub(crate) metric: &'static str,
    pub(crate) unit: &'static str,
    /// The value at the top of the drawing.
    pub(crate) top: String,
    pub(crate) lines: Vec<Line>,
    /// Lines and series that are not drawn.
    pub(crate) hidden: u64,
    pub(crate) rows: Vec<Row>,
}

/// What there was at one moment.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) at: When,
    pub(crate) values: Vec<String>,
}

impl Drawn {
    /// The call of the API that answers the values: the last hour by the minute.
    pub(crate) fn path(&self, label: Option<(&str, &str)>) -> String {
        let label = label.map(|(name, value)| format!("{name}={value}"));
        let label = label.as_deref().unwrap_or_default();
        let pairs = [("name", self.metric), ("step", "1m"), ("limit", "500"), ("label", label)];
        format!("/v1/series{}", super::link::query(&pairs))
    }

    /// The chart of these values.
    pub(crate) fn of(&self, series: Series) -> Chart {
        let length = series.all.iter().map(|one| one.values.len()).max().unwrap_or_default();
        let mut lines: BTreeMap<String, Vec<Option<f64>>> = BTreeMap::new();
        for one in series.all {
            let name = one.labels.get(self.by).map_or_else(String::new, ToString::to_string);
            let line = lines.entry(name).or_insert_with(|| vec![None; length]);
            for (all, value) in line.iter_mut().zip(one.values) {
                *all = self.both(*all, value);
            }
        }
        let mut lines: Vec<(String, Vec<Option<f64>>)> = lines.into_iter().collect();
        if self.by != "quantile" {
            // Those with the largest newest values: of these somebody wants to know.
            lines.sort_by(|(_, a), (_, b)| newest(b).total_cmp(&newest(a)));
        }
        let hidden = (series.left_out + lines.len().saturating_sub(LINES_MAX)) as u64;
        lines.truncate(LINES_MAX);
        let all = lines.iter().flat_map(|(_, values)| values.iter().flatten());
        let top = all.fold(0.0_f64, |top, value| top.max(*value));
        let lines: Vec<Line> = lines
            .into_iter()
            .map(|(name, values)| Line {
                name,
                newest: number(newest(&values)),
                stretches: stretches(&values, top),
                values,
            })
            .collect();
        let rows = rows(&lines, series.since.0, series.step_seconds, length);
        Chart {
            title: self.title,
            metric: self.metric,
            unit: self.unit,
            top: number(top),
            lines,
            hidden,
            rows,
        }
    }

    fn both(&self, a: Option<f64>, b: Option<f64>) -> Option<f64> {
        match (a, b, self.together) {
            (Some(a), Some(b), Together::Sum) => Some(a + b),
            (Some(a), Some(b), Together::Largest) => Some(a.max(b)),
            (a, b, _) => a.or(b),
        }
    }
}

fn newest(values: &[Option<f64>]) -> f64 {
    values.iter().rev().find_map(|value| *value).unwrap_or_default()
}

/// The rows of the table, newest first, without those where nothing is known.
fn rows(lines: &[Line], since: Micros, step_seconds: i64, length: usize) -> Vec<Row> {
    let of = |at: usize| {
        let known = lines.iter().any(|line| line.values[at].is_some());
        let offset = i64::try_from(at).ok()?.checked_mul(step_seconds)?.checked_mul(1_000_000)?;
        let values = lines.iter().map(|line| line.values[at].map_or_else(String::new, number));
        known.then(|| Row { at: When(Micros(since.0 + offset)), values: values.collect() })
    };
    (0..length).rev().filter_map(of).collect()
}

/// The points of each stretch that has values; a stretch of one value is drawn as a short line.
fn stretches(values: &[Option<f64>], top: f64) -> Vec<String> {
    let steps = u32::try_from(values.len()).unwrap_or(u32::MAX).max(2) - 1;
    let step = WIDTH / f64::from(steps);
    let mut x = -step;
    let mut all: Vec<Vec<String>> = vec![Vec::new()];
    for value in values {
        x += step;
        let Some(value) = value else {
            all.push(Vec::new());
            continue;
        };
        let share = if top > 0.0 { value / top } else { 0.0 };
        let point = |x: f64| format!("{x:.1},{:.1}", (HEIGHT - 2.0) * (1.0 - share) + 1.0);
        let stretch = all.last_mut().expect("there is always one");
        if stretch.is_empty() {
            stretch.push(point((x - step / 2.0).max(0.0)));
        }
        stretch.push(point(x));
    }
    all.retain(|stretch| !stretch.is_empty());
    all.iter().map(|stretch| stretch.join(" ")).collect()
}

/// A value with as many digits as somebody reads.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        size if size < 0.1 => 4,
        size if size < 10.0 => 2,
        size if size < 1_000.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWN: Drawn = Drawn {
        title: "Events in",
        metric: "milkrun_events_appended_total",
        by: "topic",
        together: Together::Sum,
        unit: "/ s",
    };

    fn series(text: &str) -> Series {
        serde_json::from_str(&format!(
            r#"{{"since":"2026-01-02T03:04:00Z","step_seconds":60,"left_out":0,"series":[{text}]}}"#
        ))
        .unwrap()
    }

    #[test]
    fn what_has_one_name_is_one_line_and_holes_stay() {
        let chart = DRAWN.of(series(
            r#"{"labels":{"topic":"a","x":"1"},"values":[1,null,2,null]},
               {"labels":{"topic":"a","x":"2"},"values":[3,null,null,null]},
               {"labels":{"topic":"b"},"values":[null,null,8,10]}"#,
        ));
        let lines: Vec<_> = chart.lines.iter().map(|line| (&*line.name, &*line.newest)).collect();
        assert_eq!(lines, [("b", "10.0"), ("a", "2.00")]);
        assert_eq!(chart.top, "10.0");
        assert_eq!(chart.lines[1].stretches, ["0.0,35.8 0.0,35.8", "150.0,47.4 200.0,47.4"]);
        let rows: Vec<_> = chart.rows.iter().map(|row| (row.at.iso(), &*row.values)).collect();
        assert_eq!(
            rows[0],
            ("2026-01-02T03:07:00.000000Z".to_owned(), &["10.0".into(), String::new()][..])
        );
        assert_eq!(rows.len(), 3, "the second minute is not known: {rows:?}");
    }

    #[test]
    fn the_largest_are_drawn_and_the_rest_is_told() {
        let all: Vec<String> =
            (0..9).map(|n| format!(r#"{{"labels":{{"topic":"t{n}"}},"values":[{n}]}}"#)).collect();
        let chart = Drawn { together: Together::Largest, ..DRAWN }.of(series(&all.join(",")));
        assert_eq!((chart.lines.len(), chart.hidden), (5, 4));
        assert_eq!(chart.lines[0].name, "t8");
    }

    #[test]
    fn nothing_known_is_no_line() {
        let chart = DRAWN.of(series(""));
        assert!(chart.lines.is_empty() && chart.rows.is_empty(), "{chart:?}");
        let chart = DRAWN.of(series(r#"{"labels":{"topic":"a"},"values":[null,null]}"#));
        assert!(chart.lines[0].stretches.is_empty() && chart.rows.is_empty(), "{chart:?}");
    }
}
