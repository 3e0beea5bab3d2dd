//! Role `dispatch`.

pub mod health;
pub mod window;
