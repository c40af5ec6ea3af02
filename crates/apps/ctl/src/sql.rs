//! A connection to a member's PostgreSQL with what libpq would use: the environment's PG variables and the
//! password file (PostgreSQL manual, "Environment Variables" and "The Password File").

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use pgherd_postgres::client_config;
use pgherd_settings::Login;
use tokio_postgres::config::{ChannelBinding, Host, SslMode};
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A server that does not answer within this is not there.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Where to connect, and as whom.
#[derive(Clone)]
pub struct Target {
    /// Name or address of the host, or the folder of its socket.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// User; else PGUSER, else the account that this runs as.
    pub user: Option<String>,
    /// Typed in; else the environment and the password file are asked.
    pub password: Option<String>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("database", &self.database)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Target {
    /// Reads a connection string, `host=... port=... user=...` or a URI, and completes it from the environment as
    /// libpq does; nothing at all is the server on this host. `None` when it is no connection string.
    pub fn of_dsn(dsn: &str, env: &BTreeMap<String, String>) -> Option<Self> {
        let config: Config = dsn.parse().ok()?;
        let get = |name: &str| env.get(name).filter(|value| !value.is_empty()).cloned();
        let host = config.get_hosts().first().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(folder) => folder.display().to_string(),
        });
        let password = config.get_password();
        let port = config.get_ports().first().copied();
        Some(Self {
            host: host
                .or_else(|| get("PGHOST"))
                .unwrap_or_else(|| "localhost".to_owned()),
            port: port.or_else(|| get("PGPORT")?.parse().ok()).unwrap_or(5432),
            database: config
                .get_dbname()
                .map(str::to_owned)
                .or_else(|| get("PGDATABASE"))
                .unwrap_or_else(|| "postgres".to_owned()),
            user: config.get_user().map(str::to_owned),
            password: password.map(|password| String::from_utf8_lossy(password).into_owned()),
        })
    }
}

/// Who connects when nobody is named: PGUSER, else the account that this runs as.
pub fn user(env: &BTreeMap<String, String>) -> Option<String> {
    env.get("PGUSER")
        .filter(|name| !name.is_empty())
        .cloned()
        .or_else(own_name)
}

/// The database when none is named: PGDATABASE, else the one that is named as the user.
pub fn database(user: Option<&str>, env: &BTreeMap<String, String>) -> String {
    env.get("PGDATABASE")
        .filter(|name| !name.is_empty())
        .cloned()
        .or_else(|| user.map(str::to_owned))
        .or_else(|| self::user(env))
        .unwrap_or_else(|| "postgres".to_owned())
}

/// Connects.
///
/// # Errors
/// In one line: no user name, TLS that can not be set up, no answer, or what the server says.
pub async fn connect(target: &Target, env: &BTreeMap<String, String>) -> Result<Client, String> {
    let get = |name: &str| env.get(name).filter(|value| !value.is_empty()).cloned();
    let user = target
        .user
        .clone()
        .or_else(|| user(env))
        .ok_or("no user name; give one with --username")?;
    let login = Login {
        sslmode: get("PGSSLMODE"),
        sslcert: get("PGSSLCERT").map(Into::into),
        sslkey: get("PGSSLKEY").map(Into::into),
        sslrootcert: get("PGSSLROOTCERT"),
        ..Login::default()
    };
    let tls = client_config(&login).map_err(|error| error.to_string())?;
    let mode = match login.sslmode.as_deref().unwrap_or("prefer") {
        _ if tls.is_none() => SslMode::Disable,
        "prefer" => SslMode::Prefer,
        _ => SslMode::Require,
    };
    let tls = match tls {
        Some(tls) => Some(tls),
        // the connector wants settings even where it never uses them
        None => client_config(&Login::default()).map_err(|error| error.to_string())?,
    };
    let tls = tls.ok_or("TLS is not available")?;
    let mut config = Config::new();
    config
        .host(&target.host)
        .port(target.port)
        .dbname(&target.database)
        .user(&user)
        .application_name("Patroni ctl")
        .connect_timeout(CONNECT_MAX)
        .ssl_mode(mode)
        .channel_binding(match get("PGCHANNELBINDING").as_deref() {
            Some("disable") => ChannelBinding::Disable,
            Some("require") => ChannelBinding::Require,
            Some(_) | None => ChannelBinding::Prefer,
        });
    let password = target
        .password
        .clone()
        .or_else(|| get("PGPASSWORD"))
        .or_else(|| from_file(target, &user, env));
    if let Some(password) = password {
        config.password(password);
    }
    let connecting = config.connect(MakeRustlsConnect::new(tls));
    let (client, connection) = tokio::time::timeout(CONNECT_MAX, connecting)
        .await
        .map_err(|_| format!("no answer within {} seconds", CONNECT_MAX.as_secs()))?
        .map_err(|error| explained(&error))?;
    // how it ends is told to whoever uses the client
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

/// The server's own words, or what the system says.
pub fn explained(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(db), _) => format!("{}:  {}", db.severity(), db.message()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

/// The name of the account that this runs as.
fn own_name() -> Option<String> {
    let me = rustix::process::geteuid().as_raw().to_string();
    let accounts = fs_err::read_to_string("/etc/passwd").ok()?;
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, uid) = (fields.next()?, fields.next()?, fields.next()?);
        (uid == me).then(|| name.to_owned())
    })
}

/// The password of the first line that fits. As libpq, a file that others may read is passed over.
fn from_file(target: &Target, user: &str, env: &BTreeMap<String, String>) -> Option<String> {
    let path = match env.get("PGPASSFILE").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env.get("HOME")?).join(".pgpass"),
    };
    let is_open = fs_err::metadata(&path).ok()?.permissions().mode() & 0o077 != 0;
    if is_open {
        return None;
    }
    let port = target.port.to_string();
    let wanted = [&target.host, &port, &target.database, user];
    let text = fs_err::read_to_string(&path).ok()?;
    text.lines().find_map(|line| password(line, &wanted))
}

/// `host:port:database:user:password`; `*` fits all, a backslash makes a colon part of a field.
fn password(line: &str, wanted: &[&str; 4]) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let mut fields = vec![String::new()];
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        let last = fields.len() - 1;
        match letter {
            ':' if last < 4 => fields.push(String::new()),
            '\\' => fields[last].extend(letters.next()),
            letter => fields[last].push(letter),
        }
    }
    let [given @ .., password] = fields.as_slice() else {
        return None;
    };
    let fits = given.len() == 4
        && given
            .iter()
            .zip(wanted)
            .all(|(given, wanted)| given == "*" || given == wanted);
    fits.then(|| password.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_gives_the_password() {
        let wanted = ["10.0.0.1", "5432", "app", "ann"];
        let found = |line: &str| password(line, &wanted);
        assert_eq!(found("10.0.0.1:5432:app:ann:pw").as_deref(), Some("pw"));
        assert_eq!(found("*:*:*:ann:p:w").as_deref(), Some("p:w"));
        assert_eq!(found(r"*:*:*:ann:p\:w\\").as_deref(), Some(r"p:w\"));
        assert_eq!(found("*:*:*:bob:pw"), None);
        assert_eq!(found("#*:*:*:ann:pw"), None);
        assert_eq!(found("ann:pw"), None);
    }

    #[test]
    fn without_a_name_the_database_is_the_environments_or_the_users() {
        let env = |given: &[(&str, &str)]| {
            let given = given.iter();
            given
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        let both = env(&[("PGDATABASE", "d"), ("PGUSER", "u")]);
        assert_eq!(database(Some("ann"), &both), "d");
        assert_eq!(database(Some("ann"), &env(&[("PGUSER", "u")])), "ann");
        assert_eq!(database(None, &env(&[("PGUSER", "u")])), "u");
    }

    #[test]
    fn a_connection_string_goes_before_the_environment() {
        let env = [("PGHOST", "e"), ("PGPORT", "6000"), ("PGDATABASE", "d")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let found = Target::of_dsn("host=h user=ann password=pw", &env).unwrap();
        assert_eq!((found.host.as_str(), found.port), ("h", 6000));
        assert_eq!(found.user.as_deref(), Some("ann"));
        assert_eq!(found.password.as_deref(), Some("pw"));
        assert_eq!(Target::of_dsn("", &env).unwrap().host, "e");
        let local = Target::of_dsn("", &BTreeMap::new()).unwrap();
        assert_eq!((local.host.as_str(), local.port), ("localhost", 5432));
        assert!(Target::of_dsn("what", &env).is_none());
    }

    #[test]
    fn a_file_that_others_may_read_is_passed_over() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), "*:*:*:*:pw\n").unwrap();
        let target = Target {
            host: "h".into(),
            port: 1,
            database: "d".into(),
            user: None,
            password: None,
        };
        let env = [("PGPASSFILE".to_owned(), file.path().display().to_string())].into();
        assert_eq!(from_file(&target, "u", &env).as_deref(), Some("pw"));
        let open = std::fs::Permissions::from_mode(0o644);
        fs_err::set_permissions(file.path(), open).unwrap();
        assert_eq!(from_file(&target, "u", &env), None);
    }
}
