//! Arguments, tracing, configuration, command, exit code.

fn main() {}
