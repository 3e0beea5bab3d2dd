//! Decimal numbers as JSON writes them, compared by value on their text: exact, whatever their size.
//!
//! A producer's digits may be more than any number type holds (an id above 2^64, `1E400`), so
//! nothing here is turned into one, and nothing is written out: `1e999999999` costs no more than `1`.

use std::cmp::Ordering;

/// Exponents beyond this are not told apart; no text is long enough to make up for it.
const EXPONENT_MAX: i128 = 1 << 100;

/// Compares two numbers by value: `1.50` is `1.5`, `1e3` is `1000`, `-0` is `0`.
///
/// `None` if one is no number. Besides what JSON allows (RFC 8259, section 6), a `+` before the
/// number, zeros before its first digit and a dot without digits on one side are taken, as producers
/// write them into texts.
#[must_use]
pub fn compare(a: &str, b: &str) -> Option<Ordering> {
    Some(Decimal::read(a)?.cmp(&Decimal::read(b)?))
}

/// Whether `text` is a number that [`compare`] takes.
#[must_use]
pub fn is_number(text: &str) -> bool {
    Decimal::read(text).is_some()
}

/// Whether `text` is a number as JSON has it (RFC 8259, section 6), and nothing else.
#[must_use]
pub fn is_json(text: &str) -> bool {
    let number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    number
        && text.ends_with(|last: char| last.is_ascii_digit())
        && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}

/// A number as 0.DIGITS × 10^`exponent`; the first digit is not 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decimal<'a> {
    is_negative: bool,
    /// The digits, before and after the dot; both are empty for zero.
    digits: [&'a [u8]; 2],
    exponent: i128,
}

impl<'a> Decimal<'a> {
    /// Reads a number; `None` if it is none.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let (is_negative, rest) = signed(text.as_bytes());
        let (whole, rest) = digits(rest);
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => digits(rest),
            rest => (&[][..], rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', rest @ ..] => exponent(rest)?,
            _ => return None,
        };
        let whole = without_zeros(whole);
        let (fraction, zeros) = if whole.is_empty() {
            let kept = without_zeros(fraction);
            (kept, fraction.len() - kept.len())
        } else {
            (fraction, 0)
        };
        if whole.is_empty() && fraction.is_empty() {
            return Some(Self { is_negative: false, digits: [&[], &[]], exponent: 0 });
        }
        let shift = i128::try_from(whole.len()).ok()? - i128::try_from(zeros).ok()?;
        Some(Self { is_negative, digits: [whole, fraction], exponent: exponent + shift })
    }

    /// The largest whole number that is not above this number times 10^`power`; `None` where it has
    /// more than 30 digits.
    pub(crate) fn floor_of(&self, power: i128) -> Option<i128> {
        let places = self.exponent + power;
        if places > 30 {
            return None;
        }
        let mut digits = self.all();
        let mut whole = 0_i128;
        for _ in 0..places {
            whole = whole * 10 + i128::from(digits.next().unwrap_or(b'0') - b'0');
        }
        let is_exact = digits.all(|digit| digit == b'0');
        Some(match (self.is_negative, is_exact) {
            (false, _) => whole,
            (true, true) => -whole,
            (true, false) => -whole - 1,
        })
    }

    /// The smallest whole number that is not below this number, at least 0; `u64::MAX` where it
    /// does not fit.
    pub(crate) fn ceiling(&self) -> u64 {
        let negated = Self { is_negative: !self.is_negative, ..*self };
        match negated.floor_of(0) {
            None if self.is_negative => 0,
            None => u64::MAX,
            Some(floor) => u64::try_from((-floor).max(0)).unwrap_or(u64::MAX),
        }
    }

    fn all(&self) -> impl Iterator<Item = u8> + use<'a> {
        let [whole, fraction] = self.digits;
        whole.iter().chain(fraction).copied()
    }

    fn is_zero(&self) -> bool {
        self.digits.iter().all(|digits| digits.is_empty())
    }

    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.is_zero(), number.is_negative) {
            (true, _) => 0_i8,
            (false, true) => -1,
            (false, false) => 1,
        };
        sign(self).cmp(&sign(other)).then_with(|| {
            let size = self.exponent.cmp(&other.exponent).then_with(|| self.cmp_digits(other));
            if self.is_negative { size.reverse() } else { size }
        })
    }

    /// Compares the digits; zeros at the end say nothing.
    fn cmp_digits(&self, other: &Self) -> Ordering {
        let (mut a, mut b) = (self.all(), other.all());
        loop {
            let (one, two) = (a.next(), b.next());
            if one.is_none() && two.is_none() {
                return Ordering::Equal;
            }
            match one.unwrap_or(b'0').cmp(&two.unwrap_or(b'0')) {
                Ordering::Equal => {}
                unequal => return unequal,
            }
        }
    }
}

/// Whether a minus sign comes first, and what follows the sign.
fn signed(bytes: &[u8]) -> (bool, &[u8]) {
    match bytes.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, bytes.strip_prefix(b"+").unwrap_or(bytes)),
    }
}

/// The digits at the beginning, and what follows.
fn digits(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    &digits[digits.iter().take_while(|digit| **digit == b'0').count()..]
}

fn exponent(bytes: &[u8]) -> Option<i128> {
    let (is_negative, rest) = signed(bytes);
    let (digits, []) = digits(rest) else { return None };
    if digits.is_empty() {
        return None;
    }
    let size = digits
        .iter()
        .fold(0_i128, |size, digit| (size * 10 + i128::from(digit - b'0')).min(EXPONENT_MAX));
    Some(if is_negative { -size } else { size })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_compare_by_value() {
        use Ordering::{Equal, Greater, Less};
        for (a, order, b) in [
            ("1.50", Equal, "1.5"),
            ("1e3", Equal, "1000"),
            ("-0", Equal, "0.000"),
            ("0e5", Equal, "-0E-5"),
            ("9007199254740993", Greater, "9007199254740992"),
            ("18446744073709551617", Greater, "18446744073709551616"),
            ("0.1234567890123456789", Greater, "0.1234567890123456788"),
            ("-2", Less, "-1"),
            ("-10", Less, "9"),
            ("-1e400", Less, "-1"),
            ("1E400", Greater, "1E399"),
            ("1e-999999999", Greater, "0"),
            ("1e-999999999", Less, "1e-999999998"),
            ("10E999999998", Equal, "1e999999999"),
            ("1e99999999999999999999999999999999999999999999", Greater, "1E400"),
            ("0.00012", Equal, "12e-5"),
            ("100", Greater, "99.999"),
            ("+7", Equal, "007"),
            (".5", Equal, "5e-1"),
            ("5.", Equal, "5"),
        ] {
            assert_eq!(compare(a, b), Some(order), "{a} {b}");
            assert_eq!(compare(b, a), Some(order.reverse()), "{b} {a}");
        }
        for bad in
            ["", "-", ".", "e5", "1e", "1e+", "1.2.3", "0x10", "NaN", "inf", "1_0", " 1", "½"]
        {
            assert_eq!(compare(bad, "1"), None, "{bad}");
            assert!(!is_number(bad));
        }
    }

    #[test]
    fn whole_numbers_below_and_above() {
        for (text, power, floor) in [
            ("1.415335333E9", 9, Some(1_415_335_333_000_000_000)),
            ("-1.5", 0, Some(-2)),
            ("-1.5", 1, Some(-15)),
            ("0.9", 0, Some(0)),
            ("-1e-999999999", 9, Some(-1)),
            ("1e-999999999", 9, Some(0)),
            ("1e999999999", 9, None),
            ("0e999999999", 9, Some(0)),
        ] {
            assert_eq!(Decimal::read(text).unwrap().floor_of(power), floor, "{text}");
        }
        for (text, ceiling) in [
            ("2.0", 2),
            ("1.01", 2),
            ("0", 0),
            ("-3", 0),
            ("-1e50", 0),
            ("1e50", u64::MAX),
            ("99999999999999999999999", u64::MAX),
        ] {
            assert_eq!(Decimal::read(text).unwrap().ceiling(), ceiling, "{text}");
        }
    }

    proptest! {
        /// A number with few places, in several spellings, against whole numbers of 128 bits.
        #[test]
        fn decimals_agree_with_whole_numbers(
            a in -1_000_000_000_000_000_000_000_i128..1_000_000_000_000_000_000_000,
            b in prop_oneof![Just(0_i128), -50_i128..50, Just(-1_000_000_000_000_000_000_000)],
            near in any::<bool>(),
            (move_a, move_b) in (0_u32..12, 0_u32..12),
        ) {
            let b = if near { a + b } else { b };
            let (spelt_a, spelt_b) = (spelt(a, move_a), spelt(b, move_b));
            prop_assert_eq!(compare(&spelt_a, &spelt_b), Some(a.cmp(&b)), "{} {}", spelt_a, spelt_b);
            for power in 0..12_u32 {
                // The number is a; times 10^-power it is cut towards minus infinity.
                let floor = Decimal::read(&spelt_a).unwrap().floor_of(-i128::from(power));
                prop_assert_eq!(floor, Some(a.div_euclid(10_i128.pow(power))));
            }
        }

        #[test]
        fn no_text_is_too_strange(a in "\\PC*", b in "[-+0-9.eE]{0,40}") {
            let _ = compare(&a, &b);
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).map(Ordering::reverse));
        }
    }

    /// `number` with its dot moved by so many places, and an exponent that undoes it.
    fn spelt(number: i128, places: u32) -> String {
        let factor = 10_i128.pow(places);
        let (sign, size) = (if number < 0 { "-" } else { "" }, number.abs());
        if places == 0 {
            return format!("{sign}{size}00e-2");
        }
        let width = places as usize;
        format!("{sign}{}.{:0width$}0E+{places}", size / factor, size % factor)
    }
}
