//! libpq connection strings: read in both forms, written with the keys in the contract's order (§3.5).

use std::fmt;

use camino::Utf8Path;
use pgherd_settings::Login;

use crate::quote::conninfo_value;

/// A connection string as its keys and values, in the order given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conninfo(Vec<(String, String)>);

/// A text that libpq would not take either.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConninfoError {
    /// A key without a value.
    #[error("`{0}` has no value; expected key=value pairs or a postgresql:// address")]
    NoValue(String),
    /// A quoted value without its end.
    #[error("the value of `{0}` lacks its closing quote")]
    OpenQuote(String),
    /// What stands for a keyword holds more than letters, digits and underscores.
    #[error("`{0}` is no keyword of a connection string; such are host, port, user, dbname")]
    NoKeyword(String),
    /// A percent sign without two hexadecimal digits.
    #[error("`{0}` holds a percent sign without two hexadecimal digits")]
    Percent(String),
}

impl Conninfo {
    /// Reads `key=value key='va lue'` or `postgresql://user:password@host:port/database?key=value`.
    ///
    /// # Errors
    /// When the text is neither.
    pub fn parse(text: &str) -> Result<Self, ConninfoError> {
        let text = text.trim();
        match text
            .strip_prefix("postgresql://")
            .or_else(|| text.strip_prefix("postgres://"))
        {
            Some(rest) => parse_address(rest),
            None => parse_pairs(text),
        }
    }

    /// The value of a key; the last one counts, as for libpq.
    pub fn get(&self, key: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    }

    /// Host and port, of several ports the first, when it names a host. `hostaddr` counts when there is no host.
    pub fn endpoint(&self) -> Option<(String, u16)> {
        let host = self.get("host").or_else(|| self.get("hostaddr"))?;
        if host.is_empty() {
            return None;
        }
        let ports = self.get("port").unwrap_or("5432");
        let first = ports.split(',').next().unwrap_or_default().trim();
        Some((host.to_owned(), first.parse().unwrap_or(5432)))
    }

    /// Adds a pair at the end.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.0.push((key.to_owned(), value.into()));
        self
    }
}

impl fmt::Display for Conninfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.0.iter().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            write!(f, "{gap}{key}={}", conninfo_value(value))?;
        }
        Ok(())
    }
}

/// Whom to connect to, and as whom.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// User and TLS settings. The password is never part of the text.
    pub login: &'a Login,
    /// Host name, address, comma list of them, or socket directory.
    pub host: &'a str,
    /// Port, or one for each host.
    pub port: &'a str,
    /// Database.
    pub database: &'a str,
    /// The password file, named when the login has a password.
    pub passfile: Option<&'a Utf8Path>,
    /// Kerberos service name.
    pub krbsrvname: Option<&'a str>,
    /// Major version of the libpq that will read the text.
    pub major: u32,
}

/// The connection string for `target`, keys in the order of contract §3.5, with that section's defaults.
/// Keys that the version does not know are left out.
pub fn conninfo(
    target: &Target<'_>,
    application_name: Option<&str>,
    session: Option<&str>,
) -> Conninfo {
    let login = target.login;
    let since = |major: u32, value: Option<String>| value.filter(|_| target.major >= major);
    let text = |value: &Option<String>| value.clone();
    let path = |value: &Option<camino::Utf8PathBuf>| value.as_ref().map(ToString::to_string);
    let or = |value: &Option<String>, default: &str| {
        Some(value.clone().unwrap_or_else(|| default.to_owned()))
    };
    let passfile = target.passfile.filter(|_| login.password.is_some());
    let pairs = [
        ("dbname", Some(target.database.to_owned())),
        ("user", text(&login.username)),
        ("passfile", passfile.map(ToString::to_string)),
        ("host", Some(target.host.to_owned())),
        ("port", Some(target.port.to_owned())),
        ("sslmode", or(&login.sslmode, "prefer")),
        ("sslcert", path(&login.sslcert)),
        ("sslkey", path(&login.sslkey)),
        (
            "sslpassword",
            since(
                13,
                login.sslpassword.as_ref().map(|it| it.reveal().to_owned()),
            ),
        ),
        ("sslrootcert", text(&login.sslrootcert)),
        ("sslcrl", path(&login.sslcrl)),
        ("sslcrldir", since(14, path(&login.sslcrldir))),
        ("application_name", application_name.map(str::to_owned)),
        ("krbsrvname", target.krbsrvname.map(str::to_owned)),
        ("gssencmode", since(12, or(&login.gssencmode, "prefer"))),
        (
            "channel_binding",
            since(13, or(&login.channel_binding, "prefer")),
        ),
        ("target_session_attrs", session.map(str::to_owned)),
        (
            "sslnegotiation",
            since(17, or(&login.sslnegotiation, "postgres")),
        ),
    ];
    Conninfo(
        pairs
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)))
            .collect(),
    )
}

fn parse_pairs(text: &str) -> Result<Conninfo, ConninfoError> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest
            .split_once('=')
            .ok_or_else(|| ConninfoError::NoValue(rest.to_owned()))?;
        let key = keyword(key.trim())?;
        let (value, after) = read_value(&key, after.trim_start())?;
        pairs.push((key, value));
        rest = after.trim_start();
    }
    Ok(Conninfo(pairs))
}

fn read_value<'a>(key: &str, text: &'a str) -> Result<(String, &'a str), ConninfoError> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut letters = text.char_indices().skip(usize::from(quoted));
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
            '\'' if quoted => return Ok((value, &text[at + 1..])),
            letter if !quoted && letter.is_whitespace() => return Ok((value, &text[at..])),
            letter => value.push(letter),
        }
    }
    if quoted {
        return Err(ConninfoError::OpenQuote(key.to_owned()));
    }
    Ok((value, ""))
}

fn parse_address(text: &str) -> Result<Conninfo, ConninfoError> {
    let (place, query) = text.split_once('?').unwrap_or((text, ""));
    let (authority, database) = place.split_once('/').unwrap_or((place, ""));
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let ends = hosts.split(',').map(split_host);
    let (names, ports): (Vec<&str>, Vec<&str>) = ends.unzip();
    let port = if ports.iter().all(|port| port.is_empty()) {
        String::new()
    } else {
        ports.join(",")
    };
    let mut pairs = Vec::new();
    for (key, value) in [
        ("user", user),
        ("password", password),
        ("host", &names.join(",")),
        ("port", &port),
        ("dbname", database),
    ] {
        if !value.is_empty() {
            pairs.push((key.to_owned(), decode(value)?));
        }
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| ConninfoError::NoValue(pair.to_owned()))?;
        pairs.push((keyword(&decode(key)?)?, decode(value)?));
    }
    Ok(Conninfo(pairs))
}

fn keyword(text: &str) -> Result<String, ConninfoError> {
    let allowed = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'_';
    if text.is_empty() || !text.bytes().all(allowed) {
        return Err(ConninfoError::NoKeyword(text.to_owned()));
    }
    Ok(text.to_owned())
}

fn split_host(text: &str) -> (&str, &str) {
    if let Some((name, rest)) = text.strip_prefix('[').and_then(|it| it.split_once(']')) {
        return (name, rest.strip_prefix(':').unwrap_or(""));
    }
    text.split_once(':').unwrap_or((text, ""))
}

fn decode(text: &str) -> Result<String, ConninfoError> {
    let wrong = || ConninfoError::Percent(text.to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [
            rest.next().ok_or_else(wrong)?,
            rest.next().ok_or_else(wrong)?,
        ];
        // A sign would be taken for a digit otherwise.
        let digits = str::from_utf8(&digits)
            .ok()
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .ok_or_else(wrong)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use pgherd_settings::Secret;

    use super::*;

    #[test]
    fn primary_conninfo_has_the_keys_of_the_contract_in_order() {
        let login = Login {
            username: Some("replicator".into()),
            password: Some(Secret::new("secret")),
            sslrootcert: Some("/etc/ca dir/ca.crt".into()),
            sslcrldir: Some("/crl".into()),
            ..Login::default()
        };
        let target = Target {
            login: &login,
            host: "10.0.0.1",
            port: "5432",
            database: "postgres",
            passfile: Some(Utf8Path::new("/tmp/pgpass0")),
            krbsrvname: None,
            major: 13,
        };
        assert_eq!(
            conninfo(&target, Some("pg1"), None).to_string(),
            "dbname=postgres user=replicator passfile=/tmp/pgpass0 host=10.0.0.1 port=5432 \
             sslmode=prefer sslrootcert='/etc/ca dir/ca.crt' application_name=pg1 gssencmode=prefer \
             channel_binding=prefer"
        );
        let newer = Target {
            major: 17,
            ..target
        };
        let text = conninfo(&newer, None, Some("read-write")).to_string();
        assert!(text.contains("sslcrldir=/crl"), "{text}");
        assert!(
            text.ends_with("target_session_attrs=read-write sslnegotiation=postgres"),
            "{text}"
        );
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn what_libpq_would_not_take_is_no_connection_string() {
        for (text, why) in [
            (
                "postgres://h/db?application_name%20=x",
                "`application_name ` is no keyword",
            ),
            ("postgres://h/db?=x", "`` is no keyword"),
            ("host=a so-called=b", "`so-called` is no keyword"),
            (
                "postgres://h%+1/db",
                "`h%+1` holds a percent sign without two hexadecimal digits",
            ),
        ] {
            let told = Conninfo::parse(text).unwrap_err().to_string();
            assert!(told.starts_with(why), "{text}: {told}");
        }
    }

    #[test]
    fn without_a_password_no_password_file_is_named() {
        let login = Login::default();
        let target = Target {
            login: &login,
            host: "/run",
            port: "1",
            database: "d",
            passfile: Some(Utf8Path::new("/p")),
            krbsrvname: Some("pg"),
            major: 15,
        };
        let text = conninfo(&target, None, None).to_string();
        assert!(
            !text.contains("passfile") && text.contains("krbsrvname=pg"),
            "{text}"
        );
    }

    #[test]
    fn both_forms_are_read() {
        let read = Conninfo::parse("host = 'a b' port=1 user=o\\'x password='it\\'s'").unwrap();
        assert_eq!(read.get("host"), Some("a b"));
        assert_eq!(read.get("user"), Some("o'x"));
        assert_eq!(read.get("password"), Some("it's"));
        assert_eq!(read.endpoint(), Some(("a b".to_owned(), 1)));

        let read = Conninfo::parse("postgresql://u%40x:p@[::1]:5433/db?sslmode=require").unwrap();
        assert_eq!(read.get("user"), Some("u@x"));
        assert_eq!(read.get("dbname"), Some("db"));
        assert_eq!(read.get("sslmode"), Some("require"));
        assert_eq!(read.endpoint(), Some(("::1".to_owned(), 5433)));

        assert_eq!(Conninfo::parse("").unwrap().endpoint(), None);
        let text = "host=h user='a b'";
        assert_eq!(Conninfo::parse(text).unwrap().to_string(), text);
    }

    #[test]
    fn texts_that_libpq_refuses_are_refused() {
        assert_eq!(
            Conninfo::parse("host"),
            Err(ConninfoError::NoValue("host".into()))
        );
        assert_eq!(
            Conninfo::parse("host='x"),
            Err(ConninfoError::OpenQuote("host".into()))
        );
        assert!(Conninfo::parse("postgres://a%2@h/").is_err());
    }
}
