//! RFC 3339, ISO 8601 and RFC 9557, and what is written in their place: date, time and zone in this
//! order, the year first.

use jiff::{
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};

use super::{
    Moment, Problem,
    written::{Given, NO_OFFSET, Written},
};

const NO_DAY: &str = "has a date that no calendar has";
const NO_TIME: &str = "has a time that no day has";
const WEEK: &str =
    "is a date by the week: expected year, month and day, or a `format` as `%G-W%V-%u`";
const ORDINAL: &str =
    "is a date by the day of the year: expected year, month and day, or a `format` as `%Y-%j`";
const OTHER: &str = "is not understood: expected RFC 3339, as 2026-01-31T12:00:00Z, or a `format` that describes it";

/// Reads `text` if it begins as a date does, with the year; `None` if it does not.
pub(super) fn read(text: &str, zone: Option<&TimeZone>) -> Option<Result<Moment, Problem>> {
    let mut scan = Scan(text.as_bytes());
    let date = match scan.date()? {
        Ok(date) => date,
        Err(problem) => return Some(Err(problem)),
    };
    Some(scan.moment(date, zone))
}

/// What is still to be read.
struct Scan<'a>(&'a [u8]);

/// A time of day; 24:00 is one.
struct Clock {
    hour: u8,
    minute: u8,
    second: u8,
    nanos: u32,
    digits: u8,
}

impl<'a> Scan<'a> {
    fn moment(mut self, date: Date, zone: Option<&TimeZone>) -> Result<Moment, Problem> {
        let clock = self.clock()?;
        let has_time = clock.is_some();
        let clock = clock.unwrap_or(Clock { hour: 0, minute: 0, second: 0, nanos: 0, digits: 0 });
        let local = clock.on(date)?;
        let offset = self.offset()?;
        let named = self.annotations(offset)?;
        if !self.0.is_empty() {
            return Err(OTHER.into());
        }
        let written = Written { local, digits: clock.digits };
        match (offset, named) {
            (Some(offset), named) => {
                let moment = written.at(offset)?;
                match named {
                    Some((name, true)) if !agrees(name, offset, &moment)? => Err(format!(
                        "has another offset than `{name}` has then, which `!` forbids"
                    )
                    .into()),
                    _ => Ok(moment),
                }
            }
            (None, Some((name, _))) => written.within(&zone_of(name)?),
            (None, None) if has_time => written.within_given(zone),
            (None, None) => match zone {
                Some(zone) => written.within(zone),
                None => Err("is a date without a time: set `zone` to read it as the beginning of that day, for instance `zone: UTC`".into()),
            },
        }
    }

    /// The date; `None` if this is no beginning of one.
    fn date(&mut self) -> Option<Result<Date, Problem>> {
        let year = match self.0 {
            // Six digits with a sign, as JavaScript writes years that have not four.
            [b'+' | b'-', rest @ ..] if digits(rest) == 6 => {
                let is_negative = self.0[0] == b'-';
                self.0 = rest;
                let year = self.number(6)?;
                let out = is_negative || year > 9_999;
                if out {
                    return Some(Err("is outside of the years 0000 to 9999".into()));
                }
                year
            }
            [_, _, _, _, b'W', b'0'..=b'9', ..] if digits(self.0) == 4 => {
                return Some(Err(WEEK.into()));
            }
            _ => match digits(self.0) {
                4 if matches!(self.0.get(4), Some(b'-' | b'/')) => self.number(4)?,
                7 if matches!(self.0.get(7), Some(b'T' | b't')) => {
                    return Some(Err(ORDINAL.into()));
                }
                8 => {
                    let (year, month, day) = (self.number(4)?, self.number(2)?, self.number(2)?);
                    return Some(day_of(year, month, day));
                }
                _ => return None,
            },
        };
        Some(self.rest_of_date(year))
    }

    fn rest_of_date(&mut self, year: u32) -> Result<Date, Problem> {
        let other = || Problem::from(OTHER);
        let between = self.next().filter(|byte| matches!(byte, b'-' | b'/')).ok_or_else(other)?;
        if matches!(self.0, [b'W' | b'w', ..]) {
            return Err(WEEK.into());
        }
        if digits(self.0) == 3 {
            return Err(ORDINAL.into());
        }
        let month = self.number(2).ok_or_else(other)?;
        if self.next() != Some(between) {
            return Err(other());
        }
        let day = self.number(2).ok_or_else(other)?;
        if digits(self.0) > 0 {
            return Err(other());
        }
        day_of(year, month, day)
    }

    /// The time of day, if one follows.
    fn clock(&mut self) -> Result<Option<Clock>, Problem> {
        let has_letter = matches!(self.0, [b'T' | b't', ..]);
        if has_letter {
            self.0 = &self.0[1..];
        } else {
            self.blanks();
        }
        if digits(self.0) == 0 {
            return if has_letter { Err(OTHER.into()) } else { Ok(None) };
        }
        let mut clock = Clock { hour: self.two()?, minute: 0, second: 0, nanos: 0, digits: 0 };
        let has_colons = self.takes(b':');
        if has_colons || digits(self.0) > 0 {
            clock.minute = self.two()?;
            if if has_colons { self.takes(b':') } else { digits(self.0) > 0 } {
                clock.second = self.two()?;
                if matches!(self.0, [b'.' | b',', b'0'..=b'9', ..]) {
                    self.0 = &self.0[1..];
                    (clock.nanos, clock.digits) = self.fraction();
                }
            }
        }
        if digits(self.0) > 0 { Err(OTHER.into()) } else { Ok(Some(clock)) }
    }

    /// Nine digits at most, as nanoseconds; the others are left out.
    fn fraction(&mut self) -> (u32, u8) {
        let (given, rest) = self.0.split_at(digits(self.0));
        self.0 = rest;
        let kept = &given[..given.len().min(9)];
        let places = u8::try_from(kept.len()).unwrap_or(9);
        let size = kept.iter().fold(0, |size, digit| size * 10 + u32::from(digit - b'0'));
        (size * 10_u32.pow(u32::from(9 - places)), places)
    }

    /// `Z`, `+01:00`, `+0100`, `+01`, ` UTC`, ` GMT+0100`, ` +0100 CET`; `None` if there is none.
    fn offset(&mut self) -> Result<Option<Given>, Problem> {
        self.blanks();
        let letters = self.letters();
        let named = match letters.to_ascii_uppercase().as_str() {
            "" => None,
            "UTC" | "GMT" | "UT" if matches!(self.0, [b'+' | b'-', ..]) => None,
            "Z" | "UTC" | "GMT" | "UT" => Some(Given::Zulu),
            "AM" | "PM" => {
                return Err(
                    "has hours up to twelve: set a `format`, as `%m/%d/%Y %I:%M:%S %p`".into()
                );
            }
            "W" => return Err(WEEK.into()),
            _ => {
                return Err(format!("has the zone `{letters}`, which is not the same everywhere: expected an offset as +01:00, or a `format` with `{letters}` in it and a `zone`").into());
            }
        };
        if named.is_some() {
            return Ok(named);
        }
        // The minus sign of typography is one, too (ISO 8601, 3.4.2).
        let is_negative = match self.0 {
            [b'+', rest @ ..] => {
                self.0 = rest;
                false
            }
            [b'-', rest @ ..] | [0xe2, 0x88, 0x92, rest @ ..] => {
                self.0 = rest;
                true
            }
            _ => return Ok(None),
        };
        let seconds = self.size_of_offset()?;
        // Go writes the letters of the zone behind the offset that says the same.
        self.blanks();
        let _ = self.letters();
        Ok(Some(match (is_negative, seconds) {
            (true, 0) => Given::Unknown,
            (true, seconds) => Given::Seconds(-seconds),
            (false, seconds) => Given::Seconds(seconds),
        }))
    }

    fn size_of_offset(&mut self) -> Result<i32, Problem> {
        let hours = self.two()?;
        let has_colons = self.takes(b':');
        let (mut minutes, mut seconds) = (0, 0);
        if has_colons || digits(self.0) > 0 {
            minutes = self.two()?;
            if if has_colons { self.takes(b':') } else { digits(self.0) > 0 } {
                seconds = self.two()?;
            }
        }
        if hours > 23 || minutes > 59 || seconds > 59 {
            return Err(NO_OFFSET.into());
        }
        Ok(i32::from(hours) * 3_600 + i32::from(minutes) * 60 + i32::from(seconds))
    }

    /// `[Europe/Berlin]`, `[!Europe/Berlin]`, `[u-ca=gregory]` (RFC 9557): the zone, and whether it
    /// has to agree with the offset.
    fn annotations(&mut self, offset: Option<Given>) -> Result<Option<(&'a str, bool)>, Problem> {
        let mut found = None;
        self.blanks();
        while let [b'[', rest @ ..] = self.0 {
            let end = rest.iter().position(|byte| *byte == b']').ok_or(OTHER)?;
            let name = std::str::from_utf8(&rest[..end]).map_err(|_| OTHER)?;
            self.0 = &rest[end + 1..];
            let (name, is_critical) = match name.strip_prefix('!') {
                Some(name) => (name, true),
                None => (name, false),
            };
            match (name.contains('='), found) {
                (true, _) if is_critical && name != "u-ca=iso8601" => {
                    return Err(format!("asks with `!` for `{name}`, which is not known").into());
                }
                (true, _) => {}
                (false, None) if !name.is_empty() => found = Some((name, is_critical)),
                (false, _) => return Err(OTHER.into()),
            }
        }
        // An offset decides; a name beside it counts only where `!` says that both must agree.
        Ok(found.filter(|(_, is_critical)| offset.is_none() || *is_critical))
    }

    fn blanks(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    fn letters(&mut self) -> String {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let (letters, rest) = self.0.split_at(count);
        self.0 = rest;
        String::from_utf8_lossy(&letters[..count.min(20)]).into_owned()
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn takes(&mut self, byte: u8) -> bool {
        let has = self.0.first() == Some(&byte);
        self.0 = &self.0[usize::from(has)..];
        has
    }

    /// A number of so many digits, at most nine.
    fn number(&mut self, count: usize) -> Option<u32> {
        let (given, rest) = self.0.split_at_checked(count)?;
        let is_number = given.iter().all(u8::is_ascii_digit);
        is_number.then(|| {
            self.0 = rest;
            given.iter().fold(0, |size, digit| size * 10 + u32::from(digit - b'0'))
        })
    }

    fn two(&mut self) -> Result<u8, Problem> {
        let number = self.number(2).and_then(|number| u8::try_from(number).ok());
        number.ok_or_else(|| OTHER.into())
    }
}

impl Clock {
    fn on(&self, date: Date) -> Result<DateTime, Problem> {
        let is_end = self.hour == 24 && self.minute == 0 && self.second == 0 && self.nanos == 0;
        if is_end {
            let next = date.tomorrow().map_err(|_| "is after the year 9999")?;
            return Ok(next.to_datetime(Time::midnight()));
        }
        // Neither JavaScript nor Python can read a leap second.
        let second = if self.second == 60 { 59 } else { self.second };
        let [hour, minute, second] = [self.hour, self.minute, second].map(i8::try_from);
        let (Ok(hour), Ok(minute), Ok(second), Ok(nanos)) =
            (hour, minute, second, i32::try_from(self.nanos))
        else {
            return Err(NO_TIME.into());
        };
        let time = Time::new(hour, minute, second, nanos).map_err(|_| NO_TIME)?;
        Ok(date.to_datetime(time))
    }
}

fn agrees(name: &str, offset: Given, moment: &Moment) -> Result<bool, Problem> {
    // `Z` says nothing of the local time (RFC 9557, section 2).
    let is_open = matches!(offset, Given::Zulu | Given::Unknown);
    let zone = zone_of(name)?;
    Ok(is_open || zone.to_offset(moment.timestamp()).seconds() == offset.seconds())
}

/// The zone of this name, or of an offset in its place.
pub(super) fn zone_of(name: &str) -> Result<TimeZone, Problem> {
    if name.starts_with(['+', '-']) {
        let mut scan = Scan(name.as_bytes());
        let offset = scan.offset()?.filter(|_| scan.0.is_empty()).ok_or(NO_OFFSET)?;
        let offset = jiff::tz::Offset::from_seconds(offset.seconds()).map_err(|_| NO_OFFSET)?;
        return Ok(TimeZone::fixed(offset));
    }
    TimeZone::get(name).map_err(|_| {
        let name: String = name.chars().take(60).collect();
        format!("has the zone `{name}`, which is not known: expected a name as Europe/Berlin")
            .into()
    })
}

fn day_of(year: u32, month: u32, day: u32) -> Result<Date, Problem> {
    let (Ok(year), Ok(month), Ok(day)) =
        (i16::try_from(year), i8::try_from(month), i8::try_from(day))
    else {
        return Err(NO_DAY.into());
    };
    Date::new(year, month, day).map_err(|_| NO_DAY.into())
}

/// How many digits are at the beginning.
fn digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}
