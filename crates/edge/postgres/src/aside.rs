//! The old data directory while a new copy has not proven itself: set aside, put back, forgotten.
//!
//! The copy is made in `DATA_DIR.new` and moved into place when it is whole; what was there before becomes
//! `DATA_DIR.old`. Where the data directory is a mount point both live inside it, under a name that base
//! backups and pg_rewind pass over. Directories elsewhere that links lead to (tablespaces, WAL) are set
//! aside beside themselves.

use std::io;
use std::os::unix::fs::symlink;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

use crate::files::{Files, remove, sibling, sync_folder_of};

/// What names inside a mounted data directory begin with. PostgreSQL's own tools take such names for
/// temporary files and do not copy them.
pub(crate) const INSIDE_PREFIX: &str = "pgsql_tmp_pgherd_";
/// Lies in a directory that we have set aside; others of that name are not ours to remove.
const SET_ASIDE: &str = "pgherd.set-aside";
/// Lies in a copy that has not streamed yet.
const UNPROVEN: &str = "pgherd.unproven-copy";
/// Behind the name of a linked directory that is set aside.
const LINKED_OLD: &str = ".pgherd-old";
/// How many old directories of the same name may lie around.
const OLD_MAX: usize = 100;

/// The directories of one server.
#[derive(Debug, Clone)]
pub(crate) struct Aside {
    data: Utf8PathBuf,
    inside: bool,
    files: Files,
}

impl Aside {
    /// For the server in `data_dir`, with its links resolved.
    pub(crate) fn new(data_dir: &Utf8Path, files: Files) -> Self {
        let data = data_dir
            .canonicalize_utf8()
            .unwrap_or_else(|_| data_dir.to_owned());
        let inside = data.is_dir() && (is_mount_point(&data) || !may_write_beside(&data));
        Self {
            data,
            inside,
            files,
        }
    }

    /// Where a new copy is made.
    pub(crate) fn fresh(&self) -> Utf8PathBuf {
        self.named("new")
    }

    /// Makes the empty directory for a new copy. What an earlier attempt left is removed with all its links
    /// lead to: that attempt had found those directories empty.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        self.discard_fresh()?;
        self.files.make_folder(&self.fresh())
    }

    /// Removes an unfinished copy.
    pub(crate) fn discard_fresh(&self) -> io::Result<()> {
        let fresh = self.fresh();
        for (_, target) in links(&fresh) {
            empty(&target, &[])?;
        }
        remove_folder(&fresh)
    }

    /// Sets directories aside that the data directory links to and the copy will want to fill: they become
    /// empty, the data directory follows its old ones.
    pub(crate) fn free_linked(&self, wal: Option<&Utf8Path>) -> io::Result<()> {
        for (link, target) in links(&self.data) {
            let is_wal = link.file_name() == Some("pg_wal");
            let wanted = !is_wal || wal.is_some_and(|wal| wal == target);
            if !wanted || target.as_str().ends_with(LINKED_OLD) || !target.exists() {
                continue;
            }
            let old = sibling(&target, LINKED_OLD);
            if old.exists() || fs::rename(&target, &old).is_err() {
                // A mount point, or two old ones: the space is needed for the copy.
                tracing::warn!(directory = %target, "can not be kept aside and is emptied for the new copy");
                empty(&target, &[])?;
                continue;
            }
            fs::remove_file(&link)?;
            symlink(old.as_std_path(), link.as_std_path())?;
            self.files.make_folder(&target)?;
        }
        Ok(())
    }

    /// Moves the finished copy into place, and what was there aside.
    pub(crate) fn install(&self) -> io::Result<()> {
        fs::write(self.fresh().join(UNPROVEN), "")?;
        self.files.give(&self.fresh().join(UNPROVEN))?;
        self.set_aside()?;
        let fresh = self.fresh();
        if self.inside {
            move_entries(&fresh, &self.data, &[])?;
            fs::remove_dir(&fresh)?;
            return fs::File::open(&self.data)?.sync_all();
        }
        fs::rename(&fresh, &self.data)?;
        sync_folder_of(&self.data)
    }

    /// Sets the data directory aside, so that there is none. An old directory that is there already is
    /// kept instead when what is in place now has never streamed.
    pub(crate) fn set_aside(&self) -> io::Result<()> {
        if !self.data.exists() {
            return Ok(());
        }
        let has_old = self.kept().is_some();
        let unproven = self.data.join(UNPROVEN).exists();
        let nothing_there = !self.data.join("PG_VERSION").exists() && is_bare(&self.data)?;
        if nothing_there || (has_old && unproven) {
            return self.clear();
        }
        if let Some(old) = self.kept() {
            remove_old(&old, &self.data)?;
        }
        let old = self.free_name()?;
        if self.inside {
            self.files.make_folder(&old)?;
            move_entries(&self.data, &old, &["lost+found"])?;
        } else {
            fs::rename(&self.data, &old)?;
            sync_folder_of(&self.data)?;
        }
        fs::write(old.join(SET_ASIDE), "")
    }

    /// Puts the directory back that was set aside last; what is in place now is removed.
    pub(crate) fn put_back(&self) -> io::Result<()> {
        let Some(old) = self.kept() else {
            return Ok(());
        };
        self.clear()?;
        remove(&old.join(SET_ASIDE))?;
        if self.inside {
            move_entries(&old, &self.data, &[])?;
            return fs::remove_dir(&old);
        }
        fs::rename(&old, &self.data)?;
        sync_folder_of(&self.data)
    }

    /// Marks what is in place as a copy that has not streamed yet.
    pub(crate) fn mark_unproven(&self) -> io::Result<()> {
        let mark = self.data.join(UNPROVEN);
        fs::write(&mark, "")?;
        self.files.give(&mark)
    }

    /// Whether there is something to forget.
    pub(crate) fn remembers(&self) -> bool {
        self.data.join(UNPROVEN).exists() || self.kept().is_some()
    }

    /// Removes the directory that was set aside: the copy in place has proven itself.
    pub(crate) fn forget(&self) -> io::Result<()> {
        remove(&self.data.join(UNPROVEN))?;
        self.kept()
            .map_or(Ok(()), |old| remove_old(&old, &self.data))
    }

    /// Removes what is in place, links followed nowhere.
    fn clear(&self) -> io::Result<()> {
        if self.inside {
            empty(&self.data, &["lost+found"])
        } else {
            remove_folder(&self.data)
        }
    }

    fn named(&self, what: &str) -> Utf8PathBuf {
        if self.inside {
            self.data.join(format!("{INSIDE_PREFIX}{what}"))
        } else {
            sibling(&self.data, &format!(".{what}"))
        }
    }

    fn old_names(&self) -> impl Iterator<Item = Utf8PathBuf> {
        let first = self.named("old");
        let numbered = first.clone();
        std::iter::once(first)
            .chain((1..OLD_MAX).map(move |number| sibling(&numbered, &format!(".{number}"))))
    }

    /// The directory that we have set aside.
    fn kept(&self) -> Option<Utf8PathBuf> {
        self.old_names().find(|old| old.join(SET_ASIDE).exists())
    }

    fn free_name(&self) -> io::Result<Utf8PathBuf> {
        self.old_names()
            .find(|old| !old.exists())
            .ok_or_else(|| io::Error::other(format!("too many directories {}*", self.named("old"))))
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
            symlink(moved.as_std_path(), link.as_std_path())?;
        }
    }
    let moved = free(data_dir);
    fs::rename(data_dir, &moved)?;
    Ok(moved)
}

/// Links out of a data directory: the WAL directory and tablespaces, with where they lead.
fn links(data: &Utf8Path) -> Vec<(Utf8PathBuf, Utf8PathBuf)> {
    let mut all = vec![data.join("pg_wal")];
    let spaces = data.join("pg_tblspc").read_dir_utf8().into_iter().flatten();
    all.extend(spaces.flatten().map(|entry| entry.path().to_owned()));
    all.into_iter()
        .filter_map(|link| {
            let target = link.read_link_utf8().ok()?;
            Some((link, target))
        })
        .filter(|(_, target)| target.is_absolute())
        .collect()
}

/// An old directory with the linked ones that were set aside with it, but for what `current` uses.
fn remove_old(old: &Utf8Path, current: &Utf8Path) -> io::Result<()> {
    let used: Vec<Utf8PathBuf> = links(current)
        .into_iter()
        .map(|(_, target)| target)
        .collect();
    for (_, target) in links(old) {
        if target.as_str().ends_with(LINKED_OLD) && !used.contains(&target) {
            remove_folder(&target)?;
        }
    }
    remove_folder(old)
}

fn remove_folder(path: &Utf8Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Empties a directory, but for `kept` and what we keep in it ourselves.
fn empty(folder: &Utf8Path, kept: &[&str]) -> io::Result<()> {
    for entry in entries(folder, kept)? {
        if entry.is_dir() && !entry.is_symlink() {
            fs::remove_dir_all(&entry)?;
        } else {
            fs::remove_file(&entry)?;
        }
    }
    Ok(())
}

fn move_entries(from: &Utf8Path, to: &Utf8Path, kept: &[&str]) -> io::Result<()> {
    for entry in entries(from, kept)? {
        let name = entry.file_name().unwrap_or_default();
        fs::rename(&entry, to.join(name))?;
    }
    Ok(())
}

fn entries(folder: &Utf8Path, kept: &[&str]) -> io::Result<Vec<Utf8PathBuf>> {
    let mut found = Vec::new();
    let entries = match folder.read_dir_utf8() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if !kept.contains(&name) && !name.starts_with(INSIDE_PREFIX) {
            found.push(entry.path().to_owned());
        }
    }
    Ok(found)
}

/// Nothing in it but dot files, lost+found and our own.
fn is_bare(folder: &Utf8Path) -> io::Result<bool> {
    let found = entries(folder, &["lost+found"])?;
    Ok(found
        .iter()
        .all(|entry| entry.file_name().is_some_and(|name| name.starts_with('.'))))
}

fn is_mount_point(path: &Utf8Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // Field five, with blanks as octal escapes.
    let escaped = path.as_str().replace(' ', "\\040");
    mounts
        .lines()
        .any(|line| line.split(' ').nth(4) == Some(escaped.as_str()))
}

fn may_write_beside(path: &Utf8Path) -> bool {
    let above = path.parent().unwrap_or(path);
    rustix::fs::access(above.as_std_path(), rustix::fs::Access::WRITE_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owner::Owner;

    fn place() -> (tempfile::TempDir, Aside) {
        let folder = tempfile::tempdir().unwrap();
        let data = Utf8Path::from_path(folder.path()).unwrap().join("data");
        let owner = Owner {
            uid: 0,
            gid: 0,
            name: String::new(),
            home: "/".into(),
            becomes: false,
        };
        let aside = Aside::new(&data, Files::new(owner, &data));
        (folder, aside)
    }

    fn cluster(folder: &Utf8Path, mark: &str) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("PG_VERSION"), mark).unwrap();
    }

    fn mark(folder: &Utf8Path) -> String {
        fs::read_to_string(folder.join("PG_VERSION")).unwrap_or_default()
    }

    fn copy(aside: &Aside, name: &str) {
        aside.prepare().unwrap();
        cluster(&aside.fresh(), name);
        aside.install().unwrap();
    }

    #[test]
    fn the_old_directory_stays_until_the_copy_is_proven() {
        let (_folder, aside) = place();
        let old = aside.named("old");
        cluster(&aside.data, "first");
        copy(&aside, "second");
        assert_eq!(
            (mark(&aside.data), mark(&old)),
            ("second".into(), "first".into())
        );

        // The second copy never streamed: the first is still the one worth keeping.
        copy(&aside, "third");
        assert_eq!(
            (mark(&aside.data), mark(&old)),
            ("third".into(), "first".into())
        );

        assert!(aside.remembers());
        aside.forget().unwrap();
        assert!(!old.exists() && !aside.remembers());
        copy(&aside, "fourth");
        assert_eq!(mark(&old), "third");
    }

    #[test]
    fn a_directory_of_that_name_that_is_not_ours_is_never_touched() {
        let (_folder, aside) = place();
        cluster(&aside.named("old"), "a person's backup");
        cluster(&aside.data, "first");
        copy(&aside, "second");
        assert_eq!(mark(&aside.named("old")), "a person's backup");
        assert_eq!(mark(&aside.named("old.1")), "first");
        aside.put_back().unwrap();
        assert_eq!(mark(&aside.data), "first");
        aside.forget().unwrap();
        assert_eq!(mark(&aside.named("old")), "a person's backup");
    }

    #[test]
    fn inside_a_mount_point_contents_are_moved() {
        let (_folder, mut aside) = place();
        aside.inside = true;
        cluster(&aside.data, "first");
        fs::create_dir(aside.data.join("lost+found")).unwrap();
        copy(&aside, "second");
        assert_eq!(mark(&aside.data), "second");
        assert_eq!(mark(&aside.named("old")), "first");
        assert!(aside.data.join("lost+found").exists());
        assert!(aside.named("old").starts_with(&aside.data));
        aside.put_back().unwrap();
        assert_eq!(mark(&aside.data), "first");
        assert!(!aside.named("old").exists());
    }

    #[test]
    fn tablespaces_are_set_aside_and_forgotten_with_their_directory() {
        let (folder, aside) = place();
        let space = Utf8Path::from_path(folder.path()).unwrap().join("space");
        cluster(&space, "old space");
        cluster(&aside.data, "first");
        fs::create_dir(aside.data.join("pg_tblspc")).unwrap();
        let link = aside.data.join("pg_tblspc/16384");
        symlink(space.as_std_path(), link.as_std_path()).unwrap();

        aside.free_linked(None).unwrap();
        assert_eq!(mark(&link), "old space", "the old directory stays whole");
        assert!(is_bare(&space).unwrap(), "the copy finds it empty");

        aside.prepare().unwrap();
        cluster(&aside.fresh(), "second");
        fs::create_dir(aside.fresh().join("pg_tblspc")).unwrap();
        let fresh_link = aside.fresh().join("pg_tblspc/16384");
        symlink(space.as_std_path(), fresh_link.as_std_path()).unwrap();
        cluster(&space, "new space");
        aside.install().unwrap();
        assert_eq!(mark(&link), "new space");
        aside.forget().unwrap();
        assert_eq!(mark(&space), "new space");
        assert!(!sibling(&space, LINKED_OLD).exists());
    }

    #[test]
    fn an_unfinished_copy_is_removed_with_what_it_filled() {
        let (folder, aside) = place();
        let space = Utf8Path::from_path(folder.path()).unwrap().join("space");
        cluster(&space, "half");
        aside.prepare().unwrap();
        fs::create_dir(aside.fresh().join("pg_tblspc")).unwrap();
        symlink(
            space.as_std_path(),
            aside.fresh().join("pg_tblspc/1").as_std_path(),
        )
        .unwrap();
        aside.discard_fresh().unwrap();
        assert!(!aside.fresh().exists());
        assert!(space.exists() && is_bare(&space).unwrap());
    }
}
