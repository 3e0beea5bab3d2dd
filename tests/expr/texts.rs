//! Hostile expressions: those that a person would think of, and those that chance makes of the
//! same parts.

use fastrand::Rng;

const BYTES_MAX: usize = 1_024;

/// Parts that are joined by an operator, as often as fits.
const JOINED: [(&str, &str); 26] = [
    ("data.a", "~"),
    ("data.a", "+"),
    ("data", "=="),
    ("data.a", "=="),
    ("data.a", "<"),
    ("data.a", " in "),
    ("data", " not in "),
    ("data.zz", " or "),
    ("data.a[-9]", " or "),
    ("data.a|length", "+"),
    ("data.a|lower", "=="),
    ("data.a|upper", "~"),
    ("data.a|replace('','xxxxxxxx')", "~"),
    ("data.a|split('')", "=="),
    ("data.a|split|join", "~"),
    ("data.a|join('xxxxxxxxxx')", "~"),
    ("data.a|tojson", "~"),
    ("data.a|trim", "~"),
    ("data.a|string", "~"),
    ("data.a|int", "**"),
    ("subject", "~"),
    ("'q' in subject", " or "),
    ("data", "~"),
    ("data.a.a.a", " or "),
    ("9", "**"),
    ("1e308", "*"),
];

/// Parts that follow each other.
const CHAINED: [(&str, &str); 14] = [
    ("data.a", "|lower|upper"),
    ("data.a", "|upper"),
    ("data.a", "|replace('a','aa')"),
    ("'a'", "|replace('a','aaaa')"),
    ("'a'", "|replace('','a')"),
    ("data.a", "|tojson"),
    ("data", "|tojson|tojson"),
    ("data.a", "|split('')|join('aa')"),
    ("'ab'", "|split('')|join('abab')"),
    ("data.b", ".a[0]"),
    ("data.a", "[0]"),
    ("data.a", "|first|string"),
    ("-1", "|abs"),
    ("0.1", "|round(1074)|string|float"),
];

const FIXED: [&str; 33] = [
    "'x' * 99999999",
    "99999999 * 'x'",
    "[0] * 99999999",
    "data.a * 99999999",
    "data.list * 99999999",
    "(1,) * 99999999",
    "2 ** 2 ** 2 ** 2 ** 2 ** 2",
    "9 ** 999999999999",
    "9.9 ** 99999 ** 9999",
    "1e999999999",
    "0.1|round(999999999)",
    "1|round(-999999999)",
    "99999999999999999999999999999999999999999999999 * data.b",
    "170141183460469231731687303715884105727 + 1",
    "-170141183460469231731687303715884105728 // -1",
    "-170141183460469231731687303715884105728 % -1",
    "-(-170141183460469231731687303715884105728)",
    "-170141183460469231731687303715884105728|abs",
    "range(99999999)|list",
    "range(99999999)|join",
    "[1]|map('upper')|list",
    "namespace(a=1)",
    "data|dictsort",
    "data|pprint",
    "data|batch(1)",
    "'%9999999999d'|format(1)",
    "'x'.join(data.a)",
    "data.a[::-1]",
    "debug()",
    "{'a': data}|tojson",
    "data.a|indent(99999999)",
    "loop.cycle(1)",
    "data.a|split(data.a)|join(data.a)",
];

pub(super) fn by_hand() -> Vec<String> {
    let mut all: Vec<String> = FIXED.map(str::to_owned).into();
    for (part, sign) in JOINED {
        // Only 256 words and signs are read, so that fewer go further.
        for most in [3, 12, 20, 40, 80, 500] {
            let fit = (BYTES_MAX / (part.len() + sign.len())).min(most);
            all.push(vec![part; fit].join(sign));
            all.push(format!("[{}]|length", vec![part; fit.saturating_sub(2)].join(",")));
        }
    }
    for (part, after) in CHAINED {
        for most in [5, 20, 40, 500] {
            let fit = ((BYTES_MAX - part.len()) / after.len()).min(most);
            all.push(format!("{part}{}", after.repeat(fit)));
        }
    }
    for (open, close) in
        [("(", ")"), ("[", "]"), ("data[", "]"), ("not ", ""), ("-", ""), ("{0:", "}")]
    {
        for times in [12, 15, 100, 500] {
            all.push(format!("{}1{}", open.repeat(times), close.repeat(times)));
        }
    }
    all.push("9".repeat(BYTES_MAX));
    all.push(format!("0.{}", "9".repeat(BYTES_MAX - 2)));
    all.push(format!("'{}'", "\\u0130".repeat(169)));
    all
}

/// So many, each from parts that chance picks.
pub(super) fn generated(seed: u64, count: usize) -> impl Iterator<Item = String> {
    let mut rng = Rng::with_seed(seed);
    (0..count).map(move |_| {
        let size = rng.usize(1..60);
        let mut text = part(&mut rng, size);
        while text.len() > BYTES_MAX + 20 {
            text.pop();
        }
        text
    })
}

fn part(rng: &mut Rng, size: usize) -> String {
    const LEAVES: [&str; 17] = [
        "data",
        "data.a",
        "data.b",
        "data.s",
        "data.list",
        "data.a[0]",
        "data.a[-1]",
        "subject",
        "type",
        "'ab'",
        "''",
        "0",
        "99999999",
        "-1",
        "1e308",
        "none",
        "missing",
    ];
    const SIGNS: [&str; 19] = [
        "+",
        "-",
        "*",
        "/",
        "//",
        "%",
        "**",
        "~",
        "==",
        "!=",
        "<",
        ">=",
        " in ",
        " not in ",
        " and ",
        " or ",
        " is in ",
        "[",
        "|replace('a',",
    ];
    const AFTER: [&str; 17] = [
        "|abs",
        "|bool",
        "|float",
        "|int",
        "|join",
        "|last",
        "|first",
        "|length",
        "|lower",
        "|string",
        "|tojson",
        "|trim",
        "|upper",
        "|default('z', true)",
        "|round(9)",
        "|split('')",
        "|split",
    ];
    if size <= 1 {
        return rng.choice(LEAVES).unwrap().to_owned();
    }
    let left = rng.usize(1..size);
    match rng.u8(0..10) {
        0..3 => format!("{}{}", part(rng, size - 1), rng.choice(AFTER).unwrap()),
        3 => format!("[{},{}]", part(rng, left), part(rng, size - left)),
        4 => format!("{} if {} else 0", part(rng, left), part(rng, size - left)),
        5 => format!("({})|join({})", part(rng, left), part(rng, size - left)),
        6 => format!("not {}", part(rng, size - 1)),
        _ => {
            let sign = rng.choice(SIGNS).unwrap();
            let close = match sign {
                "[" => "]",
                sign if sign.ends_with(',') => ")",
                _ => "",
            };
            format!("{}{sign}{}{close}", part(rng, left), part(rng, size - left))
        }
    }
}
