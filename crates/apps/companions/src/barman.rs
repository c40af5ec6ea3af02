//! `patroni_barman`: lets a Barman server restore a backup to this host, or switch the configuration of a server
//! when a role changes. It talks to Barman's pg-backup-api.

use std::ffi::OsString;
use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use camino::Utf8PathBuf;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use pgherd_peers::{Method, RestClient};
use pgherd_settings::{Ctl, Restapi};
use serde_json::{Value, json};
use tracing::{error, info, warn};

use crate::{block_on, lenient};

/// The API is not there, or not well.
const API_NOT_OK: u8 = 254;
/// There is nothing to do.
const NO_COMMAND: u8 = 255;
/// A small request is answered within this.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// How often a switch of the configuration is asked after.
const SWITCH_LOOK: Duration = Duration::from_secs(5);

/// Performs operations of Barman over its pg-backup-api.
#[derive(Debug, Parser)]
#[command(name = "patroni_barman")]
struct Line {
    /// The API, such as `http://localhost:7480`.
    #[arg(long, value_name = "URL")]
    api_url: String,
    /// The certificate that is shown to the API.
    #[arg(long, value_name = "FILE")]
    cert_file: Option<Utf8PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE")]
    key_file: Option<Utf8PathBuf>,
    /// Seconds before a failed request is tried again.
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    retry_wait: u64,
    /// How often a request is tried again.
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    max_retries: u32,
    /// The file that messages go to; standard error when not given.
    #[arg(long, value_name = "FILE")]
    log_file: Option<Utf8PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Restores a backup of a server to this host.
    Recover(Recover),
    /// Switches the configuration of a server, as the callback `on_role_change`.
    ConfigSwitch(ConfigSwitch),
}

#[derive(Debug, Args)]
struct Recover {
    /// The server in Barman.
    #[arg(long, value_name = "NAME")]
    barman_server: String,
    /// The backup: an id, or a word that Barman knows.
    #[arg(long, value_name = "ID", default_value = "latest")]
    backup_id: String,
    /// How Barman reaches this host.
    #[arg(long, value_name = "COMMAND")]
    ssh_command: String,
    /// Where to restore.
    #[arg(long, visible_alias = "datadir", value_name = "FOLDER")]
    data_directory: String,
    /// Seconds between two looks whether it is done.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    loop_wait: u64,
}

#[derive(Debug, Args)]
struct ConfigSwitch {
    /// The callback; the agent gives it.
    #[arg(value_parser = ["on_role_change"])]
    action: String,
    /// The new role of this member; the agent gives it.
    #[arg(value_parser = ["primary", "promoted", "standby_leader", "replica", "demoted"])]
    role: String,
    /// The cluster; the agent gives it.
    cluster: String,
    /// The server in Barman.
    #[arg(long, value_name = "NAME")]
    barman_server: String,
    #[command(flatten)]
    what: What,
    /// At which changes of the role.
    #[arg(long, value_enum, value_name = "WHEN")]
    switch_when: When,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct What {
    /// The model that is applied to the server.
    #[arg(long, value_name = "NAME")]
    barman_model: Option<String>,
    /// Take the model back that is applied now.
    #[arg(long)]
    reset: bool,
}

/// At which changes of the role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum When {
    /// It is primary or promoted now.
    Promoted,
    /// It is replica or demoted now.
    Demoted,
    /// All.
    Always,
}

impl When {
    fn fits(self, role: &str) -> bool {
        match self {
            Self::Promoted => matches!(role, "primary" | "promoted"),
            Self::Demoted => matches!(role, "replica" | "demoted"),
            Self::Always => true,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::Demoted => "demoted",
            Self::Always => "always",
        }
    }
}

/// The definition of the command line, for manual pages.
pub fn command() -> clap::Command {
    Line::command()
}

/// Runs the program. Exit codes: recover 0 done, 1 failed, 2 no answer; config-switch 0 done, 1 not wanted now,
/// 2 failed, 3 no answer, 4 no model named; 254 the API is not well, 255 no command; 2 for a wrong command line.
pub fn run(line: Vec<OsString>) -> ExitCode {
    let line = Line::parse_from(lenient::known(&Line::command(), line));
    let Some(command) = &line.command else {
        println!("{}", Line::command().render_help());
        return ExitCode::from(NO_COMMAND);
    };
    pgherd_log::start_program(line.log_file.as_deref());
    block_on(API_NOT_OK, perform(&line, command))
}

async fn perform(line: &Line, command: &Command) -> u8 {
    let api = match Api::open(line).await {
        Ok(api) => api,
        Err(why) => {
            error!("pg-backup-api can not be used: {why}");
            return API_NOT_OK;
        }
    };
    match command {
        Command::Recover(args) => recover(&api, args).await,
        Command::ConfigSwitch(args) => switch(&api, args).await,
    }
}

async fn recover(api: &Api, args: &Recover) -> u8 {
    let body = json!({
        "type": "recovery",
        "backup_id": args.backup_id,
        "remote_ssh_command": args.ssh_command,
        "destination_directory": args.data_directory,
    });
    let job = Job {
        name: "recovery",
        server: &args.barman_server,
        look: Duration::from_secs(args.loop_wait),
    };
    match api.carry_out(&job, &body).await {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(why) => {
            error!("the backup was not restored: {why}");
            2
        }
    }
}

async fn switch(api: &Api, args: &ConfigSwitch) -> u8 {
    if !args.switch_when.fits(&args.role) {
        info!(
            "Config switch operation was skipped (role={}, switch_when={}).",
            args.role,
            args.switch_when.word()
        );
        return 1;
    }
    let body = match &args.what.barman_model {
        Some(model) if model.is_empty() => {
            error!("--barman-model names no model: give one, or --reset");
            return 4;
        }
        Some(model) => json!({"type": "config_switch", "model_name": model}),
        None => json!({"type": "config_switch", "reset": true}),
    };
    let job = Job {
        name: "config switch",
        server: &args.barman_server,
        look: SWITCH_LOOK,
    };
    match api.carry_out(&job, &body).await {
        Ok(true) => 0,
        Ok(false) => 2,
        Err(why) => {
            error!("the configuration was not switched: {why}");
            3
        }
    }
}

/// An operation on a server.
struct Job<'a> {
    name: &'static str,
    server: &'a str,
    /// From one look whether it is done to the next.
    look: Duration,
}

/// The pg-backup-api.
struct Api {
    http: RestClient,
    url: String,
    retry_wait: Duration,
    retries: u32,
}

impl Api {
    /// Connects, and asks whether all is well.
    async fn open(line: &Line) -> Result<Self, String> {
        let ctl = Ctl {
            certfile: line.cert_file.clone(),
            keyfile: line.key_file.clone(),
            ..Ctl::default()
        };
        let http = RestClient::of_operator(&ctl, &Restapi::default())
            .map_err(|error| error.to_string())?;
        let api = Self {
            http,
            url: line.api_url.trim_end_matches('/').to_owned(),
            retry_wait: Duration::from_secs(line.retry_wait),
            retries: line.max_retries,
        };
        match api.ask(Method::GET, "status", None).await? {
            Value::String(status) if status == "OK" => Ok(api),
            status => Err(format!("its status is {status}")),
        }
    }

    /// Begins an operation and waits for its end; whether it went well.
    async fn carry_out(&self, job: &Job<'_>, body: &Value) -> Result<bool, String> {
        let path = format!("servers/{}/operations", job.server);
        let begun = self.ask(Method::POST, &path, Some(body)).await?;
        let id = begun.get("operation_id").and_then(Value::as_str);
        let id = id.ok_or_else(|| format!("no operation_id in {begun}"))?;
        info!("Created the {} operation with ID {id}", job.name);
        let path = format!("{path}/{id}");
        let title = capitalised(job.name);
        loop {
            let found = self.ask(Method::GET, &path, None).await?;
            match found.get("status").and_then(Value::as_str) {
                Some("IN_PROGRESS") => info!("{title} operation {id} is still in progress"),
                Some("DONE") => {
                    info!("{title} operation finished successfully.");
                    return Ok(true);
                }
                Some("FAILED") => {
                    error!("{title} operation failed.");
                    return Ok(false);
                }
                _ => return Err(format!("no status in {found}")),
            }
            tokio::time::sleep(job.look).await;
        }
    }

    /// One request, again when it is not answered or its answer is no JSON.
    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let url = format!("{}/{path}", self.url);
        let mut tried = 0;
        loop {
            let why = match self.once(method.clone(), &url, body).await {
                Ok(answer) => return Ok(answer),
                Err(why) => why,
            };
            if tried >= self.retries || !why.again {
                return Err(why.to_string());
            }
            tried += 1;
            warn!("attempt {tried} of {}: {why}", self.retries + 1);
            tokio::time::sleep(self.retry_wait).await;
        }
    }

    async fn once(
        &self,
        method: Method,
        url: &str,
        body: Option<&Value>,
    ) -> Result<Value, Trouble> {
        let reply = self.http.send(method, url, body, ANSWER_MAX).await;
        let reply = reply.map_err(|error| Trouble::passing(error.to_string()))?;
        if !(200..300).contains(&reply.code) {
            let text = format!("{url}: status code {}, {}", reply.code, reply.text.trim());
            return Err(Trouble {
                text,
                again: reply.code >= 500,
            });
        }
        serde_json::from_str(&reply.text)
            .map_err(|error| Trouble::passing(format!("{url}: the answer is no JSON: {error}")))
    }
}

/// Why a request came to nothing.
struct Trouble {
    text: String,
    /// It may go well another time.
    again: bool,
}

impl Trouble {
    const fn passing(text: String) -> Self {
        Self { text, again: true }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stand_in::StandIn;

    const OPERATIONS: &str = "POST /servers/main/operations";
    const OPERATION: &str = "GET /servers/main/operations/7";
    const BEGUN: &str = r#"{"operation_id": "7"}"#;
    const RUNNING: &str = r#"{"status": "IN_PROGRESS"}"#;

    fn parsed(line: &str) -> Line {
        let words = line.split(' ').map(OsString::from).collect();
        Line::try_parse_from(lenient::known(&Line::command(), words)).unwrap()
    }

    async fn code(api: &StandIn, rest: &str) -> u8 {
        let line = parsed(&format!(
            "patroni_barman --api-url {} --retry-wait 0 --max-retries 2 {rest}",
            api.url
        ));
        perform(&line, line.command.as_ref().unwrap()).await
    }

    const RECOVER: &str =
        "recover --barman-server main --ssh-command ssh --datadir=/d --loop-wait 0";

    #[tokio::test]
    async fn a_backup_is_restored_and_its_end_is_awaited() {
        for (last, wanted) in [("DONE", 0), ("FAILED", 1)] {
            let last = format!("{{\"status\": \"{last}\"}}");
            let api = StandIn::start(&[
                ("GET /status", &[(200, "\"OK\"")]),
                (OPERATIONS, &[(503, "busy"), (202, BEGUN)]),
                (OPERATION, &[(200, RUNNING), (200, "no json"), (200, &last)]),
            ])
            .await;
            assert_eq!(code(&api, RECOVER).await, wanted);
            let body = r#"{"type":"recovery","backup_id":"latest","remote_ssh_command":"ssh","destination_directory":"/d"}"#;
            assert!(api.asked()[1].ends_with(body), "{:?}", api.asked());
        }
    }

    #[tokio::test]
    async fn a_refusal_and_a_sick_api_have_codes_of_their_own() {
        let refusing = StandIn::start(&[
            ("GET /status", &[(200, "\"OK\"")]),
            (OPERATIONS, &[(404, "no such server")]),
        ])
        .await;
        assert_eq!(code(&refusing, RECOVER).await, 2);
        assert_eq!(refusing.asked().len(), 2, "a refusal is not asked again");
        let switch = "config-switch on_role_change primary c --barman-server main --barman-model m --switch-when always";
        assert_eq!(code(&refusing, switch).await, 3);
        let sick = StandIn::start(&[("GET /status", &[(200, "\"KO\"")])]).await;
        assert_eq!(code(&sick, RECOVER).await, API_NOT_OK);
    }

    #[tokio::test]
    async fn a_switch_waits_for_its_role() {
        let api = StandIn::start(&[
            ("GET /status", &[(200, "\"OK\"")]),
            (OPERATIONS, &[(202, BEGUN)]),
            (OPERATION, &[(200, r#"{"status": "DONE"}"#)]),
        ])
        .await;
        for (role, when, wanted) in [
            ("primary", "promoted", 0),
            ("replica", "promoted", 1),
            ("standby_leader", "promoted", 1),
            ("demoted", "demoted", 0),
            ("standby_leader", "always", 0),
        ] {
            let rest = format!(
                "config-switch on_role_change {role} c --barman-server main --reset --switch-when {when}"
            );
            assert_eq!(code(&api, &rest).await, wanted, "{role} {when}");
        }
        let nameless = "config-switch on_role_change primary c --barman-server main --barman-model= --switch-when always";
        assert_eq!(code(&api, nameless).await, 4);
        let bodies = api.asked();
        let body = r#"{"type":"config_switch","reset":true}"#;
        assert_eq!(
            bodies.iter().filter(|asked| asked.ends_with(body)).count(),
            3
        );
    }

    #[test]
    fn what_the_agent_adds_is_passed_over() {
        let line = parsed(
            "patroni_barman --api-url http://b --no-such=1 recover --barman-server main --ssh-command s \
             --scope=x --role=replica --datadir=/d --connstring=y more words",
        );
        let Some(Command::Recover(args)) = line.command else {
            panic!("{line:?}")
        };
        assert_eq!((args.data_directory.as_str(), args.loop_wait), ("/d", 10));
    }

    #[test]
    fn one_of_model_and_reset_is_needed() {
        let base = "patroni_barman --api-url u config-switch on_role_change primary c --barman-server s --switch-when always";
        for more in ["", " --reset --barman-model m"] {
            let words = format!("{base}{more}");
            assert!(Line::try_parse_from(words.split(' ')).is_err(), "{words}");
        }
    }
}
