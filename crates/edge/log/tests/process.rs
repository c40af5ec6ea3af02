//! The log of a whole process: what is told and what is not, before and after a change of settings.

use std::time::Duration;

use camino::Utf8PathBuf;
use pgherd_settings::{Log, LogFormat};
use tracing::{debug, error, info, warn};

#[test]
fn levels_forms_and_files_change_under_a_running_process() {
    let folder = tempfile::tempdir().unwrap();
    let folder = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
    let settings = |name: &str, level: &str| Log {
        dir: Some(folder.join(name)),
        level: level.to_owned(),
        format: LogFormat::Template("%(levelname)s %(name)s: %(message)s".to_owned()),
        ..Log::default()
    };
    let text = |name: &str| {
        assert!(pgherd_log::finish(Duration::from_secs(10)));
        fs_err::read_to_string(folder.join(name).join("patroni.log")).unwrap()
    };
    pgherd_log::start(&settings("one", "WARNING"), Some("special=debug"));
    info!(target: "pgherd_agent::agent", "not told");
    warn!(target: "pgherd_agent::agent", seconds = 3, "told");
    debug!(target: "special", "asked for");
    error!(target: "pgherd_agent::agent", critical = true, "the end");
    assert_eq!(
        text("one"),
        "WARNING pgherd_agent.agent: told seconds=3\nDEBUG special: asked for\n\
         CRITICAL pgherd_agent.agent: the end\n"
    );
    let mut changed = settings("two", "INFO");
    changed.loggers = [("patroni.dcs".to_owned(), "DEBUG".to_owned())].into();
    pgherd_log::change(&changed);
    for _ in 0..2 {
        // the same place in the code, asked again after a change
        info!(target: "pgherd_agent::agent", "told now");
        debug!(target: "pgherd_etcd::watch", "this, too");
        debug!(target: "pgherd_agent::agent", "still not told");
    }
    let both = "INFO pgherd_agent.agent: told now\nDEBUG pgherd_etcd.watch: this, too\n";
    assert_eq!(text("two"), both.repeat(2));
    let ended = std::thread::spawn(|| panic!("an invariant is broken")).join();
    assert!(ended.is_err());
    let last = text("two");
    assert!(
        last.contains(
            "CRITICAL pgherd_log: Unexpected exception raised, please report it as a BUG: "
        ) && last.contains("an invariant is broken"),
        "{last}"
    );
    assert_eq!(pgherd_log::backlog(), (0, 0));
}
