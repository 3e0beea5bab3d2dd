//! How a text becomes a moment: by its format, as RFC 3339 and its likes, as a date of HTTP or mail,
//! and as what `date`, Ruby, Go, Java and JavaScript print.

use jiff::{
    SignedDuration,
    fmt::{rfc2822, strtime::BrokenDownTime},
    tz::TimeZone,
};

use super::{
    EPOCH, Moment, MomentError, Offset, Problem, Reading, Unit, digits_of,
    iso::{self, zone_of},
    written::{Given, NO_OFFSET, NO_ZONE, OUTSIDE, Written},
};
use crate::number::is_number;

/// No spelling of a moment is longer; what is longer is not looked at.
const BYTES_MAX: usize = 200;

/// Spellings with the names of days and months, all in English and none of them ambiguous.
const WORDS: [&str; 9] = [
    // `date`; Java's Date for UTC
    "%a %b %d %H:%M:%S UTC %Y",
    "%a %b %d %H:%M:%S GMT %Y",
    // Twitter, Ruby
    "%a %b %d %H:%M:%S %z %Y",
    // RFC 2822 without a zone
    "%a, %d %b %Y %H:%M:%S",
    // Mail, with the name that RFC 2822 does not know
    "%a, %d %b %Y %H:%M:%S UTC",
    // Cookies, as Netscape had them
    "%a, %d-%b-%Y %H:%M:%S GMT",
    "%A, %d-%b-%Y %H:%M:%S GMT",
    // JavaScript's Date
    "%a %b %d %Y %H:%M:%S GMT%z",
    // Git
    "%a %b %d %H:%M:%S %Y %z",
];

pub(super) fn read(text: &str, reading: &Reading) -> Result<Moment, MomentError> {
    let given = text;
    let text = text.trim();
    let zone = reading.zone.as_ref();
    let problem = |problem: Problem| MomentError::new(given, problem);
    if text.is_empty() {
        return Err(problem("is empty: expected a time".into()));
    }
    if text.len() > BYTES_MAX {
        return Err(problem(format!("is longer than {BYTES_MAX} bytes: expected a time").into()));
    }
    let formatted = reading.format.as_ref().map(|format| by_format(format, text, zone));
    if let Some(Ok(moment)) = formatted {
        return Ok(moment);
    }
    let read = iso::read(text, zone).unwrap_or_else(|| by_words(text, zone));
    read.map_err(|other| match (formatted, &reading.format) {
        (Some(Err(why)), Some(format)) => {
            problem(format!("is not as `format: {format}` has it ({why}), and {other}").into())
        }
        _ => problem(other),
    })
}

/// What does not begin with a year.
fn by_words(text: &str, zone: Option<&TimeZone>) -> Result<Moment, Problem> {
    if let Some(moment) = microsoft(text) {
        return moment;
    }
    if is_number(text) || !text.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        return Err(only_digits(text));
    }
    if let Ok(zoned) = rfc2822::DateTimeParser::new().parse_zoned(text) {
        let offset = match zoned.offset().seconds() {
            _ if text.ends_with("-0000") => Given::Unknown,
            0 if !text.contains("+0000") => Given::Zulu,
            seconds => Given::Seconds(seconds),
        };
        return Written { local: zoned.datetime(), digits: 0 }.at(offset);
    }
    if let Ok(moment) = httpdate::parse_http_date(text) {
        let since = moment.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let since = SignedDuration::try_from(since).map_err(|_| OUTSIDE)?;
        let local = EPOCH.checked_add(since).map_err(|_| OUTSIDE)?;
        let written = Written { local, digits: 0 };
        // The form of asctime has no zone: in HTTP that is UTC (RFC 9110, section 5.6.7).
        return match zone {
            Some(zone) if !text.contains("GMT") => written.within(zone),
            _ => written.at(Given::Zulu),
        };
    }
    // JavaScript adds the name of the zone in words.
    let without_name = text.split(" (").next().unwrap_or(text);
    for format in WORDS {
        let utc = format.contains(" UTC") || format.ends_with(" GMT") || format.contains(" GMT ");
        let zone = if utc { Some(&TimeZone::UTC) } else { zone };
        match by_format(format, without_name, zone) {
            Err(problem) if problem == NO_ZONE || problem == NO_OFFSET => return Err(problem),
            Err(_) => {}
            moment => return moment,
        }
    }
    Err("is not understood: expected RFC 3339, as 2026-01-31T12:00:00Z, or a `format` that describes it".into())
}

/// What a text without letters is, which is no moment.
fn only_digits(text: &str) -> Problem {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if is_digits && text.len() == 14 {
        return "has 14 digits: if they are a date and a time, set `format: \"%Y%m%d%H%M%S\"`"
            .into();
    }
    if is_number(text) {
        return "is a number: set `unit` to what it counts since 1970 (s, ms, us, ns)".into();
    }
    if text.split(['/', '.', '-']).count() == 3 || text.matches(['/', '.']).count() == 2 {
        return "may be read in several ways: set a `format`, as `%d/%m/%Y` or `%m/%d/%Y`".into();
    }
    "is not understood: expected RFC 3339, as 2026-01-31T12:00:00Z, or a `format` that describes it"
        .into()
}

/// `/Date(1772359200000)/`, as ASP.NET writes milliseconds; `None` if it is not that.
fn microsoft(text: &str) -> Option<Result<Moment, Problem>> {
    let number = text.strip_prefix("/Date(")?.strip_suffix(")/")?;
    // An offset may follow, which changes nothing but the local time.
    let end = number.char_indices().skip(1).find(|(_, letter)| !letter.is_ascii_digit());
    let number = end.map_or(number, |(at, _)| &number[..at]);
    Some(Moment::of_number(number, Unit::Ms).map_err(|error| error.problem))
}

/// Reads what `format` describes.
pub(super) fn by_format(
    format: &str,
    text: &str,
    zone: Option<&TimeZone>,
) -> Result<Moment, Problem> {
    let broken = BrokenDownTime::parse(format, text).map_err(|error| error.to_string())?;
    let fraction = broken.subsec_nanosecond().unwrap_or(0);
    let digits = u32::try_from(fraction).map_or(0, digits_of);
    if let Some(moment) = broken.timestamp() {
        let nanos = moment.as_nanosecond() + i128::from(fraction);
        let offset = broken.offset().map_or(Offset::Zulu, |o| Offset::of_seconds(o.seconds()));
        return Moment::checked(nanos, offset, digits).ok_or_else(|| OUTSIDE.into());
    }
    let local = broken.to_datetime().map_err(|error| error.to_string())?;
    let written = Written { local, digits };
    match (broken.offset(), broken.iana_time_zone()) {
        (Some(offset), _) => written.at(Given::Seconds(offset.seconds())),
        (None, Some(name)) => written.within(&zone_of(name)?),
        (None, None) => written.within_given(zone),
    }
}
