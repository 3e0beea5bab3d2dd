//! Spellings and what becomes of them, numbers against a model, and texts that nobody writes.

use proptest::prelude::*;

use super::*;

/// Also read by what checks the outcomes with the libraries of CloudEvents.
const SPELLINGS: &str = include_str!("spellings.tsv");

/// Text, settings and outcome of each line.
fn spellings() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    SPELLINGS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
        let [text, settings, outcome] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("expected three columns: {line}");
        };
        (text, settings, outcome)
    })
}

fn understood(text: &str, settings: &str) -> Result<Moment, MomentError> {
    let mut reading = Reading::default();
    for setting in settings.split(';').filter(|setting| !setting.is_empty()) {
        match setting.split_once('=').unwrap() {
            ("unit", unit) => {
                let unit = Unit::ALL.into_iter().find(|known| known.as_str() == unit).unwrap();
                return Moment::of_number(text, unit);
            }
            ("zone", zone) => reading.zone = Some(TimeZone::get(zone).unwrap()),
            ("format", format) => reading.format = Some(format.to_owned()),
            (other, _) => panic!("no setting: {other}"),
        }
    }
    Moment::read(text, &reading)
}

#[test]
fn each_spelling_is_rfc_3339_or_refused_with_the_reason() {
    let mut counts = [0, 0];
    let mut wrong = Vec::new();
    for (text, settings, expected) in spellings() {
        let got = understood(text, settings);
        match (&got, expected.strip_prefix('!')) {
            (Ok(moment), None) => {
                counts[0] += 1;
                let written = moment.rfc3339();
                if written != expected || !is_rfc3339(&written) {
                    wrong.push(format!("{text} ({settings}): {written}, not {expected}"));
                }
                // What goes out is what it was, and is taken as it is.
                let again = Moment::read(&written, &Reading::default()).unwrap();
                assert_eq!((again, again.rfc3339()), (*moment, written), "{text}");
            }
            (Err(error), Some(reason)) => {
                counts[1] += 1;
                if !error.to_string().contains(reason) {
                    wrong.push(format!("{text} ({settings}): {error}, not {reason}"));
                }
            }
            _ => wrong.push(format!("{text} ({settings}): {got:?}, not {expected}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(counts[0] >= 130 && counts[1] >= 70, "{counts:?}");
}

/// The grammar of RFC 3339, section 5.6, in capital letters and without leap seconds.
fn is_rfc3339(text: &str) -> bool {
    let shape: String =
        text.chars().map(|letter| if letter.is_ascii_digit() { 'd' } else { letter }).collect();
    let Some(rest) = shape.strip_prefix("dddd-dd-ddTdd:dd:dd") else { return false };
    let (fraction, offset) = match rest.strip_prefix('.') {
        Some(rest) => {
            let offset = rest.trim_start_matches('d');
            (Some(rest.len() - offset.len()), offset)
        }
        None => (None, rest),
    };
    let number = |at: usize, length: usize| text[at..at + length].parse::<u16>().unwrap();
    let (year, month, day) = (number(0, 4), number(5, 2), number(8, 2));
    let is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let days = match month {
        2 => 28 + u16::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let offset_at = text.len() - offset.len();
    let offset_is_good = match offset {
        "Z" => true,
        "+dd:dd" | "-dd:dd" => number(offset_at + 1, 2) < 24 && number(offset_at + 4, 2) < 60,
        _ => false,
    };
    (1..=12).contains(&month)
        && (1..=days).contains(&day)
        && number(11, 2) < 24
        && number(14, 2) < 60
        && number(17, 2) < 60
        && fraction.is_none_or(|digits| (1..=9).contains(&digits))
        && offset_is_good
}

#[test]
fn the_grammar_refuses_what_is_not_rfc_3339() {
    assert!(is_rfc3339("2026-03-01T12:00:00.5+01:00"));
    for bad in [
        "2026-03-01T12:00:00",
        "2026-03-01 12:00:00Z",
        "2026-03-01T12:00:00.Z",
        "2026-03-01T12:00:00+0000",
        "2026-03-01T12:00:00+24:00",
        "2026-02-29T12:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T12:00:60Z",
        "2026-03-01t12:00:00z",
        "2026-03-01T12:00:00.1234567890Z",
    ] {
        assert!(!is_rfc3339(bad), "{bad}");
    }
}

#[test]
fn moments_are_ordered_as_they_happen() {
    let read = |text| Moment::read(text, &Reading::default()).unwrap();
    for (less, more) in [
        ("2026-03-01T12:00:00+02:00", "2026-03-01T12:00:00Z"),
        ("2026-03-01T12:00:00.999999999Z", "2026-03-01T12:00:01Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59-05:00"),
        ("0000-01-01T00:00:00+01:00", "0000-01-01T00:00:00Z"),
    ] {
        assert!(read(less) < read(more), "{less} {more}");
    }
    assert_eq!(read("2026-03-01T12:00:00+02:00"), read("2026-03-01T10:00:00.000Z"));
    let never = read("9999-12-31T23:59:59Z");
    assert_eq!(never.timestamp(), Timestamp::MAX);
    assert_eq!(never.nanos(), 253_402_300_799_000_000_000);
    assert_eq!(Moment::from_timestamp(Timestamp::MIN).rfc3339(), "0000-01-01T00:00:00Z");
    let moment: Timestamp = "2026-03-01T12:00:00.5Z".parse().unwrap();
    assert_eq!(Moment::from_timestamp(moment).rfc3339(), "2026-03-01T12:00:00.5Z");
    assert_eq!(Moment::from_timestamp(moment).timestamp(), moment);
}

#[test]
fn moments_are_sent_as_a_producer_wants_them() {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let berlin = Some(&berlin);
    let (summer, never) = ("2026-07-01T12:00:00.25Z", "9999-12-31T23:59:59Z");
    for (text, format, zone, expected) in [
        (summer, None, None, summer),
        (summer, None, berlin, "2026-07-01T14:00:00.25+02:00"),
        (summer, Some("unix"), None, "1782907200"),
        (summer, Some("unix_ms"), berlin, "1782907200250"),
        ("1969-12-31T23:59:58.5Z", Some("unix"), None, "-2"),
        (summer, Some("%Y-%m-%d %H:%M"), None, "2026-07-01 12:00"),
        (summer, Some("%Y-%m-%d %H:%M"), berlin, "2026-07-01 14:00"),
        (summer, Some("%d/%m/%y %H:%M:%S.%3f %z %Z"), berlin, "01/07/26 14:00:00.250 +0200 CEST"),
        ("2026-07-01T12:00:00+05:00", Some("%H:%M"), None, "07:00"),
        (never, None, berlin, never),
        (never, Some("%Y-%m-%dT%H:%M:%S%:z"), None, "9999-12-31T23:59:59+00:00"),
        (never, Some("unix"), None, "253402300799"),
        (summer, Some("%&"), None, summer),
    ] {
        let moment = Moment::read(text, &Reading::default()).unwrap();
        assert_eq!(moment.in_format(format, zone), expected, "{text} {format:?}");
    }
}

#[test]
fn formats_are_checked_before_they_are_used() {
    for good in ["%Y-%m-%d", "%s", "%d/%m/%Y %H:%M:%S %z", "%FT%T", "%Y%m%d"] {
        assert_eq!((check_read_format(good), check_sent_format(good)), (Ok(()), Ok(())), "{good}");
    }
    for good in ["unix", "unix_ms", "%H:%M %Z", "%Y-W%V"] {
        assert_eq!(check_sent_format(good), Ok(()), "{good}");
    }
    for (bad, reason) in [
        ("", "has no `%`"),
        ("yyyy-MM-dd", "has no `%`"),
        ("%&", "strftime"),
        ("%", "strftime"),
        ("%Y-%", "strftime"),
    ] {
        for error in [check_sent_format(bad).unwrap_err(), check_read_format(bad).unwrap_err()] {
            assert!(error.to_string().contains(reason), "{bad}: {error}");
        }
    }
    for bad in ["%H:%M", "%Y-%m", "%Y-%m-%d %Z", "unix"] {
        assert!(check_read_format(bad).is_err(), "{bad}");
    }
}

#[test]
fn units_are_written_as_in_the_configuration() {
    for unit in Unit::ALL {
        assert_eq!(serde_json::to_value(unit).unwrap(), unit.as_str());
    }
}

proptest! {
    #[test]
    fn numbers_agree_with_whole_numbers_of_nanoseconds(
        nanos in -62_167_219_200_000_000_000_i128..253_402_300_800_000_000_000,
    ) {
        for unit in Unit::ALL {
            let factor = 10_i128.pow(u32::try_from(unit.power()).unwrap());
            let size = nanos.abs();
            let sign = if nanos < 0 { "-" } else { "" };
            let width = usize::try_from(unit.power()).unwrap();
            let fraction = if width == 0 { String::new() } else { format!(".{:0width$}", size % factor) };
            for text in [
                format!("{sign}{}{fraction}", size / factor),
                format!("{sign}{size}e-{width}"),
                format!("{sign}{size}.0E-{width}"),
                format!("{sign}0.{size:030}e{}", 30 - width),
            ] {
                let moment = Moment::of_number(&text, unit).unwrap();
                prop_assert_eq!(moment.nanos(), nanos, "{} {:?}", text, unit);
                let written = moment.rfc3339();
                prop_assert!(is_rfc3339(&written), "{}", written);
                prop_assert_eq!(Moment::read(&written, &Reading::default()).unwrap(), moment);
            }
        }
    }

    #[test]
    fn no_text_is_too_strange(
        text in prop_oneof![
            "\\PC*",
            "[-+0-9TtZz:., /\\[\\]A-Za-z]{0,60}",
            "[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}[Tt ][0-9]{2}:?[0-9]{2}:?[0-9]{2}[.,]?[0-9]{0,12}[-+Zz ]?[0-9:]{0,8}",
            "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](Z|[-+][0-2][0-9]:[0-5][0-9])(\\[[!A-Za-z/=+-]{0,12}\\])?",
            "(Sun|Mon)[a-z]{0,3},? [0-9]{1,2}[ -](Mar|Nov)[ -][0-9]{2,4} [0-9:]{4,8} ?[A-Z+0-9-]{0,5}",
        ],
        format in proptest::option::of(prop_oneof!["\\PC{0,12}", "(%[-_0^#:]?[0-9.]{0,2}[A-Za-z%][ /:.-]?){1,6}"]),
        has_zone in any::<bool>(),
    ) {
        let zone = has_zone.then(|| TimeZone::get("America/New_York").unwrap());
        if let Some(format) = &format {
            let _ = (check_read_format(format), check_sent_format(format));
        }
        let reading = Reading { zone: zone.clone(), format: format.clone() };
        for unit in Unit::ALL {
            let _ = Moment::of_number(&text, unit);
        }
        if let Ok(moment) = Moment::read(&text, &reading) {
            let written = moment.rfc3339();
            prop_assert!(is_rfc3339(&written), "{} {}", text, written);
            prop_assert_eq!(Moment::read(&written, &Reading::default()).unwrap(), moment);
            let _ = moment.in_format(format.as_deref(), zone.as_ref());
        }
    }

    /// RFC 3339 is not touched.
    #[test]
    fn what_is_good_keeps_its_bytes(text in "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[-+]([01][0-9]|2[0-3]):[0-5][0-9])") {
        prop_assert_eq!(Moment::read(&text, &Reading::default()).unwrap().rfc3339(), text);
    }
}
