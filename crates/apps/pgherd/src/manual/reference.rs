//! `docs/reference/ctl.md` says what the definition of the command line says. `UPDATE=1` writes it anew.

use clap::{Arg, Command};

use super::programs;

const PAGE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../../docs/reference/ctl.md"
);

const INTRODUCTION: &str = "\
# Commands

This page is written from the definition of the command line in `crates/apps/ctl`, `crates/apps/companions` and
`crates/apps/pgherd`; `UPDATE=1 cargo test -p pgherd reference` writes it anew.

One file is all the programs that Patroni installs. Started under the name `patroni`, `patronictl`, `patroni_barman`,
`patroni_aws` or `patroni_wale_restore` (a link is enough), or with one of these as the first word behind `pgherd`, it
behaves as that program: options, prompts, output and exit codes. `pgherd` has the commands of `patronictl` under
their own names, and some that are only ours.

## Names and files

`-c` names a file or a folder of `*.yml`; else PATRONICTL_CONFIG_FILE does, else `patroni/patronictl.yaml` in
`$XDG_CONFIG_HOME` or `~/.config` is read when it is there. `-d SCHEME://HOST:PORT/NAMESPACE` or DCS_URL replaces the
DCS of the file. `PATRONI_*` variables count as for the agent. LOGLEVEL, PATRONI_LOGLEVEL or PATRONI_LOG_LEVEL of
ERROR or CRITICAL silences warnings. EDITOR, PAGER and NO_COLOR are honoured. `_PATRONICTL_COMPLETE=bash_source patronictl`
prints completions, as the original does.

In the tables, *as* says whose word an argument is: **Patroni**'s, meaning the same, or **ours**.

Data goes to standard output, complaints to standard error. Exit codes: 0 done, 1 not done, 2 wrong command line.

## What differs from patronictl 4.1

The end-to-end test `ctl` runs both on one cluster and compares what they say byte by byte. What differs:

- usage texts of wrong command lines (the exit code is the same);
- `edit-config` checks the configuration before it is written: values that do not fit are refused, keys that nobody
  knows are warned of on standard error;
- a member that is named and is not there is warned of on standard error;
- where the original shows a Python traceback, one line says what is wrong;
- `query` shows PostgreSQL's own text for dates, intervals, arrays, JSON and bytes;
- `demote-cluster` and `edit-config` refuse a `standby_cluster` that names a member of the cluster itself;
- of a Citus cluster, commands that are not the original's (`explain`, `delayed` and so on) and `demote-cluster` mean one group: `--group N`, or that
  of the file.

";

/// The one program whose command line is no more than this.
const AWS: &str = "\
## patroni_aws

`patroni_aws ACTION ROLE NAME`: the callbacks `on_start`, `on_stop` and `on_role_change`. Tags the volumes of this EC2
instance with `Name=spilo_NAME`, `Role` and `Instance`, and the instance with `Role`. Credentials come from the
environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), else from the instance's own role. Other
endpoints: AWS_EC2_METADATA_SERVICE_ENDPOINT, AWS_ENDPOINT_URL_EC2.
";

/// Commands that patronictl does not have.
const OURS: [&str; 6] = ["dr", "delayed", "explain", "agent", "completions", "man"];

/// What the programs of Patroni 4.1.5 take, by command: long options, short ones that have no long form, and arguments
/// in capitals. `-k`, `-c`, `-d` and `--group` stand at the program.
#[rustfmt::skip]
const PATRONIS: &[(&str, &[&str])] = &[
    ("pgherd", &["config-file", "dcs-url", "insecure", "group"]),
    ("patronictl", &["config-file", "dcs-url", "insecure", "group"]),
    ("agent", &["CONFIGFILE", "validate-config", "generate-sample-config", "generate-config", "dsn", "ignore-listen-port", "print"]),
    ("patroni", &["CONFIGFILE", "validate-config", "generate-sample-config", "generate-config", "dsn", "ignore-listen-port", "print"]),
    ("list", &["CLUSTER", "extended", "timestamp", "format", "W", "watch"]),
    ("topology", &["CLUSTER", "W", "watch"]),
    ("dsn", &["CLUSTER", "role", "member"]),
    ("query", &["CLUSTER", "format", "file", "password", "username", "W", "watch", "role", "member", "delimiter", "command", "dbname"]),
    ("remove", &["CLUSTER", "format"]),
    ("reload", &["CLUSTER", "MEMBER", "role", "force"]),
    ("restart", &["CLUSTER", "MEMBER", "role", "any", "scheduled", "pg-version", "pending", "timeout", "force"]),
    ("reinit", &["CLUSTER", "MEMBER", "force", "from-leader", "wait"]),
    ("switchover", &["CLUSTER", "leader", "candidate", "scheduled", "force"]),
    ("failover", &["CLUSTER", "candidate", "force"]),
    ("flush", &["CLUSTER", "MEMBER", "role", "force"]),
    ("pause", &["CLUSTER", "wait"]),
    ("resume", &["CLUSTER", "wait"]),
    ("edit-config", &["CLUSTER", "quiet", "set", "pg", "apply", "replace", "force"]),
    ("show-config", &["CLUSTER"]),
    ("history", &["CLUSTER", "format"]),
    ("version", &["CLUSTER", "MEMBER"]),
    ("demote-cluster", &["CLUSTER", "force", "host", "port", "restore-command", "primary-slot-name"]),
    ("promote-cluster", &["CLUSTER", "force"]),
    ("patroni_barman", &["api-url", "cert-file", "key-file", "retry-wait", "max-retries", "log-file"]),
    ("recover", &["barman-server", "ssh-command", "data-directory", "backup-id", "loop-wait"]),
    ("config-switch", &["ACTION", "ROLE", "CLUSTER", "barman-server", "barman-model", "reset", "switch-when"]),
    ("patroni_wale_restore", &["scope", "datadir", "connstring", "envdir", "role", "retries", "threshold_megabytes", "threshold_backup_size_percentage", "use_iam", "no_leader"]),
];

fn patronis(command: &str) -> &'static [&'static str] {
    let found = PATRONIS.iter().find(|(name, _)| *name == command);
    found.map_or(&[], |(_, takes)| takes)
}

/// How an argument is called in the table of what Patroni takes.
fn name_of(argument: &Arg) -> String {
    let long = argument.get_long().map(str::to_owned);
    let long = long.or_else(|| argument.get_short().map(String::from));
    let value = || argument.get_value_names()?.first().map(ToString::to_string);
    long.or_else(value).unwrap_or_default()
}

fn page() -> String {
    let mut page = String::from(INTRODUCTION);
    for program in programs() {
        let mut program = program;
        program.build();
        let name = program.get_name().to_owned();
        // the same commands, which stand under `pgherd` already
        let has_commands = name != "patronictl";
        section(&program, &name, 2, false, &mut page);
        if !has_commands {
            page.push_str(
                "Its commands are those of `pgherd` without the ones marked as ours.\n\n",
            );
            continue;
        }
        for command in program.get_subcommands() {
            let ours = OURS.contains(&command.get_name());
            commands(command, &name, 3, ours, &mut page);
        }
    }
    page.push_str(AWS);
    page
}

/// A command, and the commands below it.
fn commands(command: &Command, above: &str, depth: usize, ours: bool, page: &mut String) {
    if command.is_hide_set() || command.get_name() == "help" {
        return;
    }
    let title = format!("{above} {}", command.get_name());
    section(command, &title, depth, ours, page);
    for below in command.get_subcommands() {
        commands(below, &title, depth + 1, ours, page);
    }
}

fn section(command: &Command, title: &str, depth: usize, ours: bool, page: &mut String) {
    page.push_str(&format!("{} {title}\n\n", "#".repeat(depth)));
    let about = command.get_long_about().or_else(|| command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    let whose = if ours && depth == 3 { " *Ours.*" } else { "" };
    page.push_str(&format!("{}{whose}\n\n", about.trim_end()));
    let arguments: Vec<&Arg> = command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set() && !is_everywhere(argument, depth))
        .collect();
    if arguments.is_empty() {
        return;
    }
    page.push_str("| argument | default | meaning | as |\n|---|---|---|---|\n");
    for argument in arguments {
        let known = patronis(command.get_name());
        // `dr switchover` is another command than `switchover`.
        let is_patronis = depth <= 3 && known.contains(&name_of(argument).as_str());
        page.push_str(&row(argument, if is_patronis { "Patroni" } else { "ours" }));
    }
    page.push('\n');
}

/// What every command has is told once, at the program.
fn is_everywhere(argument: &Arg, depth: usize) -> bool {
    ["help", "version"].contains(&argument.get_id().as_str())
        || (depth > 2 && argument.is_global_set())
}

fn row(argument: &Arg, whose: &str) -> String {
    let values = argument
        .get_value_names()
        .filter(|_| argument.get_action().takes_values())
        .map(|names| names.join(" "));
    let mut names = Vec::new();
    names.extend(argument.get_short().map(|short| format!("-{short}")));
    names.extend(argument.get_long().map(|long| format!("--{long}")));
    let aliases = argument.get_visible_aliases().unwrap_or_default();
    names.extend(aliases.iter().map(|alias| format!("--{alias}")));
    let mut shown = names.join(", ");
    match values {
        Some(values) if shown.is_empty() => shown = values,
        Some(values) => shown.push_str(&format!(" {values}")),
        None => {}
    }
    let defaults = argument.get_default_values();
    let default = defaults
        .first()
        .filter(|_| argument.get_action().takes_values())
        .map(|value| format!("`{}`", value.to_string_lossy()));
    let help = argument.get_help().map(ToString::to_string);
    let mut meaning = help
        .unwrap_or_default()
        .replace('|', "\\|")
        .replace('\n', " ");
    let choices: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if argument.get_action().takes_values() && !choices.is_empty() {
        meaning.push_str(&format!(" ({})", choices.join(" ")));
    }
    format!(
        "| `{shown}` | {} | {meaning} | {whose} |\n",
        default.unwrap_or_default()
    )
}

#[test]
fn everything_that_patronis_programs_take_is_taken() {
    let mut programs = programs();
    programs.iter_mut().for_each(Command::build);
    let commands: Vec<&Command> = programs
        .iter()
        .flat_map(|program| program.get_subcommands().chain([program]))
        .collect();
    for (command, takes) in PATRONIS {
        let same: Vec<_> = commands
            .iter()
            .filter(|found| found.get_name() == *command)
            .collect();
        assert!(!same.is_empty(), "{command}");
        for found in same {
            let ours: Vec<String> = found.get_arguments().map(name_of).collect();
            let missing = takes
                .iter()
                .find(|name| !ours.iter().any(|ours| ours == *name));
            assert_eq!(missing, None, "{command} of {ours:?}");
        }
    }
}

#[test]
fn the_reference_of_commands_is_as_written() {
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        fs_err::write(PAGE, &page).unwrap();
    }
    let written = fs_err::read_to_string(PAGE).unwrap_or_default();
    let differs = page
        .lines()
        .zip(written.lines())
        .find(|(new, old)| new != old);
    assert_eq!(
        differs, None,
        "run `UPDATE=1 cargo test -p pgherd reference`"
    );
    assert_eq!(page.lines().count(), written.lines().count());
}
