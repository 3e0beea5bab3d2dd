//! Results as a picture: each throughput as a share of its limit.

use std::fmt::Write as _;

use crate::measure::{Claim, Report, Target};

const WIDTH: f64 = 760.0;
const LEFT: f64 = 300.0;
const BAR: f64 = 18.0;
const STEP: f64 = 34.0;
const TOP: f64 = 56.0;
/// How much of the width a share of 1 takes.
const FULL: f64 = 380.0;
/// The longest bar.
const SHOWN_MAX: f64 = 1.15;

/// An SVG picture of the ratios that have a target to be at least.
#[must_use]
pub(crate) fn draw(reports: &[Report]) -> String {
    let ratio =
        |claim: &&Claim| claim.bound.is_some() && matches!(claim.target, Target::AtLeast(_));
    let bars: Vec<(&Report, &Claim)> = reports
        .iter()
        .flat_map(|report| report.claims.iter().filter(ratio).map(move |claim| (report, claim)))
        .collect();
    let mut y = TOP;
    let mut body = String::new();
    for (report, claim) in &bars {
        bar(&mut body, y, report, claim);
        y += STEP;
    }
    let limit = LEFT + FULL;
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="16" y="26" font-size="16" fill="#1f2933">Throughput as a share of the limit measured in the same run</text>
<text x="16" y="44" fill="#616e7c">line: the limit; tick: the target; whisker: least and most</text>
<line x1="{limit}" y1="{from}" x2="{limit}" y2="{to}" stroke="#1f2933" stroke-width="1.5"/>
{body}</svg>
"##,
        height = y + 12.0,
        from = TOP - 6.0,
        to = y - STEP + BAR + 6.0,
    )
}

fn bar(out: &mut String, y: f64, report: &Report, claim: &Claim) {
    let at = |share: f64| LEFT + FULL * share.min(SHOWN_MAX);
    let middle = y + BAR / 2.0;
    let (least, most) = (at(claim.is.least), at(claim.is.most));
    let colour = if claim.holds() { "#2f855a" } else { "#c05621" };
    let text = y + BAR - 4.0;
    let what = claim.what.replace('&', "&amp;").replace('<', "&lt;");
    // Writing to a text cannot fail.
    let _ = writeln!(
        out,
        r##"<text x="16" y="{text}" fill="#1f2933">{name}</text><text x="{right}" y="{text}" text-anchor="end" fill="#616e7c" font-size="11">{what}</text>
<rect x="{LEFT}" y="{y}" width="{width}" height="{BAR}" fill="{colour}"/>
<line x1="{least}" y1="{middle}" x2="{most}" y2="{middle}" stroke="#1f2933"/>"##,
        name = report.scenario,
        right = LEFT - 10.0,
        width = at(claim.is.median) - LEFT,
    );
    if let Target::AtLeast(target) = claim.target {
        let x = at(target);
        let _ = writeln!(
            out,
            r##"<line x1="{x}" y1="{y0}" x2="{x}" y2="{y1}" stroke="#1f2933" stroke-dasharray="3 2"/>"##,
            y0 = y - 4.0,
            y1 = y + BAR + 4.0,
        );
    }
    let _ = writeln!(
        out,
        r##"<text x="{x}" y="{text}" fill="#1f2933">{median:.2}</text>"##,
        x = at(SHOWN_MAX) + 10.0,
        median = claim.is.median,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Spread;

    #[test]
    fn a_picture_has_a_bar_for_each_ratio() {
        let claims = vec![
            Claim::ratio("of the limit", Spread::one(0.7), Target::AtLeast(0.6), 0.3),
            Claim::figure("events/s", Spread::one(1.0), Target::AtLeast(2.0)),
        ];
        let report = Report {
            scenario: "push".into(),
            parameters: String::new(),
            series: Vec::new(),
            claims,
        };
        let picture = draw(&[report]);
        assert_eq!(picture.matches("#2f855a").count(), 1, "{picture}");
        assert!(!picture.contains("#c05621"));
    }
}
