//! The configuration files: rendered, checked by PostgreSQL itself, written when they change (contract §3).

use std::collections::BTreeMap;
use std::io;

use camino::Utf8Path;
use pgherd_domain::{PgRole, SyncMode, Upstream};
use pgherd_pgconf::{
    HEADER, RoleSection, ServerConf, StandbyNames, Streaming, file_parameters, is_recovery_setting,
    lines_for, list_file, parse_settings, recovery_settings, without_recovery,
};
use pgherd_settings::Settings;

use crate::act::slot_parameters;
use crate::files::{read, remove, sibling};
use crate::server::{LocalServer, Wanted};

/// Where replay may be told to stop. PostgreSQL takes one of them.
const TARGETS: [&str; 2] = ["recovery_target_lsn", "recovery_target_time"];

/// Where replay is to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EndOfReplay {
    /// One of [`TARGETS`].
    pub(crate) name: &'static str,
    /// Before what.
    pub(crate) value: String,
}

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

impl LocalServer {
    /// Writes postgresql.conf, pg_hba.conf and pg_ident.conf. `true`: something changed.
    pub(crate) async fn write_configuration(&self, files_for: &FilesFor) -> io::Result<bool> {
        let mut checked = self.writing.lock().await;
        let wanted = self.wanted();
        let role = section(&wanted, files_for);
        self.make_base()?;
        let text = read(&self.place.conf())?.unwrap_or_default();
        let held = parse_settings(&text);
        let is_ours = text.starts_with(HEADER);
        let names = standby_names(&wanted, &held);
        let mut parameters = file_parameters(&wanted.settings, role, &names);
        let follower = role != RoleSection::Primary;
        slot_parameters::force(
            wanted.slot_parameters.as_ref(),
            (&held, follower),
            &mut parameters,
        );
        let parameters = self.mended(parameters, &mut checked).await;
        self.make_folders(&parameters)?;
        let mut recovery = self.recovery(&wanted, files_for, role, &held).await?;
        if let (Some(lines), false) = (&mut recovery, matches!(files_for, FilesFor::Recovery(_))) {
            let kept = || {
                let mut targets = TARGETS.iter().filter(|_| is_ours);
                targets.find_map(|name| {
                    let value = held.get(*name).filter(|value| !value.is_empty())?;
                    Some(EndOfReplay {
                        name,
                        value: value.clone(),
                    })
                })
            };
            let end = wanted.stop_before.clone().unwrap_or_else(kept);
            stop_before(end, lines);
        }
        let pg = &wanted.settings.changing.postgresql;
        let base = self.place.base_conf();
        let include = match &pg.custom_conf {
            Some(custom) => custom.as_str(),
            None => base.file_name().unwrap_or_default(),
        };
        let hba_file = self.place.config("pg_hba.conf");
        // Without a line PostgreSQL takes the one in the data directory.
        let is_default = hba_file.parent() == Some(self.place.data_dir());
        let is_elsewhere = is_default && self.names_own_hba_file().await;
        let conf = ServerConf {
            include,
            parameters: &parameters,
            hba_file: (!is_elsewhere).then_some(&hba_file),
            ident_file: &self.place.config("pg_ident.conf"),
            recovery: recovery.as_ref(),
        };
        let files = self.place.files();
        let mut changed = files.write(&self.place.conf(), &conf.to_string())?;
        if changed {
            self.tell_changes(&held, &parameters).await;
        }
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

    async fn recovery(
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
            self.write_passwords(upstream.ends()).await?;
        }
        Ok(Some(follow(upstream.as_ref())))
    }
}

/// Recovery settings that end replay before something and leave the server there, to be read; at once, so the
/// delay does not hold it up.
fn stop_before(end: Option<EndOfReplay>, lines: &mut BTreeMap<String, String>) {
    if let Some(EndOfReplay { name, value }) = end {
        // Blank targets that would stand behind it: PostgreSQL takes those for a second target.
        lines.retain(|line, _| !line.starts_with("recovery_target_") || line.as_str() < name);
        for (name, value) in [
            (name, value.as_str()),
            ("recovery_target_inclusive", "off"),
            ("recovery_target_action", "pause"),
            ("recovery_target_timeline", "latest"),
            ("recovery_min_apply_delay", "0"),
        ] {
            lines.insert(name.to_owned(), value.to_owned());
        }
    }
}

fn section(wanted: &Wanted, files_for: &FilesFor) -> RoleSection {
    match files_for {
        FilesFor::Primary | FilesFor::Recovery(_) => RoleSection::Primary,
        // Whom it follows says which of the two it is, before and after it is told.
        FilesFor::Follower(Some(upstream)) => section_of(wanted, upstream),
        FilesFor::SameFollower if let Some(Some(upstream)) = &wanted.upstream => {
            section_of(wanted, upstream)
        }
        FilesFor::Follower(None) | FilesFor::SameFollower => match wanted.role {
            PgRole::StandbyLeader => RoleSection::StandbyLeader,
            PgRole::Primary
            | PgRole::Replica
            | PgRole::Demoted
            | PgRole::Promoted
            | PgRole::Uninitialized => RoleSection::Replica,
        },
    }
}

fn section_of(wanted: &Wanted, upstream: &Upstream) -> RoleSection {
    if leads_standby(&wanted.settings, Some(upstream)) {
        RoleSection::StandbyLeader
    } else {
        RoleSection::Replica
    }
}

/// Whether a follower of `upstream` is the leader of a standby cluster: it follows no member.
fn leads_standby(settings: &Settings, upstream: Option<&Upstream>) -> bool {
    let follows = settings.changing.cluster.standby_cluster.is_some();
    follows && upstream.is_some_and(|upstream| upstream.name.is_none())
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
