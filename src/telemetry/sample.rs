//! Values that are read when they are asked for.

use std::fmt::{self, Write as _};

use super::list::{Kind, METRICS};

/// A value of a metric of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// As in [`Described`](super::list::Described).
    pub name: &'static str,
    /// What it is of.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

impl Sample {
    /// A value of the whole relay.
    #[must_use]
    pub const fn plain(name: &'static str, value: f64) -> Self {
        Self { name, labels: Vec::new(), value }
    }

    /// A value of what one label names.
    #[must_use]
    pub fn of(name: &'static str, label: &'static str, of: &str, value: f64) -> Self {
        Self { name, labels: vec![(label, of.to_owned())], value }
    }
}

/// Writes samples as OpenMetrics 1.0 wants them: those of one metric together, behind what it is.
pub(super) fn write(text: &mut String, samples: &[Sample]) -> fmt::Result {
    for metric in METRICS {
        let mut its_own = samples.iter().filter(|sample| sample.name == metric.name).peekable();
        if its_own.peek().is_none() {
            continue;
        }
        let family = metric.family();
        writeln!(text, "# HELP {family} {}.\n# TYPE {family} {}", metric.help, metric.kind)?;
        let total = if metric.kind == Kind::Counter { "_total" } else { "" };
        for Sample { labels, value, .. } in its_own {
            write!(text, "{family}{total}")?;
            for (position, (label, of)) in labels.iter().enumerate() {
                let opening = if position == 0 { '{' } else { ',' };
                write!(text, "{opening}{label}=\"{}\"", escaped(of))?;
            }
            let closing = if labels.is_empty() { "" } else { "}" };
            writeln!(text, "{closing} {value}")?;
        }
    }
    Ok(())
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_metric_stand_together_behind_its_help() {
        let samples = [
            Sample::of("topic_head", "topic", "a", 1.0),
            Sample::plain("stale", 2.0),
            Sample::of("topic_head", "topic", "b\"\\", 3.5),
        ];
        let mut text = String::new();
        write(&mut text, &samples).unwrap();
        insta::assert_snapshot!(text, @r#"
        # HELP milkrun_topic_head The version of the topic's newest event.
        # TYPE milkrun_topic_head gauge
        milkrun_topic_head{topic="a"} 1
        milkrun_topic_head{topic="b\"\\"} 3.5
        # HELP milkrun_stale Work that a raised fence made void.
        # TYPE milkrun_stale counter
        milkrun_stale_total 2
        "#);
    }
}
