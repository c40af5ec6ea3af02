//! Addresses as the YAML writes them: `host:port`, `[v6]:port`, and PostgreSQL's list of hosts.

use std::fmt;

/// A host and a port. The host has no brackets; `*` and the empty text mean every interface.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl HostPort {
    /// Reads `host:port`, `host`, `[v6]:port` or `:port`.
    ///
    /// # Errors
    /// What is wrong and what is allowed, as one text, when the port is no port or an IPv6 address lacks its brackets.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, String> {
        let text = text.trim();
        let (host, port) = split_port(text)?;
        let port = match port {
            None => default_port,
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| format!("`{port}` is not a port; use 1 to 65535"))?,
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }

    /// Whether this names every interface: `*`, nothing, `0.0.0.0` or `::`.
    pub fn is_wildcard(&self) -> bool {
        matches!(self.host.as_str(), "" | "*" | "0.0.0.0" | "::")
    }

    /// Whether this names the host itself, so that no other host can use it.
    pub fn is_loopback(&self) -> bool {
        matches!(self.host.as_str(), "127.0.0.1" | "::1" | "localhost")
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Where PostgreSQL listens: comma-separated hosts, the port after the last (contract §2.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenHosts {
    /// Names or addresses without brackets, in the order given; `*` is every interface.
    pub hosts: Vec<String>,
    /// TCP port of all of them.
    pub port: u16,
}

impl ListenHosts {
    /// Reads `host,host:port`.
    ///
    /// # Errors
    /// As [`HostPort::parse`], and when a host other than the last carries a port.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, String> {
        let mut hosts: Vec<&str> = text.split(',').map(str::trim).collect();
        let last = HostPort::parse(hosts.pop().unwrap_or_default(), default_port)?;
        let mut named = Vec::new();
        for host in hosts {
            let bare = host
                .strip_prefix('[')
                .and_then(|host| host.strip_suffix(']'));
            match bare.unwrap_or(host) {
                "" => return Err("a host in the list is empty".to_owned()),
                host if bare.is_none() && host.contains(':') => {
                    return Err(format!(
                        "`{host}`: the port comes once, after the last host"
                    ));
                }
                host => named.push(host.to_owned()),
            }
        }
        named.push(if last.host.is_empty() {
            "*".to_owned()
        } else {
            last.host
        });
        Ok(Self {
            hosts: named,
            port: last.port,
        })
    }

    /// The value of PostgreSQL's `listen_addresses`.
    pub fn listen_addresses(&self) -> String {
        self.hosts.join(",")
    }
}

impl ListenHosts {
    /// By which name the host itself reaches PostgreSQL: `localhost` where it listens there, else its first address.
    pub fn local_host(&self) -> &str {
        let listens =
            |host: &String| matches!(host.as_str(), "*" | "0.0.0.0" | "127.0.0.1" | "localhost");
        match self.hosts.first() {
            Some(first) if !self.hosts.iter().any(listens) => first,
            Some(_) | None => "localhost",
        }
    }
}

impl Default for ListenHosts {
    fn default() -> Self {
        Self {
            hosts: vec!["localhost".to_owned()],
            port: 5432,
        }
    }
}

fn split_port(text: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, tail) = rest
            .split_once(']')
            .ok_or_else(|| format!("`{text}` lacks the closing bracket; use [address]:port"))?;
        return match tail.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if tail.is_empty() => Ok((host, None)),
            None => Err(format!("`{text}` is not an address; use [address]:port")),
        };
    }
    match text.matches(':').count() {
        0 => Ok((text, None)),
        1 => Ok(text
            .split_once(':')
            .map_or((text, None), |(host, port)| (host, Some(port)))),
        _ => Err(format!(
            "`{text}` is ambiguous; write an IPv6 address as [address]:port"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_told_apart() {
        for (text, host, port) in [
            ("10.0.1.10:8008", "10.0.1.10", 8008),
            ("node1", "node1", 7),
            (":5432", "", 5432),
            ("*:5432", "*", 5432),
            ("[::1]:5433", "::1", 5433),
            ("[fe80::1]", "fe80::1", 7),
        ] {
            let read = HostPort::parse(text, 7).unwrap();
            assert_eq!((read.host.as_str(), read.port), (host, port), "{text}");
        }
        for text in ["::1", "a:b", "a:0", "a:70000", "[::1", "[::1]5432"] {
            assert!(HostPort::parse(text, 7).is_err(), "{text}");
        }
        assert_eq!(
            HostPort::parse("[::1]:1", 7).unwrap().to_string(),
            "[::1]:1"
        );
    }

    #[test]
    fn postgres_listens_on_a_list_with_one_port() {
        let read = ListenHosts::parse("127.0.0.1, [::1],10.0.0.1:5433", 5432).unwrap();
        assert_eq!(read.hosts, ["127.0.0.1", "::1", "10.0.0.1"]);
        assert_eq!(read.port, 5433);
        assert_eq!(read.listen_addresses(), "127.0.0.1,::1,10.0.0.1");
        assert_eq!(ListenHosts::parse(":5432", 1).unwrap().hosts, ["*"]);
        assert!(
            ListenHosts::parse("a:5432,b:5432", 1)
                .unwrap_err()
                .contains("after the last")
        );
    }
}
