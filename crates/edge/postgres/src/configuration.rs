//! The configuration files: rendered, checked by PostgreSQL itself, written when they change (contract §3).

use std::collections::BTreeMap;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use pgherd_domain::{PgRole, SyncMode, Upstream};
use pgherd_pgconf::{
    Complaint, HEADER, Password, RoleSection, ServerConf, StandbyNames, Streaming, file_parameters,
    is_recovery_setting, lines_for, list_file, parse_settings, pgpass, recovery_settings,
    setting_line, without_recovery,
};
use pgherd_settings::{Login, Settings};

use crate::files::{read, remove, sibling};
use crate::run::{RunError, command, output};
use crate::server::{LocalServer, Wanted};

/// The files that are kept a second time in the data directory (contract §3.4).
const LISTS: [&str; 2] = ["pg_hba.conf", "pg_ident.conf"];

/// For what the files are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FilesFor {
    /// A primary: no recovery settings.
    Primary,
    /// A follower of this upstream.
    Follower(Option<Upstream>),
    /// A follower of whom it follows already.
    SameFollower,
    /// A custom bootstrap that recovers: these recovery settings.
    Recovery(BTreeMap<String, String>),
}

/// What PostgreSQL said of parameters when it was last asked: as given, and as mended.
#[derive(Debug, Default)]
pub(crate) struct Checked(Option<(BTreeMap<String, String>, BTreeMap<String, String>)>);

impl LocalServer {
    /// Writes postgresql.conf, pg_hba.conf and pg_ident.conf. `true`: something changed.
    pub(crate) async fn write_configuration(&self, files_for: &FilesFor) -> io::Result<bool> {
        let mut checked = self.writing.lock().await;
        let wanted = self.wanted();
        let role = section(&wanted, files_for);
        self.make_base()?;
        let held = read(&self.place.conf())?.unwrap_or_default();
        let held = parse_settings(&held);
        let names = standby_names(&wanted, &held);
        let parameters = file_parameters(&wanted.settings, role, &names);
        let parameters = self.mended(parameters, &mut checked).await;
        self.make_folders(&parameters)?;
        let recovery = self.recovery(&wanted, files_for, role, &held)?;
        let pg = &wanted.settings.changing.postgresql;
        let base = self.place.base_conf();
        let include = match &pg.custom_conf {
            Some(custom) => custom.as_str(),
            None => base.file_name().unwrap_or_default(),
        };
        let conf = ServerConf {
            include,
            parameters: &parameters,
            hba_file: &self.place.config("pg_hba.conf"),
            ident_file: &self.place.config("pg_ident.conf"),
            recovery: recovery.as_ref(),
        };
        let files = self.place.files();
        let mut changed = files.write(&self.place.conf(), &conf.to_string())?;
        for (name, parameter, lists) in [
            ("pg_hba.conf", "hba_file", &pg.pg_hba),
            ("pg_ident.conf", "ident_file", &pg.pg_ident),
        ] {
            if let Some(lines) = lines_for(lists, role)
                && !parameters.contains_key(parameter)
            {
                changed |= files.write(&self.place.config(name), &list_file(lines))?;
            }
        }
        Ok(changed)
    }

    /// The signal files for the next start, and no recovery settings in postgresql.auto.conf.
    pub(crate) fn write_signals(&self, standby: bool) -> io::Result<()> {
        let files = self.place.files();
        let signal = |name: &str| self.place.data_dir().join(name);
        remove(&signal("recovery.signal"))?;
        if standby {
            files.write(&signal("standby.signal"), "")?;
        } else {
            remove(&signal("standby.signal"))?;
        }
        let auto = signal("postgresql.auto.conf");
        if let Some(text) = read(&auto)? {
            files.write(&auto, &without_recovery(&text))?;
        }
        Ok(())
    }

    /// The password file for libpq: of every login towards `ends`, and towards ourselves.
    pub(crate) fn write_passwords(&self, ends: &[(&str, u16)]) -> io::Result<()> {
        let settings = self.settings();
        let logins = &settings.changing.postgresql.authentication;
        let mut all: Vec<&Login> = vec![&logins.replication, &logins.superuser];
        all.extend(&logins.rewind);
        let local = self.door();
        let mut passwords = Vec::new();
        for (host, port) in ends
            .iter()
            .copied()
            .chain([(local.host.as_str(), local.port)])
        {
            for login in &all {
                if let (Some(user), Some(password)) = (&login.username, &login.password) {
                    passwords.push(Password {
                        host,
                        port,
                        user,
                        password: password.reveal(),
                    });
                }
            }
        }
        let path = self.place.passfile();
        let files = self.place.files();
        if let Some(folder) = path.parent() {
            files.make_folder(folder)?;
        }
        files.write_with_mode(&path, &pgpass(&passwords), 0o600)?;
        Ok(())
    }

    /// Copies of the files into the data directory, where the next copy of it finds them.
    pub(crate) fn back_files_up(&self) -> io::Result<()> {
        for (original, backup) in self.backups() {
            if let Some(text) = read(&original)? {
                self.place.files().write(&backup, &text)?;
            }
        }
        Ok(())
    }

    /// Puts files that a copy did not bring back from their backups; a missing pg_ident.conf is made empty.
    pub(crate) fn restore_files(&self) -> io::Result<()> {
        for (original, backup) in self.backups() {
            if original.exists() {
                continue;
            }
            let text = read(&backup)?;
            let is_ident = original.file_name() == Some("pg_ident.conf");
            if let Some(text) = text.or(is_ident.then(String::new)) {
                self.place.files().write(&original, &text)?;
            }
        }
        Ok(())
    }

    fn backups(&self) -> Vec<(Utf8PathBuf, Utf8PathBuf)> {
        let mut originals = vec![self.place.conf(), self.place.base_conf()];
        originals.extend(LISTS.map(|name| self.place.config(name)));
        originals
            .into_iter()
            .map(|original| {
                let name = original.file_name().unwrap_or_default();
                let backup = sibling(&self.place.data_dir().join(name), ".backup");
                (original, backup)
            })
            .collect()
    }

    /// The first time, what is there becomes the base configuration that the generated file includes.
    fn make_base(&self) -> io::Result<()> {
        let (conf, base) = (self.place.conf(), self.place.base_conf());
        let is_custom = self.settings().changing.postgresql.custom_conf.is_some();
        if is_custom || base.exists() {
            return Ok(());
        }
        let files = self.place.files();
        match read(&conf)? {
            Some(text) if !text.starts_with(HEADER) => {
                files.write(&base, &text)?;
            }
            Some(_) | None => {
                let backup = sibling(&base, ".backup");
                files.write(&base, &read(&backup)?.unwrap_or_default())?;
            }
        }
        Ok(())
    }

    fn make_folders(&self, parameters: &BTreeMap<String, String>) -> io::Result<()> {
        let is_old = self.place.major() < 15;
        for (name, mode) in [
            // Sockets are for everybody; pg_hba.conf says who may do what.
            ("unix_socket_directories", 0o755),
            ("stats_temp_directory", 0o700),
        ] {
            let folders = parameters.get(name).map_or("", String::as_str);
            for folder in folders.split(',').map(str::trim) {
                if folder.starts_with('/') && (is_old || name != "stats_temp_directory") {
                    let files = self.place.files();
                    files.make_folder_with_mode(Utf8Path::new(folder), mode)?;
                }
            }
        }
        Ok(())
    }

    fn recovery(
        &self,
        wanted: &Wanted,
        files_for: &FilesFor,
        role: RoleSection,
        held: &BTreeMap<String, String>,
    ) -> io::Result<Option<BTreeMap<String, String>>> {
        let passfile = self.place.passfile();
        let follow = |upstream: Option<&Upstream>| {
            let streaming = Streaming {
                upstream,
                role,
                passfile: &passfile,
                major: self.place.major(),
            };
            recovery_settings(&wanted.settings, &streaming)
        };
        let upstream = match files_for {
            FilesFor::Primary => return Ok(None),
            FilesFor::Recovery(settings) => return Ok(Some(settings.clone())),
            FilesFor::Follower(upstream) => Some(upstream.clone()),
            FilesFor::SameFollower => wanted.upstream.clone(),
        };
        let Some(upstream) = upstream else {
            // Whom it follows was said by an agent before us: what stands in the file stays.
            let mut lines = follow(None);
            for name in ["primary_conninfo", "primary_slot_name"] {
                if let Some(value) = held.get(name) {
                    lines.insert(name.to_owned(), value.clone());
                }
            }
            return Ok(Some(lines));
        };
        if let Some(upstream) = &upstream {
            self.write_passwords(&[(&upstream.host, upstream.port)])?;
        }
        Ok(Some(follow(upstream.as_ref())))
    }

    /// The parameters as PostgreSQL takes them: it is asked, and what it refuses is left out or put into
    /// range, with a warning each.
    async fn mended(
        &self,
        given: BTreeMap<String, String>,
        checked: &mut Checked,
    ) -> BTreeMap<String, String> {
        if let Some((asked, mended)) = &checked.0
            && *asked == given
        {
            return mended.clone();
        }
        let mut mended = given.clone();
        // Unknown names hide what is said of values, so a second answer may say more.
        for _ in 0..3 {
            let said = match self.complaints(&mended).await {
                Ok(said) => said,
                Err(error) => {
                    tracing::warn!(%error, "can not have PostgreSQL check its parameters");
                    break;
                }
            };
            let warnings = Complaint::mend(&said, &mut mended);
            for warning in &warnings {
                tracing::warn!("{warning}");
            }
            if warnings.is_empty() {
                break;
            }
        }
        checked.0 = Some((given, mended.clone()));
        mended
    }

    async fn complaints(
        &self,
        parameters: &BTreeMap<String, String>,
    ) -> io::Result<Vec<Complaint>> {
        let file = self.place.data_dir().join(".pgherd-check.conf");
        let lines: Vec<String> = parameters
            .iter()
            .map(|(name, value)| format!("{}\n", setting_line(name, value)))
            .collect();
        self.place.files().write(&file, &lines.concat())?;
        let mut postgres = command(
            &self.place.tool(&self.place.names().postgres),
            self.place.owner(),
        );
        postgres
            .args(["-D", self.place.data_dir().as_str()])
            .arg(format!("--config-file={file}"))
            .args(["-C", "data_directory"])
            .env("LC_ALL", "C");
        let mut said = String::new();
        let asked = crate::run::watched(postgres, |line| {
            said.push_str(line);
            said.push('\n');
        })
        .await;
        remove(&file)?;
        match asked {
            Ok(_) => Ok(Vec::new()),
            Err(RunError::Failed { .. }) => Ok(Complaint::parse(&said)),
            Err(error @ RunError::NotStarted { .. }) => Err(io::Error::other(error)),
        }
    }

    /// The value of a parameter as the files say it, without a running server (`postgres -C`).
    pub(crate) async fn parameter(&self, name: &str) -> Result<String, RunError> {
        let mut postgres = command(
            &self.place.tool(&self.place.names().postgres),
            self.place.owner(),
        );
        postgres
            .args(["-D", self.place.data_dir().as_str()])
            .arg(format!("--config-file={}", self.place.conf()))
            .args(["-C", name])
            .env("LC_ALL", "C");
        Ok(output(postgres).await?.trim_end_matches('\n').to_owned())
    }

    /// The text of every file that pg_rewind would replace by the source's.
    pub(crate) fn own_files(&self) -> io::Result<Vec<(Utf8PathBuf, String)>> {
        let mut own = Vec::new();
        for (original, _) in self.backups() {
            if original.starts_with(self.place.data_dir())
                && let Some(text) = read(&original)?
            {
                own.push((original, text));
            }
        }
        Ok(own)
    }
}

/// Renames the data directory to `.failed`, with the directories that its links lead to, so that nothing
/// is lost and the next attempt finds room.
pub(crate) fn move_failed(data_dir: &Utf8Path) -> io::Result<Utf8PathBuf> {
    let free = |path: &Utf8Path| {
        let first = sibling(path, ".failed");
        let numbered = (1..).map(|number| sibling(path, &format!(".failed.{number}")));
        std::iter::once(first)
            .chain(numbered)
            .find(|name| !name.exists())
            .unwrap_or_else(|| sibling(path, ".failed"))
    };
    let spaces = data_dir.join("pg_tblspc").read_dir_utf8();
    let links = spaces
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().to_owned());
    for link in links.chain([data_dir.join("pg_wal")]) {
        if let Ok(target) = link.read_link_utf8()
            && target.is_absolute()
        {
            let moved = free(&target);
            fs::rename(&target, &moved)?;
            fs::remove_file(&link)?;
            std::os::unix::fs::symlink(moved.as_std_path(), link.as_std_path())?;
        }
    }
    let moved = free(data_dir);
    fs::rename(data_dir, &moved)?;
    Ok(moved)
}

fn section(wanted: &Wanted, files_for: &FilesFor) -> RoleSection {
    match files_for {
        FilesFor::Primary | FilesFor::Recovery(_) => RoleSection::Primary,
        FilesFor::Follower(_) | FilesFor::SameFollower if wanted.role == PgRole::StandbyLeader => {
            RoleSection::StandbyLeader
        }
        FilesFor::Follower(_) | FilesFor::SameFollower => RoleSection::Replica,
    }
}

/// Until the agent has said who is synchronous, what an agent before us wrote stays: taking it away would
/// let commits go on alone.
fn standby_names(wanted: &Wanted, held: &BTreeMap<String, String>) -> StandbyNames {
    if let Some(names) = &wanted.names {
        return names.clone();
    }
    let settings: &Settings = &wanted.settings;
    let parameters = &settings.changing.postgresql.parameters;
    let users = settings.changing.cluster.synchronous_mode == SyncMode::Off
        && parameters.contains_key("synchronous_standby_names");
    match held.get("synchronous_standby_names") {
        Some(names) if !users => StandbyNames::Agents(names.clone()),
        Some(_) | None => StandbyNames::Users,
    }
}

/// The recovery settings among those of a file.
pub(crate) fn recovery_among(held: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut held = held.clone();
    held.retain(|name, _| is_recovery_setting(name));
    held
}
