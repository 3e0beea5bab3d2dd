//! `milkrun series`: how a metric went in the last hour and day.

use probes::period::Period;
use serde_json::{Value, json};

use super::{
    Failure, Options,
    output::{Output, say},
    when::When,
};
use crate::{clock::Clock, event::Micros};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The metric, as docs/metrics.md has it: `milkrun_events_appended_total`.
    name: String,
    /// Only series with this label, as `subscription=billing`; may be given several times.
    #[arg(long = "label", value_name = "LABEL=VALUE")]
    labels: Vec<String>,
    /// Since this time, or so long ago: an hour by default, a day at most.
    #[arg(long, value_name = "TIME|AGO")]
    since: Option<String>,
    /// From one value to the next: `10s` within the last hour, `1m` before, or a multiple.
    #[arg(long, value_name = "PERIOD")]
    step: Option<Period>,
    /// At most so many series.
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<(), Failure> {
    let (client, output) = (options.client()?, options.output);
    let mut query = vec![("name", args.name), ("limit", args.limit.to_string())];
    query.extend(args.labels.into_iter().map(|label| ("label", label)));
    if let Some(since) = &args.since {
        let since = When::read(since).ok_or_else(|| {
            let told =
                format!("--since {since}: expected `10m` or RFC 3339, as 2026-01-31T12:00:00Z");
            Failure::usage(told)
        })?;
        query.push(("since", since.before(Clock::system().now()).to_string()));
    }
    query.extend(args.step.map(|step| ("step", format!("{}s", step.0.as_secs()))));
    let answer = client.get(&["v1", "series"], &query).await?;
    if output == Output::Json {
        return Ok(output.one(&answer)?);
    }
    let series = answer["series"].as_array().map_or(&[][..], Vec::as_slice);
    match series {
        [] => say("milkrun: nothing is kept of this metric in this time"),
        [one] => {
            say(&format!("{}{}", text_of(&answer["name"]), labels(one)));
            let rows = json!({ "values": moments(&answer, one) });
            output.list(&rows, "values", &[("SINCE", "/at"), (heading(&answer), "/value")])?;
        }
        several => {
            let rows: Vec<Value> = several.iter().map(summary).collect();
            output.list(
                &json!({ "series": rows }),
                "series",
                &[
                    ("SERIES", "/labels"),
                    ("NEWEST", "/newest"),
                    ("LOWEST", "/lowest"),
                    ("MEAN", "/mean"),
                    ("HIGHEST", "/highest"),
                ],
            )?;
        }
    }
    for (field, told) in [
        ("left_out", "more series: raise --limit, or name a --label"),
        ("missing", "series that the relay has no room for"),
    ] {
        if let Some(count) = answer[field].as_u64().filter(|count| *count > 0) {
            say(&format!("milkrun: there are {count} {told}"));
        }
    }
    Ok(())
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What a value is, for people.
fn heading(answer: &Value) -> &'static str {
    if answer["values_are"] == "per_second" { "PER SECOND" } else { "VALUE" }
}

/// `{subscription="billing"}`.
fn labels(series: &Value) -> String {
    let labels = series["labels"].as_object().into_iter().flatten();
    let labels: Vec<String> = labels.map(|(label, value)| format!("{label}={value}")).collect();
    format!("{{{}}}", labels.join(","))
}

/// Each value with its time; what is not known is left empty.
fn moments(answer: &Value, series: &Value) -> Vec<Value> {
    let since: Micros = text_of(&answer["since"]).parse().unwrap_or(Micros(0));
    let step = answer["step_seconds"].as_u64().unwrap_or_default();
    let values = series["values"].as_array().into_iter().flatten();
    let at = |steps: u64| since.plus(std::time::Duration::from_secs(step * steps)).to_string();
    (0..).zip(values).map(|(steps, value)| json!({ "at": at(steps), "value": value })).collect()
}

/// A series on one line.
fn summary(series: &Value) -> Value {
    let values = series["values"].as_array().into_iter().flatten();
    let known: Vec<f64> = values.filter_map(Value::as_f64).collect();
    let count = u32::try_from(known.len()).unwrap_or(u32::MAX);
    let mean = (count > 0).then(|| known.iter().sum::<f64>() / f64::from(count));
    json!({
        "labels": labels(series),
        "newest": known.last().copied().map(rounded),
        "lowest": known.iter().copied().reduce(f64::min).map(rounded),
        "mean": mean.map(rounded),
        "highest": known.iter().copied().reduce(f64::max).map(rounded),
    })
}

/// Three digits behind the point.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_one_line_and_one_alone_a_line_for_each_value() {
        let series = json!({ "labels": { "topic": "a" }, "values": [null, 1.0, 2.0005] });
        let line = summary(&series);
        assert_eq!(line["labels"], "{topic=\"a\"}");
        assert_eq!((&line["newest"], &line["lowest"]), (&json!(2.001), &json!(1.0)));
        let answer = json!({ "since": "2026-01-31T12:00:00Z", "step_seconds": 10 });
        let rows = moments(&answer, &series);
        assert_eq!(rows[0]["value"], Value::Null);
        assert_eq!(rows[2]["at"], "2026-01-31T12:00:20.000000Z");
    }
}
