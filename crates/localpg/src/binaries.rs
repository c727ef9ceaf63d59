//! Where PostgreSQL's programs are: `TIDINGS_PG_BIN`, else Debian's newest, else the search path.

use std::path::{Path, PathBuf};

use crate::LocalPgError;

#[derive(Debug, Clone)]
pub(crate) struct Binaries(PathBuf);

impl Binaries {
    pub(crate) fn find() -> Result<Self, LocalPgError> {
        let named = std::env::var_os("TIDINGS_PG_BIN").map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        named
            .into_iter()
            .chain(debian())
            .chain(std::env::split_paths(&path))
            .find(|folder| {
                ["initdb", "postgres", "psql"].iter().all(|program| folder.join(program).is_file())
            })
            .map(Self)
            .ok_or(LocalPgError::NoBinaries)
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// Debian's folders, the newest version first.
fn debian() -> Vec<PathBuf> {
    let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") else { return Vec::new() };
    let mut found: Vec<(u32, PathBuf)> = versions
        .flatten()
        .filter_map(|version| Some((version.file_name().to_str()?.parse().ok()?, version.path().join("bin"))))
        .filter(|(_, folder): &(u32, PathBuf)| Path::is_dir(folder))
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, folder)| folder).collect()
}
