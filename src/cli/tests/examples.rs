//! The examples of every help are commands that are understood.

use clap::{Command, CommandFactory as _, Parser as _};

use crate::cli::Cli;

/// The examples of a help, as they stand there.
fn examples(command: &Command) -> Vec<String> {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let lines = help.lines().map(str::trim).filter(|line| line.starts_with("milkrun "));
    lines.map(ToOwned::to_owned).collect()
}

/// The words of an example as a shell has them, up to what a shell does with the output.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, ' ') => words.push(std::mem::take(&mut word)),
            _ => word.push(c),
        }
    }
    words.push(word);
    let end = words.iter().position(|word| matches!(&**word, "|" | ">" | "&&" | "#" | "<"));
    words.truncate(end.unwrap_or(words.len()));
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn every_command_has_two_examples_that_are_understood() {
    let mut checked = 0;
    for command in Cli::command().get_subcommands() {
        let all = examples(command);
        assert!(all.len() >= 2, "{} has {} examples", command.get_name(), all.len());
        let nested = command.get_subcommands().flat_map(examples);
        for line in all.into_iter().chain(nested) {
            let parsed = Cli::try_parse_from(words(&line));
            parsed.unwrap_or_else(|error| panic!("{line}: {error}"));
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked} examples");
}
