//! The binary under each of its names: what it prints, and how it ends.
#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pgherd_settings::keys::{self, Kind, Scope};
use pgherd_settings::patch;
use serde_json::json;

/// A folder with the binary under another name.
struct Named {
    folder: tempfile::TempDir,
    program: PathBuf,
}

impl Named {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join(name);
        symlink(env!("CARGO_BIN_EXE_pgherd"), &program).unwrap();
        Self { folder, program }
    }

    fn run(&self, words: &[&str], env: &BTreeMap<&str, String>) -> Output {
        Command::new(&self.program)
            .args(words)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(env)
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What an operator would add to a sample by its environment: everything that it marks as missing.
fn filled(store: &TcpListener, folder: &Path) -> BTreeMap<&'static str, String> {
    let store = store.local_addr().unwrap();
    let data = folder.join("data").display().to_string();
    [
        ("PATRONI_SCOPE", "demo".to_owned()),
        ("PATRONI_ETCD3_HOSTS", format!("\"{store}\"")),
        ("PATRONI_POSTGRESQL_DATA_DIR", data),
        (
            "PATRONI_POSTGRESQL_CONNECT_ADDRESS",
            "192.0.2.7:25432".to_owned(),
        ),
        ("PATRONI_POSTGRESQL_LISTEN", "127.0.0.1:25432".to_owned()),
        (
            "PATRONI_RESTAPI_CONNECT_ADDRESS",
            "192.0.2.7:28008".to_owned(),
        ),
        ("PATRONI_RESTAPI_LISTEN", "127.0.0.1:28008".to_owned()),
        ("PATRONI_SUPERUSER_PASSWORD", "one".to_owned()),
        ("PATRONI_REPLICATION_PASSWORD", "two".to_owned()),
        ("PATRONI_REWIND_PASSWORD", "three".to_owned()),
    ]
    .into()
}

#[test]
fn a_sample_that_is_filled_in_is_valid_and_what_is_wrong_is_told_at_once() {
    let patroni = Named::new("patroni");
    let store = TcpListener::bind("127.0.0.1:0").unwrap();
    let env = filled(&store, patroni.folder.path());
    let sample = patroni.file("sub/sample.yml");
    let written = patroni.run(&["--generate-sample-config", &sample], &env);
    assert_eq!((code(&written), err(&written)), (0, String::new()));

    let nothing = BTreeMap::new();
    let words = ["--validate-config", "-i", "-p", sample.as_str()];
    let valid = patroni.run(&words, &nothing);
    assert_eq!((code(&valid), err(&valid)), (0, String::new()));
    assert!(out(&valid).contains("\nscope: demo\n"), "{}", out(&valid));
    let silent = patroni.run(&["--validate-config", "-i", &sample], &nothing);
    assert_eq!(
        (code(&silent), out(&silent), err(&silent)),
        (0, String::new(), String::new())
    );

    let low = patroni.file("low.yml");
    let text = fs_err::read_to_string(&sample).unwrap();
    fs_err::write(&low, text.replace("ttl: 30", "ttl: 5")).unwrap();
    let refused = patroni.run(&["--validate-config", "-i", &low], &nothing);
    let told = "bootstrap.dcs  ttl=5 can't be smaller than 20, adjusting...\n";
    assert_eq!((code(&refused), err(&refused)), (1, told.to_owned()));

    drop(store);
    let data = patroni.folder.path().join("data");
    fs_err::create_dir(&data).unwrap();
    fs_err::write(data.join("notes.txt"), "mine").unwrap();
    let local = BTreeMap::from([(
        "PATRONI_RESTAPI_CONNECT_ADDRESS",
        "127.0.0.1:28008".to_owned(),
    )]);
    let wrong = patroni.run(&words, &local);
    assert_eq!((code(&wrong), out(&wrong)), (1, String::new()));
    let told = err(&wrong);
    for part in [
        "restapi.connect_address: `127.0.0.1:28008` can not be reached",
        "is not reachable\n",
        "doesn't look like a valid data directory",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn one_run_tells_a_wrong_value_of_every_key_there_is() {
    let mut file = json!({});
    let mut paths = Vec::new();
    for key in keys::all() {
        let wrong = match key.kind {
            // their keys have rows of their own
            Kind::Section | Kind::Any => continue,
            Kind::Mapping if key.path == "bootstrap.dcs" => continue,
            Kind::Mapping => json!(5),
            _ => json!({"a": ["b"]}),
        };
        let path = key.path.replace('*', "superuser");
        let path = match key.scope {
            Scope::Dynamic => format!("bootstrap.dcs.{path}"),
            Scope::Local | Scope::Both => path,
        };
        let names = path.rsplit('.');
        patch(
            &mut file,
            names.fold(wrong, |inner, name| json!({name: inner})),
        );
        paths.push(path);
    }
    let patroni = Named::new("patroni");
    let name = patroni.file("wrong.yml");
    fs_err::write(&name, file.to_string()).unwrap();
    let ended = patroni.run(&["--validate-config", &name], &BTreeMap::new());
    let told = err(&ended);
    assert_eq!((code(&ended), out(&ended)), (1, String::new()));
    assert!(paths.len() > 180, "{paths:?}");
    for path in paths {
        let line = told.lines().find(|line| {
            let about = line.split_once(":1  ").map_or("", |(_, about)| about);
            about
                .strip_prefix(&path)
                .is_some_and(|rest| rest.starts_with([':', '.']))
        });
        assert!(
            line.is_some_and(|line| line.contains("; use ")),
            "{path}: {line:?}"
        );
    }
}

#[test]
fn every_name_has_its_own_manners() {
    let nothing = BTreeMap::new();
    for (name, words, wanted) in [
        ("patroni", &["--version"][..], 0),
        ("patroni", &["--validate-config", "--generate-config"], 2),
        ("patroni", &["--validate-config", "/no/such.yml"], 1),
        ("patronictl", &["version"], 0),
        ("patronictl", &["--help"], 0),
        ("patronictl", &["no-such-command"], 2),
        ("patronictl", &["list", "--no-such-option"], 2),
        ("patroni_barman", &["--api-url", "http://127.0.0.1:1"], 255),
        ("patroni_barman", &["recover"], 2),
        ("patroni_aws", &[], 1),
        ("patroni_aws", &["on_reload", "primary", "demo"], 1),
        ("patroni_wale_restore", &[], 2),
        ("patroni_raft_controller", &["raft.yml"], 1),
        ("pgherd", &["patroni", "--version"], 0),
        (
            "pgherd",
            &["completions", "fish", "--program", "patronictl"],
            0,
        ),
    ] {
        let mut env = nothing.clone();
        // a client must know a store before it says anything
        env.insert("DCS_URL", "etcd3://127.0.0.1:1".to_owned());
        let ended = Named::new(name).run(words, &env);
        assert_eq!(code(&ended), wanted, "{name} {words:?}: {}", err(&ended));
    }
    for (asked, begins) in [
        ("bash_source", "_patronictl() {"),
        ("source_zsh", "#compdef patronictl"),
        ("bash_complete", ""),
    ] {
        let env = BTreeMap::from([("_PATRONICTL_COMPLETE", asked.to_owned())]);
        let ended = Named::new("patronictl").run(&[], &env);
        assert_eq!(code(&ended), 0, "{asked}: {}", err(&ended));
        let text = out(&ended);
        assert!(
            text.starts_with(begins) && text.is_empty() == begins.is_empty(),
            "{asked}"
        );
    }
    let version = Named::new("patronictl").run(&["version"], &nothing);
    assert_eq!(out(&version), "patronictl version 4.1.5\n");
    let version = Named::new("patroni").run(&["--version"], &nothing);
    assert_eq!(out(&version), "patroni 4.1.5\n");
}
