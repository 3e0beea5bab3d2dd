//! The newest events of each topic, in memory.
