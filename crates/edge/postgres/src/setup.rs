//! What must be right before PostgreSQL is touched: programs, account, data directory, port.

use std::net::{TcpListener, ToSocketAddrs as _};
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use camino::Utf8Path;
use fs_err as fs;
use pgherd_settings::{PostgresPlace, Settings};

use crate::owner::{Owner, OwnerError};
use crate::place::Place;
use crate::process;

/// Why a server can not be worked with. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// No account to run as.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// A program is not where it should be.
    #[error(
        "no program `{name}` in {looked}; install PostgreSQL's server programs, or set postgresql.bin_dir"
    )]
    NoProgram {
        /// Which.
        name: String,
        /// Where was looked.
        looked: String,
    },
    /// `postgres --version` does not say a version.
    #[error("can not tell the version of {program}: {why}")]
    NoVersion {
        /// The program.
        program: String,
        /// What happened.
        why: String,
    },
    /// The data directory is not in a state to be used.
    #[error("{0}")]
    DataDirectory(String),
}

/// Settles where everything is and who owns it.
pub(crate) fn settle(fixed: &PostgresPlace) -> Result<Place, SetupError> {
    for name in [
        &fixed.bin_name.postgres,
        &fixed.bin_name.pg_ctl,
        &fixed.bin_name.initdb,
        &fixed.bin_name.pg_controldata,
        &fixed.bin_name.pg_basebackup,
    ] {
        find_program(fixed, name)?;
    }
    let owner = Owner::settle(&fixed.data_dir)?;
    let major = version(fixed.program(&fixed.bin_name.postgres).as_str())?;
    check_data_dir(&fixed.data_dir, &owner, major).map_err(SetupError::DataDirectory)?;
    Ok(Place::new(fixed.clone(), owner, major))
}

/// Every reason why this member's PostgreSQL could not be run as `settings` say, in words for the operator.
/// Empty when there is none. Reads only.
pub fn check_setup(settings: &Settings) -> Vec<String> {
    let mut faults = check_setup_but_port(settings);
    if let Ok(place) = settle(&settings.fixed.place) {
        faults.extend(check_port(settings, &place));
    }
    faults
}

/// The same, whoever may have the port (contract §1.2, `--ignore-listen-port`).
pub fn check_setup_but_port(settings: &Settings) -> Vec<String> {
    let fixed = &settings.fixed.place;
    let mut faults = Vec::new();
    if settings.changing.postgresql.use_pg_rewind
        && let Err(error) = find_program(fixed, &fixed.bin_name.pg_rewind)
    {
        faults.push(error.to_string());
    }
    if let Err(error) = settle(fixed) {
        faults.push(error.to_string());
    }
    faults
}

fn find_program(fixed: &PostgresPlace, name: &str) -> Result<(), SetupError> {
    let is_there = |folder: &Utf8Path| {
        fs::metadata(folder.join(name))
            .is_ok_and(|found| found.is_file() && found.mode() & 0o111 != 0)
    };
    let (found, looked) = match &fixed.bin_dir {
        Some(folder) => (is_there(folder), folder.to_string()),
        None => {
            let path = std::env::var("PATH").unwrap_or_default();
            let found = path
                .split(':')
                .any(|folder| is_there(Utf8Path::new(folder)));
            (found, format!("PATH ({path})"))
        }
    };
    if found {
        return Ok(());
    }
    Err(SetupError::NoProgram {
        name: name.to_owned(),
        looked,
    })
}

/// The major version in `postgres (PostgreSQL) 15.18 (...)`.
fn version(program: &str) -> Result<u32, SetupError> {
    let wrong = |why: String| SetupError::NoVersion {
        program: program.to_owned(),
        why,
    };
    let run = Command::new(program)
        .arg("--version")
        .output()
        .map_err(|error| wrong(error.to_string()))?;
    let said = String::from_utf8_lossy(&run.stdout);
    let number = said.split(") ").nth(1).unwrap_or("");
    let digits = number
        .split(|letter: char| !letter.is_ascii_digit())
        .next()
        .unwrap_or("");
    digits
        .parse()
        .map_err(|_| wrong(format!("it says `{}`", said.trim())))
}

/// A directory that holds a cluster must belong to the account, be closed to others, and be of this version.
fn check_data_dir(data_dir: &Utf8Path, owner: &Owner, major: u32) -> Result<(), String> {
    let found = match fs::metadata(data_dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("can not look at the data directory: {error}")),
        Ok(found) => found,
    };
    if !found.is_dir() {
        return Err(format!("data directory {data_dir} is not a directory"));
    }
    if found.uid() != owner.uid {
        return Err(format!(
            "data directory {data_dir} belongs to user {}, not to {}; start as its owner, or give it over \
             (chown -R {} {data_dir})",
            found.uid(),
            owner.name,
            owner.name
        ));
    }
    let Ok(held) = fs::read_to_string(data_dir.join("PG_VERSION")) else {
        return Ok(());
    };
    let mode = found.mode() & 0o777;
    if mode & 0o027 != 0 {
        return Err(format!(
            "data directory {data_dir} has mode {mode:04o}, and PostgreSQL refuses it unless it is 0700 or \
             0750 (chmod 0700 {data_dir})"
        ));
    }
    let held = held.trim();
    if held != major.to_string() {
        return Err(format!(
            "data directory {data_dir} is of PostgreSQL {held}, the programs are of {major}; set \
             postgresql.bin_dir to the programs of {held}, or upgrade the directory"
        ));
    }
    Ok(())
}

/// The port is free, or a server on our own data directory has it.
fn check_port(settings: &Settings, place: &Place) -> Option<String> {
    if process::running(place.data_dir(), &place.names().postgres).is_some() {
        return None;
    }
    let listen = &settings.changing.postgresql.listen;
    listen.hosts.iter().find_map(|host| {
        let host = match host.as_str() {
            "*" | "" => "0.0.0.0",
            host => host,
        };
        let address = (host, listen.port).to_socket_addrs().ok()?.next()?;
        let error = TcpListener::bind(address).err()?;
        (error.kind() == std::io::ErrorKind::AddrInUse).then(|| {
            format!(
                "port {} of {host} is in use by something else than PostgreSQL on {}; end that, or change \
                 postgresql.listen",
                listen.port,
                place.data_dir()
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use camino::Utf8PathBuf;

    use super::*;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        (folder, path)
    }

    fn me(path: &Utf8Path) -> Owner {
        let found = fs::metadata(path).unwrap();
        Owner {
            uid: found.uid(),
            gid: found.gid(),
            name: "me".into(),
            home: "/".into(),
            becomes: false,
        }
    }

    #[test]
    fn a_data_directory_that_postgres_would_refuse_is_named_with_the_way_out() {
        let (_folder, path) = folder();
        let owner = me(&path);
        assert_eq!(check_data_dir(&path.join("none"), &owner, 15), Ok(()));
        fs::write(path.join("PG_VERSION"), "15\n").unwrap();
        let set = |mode| fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        set(0o755);
        let fault = check_data_dir(&path, &owner, 15).unwrap_err();
        assert!(
            fault.contains("0755") && fault.contains("chmod 0700"),
            "{fault}"
        );
        set(0o750);
        assert_eq!(check_data_dir(&path, &owner, 15), Ok(()));
        let fault = check_data_dir(&path, &owner, 16).unwrap_err();
        assert!(
            fault.contains("PostgreSQL 15") && fault.contains("of 16"),
            "{fault}"
        );
        let stranger = Owner {
            uid: owner.uid + 1,
            ..owner
        };
        let fault = check_data_dir(&path, &stranger, 15).unwrap_err();
        assert!(fault.contains("chown"), "{fault}");
    }
}
