//! The configuration file of a member: what an operator would write, for this bed's addresses.

use crate::herd::HerdOptions;
use crate::host::{Host, Port};
use crate::postgres::{Login, PostgresTools};
use crate::program::AgentProgram;

/// Renders the file for the member on `host`.
///
/// All paths are this member's own; `unix_socket_directories` above all, which servers on one machine must not share.
pub(crate) fn render(
    host: &Host,
    scope: &str,
    store: &str,
    tools: &PostgresTools,
    options: &HerdOptions,
) -> String {
    let dir = host.dir().display();
    let rest = host.at(Port::Rest);
    let sql = host.at(Port::Postgres);
    let login = Login::superuser();
    let own = match options.agent {
        Some(AgentProgram::Patroni(_)) => String::new(),
        _ => format!("pgherd:\n  allow_short_ttl: {}\n", options.ttl < 20),
    };
    let dcs = bootstrap(host, options);
    format!(
        "scope: {scope}
name: {name}
restapi:
  listen: {rest}
  connect_address: {rest}
{store}{dcs}  initdb:
  - encoding: UTF8
  - data-checksums
  pg_hba:
  - local all all trust
  - host replication replicator 0.0.0.0/0 scram-sha-256
  - host all all 0.0.0.0/0 scram-sha-256
postgresql:
  listen: {sql}
  connect_address: {sql}
  data_dir: {dir}/data
  bin_dir: {bin}
  pgpass: {dir}/pgpass
  authentication:
    superuser:
      username: {user}
      password: {password}
    replication:
      username: replicator
      password: replicator-pw
    rewind:
      username: rewinder
      password: rewinder-pw
  parameters:
    unix_socket_directories: {dir}/socket
    dynamic_shared_memory_type: mmap
  basebackup:
  - checkpoint: fast
{watchdog}{own}",
        name = host.name(),
        bin = tools.bin_dir.display(),
        watchdog = watchdog(host, options),
        user = login.user,
        password = login.password,
    )
}

/// The section of a store of which every member is told, such as `etcd3`.
pub(crate) fn hosts(section: &str, endpoints: &[String]) -> String {
    let hosts = endpoints.iter();
    let hosts: String = hosts.map(|endpoint| format!("  - {endpoint}\n")).collect();
    format!("{section}:\n  hosts:\n{hosts}")
}

/// The section of Consul for member `at`: every member asks one server, as it would ask the agent on its own host.
pub(crate) fn consul(endpoints: &[String], at: usize) -> String {
    let host = endpoints.get(at % endpoints.len().max(1));
    let host = host.map_or("", String::as_str);
    format!("consul:\n  host: {host}\n  register_service: true\n")
}

/// The section of a member of a Citus cluster.
pub(crate) fn citus(group: u32) -> String {
    format!("citus:\n  group: {group}\n  database: app\n")
}

/// The section of Kubernetes for the member on `host`, whose pod has its name.
pub(crate) fn kubernetes(host: &Host) -> String {
    format!(
        "kubernetes:
  labels:
    application: patroni
  context: here
  use_endpoints: true
  pod_ip: {ip}
  ports:
  - name: postgresql
    port: {port}
",
        ip = host.address(),
        port = host.at(Port::Postgres).port(),
    )
}

/// What is written to the file would be written to the device.
fn watchdog(host: &Host, options: &HerdOptions) -> String {
    if !options.watchdog {
        return "watchdog:\n  mode: 'off'\n".to_owned();
    }
    let device = host.dir().join("watchdog");
    let device = device.display();
    format!(
        "watchdog:\n  mode: required\n  driver: testing\n  device: {device}\n  safety_margin: 1\n"
    )
}

fn bootstrap(host: &Host, options: &HerdOptions) -> String {
    format!(
        "bootstrap:
  dcs:
    ttl: {ttl}
    loop_wait: {loop_wait}
    retry_timeout: {retry_timeout}
    maximum_lag_on_failover: 1048576
    synchronous_mode: {synchronous}
{extra}    postgresql:
      use_pg_rewind: true
      use_slots: true
      parameters:
        wal_level: {wal_level}
        hot_standby: 'on'
        wal_log_hints: 'on'
        max_connections: 60
        max_wal_senders: 10
        max_replication_slots: 10
        wal_keep_size: 64MB
        shared_buffers: 16MB
        log_line_prefix: '%m [%p] '
{archive}{parameters}",
        wal_level = options.wal_level,
        ttl = options.ttl,
        loop_wait = options.loop_wait,
        retry_timeout = options.retry_timeout,
        synchronous = options.synchronous,
        extra = indented(&options.dcs_lines, 4),
        archive = indented(&archiving(host, options), 8),
        parameters = indented(&options.parameters, 8),
    )
}

/// A segment is there under its name only when it is whole, and stays as it is; `fetched` lists what was fetched, `clashes`
/// what came again with another content. While there is a `gate` nothing is archived.
fn archiving(host: &Host, options: &HerdOptions) -> Vec<String> {
    let Some(bed) = host.dir().parent().filter(|_| options.archive) else {
        return Vec::new();
    };
    let to = bed.join("archive");
    let to = to.display();
    vec![
        "archive_mode: 'on'".to_owned(),
        format!(
            "archive_command: 'while [ -e {to}/gate ]; do sleep 0.1; done; if [ -e {to}/%f ]; then cmp -s %p {to}/%f || \
             {{ echo %f >>{to}/clashes; exit 1; }}; else cp %p {to}/%f.part && mv {to}/%f.part {to}/%f; fi'"
        ),
        format!("restore_command: 'cp {to}/%f %p && echo %f >>{to}/fetched'"),
    ]
}

fn indented(lines: &[String], by: usize) -> String {
    let lines = lines.iter();
    lines.map(|line| format!("{:by$}{line}\n", "")).collect()
}
