//! Arithmetic that is exact, or says that it cannot be.
//!
//! Sums, differences, products and whole quotients are made of 38 digits and a power of ten. A
//! quotient or power of others is a double, and what is made of a double is one too.

use minijinja::Value;
use probes::number::is_number;

use super::digits::{self, double};

/// Longer results are written with an exponent.
const PLAIN_DIGITS_MAX: i64 = 60;

/// `mantissa` times ten to the `exponent`.
#[derive(Debug, Clone, Copy)]
struct Exact {
    mantissa: i128,
    exponent: i64,
    /// Whether it was written with a point or exponent, as its results are then.
    point: bool,
}

impl Exact {
    fn of(text: &str) -> Option<Self> {
        if !is_number(text) {
            return None;
        }
        let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = mantissa.bytes().filter(u8::is_ascii_digit);
        let (mut mantissa, mut zeros) = (0_i128, 0_u32);
        let mut exponent = -i64::try_from(fraction.len()).ok()?;
        let negative = whole.starts_with('-');
        for digit in digits {
            if digit == b'0' {
                // They count only when other digits follow.
                zeros += u32::from(mantissa != 0);
                continue;
            }
            let digit = i128::from(digit - b'0') * if negative { -1 } else { 1 };
            let shifted = mantissa.checked_mul(10_i128.checked_pow(zeros + 1)?)?;
            mantissa = shifted.checked_add(digit)?;
            zeros = 0;
        }
        exponent = exponent.checked_add(i64::from(zeros))?;
        let point = text.contains(['.', 'e', 'E']);
        if mantissa == 0 {
            return Some(Self { mantissa, exponent: 0, point });
        }
        exponent = exponent.checked_add(power.parse::<i64>().ok()?)?;
        Some(Self { mantissa, exponent, point })
    }

    /// The two with one exponent, the lower.
    fn aligned(self, other: Self) -> Option<(i128, i128, i64)> {
        let exponent = match (self.mantissa, other.mantissa) {
            (0, _) => other.exponent,
            (_, 0) => self.exponent,
            _ => self.exponent.min(other.exponent),
        };
        let shifted = |of: Self| {
            if of.mantissa == 0 {
                return Some(0);
            }
            let up = u32::try_from(of.exponent.checked_sub(exponent)?).ok()?;
            of.mantissa.checked_mul(10_i128.checked_pow(up)?)
        };
        Some((shifted(self)?, shifted(other)?, exponent))
    }

    fn value(mantissa: i128, exponent: i64, point: bool) -> Option<Value> {
        let (mut mantissa, mut exponent) = (mantissa, exponent);
        while mantissa != 0 && mantissa % 10 == 0 {
            (mantissa, exponent) = (mantissa / 10, exponent.checked_add(1)?);
        }
        let digits = mantissa.unsigned_abs().to_string();
        let sign = if mantissa < 0 { "-" } else { "" };
        let tail = if point { ".0" } else { "" };
        let text = match usize::try_from(exponent) {
            _ if mantissa == 0 => format!("0{tail}"),
            Ok(up) if exponent <= PLAIN_DIGITS_MAX => format!("{sign}{digits}{:0<up$}{tail}", ""),
            Err(_) if exponent >= -PLAIN_DIGITS_MAX => {
                let down = usize::try_from(-exponent).ok()?;
                let padded = format!("{digits:0>width$}", width = down + 1);
                let (whole, fraction) = padded.split_at(padded.len() - down);
                format!("{sign}{whole}.{fraction}")
            }
            _ => format!("{sign}{digits}e{exponent}"),
        };
        digits::value(&text)
    }
}

/// Calculates with two numbers by their texts, neither being a double; `None` where a double has
/// to do it.
///
/// # Errors
/// It cannot be done exactly, or at all.
pub(super) fn calculate(sign: &str, a: &str, b: &str) -> Option<Result<Value, String>> {
    if matches!(sign, "/" | "**") {
        return None;
    }
    let refused =
        || format!("unable to calculate {} {sign} {} exactly: too many digits", cut(a), cut(b));
    // A number can be a whole MiB of digits: each is read once.
    let (of_a, of_b) = (Exact::of(a), Exact::of(b));
    let by_zero = matches!(sign, "//" | "%") && of_b.is_some_and(|b| b.mantissa == 0);
    if by_zero {
        return Some(Err(format!("unable to calculate {} {sign} {}", cut(a), cut(b))));
    }
    let made = || {
        let (a, b) = (of_a?, of_b?);
        let point = a.point || b.point;
        if sign == "*" {
            let exponent = a.exponent.checked_add(b.exponent)?;
            return Exact::value(a.mantissa.checked_mul(b.mantissa)?, exponent, point);
        }
        let (a, b, exponent) = a.aligned(b)?;
        match sign {
            "+" => Exact::value(a.checked_add(b)?, exponent, point),
            "-" => Exact::value(a.checked_sub(b)?, exponent, point),
            "//" => Exact::value(floor(a, b)?.0, 0, point),
            _ => Exact::value(floor(a, b)?.1, exponent, point),
        }
    };
    Some(made().ok_or_else(refused))
}

/// The quotient rounded down, and what is left, which has the sign of `b`.
fn floor(a: i128, b: i128) -> Option<(i128, i128)> {
    let (quotient, rest) = (a.checked_div(b)?, a.checked_rem(b)?);
    if rest != 0 && (rest < 0) != (b < 0) {
        Some((quotient.checked_sub(1)?, rest.checked_add(b)?))
    } else {
        Some((quotient, rest))
    }
}

/// The number for a calculation with doubles.
///
/// # Errors
/// A double is not this number.
pub(super) fn as_double(sign: &str, text: &str) -> Result<f64, String> {
    double(text).ok_or_else(|| {
        format!("`{sign}` is calculated with doubles, which cannot hold {} exactly", cut(text))
    })
}

/// The number with the other sign, of whatever size.
pub(super) fn negated(text: &str) -> Option<Value> {
    match text.strip_prefix('-') {
        Some(positive) => digits::value(positive),
        None if text == "0" => Some(Value::from(0)),
        None => digits::value(&format!("-{text}")),
    }
}

/// The number rounded to so many digits behind the point, halves to the even digit.
///
/// # Errors
/// It has too many digits to be calculated with.
pub(super) fn rounded(text: &str, places: i64) -> Result<Value, String> {
    let made = || {
        let exact = Exact::of(text)?;
        let down = places.checked_neg()?.checked_sub(exact.exponent)?;
        if down <= 0 {
            return Exact::value(exact.mantissa, exact.exponent, exact.point);
        }
        let factor = u32::try_from(down).ok().and_then(|down| 10_i128.checked_pow(down));
        // No number of 38 digits reaches half of a larger one.
        let Some(factor) = factor else { return Exact::value(0, 0, exact.point) };
        let (quotient, rest) = (exact.mantissa / factor, (exact.mantissa % factor).abs());
        let up = rest > factor - rest || (rest == factor - rest && quotient % 2 != 0);
        let step = if up { exact.mantissa.signum() } else { 0 };
        Exact::value(quotient.checked_add(step)?, places.checked_neg()?, exact.point)
    };
    made().ok_or_else(|| format!("`round` cannot round {} exactly: too many digits", cut(text)))
}

fn cut(text: &str) -> String {
    if text.len() <= 60 { text.to_owned() } else { format!("{}…", &text[..60]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calculations_are_exact_or_refused() {
        for (a, sign, b, expected) in [
            ("0.1", "+", "0.2", Some("0.3")),
            ("0.1234567890123456789", "+", "0", Some("0.1234567890123456789")),
            ("12345678901234567890", "+", "1", Some("12345678901234567891")),
            ("9007199254740993", "+", "0.5", Some("9007199254740993.5")),
            ("9007199254740993", "*", "1.0", Some("9007199254740993.0")),
            ("1.50", "*", "2", Some("3.0")),
            ("1E400", "*", "10", Some("1e401")),
            ("1E400", "+", "1", None),
            ("1e30", "-", "1e30", Some("0.0")),
            ("1e-30", "+", "1e30", None),
            ("-7", "%", "3", Some("2")),
            ("-7.5", "//", "2", Some("-4.0")),
            ("7.5", "%", "2", Some("1.5")),
            ("1", "//", "0.0", None),
            ("-0.0", "+", "0", Some("0.0")),
            ("170141183460469231731687303715884105727", "+", "1", None),
            ("-170141183460469231731687303715884105728", "//", "-1", None),
            ("0", "+", "1e99", Some("1e99")),
        ] {
            let made = calculate(sign, a, b).unwrap().ok().map(|value| value.to_string());
            assert_eq!(made.as_deref(), expected, "{a} {sign} {b}");
        }
        let long = "9".repeat(400);
        assert!(calculate("+", &long, "1").unwrap().unwrap_err().len() < 200);
    }

    #[test]
    fn halves_are_rounded_to_even() {
        for (text, places, expected) in [
            ("2.5", 0, "2.0"),
            ("3.5", 0, "4.0"),
            ("-2.51", 0, "-3.0"),
            ("0.1234567890123456789", 18, "0.123456789012345679"),
            ("1.50", 9, "1.5"),
            ("1250.0", -2, "1200.0"),
            ("0.4", -40, "0.0"),
            ("5", 0, "5"),
        ] {
            assert_eq!(rounded(text, places).unwrap().to_string(), expected, "{text} {places}");
        }
        assert!(rounded(&format!("0.{}", "9".repeat(60)), 0).is_err());
    }
}
