//! The password file for libpq (contract §3.4).

/// One password: who, where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Password<'a> {
    /// Host name, address, comma list of them, or socket directory; empty means any.
    pub host: &'a str,
    /// Port.
    pub port: u16,
    /// Role name; empty means any.
    pub user: &'a str,
    /// The password.
    pub password: &'a str,
}

/// The whole file: `host:port:*:user:password` for every host of every password, each line once.
pub fn pgpass(passwords: &[Password<'_>]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for entry in passwords {
        for host in entry.host.split(',') {
            push(&mut lines, entry, host);
            if host.starts_with('/') {
                // libpq looks the default socket directory up under this name.
                push(&mut lines, entry, "localhost");
            }
        }
    }
    lines.concat()
}

fn push(lines: &mut Vec<String>, entry: &Password<'_>, host: &str) {
    let line = format!(
        "{}:{}:*:{}:{}\n",
        field(host),
        entry.port,
        field(entry.user),
        escape(entry.password)
    );
    if !lines.contains(&line) {
        lines.push(line);
    }
}

fn field(text: &str) -> String {
    if text.is_empty() {
        "*".to_owned()
    } else {
        escape(text)
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace(':', "\\:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_its_line_and_colons_are_escaped() {
        let entry = |host, user, password| Password {
            host,
            port: 5432,
            user,
            password,
        };
        assert_eq!(
            pgpass(&[
                entry("a,b", "r", "p:w\\"),
                entry("a", "r", "p:w\\"),
                entry("::1", "", "x"),
                entry("/run/pg", "s", "y"),
            ]),
            "a:5432:*:r:p\\:w\\\\\nb:5432:*:r:p\\:w\\\\\n\\:\\:1:5432:*:*:x\n\
             /run/pg:5432:*:s:y\nlocalhost:5432:*:s:y\n"
        );
    }
}
