//! `pgherd agent`: settings, ports, REST server and agent, wired together.

use std::process::ExitCode;
use std::sync::Arc;

use pgherd_agent::{Agent, CitusPorts, Ports, ReadLocal, SettingsSource};
use pgherd_peers::HttpPeers;
use pgherd_ports::{Clock, Dcs, LocalPostgres, Peers, PromiseFile, SystemClock, Wake};
use pgherd_postgres::{CitusCatalogue, Launcher, LocalServer};
use pgherd_rest::RestBeside;
use pgherd_settings::Settings;
use pgherd_store::{OpenGroups, StoreOptions, scope_of_group};
use pgherd_watchdog::WatchdogBeside;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::cli::AgentArgs;
use crate::fence::FenceBeside;
use crate::notify::{Course, Notify};
use crate::validate::validate;
use crate::{files, init, tether};

/// Threads of the runtime: the keeper of the lease never waits behind anything else.
const THREADS: usize = 2;

/// Runs the agent until it is told to stop, or does what it is told instead. Exit codes as contract §1.4.
/// `as_patroni`: nothing is said that Patroni does not say either.
pub(crate) fn run(args: &AgentArgs, as_patroni: bool) -> ExitCode {
    let mode = &args.mode;
    let serves = !mode.validate_config && !mode.generate_config && !mode.generate_sample_config;
    if serves && init::is_needed() {
        return init::run();
    }
    match start(args, as_patroni) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: &AgentArgs, as_patroni: bool) -> Result<(), String> {
    let env = files::environment()?;
    let to = args.config.as_deref();
    if args.mode.generate_sample_config {
        return pgherd_generate::sample(to, &env).map_err(|error| chain(&error));
    }
    if args.mode.generate_config {
        return pgherd_generate::of_running(to, args.dsn.as_deref(), &env)
            .map_err(|error| chain(&error));
    }
    let config = files::that_counts(to, &env).map(str::to_owned);
    let missing = to.filter(|_| config.is_none());
    let loaded = files::read(config.as_deref(), &env).map_err(|faults| match missing {
        Some(path) => {
            format!("{path}: there is no such file, so the environment alone counts\n{faults}")
        }
        None if config.is_none() => {
            format!("no configuration file is given, so the environment alone counts\n{faults}")
        }
        None => faults,
    })?;
    if args.mode.validate_config {
        return validate(loaded, args, as_patroni);
    }
    let missing = missing.map(str::to_owned);
    let directives = env.get("PGHERD_LOG").cloned();
    let read_local: ReadLocal = {
        let env = env.clone();
        Box::new(move || {
            let loaded = files::read(config.as_deref(), &env).map_err(|faults| {
                format!("{}: {faults}", config.as_deref().unwrap_or("environment"))
            })?;
            pgherd_log::change(&loaded.local.log());
            Ok(loaded)
        })
    };
    let warnings = loaded.warnings.clone();
    let source = SettingsSource::new(loaded.local, Some(read_local));
    pgherd_log::start(&source.in_force().changing.log, directives.as_deref());
    let source = with_kept(source);
    if let Some(path) = missing {
        warn!("{path}: there is no such file; the environment alone counts");
    }
    for warning in warnings {
        warn!("{warning}");
    }
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .max_blocking_threads(8)
        .enable_all()
        .build()
        .map_err(|error| format!("start the runtime: {error}"))?
        .block_on(serve(source))
}

/// With the dynamic configuration that is kept beside the data.
fn with_kept(source: SettingsSource) -> SettingsSource {
    let kept = pgherd_postgres::kept_dynamic(&source.in_force().fixed.place.data_dir);
    let kept = kept.unwrap_or_else(|why| {
        warn!("the copy of the dynamic configuration is of no use: {why}");
        None
    });
    source.with_kept(kept)
}

async fn serve(source: SettingsSource) -> Result<(), String> {
    // First of all: a reload that is asked for while the agent begins must not end it.
    let caught = Caught::begin();
    let settings = Arc::clone(source.in_force());
    let faults = pgherd_postgres::check_setup(&settings);
    if !faults.is_empty() {
        return Err(faults.join("\n"));
    }
    let mut rest = RestBeside::bind(Arc::clone(&settings))
        .await
        .map_err(|error| chain(&error))?;
    let wake = Wake::new();
    let fence = Arc::new(FenceBeside::start(
        settings.fixed.place.data_dir.as_std_path(),
        wake.clone(),
    )?);
    let data_dir = settings.fixed.place.data_dir.as_std_path();
    let watchdog = Arc::new(WatchdogBeside::start(data_dir, wake.clone())?);
    let ports = ports(&settings, &wake, &fence, &watchdog)?;
    let (stop, stopping) = watch::channel(false);
    let (agent, desk) = Agent::new(source, ports, wake, stopping);
    let reload = desk.reload.clone();
    let (course, courses) = watch::channel(Course::Running);
    let telling = tokio::spawn(Notify::from_environment().tell(desk.shown.clone(), courses));
    rest.answer(desk);
    let signals = tokio::spawn(watch_signals(caught, stop, reload, course));
    info!(
        "pgherd {} begins as {}",
        env!("CARGO_PKG_VERSION"),
        settings.fixed.name
    );
    let result = agent.run().await;
    signals.abort();
    telling.abort();
    if let Err(why) = rest.end().await {
        error!("the REST server broke off: {why}");
    }
    watchdog.retire();
    // After an error PostgreSQL is left as it is, and so is what guards it.
    if result.is_ok() || !pgherd_fence::has_server(data_dir) {
        fence.retire();
    }
    result.map_err(|fatal| {
        error!(critical = true, "{fatal}");
        fatal.to_string()
    })
}

fn ports(
    settings: &Arc<Settings>,
    wake: &Wake,
    fence: &Arc<FenceBeside>,
    watchdog: &Arc<WatchdogBeside>,
) -> Result<Ports, String> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let timing = &settings.changing.cluster.timing;
    let whole = StoreOptions {
        store: settings.fixed.store.clone(),
        namespace: settings.fixed.namespace.clone(),
        scope: settings.fixed.scope.clone(),
        ttl: timing.ttl,
        retry_timeout: timing.retry_timeout,
    };
    let citus = settings.fixed.citus.as_ref();
    // The keys of a group lie one step below those of a cluster (contract §4.1).
    let options = match citus {
        Some(citus) => StoreOptions {
            scope: scope_of_group(&whole.scope, citus.group),
            ..whole.clone()
        },
        None => whole.clone(),
    };
    let name = settings.fixed.name.clone();
    let dcs: Arc<dyn Dcs> = pgherd_store::open(options, Some(name), wake.clone());
    let server = LocalServer::new(Arc::clone(settings), Arc::clone(&clock), wake.clone())
        .map_err(|error| chain(&error))?
        .launched_by(Launcher::Tether(tether::program()));
    let server = Arc::new(server);
    let citus = citus.map(|citus| CitusPorts {
        groups: Arc::new(OpenGroups::new(whole)),
        nodes: Arc::new(CitusCatalogue::new(
            Arc::clone(&server),
            citus.database.clone(),
        )),
    });
    let postgres: Arc<dyn LocalPostgres> = server;
    let changing = &settings.changing;
    let peers = HttpPeers::new(&changing.ctl, &changing.restapi).map_err(|error| chain(&error))?;
    let peers: Arc<dyn Peers> = Arc::new(peers);
    Ok(Ports {
        clock,
        dcs,
        postgres,
        peers,
        fence: Arc::<FenceBeside>::clone(fence),
        watchdog: Arc::<WatchdogBeside>::clone(watchdog),
        promises: Arc::new(PromiseFile::beside(
            settings.fixed.place.data_dir.as_std_path(),
        )),
        citus,
    })
}

/// What the agent is told by signals. From its making on none of them ends the process by itself.
struct Caught {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Caught {
    fn begin() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }
}

/// SIGTERM and SIGINT stop the agent, SIGHUP lets it read its files again.
async fn watch_signals(
    caught: std::io::Result<Caught>,
    stop: watch::Sender<bool>,
    reload: Wake,
    course: watch::Sender<Course>,
) {
    let Caught {
        mut term,
        mut int,
        mut hup,
    } = match caught {
        Ok(caught) => caught,
        Err(why) => {
            return error!("signals can not be watched, only SIGKILL stops this agent: {why}");
        }
    };
    loop {
        tokio::select! {
            _ = term.recv() => end(&stop, &course),
            _ = int.recv() => end(&stop, &course),
            _ = hup.recv() => {
                // The service manager hears of the reload before its end.
                if !*stop.borrow() {
                    course.send_replace(Course::Reloading);
                }
                reload.wake();
            }
        }
    }
}

fn end(stop: &watch::Sender<bool>, course: &watch::Sender<Course>) {
    course.send_replace(Course::Stopping);
    stop.send_replace(true);
}

/// An error with what is behind it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(&format!(": {inner}"));
        source = inner.source();
    }
    text
}
