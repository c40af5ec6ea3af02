//! A pg_hba.conf that keeps clients out: of an operator's file it keeps what lets physical replication and the agents'
//! own users in, and refuses everybody else.
//!
//! For those who still get in it says what the operator's file says, line by line and in the same order, so that whoever
//! may connect goes on being asked for the same proof.

use std::net::IpAddr;

use camino::Utf8Path;

use crate::hba_line::{Field, Item, address, fields, logical_lines};

/// The first line of such a file: a file that begins with it is closed.
pub const CLOSED_MARK: &str =
    "# Closed to clients by pgherd, until standbys have confirmed what this server holds.\n";
/// The first line of a file that stands for the operator's.
const OPEN_MARK: &str = "# Written by pgherd: it stands for the pg_hba.conf that it includes.\n";

/// Who still gets in.
#[derive(Debug, Clone)]
pub struct Agents<'a> {
    /// The superuser of this member's agent: from this host.
    pub superuser: &'a str,
    /// The user of the other members' pg_rewind: from wherever the operator lets it in.
    pub rewind: &'a str,
    /// The addresses by which the agent connects, without TLS names; `None`: by the unix socket.
    pub addresses: Option<&'a [IpAddr]>,
}

/// The closed form of the operator's `text`, which stands in `real`.
///
/// # Errors
/// What in it can not be taken over, as a clause for an operator: then clients can not be kept out.
pub fn closed_hba(text: &str, real: &Utf8Path, agents: &Agents<'_>) -> Result<String, String> {
    let mut closed = Closed {
        agents,
        out: format!("{CLOSED_MARK}# The file in force afterwards is {real}\n"),
        admits: false,
    };
    for (number, line) in logical_lines(text) {
        let fields = fields(&line);
        let taken = closed.take(&fields);
        taken.map_err(|why| format!("line {number} of {real} {why}"))?;
    }
    if !closed.admits {
        return Err(format!(
            "no line of {real} is certain to let the superuser {} in from this host",
            agents.superuser
        ));
    }
    closed
        .out
        .push_str("local all all reject\nhost all all all reject\n");
    Ok(closed.out)
}

/// What of a line is not understood.
const STRANGE: &str = "is not understood";

/// The closed file in the making.
struct Closed<'a> {
    agents: &'a Agents<'a>,
    out: String,
    /// A line certainly lets this member's agent in.
    admits: bool,
}

impl Closed<'_> {
    /// Takes over what holds of a line.
    fn take(&mut self, fields: &[Field]) -> Result<(), &'static str> {
        let Some(kind) = fields.first().map(|kind| kind.raw.as_str()) else {
            return Ok(());
        };
        let least = match kind {
            "local" => 4,
            "host" | "hostssl" | "hostnossl" | "hostgssenc" | "hostnogssenc" => 5,
            "include" | "include_if_exists" | "include_dir" => {
                return Err("includes another file");
            }
            _ => return Err(STRANGE),
        };
        let [_, databases, users, rest @ ..] = fields else {
            return Err(STRANGE);
        };
        if fields.len() < least {
            return Err(STRANGE);
        }
        let relative = |item: &Item| {
            !item.quoted && item.text.starts_with('@') && !item.text.starts_with("@/")
        };
        if databases.items.iter().chain(&users.items).any(relative) {
            return Err("names a file by a relative path");
        }
        let is_replication = |item: &&Item| item.is_word("replication");
        if databases.items.iter().any(|item| is_replication(&item)) {
            self.put(&[kind, "replication", &users.raw, &raw(rest)]);
        }
        let others: Vec<&str> = databases
            .items
            .iter()
            .filter(|item| !is_replication(item))
            .map(|item| item.raw.as_str())
            .collect();
        if others.is_empty() {
            return Ok(());
        }
        let others = others.join(",");
        let Agents {
            superuser, rewind, ..
        } = *self.agents;
        if users.name(rewind) && superuser != rewind {
            self.put(&[kind, &others, &quoted(rewind), &raw(rest)]);
        }
        match (users.name(superuser), kind) {
            (false, _) => Ok(()),
            (true, "local") => {
                self.put(&[kind, &others, &quoted(superuser), &raw(rest)]);
                self.admits |= self.agents.addresses.is_none() && lets_in(rest);
                Ok(())
            }
            (true, _) => self.take_superuser(kind, &others, rest),
        }
    }

    /// The superuser comes from this host only, but where it is the user of pg_rewind, too.
    fn take_superuser(
        &mut self,
        kind: &str,
        databases: &str,
        rest: &[Field],
    ) -> Result<(), &'static str> {
        let (address, method_at) = address(rest).ok_or(STRANGE)?;
        let proof = &rest[method_at..];
        let Agents {
            superuser,
            rewind,
            addresses,
        } = *self.agents;
        let own = addresses.unwrap_or_default();
        let from_here: Vec<&IpAddr> = own.iter().filter(|ip| address.holds(**ip)).collect();
        self.admits |= lets_in(proof) && !from_here.is_empty();
        let user = quoted(superuser);
        if superuser == rewind || address.is_of_this_host() {
            self.put(&[kind, databases, &user, &raw(rest)]);
            return Ok(());
        }
        for ip in from_here {
            let address = format!("{ip}/{}", bits(*ip));
            self.put(&[kind, databases, &user, &address, &raw(proof)]);
        }
        Ok(())
    }

    fn put(&mut self, fields: &[&str]) {
        self.out.push_str(&fields.join(" "));
        self.out.push('\n');
    }
}

/// A file that stands for the operator's one (PostgreSQL 16 and later).
pub fn including_hba(real: &Utf8Path) -> String {
    let path = real.as_str().replace('"', "\"\"");
    format!("{OPEN_MARK}include \"{path}\"\n")
}

fn raw(fields: &[Field]) -> String {
    let raw: Vec<&str> = fields.iter().map(|field| field.raw.as_str()).collect();
    raw.join(" ")
}

/// Whether a method, with its options, may let somebody in.
fn lets_in(proof: &[Field]) -> bool {
    let method = proof.first().and_then(|field| field.items.first());
    method.is_some_and(|method| method.text != "reject")
}

fn quoted(user: &str) -> String {
    format!("\"{}\"", user.replace('"', "\"\""))
}

const fn bits(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5));

    #[track_caller]
    fn closed(text: &str, addresses: Option<&[IpAddr]>) -> Result<String, String> {
        let agents = Agents {
            superuser: "postgres",
            rewind: "rewinder",
            addresses,
        };
        let closed = closed_hba(text, Utf8Path::new("/etc/hba"), &agents)?;
        let body = closed.strip_prefix(CLOSED_MARK).unwrap();
        let body = body.strip_prefix("# The file in force afterwards is /etc/hba\n");
        Ok(body.unwrap().to_owned())
    }

    const REFUSED: &str = "local all all reject\nhost all all all reject\n";

    #[test]
    fn replication_and_the_agents_stay_and_nobody_else() {
        let text = "# a comment\nlocal all all peer map=x # why\n\
                    host all,replication all 10.0.0.0/8 scram-sha-256\n\
                    hostssl replication \"rep\",other 0.0.0.0 0.0.0.0 cert\n\
                    host shop app all trust\nhost all all 127.0.0.1/32 trust\n";
        assert_eq!(
            closed(text, None).unwrap(),
            format!(
                "local all \"rewinder\" peer map=x\nlocal all \"postgres\" peer map=x\n\
                 host replication all 10.0.0.0/8 scram-sha-256\n\
                 host all \"rewinder\" 10.0.0.0/8 scram-sha-256\n\
                 hostssl replication \"rep\",other 0.0.0.0 0.0.0.0 cert\n\
                 host all \"rewinder\" 127.0.0.1/32 trust\nhost all \"postgres\" 127.0.0.1/32 trust\n{REFUSED}"
            )
        );
    }

    #[test]
    fn an_agent_that_connects_over_tcp_gets_in_from_its_own_address_only() {
        let text = "host all postgres 10.0.0.0 255.0.0.0 md5\nhost all postgres 192.168.0.0/16 md5\n\
                    host all +admins all md5\n";
        assert_eq!(
            closed(text, Some(&[HERE])).unwrap(),
            format!("host all \"postgres\" 10.0.0.5/32 md5\n{REFUSED}")
        );
    }

    #[test]
    fn what_could_lock_the_agent_out_or_let_others_in_is_refused() {
        let refused = |text: &str| closed(text, None).unwrap_err();
        assert_eq!(
            refused("local all all peer\ninclude x\n"),
            "line 2 of /etc/hba includes another file"
        );
        assert_eq!(
            refused("local all @admins peer\n"),
            "line 1 of /etc/hba names a file by a relative path"
        );
        for text in [
            "local all +admins peer\n",
            "local all postgres reject\n",
            "host all all all trust\n",
        ] {
            let why =
                "no line of /etc/hba is certain to let the superuser postgres in from this host";
            assert_eq!(refused(text), why);
        }
        assert!(refused("local all\n").contains("not understood"));
    }

    #[test]
    fn the_superuser_comes_from_other_members_where_it_is_the_user_of_pg_rewind() {
        let agents = Agents {
            superuser: "postgres",
            rewind: "postgres",
            addresses: None,
        };
        let text = "local all all trust\nhost all all 10.0.0.0/8 md5\n";
        let closed = closed_hba(text, Utf8Path::new("/x"), &agents).unwrap();
        assert!(
            closed.contains("\nhost all \"postgres\" 10.0.0.0/8 md5\n"),
            "{closed}"
        );
    }

    #[test]
    fn lines_that_go_on_and_blanks_after_commas_are_read_as_postgres_does() {
        let text = "local \\\n  all, replication \\\n \"postgres\" peer\n";
        assert_eq!(
            closed(text, None).unwrap(),
            format!("local replication \"postgres\" peer\nlocal all \"postgres\" peer\n{REFUSED}")
        );
    }
}
