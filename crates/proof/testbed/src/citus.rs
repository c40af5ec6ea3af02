//! A PostgreSQL that has the stand-in for Citus: a copy of the programs, beside links to everything else, since an extension
//! is looked for where the programs are.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::bed::Testbed;
use crate::command::run;
use crate::postgres::PostgresTools;

const CONTROL: &str = include_str!("../citus/citus.control");
const SCRIPT: &str = include_str!("../citus/citus--1.0.sql");
/// A library that does nothing when it is loaded, to be loaded in place of that of Citus.
const HARMLESS: &str = "tsm_system_rows.so";

impl PostgresTools {
    /// The installed PostgreSQL with the stand-in for Citus, on this bed.
    ///
    /// # Errors
    /// When there is none, or it can not be copied.
    pub fn with_citus(bed: &Testbed) -> Result<Self> {
        let found = Self::find()?;
        let told = |what: &str| {
            let told = run(&[&found.program("pg_config"), what])?;
            Ok::<_, anyhow::Error>(PathBuf::from(told.trim()))
        };
        let [programs, shared, libraries] =
            [told("--bindir")?, told("--sharedir")?, told("--pkglibdir")?];
        let root = bed.dir().join("postgresql");
        let below = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
        copy(&programs, &below(&programs))?;
        link(&libraries, &below(&libraries), &[])?;
        link(&shared, &below(&shared), &["extension"])?;
        let extensions = below(&shared).join("extension");
        link(&shared.join("extension"), &extensions, &[])?;
        let library = below(&libraries).join("citus.so");
        fs_err::copy(libraries.join(HARMLESS), library)?;
        fs_err::write(extensions.join("citus.control"), CONTROL)?;
        fs_err::write(extensions.join("citus--1.0.sql"), SCRIPT)?;
        Ok(Self {
            bin_dir: below(&programs),
            user: found.user,
        })
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs_err::create_dir_all(to)?;
    for entry in fs_err::read_dir(from)? {
        let entry = entry?;
        fs_err::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Links in `to` to everything in `from`, except what is named.
fn link(from: &Path, to: &Path, except: &[&str]) -> Result<()> {
    fs_err::create_dir_all(to)?;
    for entry in fs_err::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if !except.iter().any(|except| name == *except) {
            symlink(entry.path(), to.join(&name))
                .with_context(|| format!("link to {}", entry.path().display()))?;
        }
    }
    Ok(())
}
