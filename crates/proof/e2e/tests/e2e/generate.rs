//! `patroni --generate-config` reads a running PostgreSQL, and what it writes is a valid configuration.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use pgherd_testbed::{AgentProgram, BarePostgres, Login, Testbed};
use tokio::process::Command;

/// A few queries and a file.
const ENDED: Duration = Duration::from_secs(30);

async fn patroni(words: &[&str], env: &[(&str, String)]) -> Result<(i32, String, String)> {
    let AgentProgram::Pgherd(program) = AgentProgram::pgherd()? else {
        bail!("our own program is not ours");
    };
    let run = Command::new(program)
        .arg("patroni")
        .args(words)
        .envs(env.iter().map(|(name, value)| (*name, value)))
        .output();
    let output = tokio::time::timeout(ENDED, run)
        .await
        .context("it never ended")??;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().unwrap_or(-1);
    Ok((code, text(&output.stdout), text(&output.stderr)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_gives_a_valid_configuration() -> Result<()> {
    let bed = Testbed::new("generate")?;
    let host = bed.host("pg1")?;
    let server = BarePostgres::primary(&host).await?;
    let (address, login) = (server.address(), Login::superuser());
    let dsn = format!(
        "host={} port={} user={}",
        address.ip(),
        address.port(),
        login.user
    );
    let file = host.dir().join("made").join("patroni.yml");
    let file = file.to_str().context("a path of letters")?;

    // without a password nobody is let in, and there is no terminal to ask
    let (code, _, told) = patroni(&["--generate-config", file, "--dsn", &dsn], &[]).await?;
    ensure!(
        code == 1 && told.contains("Failed to establish PostgreSQL connection"),
        "{told}"
    );

    let password = [("PGPASSWORD", login.password.clone())];
    let (code, said, told) =
        patroni(&["--generate-config", file, "--dsn", &dsn], &password).await?;
    ensure!(code == 0 && said.is_empty(), "{code} {told}");
    let text = fs_err::read_to_string(file)?;
    for part in [
        "  data_dir: ",
        &format!("  listen: {address}\n"),
        "  - host all all 0.0.0.0/0 scram-sha-256\n",
        &format!("      username: {}\n", login.user),
        &format!("      password: {}\n", login.password),
    ] {
        ensure!(text.contains(part), "no `{part}` in\n{text}");
    }

    // what only the operator knows
    let store = TcpListener::bind("127.0.0.1:0")?;
    let env = [
        ("PATRONI_SCOPE", "demo".to_owned()),
        (
            "PATRONI_ETCD3_HOSTS",
            format!("\"{}\"", store.local_addr()?),
        ),
        ("PATRONI_REPLICATION_USERNAME", "replicator".to_owned()),
        ("PATRONI_REPLICATION_PASSWORD", "secret".to_owned()),
    ];
    let (code, _, told) = patroni(&["--validate-config", "-i", file], &env).await?;
    ensure!(code == 0 && told.is_empty(), "{code} {told}\n{text}");
    Ok(())
}
