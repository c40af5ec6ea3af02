//! Who owns the server: the account that PostgreSQL and its tools run as, and that files belong to.

use std::io;
use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

/// Whom a server belongs to when root starts it on an empty directory.
const USUAL_ACCOUNT: &str = "postgres";

/// Why no account could be settled on.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// PostgreSQL refuses to run as root.
    #[error(
        "{0} belongs to root, and PostgreSQL does not run as root; give it to the server's account \
         (chown -R postgres {0})"
    )]
    Roots(Utf8PathBuf),
    /// Started as root, and nobody to become.
    #[error(
        "started as root, and there is no account `{USUAL_ACCOUNT}` to run PostgreSQL as; create it, or \
         start as the account that owns the data directory"
    )]
    Nobody,
    /// The account file or the directory can not be read.
    #[error("look up who owns {at}")]
    Unreadable {
        /// What was looked at.
        at: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// User id.
    pub(crate) uid: u32,
    /// Group id.
    pub(crate) gid: u32,
    /// Account name; the number when it has none.
    pub(crate) name: String,
    /// Home directory.
    pub(crate) home: Utf8PathBuf,
    /// We run as root and become this account for everything of PostgreSQL's.
    pub(crate) becomes: bool,
}

impl Owner {
    /// The account for `data_dir`: ourselves; when we are root, the owner of the directory, else `postgres`.
    pub(crate) fn settle(data_dir: &Utf8Path) -> Result<Self, OwnerError> {
        let me = rustix::process::geteuid();
        let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
        if !me.is_root() {
            let gid = rustix::process::getegid().as_raw();
            return Ok(account(&accounts, me.as_raw(), gid, false));
        }
        match fs::metadata(data_dir) {
            Ok(found) if found.uid() == 0 => Err(OwnerError::Roots(data_dir.to_owned())),
            Ok(found) => Ok(account(&accounts, found.uid(), found.gid(), true)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                named(&accounts, USUAL_ACCOUNT).ok_or(OwnerError::Nobody)
            }
            Err(source) => Err(OwnerError::Unreadable {
                at: data_dir.to_owned(),
                source,
            }),
        }
    }
}

/// name:password:uid:gid:comment:home:shell
fn fields(line: &str) -> Option<(&str, u32, u32, &str)> {
    let parts: Vec<&str> = line.split(':').collect();
    match parts[..] {
        [name, _, uid, gid, _, home, ..] => {
            Some((name, uid.parse().ok()?, gid.parse().ok()?, home))
        }
        _ => None,
    }
}

fn account(accounts: &str, uid: u32, gid: u32, becomes: bool) -> Owner {
    let found = accounts
        .lines()
        .filter_map(fields)
        .find(|(_, known, _, _)| *known == uid);
    let (name, home) = found.map_or((uid.to_string(), "/"), |(name, _, _, home)| {
        (name.to_owned(), home)
    });
    Owner {
        uid,
        gid,
        name,
        home: home.into(),
        becomes,
    }
}

fn named(accounts: &str, name: &str) -> Option<Owner> {
    let mut lines = accounts.lines().filter_map(fields);
    let (_, uid, gid, _) = lines.find(|(known, _, _, _)| *known == name)?;
    Some(account(accounts, uid, gid, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNTS: &str = "root:x:0:0:root:/root:/bin/sh\n\
                            postgres:x:105:110:PostgreSQL,,,:/var/lib/postgresql:/bin/bash\n";

    #[test]
    fn accounts_are_found_by_name_and_number() {
        let owner = named(ACCOUNTS, "postgres").unwrap();
        assert_eq!((owner.uid, owner.gid), (105, 110));
        assert_eq!(owner.home, "/var/lib/postgresql");
        assert_eq!(named(ACCOUNTS, "nobody"), None);
        let unknown = account(ACCOUNTS, 4711, 1, false);
        assert_eq!(
            (unknown.name.as_str(), unknown.home.as_str()),
            ("4711", "/")
        );
    }
}
