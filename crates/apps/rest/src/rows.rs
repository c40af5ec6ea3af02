//! The one table of requests: what may be asked and ordered. `docs/reference/rest.md` is written from it, and a test asks
//! each row.

/// One request that is understood.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Method. A row of GET may be asked with HEAD and OPTIONS, too, which give the status alone.
    pub method: &'static str,
    /// Path, without its query.
    pub path: &'static str,
    /// Parameters of the query, or fields of the JSON body.
    pub takes: &'static str,
    /// What is answered.
    pub answers: &'static str,
    /// A query or a body that the leader of a calm cluster of two answers at once.
    pub example: &'static str,
    /// The code of that answer.
    pub code: u16,
    /// What differs from Patroni; empty: as Patroni.
    pub ours: &'static str,
}

const fn check(path: &'static str, code: u16, answers: &'static str) -> Row {
    Row {
        method: "GET",
        path,
        takes: "",
        answers,
        example: "",
        code,
        ours: "",
    }
}

const fn document(path: &'static str, code: u16, answers: &'static str) -> Row {
    check(path, code, answers)
}

const fn order(
    request: (&'static str, &'static str),
    takes: &'static str,
    (example, code): (&'static str, u16),
    answers: &'static str,
) -> Row {
    Row {
        method: request.0,
        path: request.1,
        takes,
        answers,
        example,
        code,
        ours: "",
    }
}

const LAG: &str = "`lag=SIZE`, `replication_state=streaming`, `tag_NAME=VALUE`";
const TAG: &str = "`tag_NAME=VALUE`";

impl Row {
    const fn taking(self, takes: &'static str, example: &'static str) -> Self {
        Self {
            takes,
            example,
            ..self
        }
    }

    const fn ours(self, ours: &'static str) -> Self {
        Self { ours, ..self }
    }
}

/// Health checks: 200 or 503, with the status document as body.
#[rustfmt::skip]
pub const CHECKS: &[Row] = &[
    check("/", 200, "as `/primary`"),
    check("/primary", 200, "holds the leader key, in a normal cluster"),
    check("/master", 200, "as `/primary`"),
    check("/read-write", 200, "as `/primary`"),
    check("/standby-leader", 503, "holds the leader key, in a standby cluster"),
    check("/standby_leader", 503, "as `/standby-leader`"),
    check("/leader", 200, "holds the leader key"),
    check("/replica", 503, "a replica that runs, without the tag `noloadbalance`").taking(LAG, "?lag=10MB"),
    check("/read-only", 200, "passes `/primary`, `/standby-leader` or `/replica`").taking(LAG, ""),
    check("/health", 200, "PostgreSQL runs and takes connections").taking(TAG, ""),
    check("/synchronous", 503, "passes `/replica` and is a synchronous standby").taking(LAG, ""),
    check("/sync", 503, "as `/synchronous`").taking(LAG, ""),
    check("/quorum", 503, "passes `/replica` and votes in quorum commit").taking(LAG, ""),
    check("/asynchronous", 503, "passes `/replica`, and is neither of these").taking(LAG, ""),
    check("/async", 503, "as `/asynchronous`").taking(LAG, ""),
    check("/read-only-sync", 200, "leads, or passes `/synchronous`").taking(LAG, ""),
    check("/read-only-synchronous", 200, "as `/read-only-sync`").taking(LAG, ""),
    check("/read-only-quorum", 200, "leads, or passes `/quorum`").taking(LAG, ""),
    check("/nonsense", 503, "any other path: nobody passes"),
];

/// Everything else that reads.
#[rustfmt::skip]
pub const DOCUMENTS: &[Row] = &[
    document("/liveness", 200, "no body; 200 while the agent's loop goes on, else 503").ours("HEAD and OPTIONS answer as GET"),
    document("/readiness", 200, "no body; 200 when it leads, or streams and is near enough, else 503").taking("`lag=SIZE`, `mode=apply` or `write`", "?lag=1MB&mode=write").ours("HEAD and OPTIONS answer as GET"),
    document("/patroni", 200, "the status document").ours("`fence_failed` and `hooks` at the end"),
    document("/cluster", 200, "the cluster, read from the DCS at once; 503 when it was never read").ours("503 where Patroni breaks off with a traceback"),
    document("/history", 200, "former timelines"),
    document("/config", 200, "the dynamic configuration; 502 without one").ours("HEAD and OPTIONS answer as GET"),
    document("/failsafe", 502, "the members of failsafe mode and their URLs; 502 without"),
    document("/metrics", 200, "samples for Prometheus ([metrics](metrics.md))").ours("HEAD and OPTIONS answer as GET; some metrics"),
];

/// What changes something.
#[rustfmt::skip]
pub const ORDERS: &[Row] = &[
    order(("PATCH", "/config"), "the changes; null deletes", (r#"{"loop_wait": 5}"#, 200), "200 and the result; 400 for one that does not fit; 409 when somebody was faster; 503 without a configuration").ours("400 for values that do not fit"),
    order(("PUT", "/config"), "the whole configuration", (r#"{"ttl": 20}"#, 200), "200 and the result; 400 for one that does not fit; 502 when the DCS does not take it").ours("400 for values that do not fit"),
    order(("POST", "/reload"), "", ("", 202), "202: settings are read again"),
    order(("POST", "/sigterm"), "", ("", 202), "202, and nothing else"),
    order(("POST", "/restart"), "`role`, `postgres_version`, `restart_pending`, `timeout`, `schedule`", (r#"{"role": "king"}"#, 400), "200 when done, 202 when scheduled; 400 and 422 for what can not be; 409 when one is scheduled already; 503 when conditions do not hold or it failed"),
    order(("DELETE", "/restart"), "", ("", 404), "200; 404 when none is scheduled"),
    order(("POST", "/delayed"), "`stop_before` with a time, or `resume`", (r#"{"resume": true}"#, 503), "200 when a delayed standby was started again such that replay stops before that time, or goes on; 409 when it can not, 503 when not now; ours"),
    order(("POST", "/reinitialize"), "`force`, `from_leader`", ("{}", 503), "200 when begun; 503 with the reason"),
    order(("POST", "/switchover"), "`leader`, `candidate` (or `member`), `scheduled_at`", (r#"{"leader": "nobody"}"#, 412), "200 when done, 202 when scheduled; 400, 412 and 422 for what can not be; 503 when it failed or nobody knows"),
    order(("DELETE", "/switchover"), "", ("", 404), "200; 404 when none is scheduled; 409 when somebody was faster"),
    order(("POST", "/failover"), "`candidate` (or `member`), `leader`", (r#"{"candidate": "nobody"}"#, 412), "as `/switchover`"),
    order(("POST", "/failsafe"), "`name`, `api_url`, `conn_url`, `slots`", ("{}", 502), "200 \"Accepted\"; 500 from a primary; 502 while failsafe mode is off"),
    order(("POST", "/vote"), "`name`", (r#"{"name": "b"}"#, 409), "200 and the status document of a replica that streams from nobody any more; 409 from a primary; 503 while there is no vote").ours("members of pgherd count votes of quorum mode with it"),
    order(("POST", "/citus"), "`type`, `group`, `leader`, `timeout`, `cooldown`", (r#"{"type": "x"}"#, 200), "200 when the coordinator's leader has done it, or has nothing to do; 400 from it for what is no message").ours("400, where Patroni closes the connection"),
    order(("POST", "/mpp"), "as `/citus`", (r#"{"type": "x"}"#, 200), "as `/citus`"),
];

#[cfg(test)]
mod tests {
    use pgherd_api::health::Check;

    use super::*;
    use crate::app::Document;
    use crate::orders;

    const PAGE: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../docs/reference/rest.md"
    );

    const INTRODUCTION: &str = "\
# REST

This page is written from the table of requests in `crates/apps/rest`; `UPDATE=1 cargo test -p pgherd-rest` writes it
anew. Paths, parameters, codes and texts are Patroni's; an end-to-end test asks a member of Patroni 4.1.5 and one of
ours the same in one cluster.

*as* says whose word a request is: **Patroni**'s, with the same paths, parameters, codes and texts, and what of it is
**ours**.

Of documents and orders the first segment of a path counts: `/patroni/x` is `/patroni`. Checks with `sync` or `quorum` in
their name are known by the whole path, all others by what it contains. HEAD and OPTIONS give the status of GET without a body. Of a query the first value of a name counts, and an empty one is as if not given. Errors of HTTP itself have a page of
HTML as body: 400 malformed, 408 body too slow, 409, 411 a body is needed, 413 body over 1 MiB, 501 unknown order, 502,
503.

## Who may

Reads are free. Orders go through `restapi.allowlist` (403), the client's certificate (403) and `restapi.authentication`
(401), in this order ([settings](settings.md)). `POST /failsafe` and `POST /vote` come from members and pass a list that
only members are on.

## What is ours

- HEAD and OPTIONS of documents answer as GET does.
- `PATCH` and `PUT /config` refuse a configuration that does not fit: 400, and every fault by its key.
- The status document ends with `fence_failed` while no fence guards, with `closed` while PostgreSQL keeps clients out after a
  start ([synchronous modes](../operate/synchronous.md)), and with `hooks`: how each callback went last.
- While PostgreSQL keeps clients out, no check for clients passes, and `/readiness` does not either; `/health` does.
- A planned switchover is checked when it is ordered, too: 412 for a leader or candidate that is none now.
- Deadlines and limits for connections, headers and bodies: no client holds up another.
";

    fn table(title: &str, rows: &[Row], page: &mut String) {
        page.push_str(&format!(
            "\n## {title}\n\n| request | takes | answers | as |\n|---|---|---|---|\n"
        ));
        for row in rows {
            let Row {
                method,
                path,
                takes,
                answers,
                ours,
                ..
            } = row;
            let whose = if ours.is_empty() {
                "Patroni".to_owned()
            } else {
                format!("Patroni; ours: {ours}")
            };
            let path = if *path == "/nonsense" { "/…" } else { path };
            page.push_str(&format!(
                "| `{method} {path}` | {takes} | {answers} | {whose} |\n"
            ));
        }
    }

    #[test]
    fn the_reference_of_requests_is_as_written() {
        let mut page = INTRODUCTION.to_owned();
        table("Health checks: 200 when it …, else 503", CHECKS, &mut page);
        table("Documents", DOCUMENTS, &mut page);
        table("Orders", ORDERS, &mut page);
        if std::env::var_os("UPDATE").is_some() {
            fs_err::write(PAGE, &page).unwrap();
        }
        let written = fs_err::read_to_string(PAGE).unwrap_or_default();
        assert!(page == written, "run `UPDATE=1 cargo test -p pgherd-rest`");
    }

    #[test]
    fn every_order_and_every_check_has_a_row_and_every_row_is_one() {
        let row_of = |row: &Row| format!("{} {}", row.method, row.path);
        let mut orders: Vec<_> = orders::ORDERS
            .iter()
            .map(|(method, name, _)| format!("{method} /{name}"))
            .collect();
        orders.sort_unstable();
        let mut rows: Vec<_> = ORDERS.iter().map(row_of).collect();
        rows.sort_unstable();
        assert_eq!(orders, rows);
        let mut documents: Vec<_> = Document::ALL
            .iter()
            .map(|document| format!("GET /{}", document.name()))
            .collect();
        documents.sort_unstable();
        let mut rows: Vec<_> = DOCUMENTS.iter().map(row_of).collect();
        rows.sort_unstable();
        assert_eq!(documents, rows);
        for row in CHECKS.iter().filter(|row| row.path != "/nonsense") {
            assert_ne!(Check::of_path(row.path), Check::Nothing, "{}", row.path);
        }
    }
}
