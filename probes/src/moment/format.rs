//! A moment as a producer wants to be told it, and whether a format can be used at all.

use jiff::{Timestamp, Zoned, fmt::strtime::BrokenDownTime, tz::TimeZone};

use super::{Moment, MomentError, Problem, read::by_format};

/// Seconds since 1970, in the place of a format.
const UNIX: &str = "unix";
/// Milliseconds since 1970, in the place of a format.
const UNIX_MS: &str = "unix_ms";

impl Moment {
    /// The moment as a producer wants it: by default RFC 3339 as [`Moment::rfc3339`] has it, in
    /// `zone` if one is given; `unix` and `unix_ms` are whole numbers of seconds and milliseconds
    /// since 1970, cut, so that they are not after the moment; anything else is a format of
    /// `strftime`, in `zone` or UTC.
    ///
    /// A format that [`check_sent_format`] refuses is as none.
    #[must_use]
    pub fn in_format(&self, format: Option<&str>, zone: Option<&TimeZone>) -> String {
        let plain = || zone.map_or(*self, |zone| self.in_zone(zone)).rfc3339();
        match format {
            None => plain(),
            Some(UNIX) => self.nanos.div_euclid(1_000_000_000).to_string(),
            Some(UNIX_MS) => self.nanos.div_euclid(1_000_000).to_string(),
            Some(format) => {
                let zone = zone.cloned().unwrap_or(TimeZone::UTC);
                self.broken_down(&zone).to_string(format).unwrap_or_else(|_| plain())
            }
        }
    }

    fn broken_down(&self, zone: &TimeZone) -> BrokenDownTime {
        if let Ok(moment) = Timestamp::from_nanosecond(self.nanos) {
            return BrokenDownTime::from(&moment.to_zoned(zone.clone()));
        }
        // The last day of the year 9999 is known by date and time only.
        let shown = self.in_zone(zone);
        let mut broken = shown.local().map(BrokenDownTime::from).unwrap_or_default();
        let seconds = i32::from(shown.offset.minutes()) * 60;
        broken.set_offset(jiff::tz::Offset::from_seconds(seconds).ok());
        broken
    }
}

/// Checks a format that times are to be sent in: one of `strftime`, `unix` or `unix_ms`.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_sent_format(format: &str) -> Result<(), MomentError> {
    if [UNIX, UNIX_MS].contains(&format) {
        return Ok(());
    }
    written(format).map(|_| ()).map_err(|why| {
        let problem = format!(
            "is no format for a time: {why}; expected one of strftime, as `%Y-%m-%dT%H:%M:%SZ`, or `unix` or `unix_ms`"
        );
        MomentError::new(format, problem)
    })
}

/// Checks a format that times are to be read in: one of `strftime`, with all of a date.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_read_format(format: &str) -> Result<(), MomentError> {
    let read = |text: String| by_format(format, &text, Some(&TimeZone::UTC));
    written(format).and_then(read).map(|_| ()).map_err(|why| {
        let problem = format!(
            "is no format that a time can be read by: {why}; expected one of strftime, as `%d/%m/%Y %H:%M:%S`"
        );
        MomentError::new(format, problem)
    })
}

/// Some moment in the format.
fn written(format: &str) -> Result<String, Problem> {
    if !format.contains('%') {
        return Err("it has no `%`".into());
    }
    // A day whose number is no month's, in an afternoon.
    let moment = Timestamp::from_second(1_774_968_330).unwrap_or_default();
    let zoned = Zoned::new(moment, TimeZone::UTC);
    BrokenDownTime::from(&zoned).to_string(format).map_err(|error| error.to_string().into())
}
