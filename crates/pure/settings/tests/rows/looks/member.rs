//! What a member says of itself.

use pgherd_domain::WatchdogMode;
use pgherd_settings::{
    ClientLogin, Etcd, HostPort, LogFormat, LogType, ProgramOption, Secret, Settings, Store,
    VerifyClient,
};
use serde_json::{Value, json};

use super::named;

/// The section of etcd, which is the DCS in all of these.
fn etcd(store: &Store) -> &Etcd {
    match store {
        Store::Etcd(etcd) => etcd,
        Store::Consul(_) => panic!("the DCS is not etcd: {store:?}"),
    }
}

pub(super) fn of_log(settings: &Settings, what: &str) -> Value {
    let log = &settings.changing.log;
    match what {
        "log.type" => json!(match log.kind {
            LogType::Plain => "plain",
            LogType::Json => "json",
        }),
        "log.level" => json!(log.level),
        "log.traceback_level" => json!(log.traceback_level),
        "log.format" => match &log.format {
            LogFormat::Template(text) => json!(text),
            LogFormat::Fields(fields) => fields
                .iter()
                .map(|(field, name)| match field == name {
                    true => json!(field),
                    false => json!({field.as_str(): name}),
                })
                .collect(),
        },
        "log.dateformat" => json!(log.date_format),
        "log.max_queue_size" => json!(log.max_queue_size),
        "log.mode" => json!(log.mode),
        "log.file_size" => json!(log.file_size),
        "log.file_num" => json!(log.file_num),
        "log.static_fields" => json!(log.static_fields),
        "log.loggers" => json!(log.loggers),
        "log.deduplicate_heartbeat_logs" => json!(log.deduplicate_heartbeat_logs),
        other => panic!("no such look: {other}"),
    }
}

pub(super) fn of_rest(settings: &Settings, what: &str) -> Value {
    let (restapi, ctl) = (&settings.changing.restapi, &settings.changing.ctl);
    match what {
        "restapi.listen" => address(&restapi.listen),
        "restapi.allowlist" => json!(restapi.allowlist),
        "restapi.allowlist_include_members" => json!(restapi.allowlist_include_members),
        "restapi.verify_client" => json!(match restapi.verify_client {
            VerifyClient::None => "none",
            VerifyClient::Optional => "optional",
            VerifyClient::Required => "required",
        }),
        "restapi.request_queue_size" => json!(restapi.request_queue_size),
        "restapi.server_tokens" => json!(restapi.server_tokens),
        "restapi.http_extra_headers" => json!(restapi.http_extra_headers),
        "clients" => json!({
            "authorization": ctl.authentication.as_ref().is_some_and(has_user),
            "ca_certs": ctl.cacert.as_ref().map(|path| path.as_str()),
            "checks": !ctl.insecure,
        }),
        other => panic!("no such look: {other}"),
    }
}

pub(super) fn of_member(settings: &Settings, what: &str) -> Value {
    let (fixed, changing) = (&settings.fixed, &settings.changing);
    let bootstrap = &fixed.bootstrap;
    let watchdog = &changing.watchdog;
    let custom = bootstrap.custom.as_ref();
    let endpoint = |url: &String| url.clone();
    match what {
        "name" => json!(fixed.name.as_str()),
        "leader_key" => json!(format!("{}{}/leader", fixed.namespace, fixed.scope)),
        "bootstrap.method" => json!(custom.map_or("initdb", |method| method.name.as_str())),
        "bootstrap.initdb" => options(&bootstrap.initdb),
        "bootstrap.post" => json!(bootstrap.post_bootstrap),
        "watchdog.mode" => json!(match watchdog.mode {
            WatchdogMode::Off => "off",
            WatchdogMode::Automatic => "automatic",
            WatchdogMode::Required => "required",
        }),
        "watchdog.timeout" => {
            let ttl = changing.cluster.timing.ttl;
            json!(watchdog.safety_margin.timeout(ttl).as_secs())
        }
        "watchdog.device" => json!(watchdog.device.as_str()),
        "tags" => {
            let tags = &changing.tags;
            json!({
                "nofailover": tags.nofailover, "failover_priority": tags.failover_priority,
                "nosync": tags.nosync, "sync_priority": tags.sync_priority,
                "noloadbalance": tags.noloadbalance, "nostream": tags.nostream,
                "replicatefrom": tags.replicatefrom.as_ref().map(|name| name.as_str()),
            })
        }
        "tags.published" => json!(changing.tags.published),
        "endpoints" => etcd(&fixed.store).hosts.iter().map(endpoint).collect(),
        "use_proxies" => json!(etcd(&fixed.store).use_proxies),
        "etcd.user" => json!([
            etcd(&fixed.store).username,
            etcd(&fixed.store).password.as_ref().map(Secret::reveal)
        ]),
        "etcd.srv" => json!(
            etcd(&fixed.store)
                .discovery
                .as_ref()
                .map(|srv| srv.domain.as_str())
        ),
        other => panic!("no such look: {other}"),
    }
}

pub(super) fn of_postgresql(settings: &Settings, what: &str) -> Value {
    let (place, postgresql) = (&settings.fixed.place, &settings.changing.postgresql);
    let callbacks = &postgresql.callbacks;
    match what {
        "postgresql.connect_address" => address(&postgresql.connect_address),
        "postgresql.bin_dir" => json!(place.bin_dir.as_ref().map(|path| path.as_str())),
        "postgresql.database" => json!(place.database),
        "postgresql.config_dir" => json!(place.config_dir.as_str()),
        "postgresql.pg_hba" => json!(postgresql.pg_hba.all),
        "postgresql.pg_ident" => json!(postgresql.pg_ident.all),
        "postgresql.use_pg_rewind" => json!(postgresql.use_pg_rewind),
        "postgresql.use_unix_socket" => json!(postgresql.use_unix_socket),
        "postgresql.pg_ctl_timeout" => json!(postgresql.pg_ctl_timeout.as_secs()),
        "postgresql.callbacks" => named([
            ("on_start", callbacks.on_start.clone()),
            ("on_stop", callbacks.on_stop.clone()),
            ("on_restart", callbacks.on_restart.clone()),
            ("on_reload", callbacks.on_reload.clone()),
            ("on_role_change", callbacks.on_role_change.clone()),
        ]),
        "postgresql.pre_promote" => json!(postgresql.pre_promote),
        "postgresql.basebackup" => options(&postgresql.basebackup),
        "postgresql.create_replica_methods" => {
            let methods = postgresql.create_replica_methods.iter();
            methods.map(|method| json!(method.name)).collect()
        }
        "postgresql.recovery_conf" => json!(postgresql.recovery_conf),
        other => panic!("no such look: {other}"),
    }
}

fn address(address: &HostPort) -> Value {
    json!([address.host, address.port])
}

fn has_user(login: &ClientLogin) -> bool {
    !login.username.is_empty()
}

fn options(options: &[ProgramOption]) -> Value {
    options.iter().map(ProgramOption::argument).collect()
}
