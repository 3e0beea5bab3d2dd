//! Deep expressions are refused, or read and evaluated on the stack of an ordinary thread.

use std::thread;

use super::{order, topic};
use crate::expr::{
    eval::evaluate,
    scope::Scope,
    syntax::{EXPRESSION_BYTES_MAX, read},
};

const STACK_BYTES: usize = 2 << 20;

/// What is repeated before and after the middle.
const DEEP: [(&str, &str, &str); 17] = [
    ("(", "1", ")"),
    ("[", "1", "]"),
    ("{1:", "1", "}"),
    ("data[", "1", "]"),
    ("-", "1", ""),
    ("not ", "1", ""),
    ("1 if 1 else ", "1", ""),
    ("", "1", " if 1"),
    ("", "data", ".a"),
    ("", "data", "[0]"),
    ("", "type", "|trim"),
    ("", "data", " is odd"),
    ("", "1", "+1"),
    ("", "1", "<1"),
    ("", "1", " or 0"),
    ("1 is in [", "1", "]"),
    ("1|round(", "1", ")"),
];

#[test]
fn depth_does_not_cost_the_stack() {
    let every_kind = || {
        for (open, middle, close) in DEEP {
            assert!(deepest(open, middle, close) > 1, "{open}{middle}{close} is never read");
        }
    };
    thread::Builder::new().stack_size(STACK_BYTES).spawn(every_kind).unwrap().join().unwrap();
}

/// Tries as many as fit, then fewer until they are read and evaluated; how many that were.
fn deepest(open: &str, middle: &str, close: &str) -> usize {
    let (event, topic) = (order(), topic());
    let mut times = (EXPRESSION_BYTES_MAX - middle.len()) / (open.len() + close.len());
    while times > 0 {
        let text = format!("{}{middle}{}", open.repeat(times), close.repeat(times));
        match read(&text) {
            Ok(code) => {
                let _ = evaluate(&code, &Scope::new(&event, &topic));
                return times;
            }
            Err(problem) if problem.contains("which expressions cannot") => return times + 1,
            Err(_) => times -= 1,
        }
    }
    0
}
