//! Where a store is.

use std::{fmt, path::Path};

/// The address of a store, `sqlite:PATH` or `postgres://…`. What is shown of it has no user and no
/// password.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// The store at `url`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// All of it; not to be shown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a database, which many nodes may share.
    #[must_use]
    pub fn is_database(&self) -> bool {
        self.0.starts_with("postgres://") || self.0.starts_with("postgresql://")
    }
}

impl Address {
    /// The file of a store that is one, as the address has it.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        let path = self.0.strip_prefix("sqlite://").or_else(|| self.0.strip_prefix("sqlite:"));
        (!self.is_database()).then(|| Path::new(path.unwrap_or(&self.0)))
    }

    /// Where it is, for a person: a file by its whole path.
    #[must_use]
    pub fn place(&self) -> String {
        let whole = self.path().and_then(|path| std::path::absolute(path).ok());
        whole.map_or_else(|| self.to_string(), |path| format!("sqlite:{}", path.display()))
    }

    /// What is told when its file is not there.
    #[must_use]
    pub fn absent(&self) -> String {
        format!("{}: there is no such file", self.place())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://").filter(|_| self.is_database()) else {
            return f.write_str(&self.0);
        };
        // Settings behind `?` may hold a password too.
        let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
        let rest = rest.rsplit_once('@').map_or(rest, |(_, hosts)| hosts);
        write!(f, "{scheme}://{rest}")
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_by_its_whole_path() {
        let here = std::env::current_dir().unwrap();
        for url in ["sqlite:data/m.db", "sqlite://data/m.db"] {
            let place = Address::new(url).place();
            assert_eq!(place, format!("sqlite:{}/data/m.db", here.display()));
        }
        let absent = Address::new("sqlite:/x/m.db").absent();
        assert_eq!(absent, "sqlite:/x/m.db: there is no such file");
        assert_eq!(Address::new("postgres://me:x@db/log").place(), "postgres://db/log");
    }

    #[test]
    fn no_user_and_no_password_is_shown() {
        for (url, shown) in [
            ("sqlite:data/m@1.db", "sqlite:data/m@1.db"),
            ("postgres://me:a@b@db-1,db-2:5433/log?password=x", "postgres://db-1,db-2:5433/log"),
            ("postgresql://db/log", "postgresql://db/log"),
        ] {
            let address = Address::new(url);
            assert_eq!(
                (address.to_string(), format!("{address:?}")),
                (shown.to_owned(), format!("\"{shown}\""))
            );
        }
    }
}
