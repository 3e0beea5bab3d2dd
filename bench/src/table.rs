//! Results for a person.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};

use crate::measure::{Report, Spread, Target};

/// A report as text.
#[must_use]
pub(crate) fn text(report: &Report) -> String {
    let mut text = format!("## {}\n{}\n", report.scenario, report.parameters);
    if !report.series.is_empty() {
        let mut table = table(&["", "events/s", "least", "most", "µs CPU/event"]);
        for series in &report.series {
            let rates = series.rates();
            table.add_row([
                series.name.clone(),
                number(rates.median),
                number(rates.least),
                number(rates.most),
                number(series.cpu_us().median),
            ]);
        }
        align(&mut table, 1..=4);
        // Writing into memory cannot fail.
        let _ = writeln!(text, "{table}");
    }
    let mut table = table(&["", "median", "least", "most", "target", ""]);
    for claim in &report.claims {
        let Spread { median, least, most } = claim.is;
        let target = match claim.target {
            Target::AtLeast(least) => format!("≥ {}", number(least)),
            Target::AtMost(most) => format!("≤ {}", number(most)),
            Target::Told => String::new(),
        };
        let met = match claim.target {
            Target::Told => "",
            _ if claim.holds() => "met",
            _ => "MISSED",
        };
        let cells = [number(median), number(least), number(most), target, met.to_owned()];
        table.add_row([claim.what.clone()].into_iter().chain(cells));
    }
    align(&mut table, 1..=4);
    let _ = writeln!(text, "{table}");
    text
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(head.to_vec());
    table
}

fn align(table: &mut Table, columns: std::ops::RangeInclusive<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// With as many digits as it means something with.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        large if large >= 1_000.0 => {
            let digits = format!("{value:.0}");
            let mut out = String::new();
            for (index, digit) in digits.chars().enumerate() {
                if index > 0 && (digits.len() - index).is_multiple_of(3) {
                    out.push(',');
                }
                out.push(digit);
            }
            out
        }
        middle if middle >= 100.0 => format!("{value:.0}"),
        small if small >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_have_few_digits() {
        let shown = [0.0, 0.123, 1.26, 12.34, 123.4, 1_234.5, 1_234_567.0].map(number);
        assert_eq!(shown, ["0", "0.12", "1.3", "12.3", "123", "1,234", "1,234,567"]);
    }
}
