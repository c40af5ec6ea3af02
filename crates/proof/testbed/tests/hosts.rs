//! The testbed proves itself: hosts reach each other, and every way to part them does what it says.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use pgherd_testbed::{
    BadLine, BarePostgres, Cut, Etcd, Host, Isolation, Port, Testbed, Way, sweep, wait_for,
};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

const SOON: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_millis(400);

/// Whether a connection from this process to `address` comes about within `patience`.
async fn connects(address: SocketAddr, patience: Duration) -> bool {
    timeout(patience, TcpStream::connect(address))
        .await
        .is_ok_and(|stream| stream.is_ok())
}

/// Expected to be reachable: a busy machine may take its time.
async fn reachable(address: SocketAddr) -> bool {
    connects(address, SOON).await
}

/// Expected to be cut off: nothing answers for a while.
async fn silent(address: SocketAddr) -> bool {
    !connects(address, SILENCE).await
}

/// Whether `from` can connect to `to` within `seconds`: asked by a program that runs there.
async fn connects_from(from: &Host, to: SocketAddr, seconds: &str) -> bool {
    let script = format!("exec 3<>/dev/tcp/{}/{}", to.ip(), to.port());
    let ask = ["timeout", seconds, "bash", "-c", &script];
    from.run(None, &ask).await.is_ok()
}

/// Expected to come through.
async fn reaches(from: &Host, to: SocketAddr) -> bool {
    connects_from(from, to, "10").await
}

/// Expected to be cut off.
async fn cannot_reach(from: &Host, to: SocketAddr) -> bool {
    !connects_from(from, to, "0.4").await
}

/// A host with something that listens on PostgreSQL's port.
async fn listening(bed: &Testbed, name: &str) -> Result<(Host, SocketAddr)> {
    let host = bed.host(name)?;
    let at = host.at(Port::Postgres);
    let serve = format!(
        "import socket\ns=socket.create_server((\"{}\",{}))\nwhile True: s.accept()",
        at.ip(),
        at.port()
    );
    drop(host.start(
        "listener",
        None,
        &["python3".to_owned(), "-c".to_owned(), serve],
    )?);
    wait_for("the listener", SOON, async || {
        ensure!(reachable(at).await, "no connection yet");
        Ok(())
    })
    .await?;
    Ok((host, at))
}

#[tokio::test]
async fn a_cut_host_is_silent_to_whom_it_says_and_back_after_healing() -> Result<()> {
    let bed = Testbed::new("cuts")?;
    if !bed.can_cut() {
        return Ok(());
    }
    let (one, one_at) = listening(&bed, "one").await?;
    let (two, two_at) = listening(&bed, "two").await?;
    ensure!(
        reaches(&one, two_at).await && reaches(&two, one_at).await,
        "whole at first"
    );

    one.cut(Cut::Peers)?;
    ensure!(
        cannot_reach(&one, two_at).await && cannot_reach(&two, one_at).await,
        "cut from its peer"
    );
    ensure!(
        reachable(one_at).await,
        "clients of the test still reach it"
    );

    one.cut(Cut::Everyone)?;
    ensure!(silent(one_at).await, "cut from the test too");
    one.heal()?;
    ensure!(
        reachable(one_at).await && reaches(&two, one_at).await,
        "healed"
    );

    one.unplug()?;
    ensure!(silent(one_at).await, "the cable is out");
    one.plug()?;
    ensure!(reachable(one_at).await, "the cable is in");
    Ok(())
}

#[tokio::test]
async fn a_host_can_be_deaf_or_mute_to_one_other_only() -> Result<()> {
    let bed = Testbed::new("deaf")?;
    if !bed.can_cut() {
        return Ok(());
    }
    let (one, one_at) = listening(&bed, "one").await?;
    let two = bed.host("two")?;
    let three = bed.host("three")?;
    one.cut_from(std::slice::from_ref(&two), Way::Inwards)?;
    ensure!(cannot_reach(&two, one_at).await, "two is not heard");
    ensure!(reaches(&three, one_at).await, "three is");
    one.heal()?;
    ensure!(reaches(&two, one_at).await, "healed");
    one.cut_from(std::slice::from_ref(&two), Way::Outwards)?;
    ensure!(
        cannot_reach(&two, one_at).await,
        "one's answers do not pass"
    );
    ensure!(reaches(&three, one_at).await, "to three they do");
    one.heal()?;
    one.cut_from(&[two.clone(), three.clone()], Way::Both)?;
    let both = cannot_reach(&two, one_at).await && cannot_reach(&three, one_at).await;
    ensure!(both && reachable(one_at).await, "only the two are cut off");
    Ok(())
}

#[tokio::test]
async fn a_bad_line_delays_every_packet_and_loses_some() -> Result<()> {
    let bed = Testbed::new("bad-line")?;
    if !bed.can_cut() {
        return Ok(());
    }
    let (host, at) = listening(&bed, "one").await?;
    let delay = Duration::from_millis(300);
    let late = BadLine {
        delay,
        loss_percent: 0,
    };
    let line = host.bad_line(Port::Postgres, late)?;
    let began = Instant::now();
    ensure!(reachable(at).await, "late, but it arrives");
    ensure!(began.elapsed() >= delay, "after {:?}", began.elapsed());
    drop(line);
    let everything = BadLine {
        delay: Duration::ZERO,
        loss_percent: 100,
    };
    let line = host.bad_line(Port::Postgres, everything)?;
    ensure!(silent(at).await, "nothing arrives");
    drop(line);
    ensure!(reachable(at).await, "the line is good again");
    Ok(())
}

#[tokio::test]
async fn a_slow_link_takes_its_time() -> Result<()> {
    let bed = Testbed::new("slow")?;
    if !bed.can_cut() {
        return Ok(());
    }
    let host = bed.host("db")?;
    let server = BarePostgres::primary(&host).await?;
    let login = pgherd_testbed::Login::superuser();
    let client = pgherd_testbed::connect(server.address(), &login).await?;
    let big = "SELECT repeat('x', 300000)";
    let quick = Instant::now();
    client.simple_query(big).await?;
    let quick = quick.elapsed();
    host.slow(Some(1000))?;
    let slow = Instant::now();
    client.simple_query(big).await?;
    let slow = slow.elapsed();
    // 300 kB at 1 Mbit/s need 2.4 s; the bucket lets a little through at once.
    ensure!(
        slow > Duration::from_millis(1500) && slow > quick * 3,
        "{quick:?}, then {slow:?}"
    );
    host.slow(None)?;
    let again = Instant::now();
    client.simple_query(big).await?;
    ensure!(
        again.elapsed() < slow / 2,
        "the limit is still there: {:?}",
        again.elapsed()
    );
    Ok(())
}

#[tokio::test]
async fn a_paused_host_answers_nothing_until_it_is_resumed() -> Result<()> {
    let bed = Testbed::new("pause")?;
    let host = bed.host("db")?;
    let server = BarePostgres::primary(&host).await?;
    let login = pgherd_testbed::Login::superuser();
    let client = pgherd_testbed::connect(server.address(), &login).await?;
    ensure!(
        host.processes().len() > 3,
        "postmaster, backends, helpers: {:?}",
        host.processes()
    );
    host.pause()?;
    let asked = timeout(SILENCE, client.simple_query("SELECT 1")).await;
    ensure!(asked.is_err(), "a stopped backend answered");
    host.resume();
    timeout(SOON, client.simple_query("SELECT 2")).await??;
    Ok(())
}

#[tokio::test]
async fn killing_a_host_leaves_no_process_of_it() -> Result<()> {
    for isolation in [None, Some(Isolation::Loopback)] {
        let bed = match isolation {
            None => Testbed::new("kill")?,
            Some(isolation) => Testbed::with_isolation("kill", isolation)?,
        };
        let host = bed.host("db")?;
        let mut server = BarePostgres::primary(&host).await?;
        ensure!(reachable(server.address()).await, "it runs");
        host.power_off()?;
        ensure!(host.processes().is_empty(), "left: {:?}", host.processes());
        host.power_on()?;
        ensure!(silent(server.address()).await, "nobody listens");
        server.start().await?; // crash recovery from what is on disk
        ensure!(reachable(server.address()).await, "it runs again");
    }
    Ok(())
}

#[tokio::test]
async fn two_beds_share_nothing_and_a_dropped_one_is_gone() -> Result<()> {
    let first = Testbed::new("first")?;
    let second = Testbed::new("second")?;
    ensure!(
        first.id() != second.id() && first.own_address() != second.own_address()
            || first.isolation() == Isolation::Loopback
    );
    let (host, _) = listening(&first, "one").await?;
    let (other, at) = listening(&second, "one").await?;
    ensure!(host.address() != other.address(), "the same address twice");
    let (id, dir) = (first.id().to_owned(), first.dir().to_owned());
    drop((host, first));
    ensure!(!dir.exists(), "{} is left", dir.display());
    ensure!(
        !std::path::Path::new(&format!("/sys/class/net/{id}")).exists(),
        "bridge left"
    );
    ensure!(reachable(at).await, "the other bed is untouched");
    Ok(())
}

/// Set in the copy of this program that makes a bed and dies.
const ORPHAN: &str = "PGHERD_TESTBED_ORPHAN";

#[tokio::test]
async fn what_a_killed_process_left_is_swept() -> Result<()> {
    if std::env::var_os(ORPHAN).is_some() {
        let bed = Testbed::new("orphan")?;
        drop(listening(&bed, "one").await?);
        println!("orphan={}", bed.dir().display());
        std::process::abort();
    }
    let output = tokio::process::Command::new(std::env::current_exe()?)
        .args([
            "--exact",
            "what_a_killed_process_left_is_swept",
            "--nocapture",
        ])
        .env(ORPHAN, "1")
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some((_, dir)) = said.lines().find_map(|line| line.split_once("orphan=")) else {
        bail!(
            "the orphan said nothing: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    let dir = std::path::PathBuf::from(dir);
    // Any testbed that starts on this machine meanwhile may have swept it before us: that is as good.
    drop(sweep()?);
    ensure!(!dir.exists(), "{} is left", dir.display());
    let name = dir
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let id = name.split('-').next().unwrap_or_default().to_owned();
    let spaces = std::fs::read_dir("/run/netns")
        .into_iter()
        .flatten()
        .flatten();
    let left: Vec<_> = spaces
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(&format!("{id}-")))
        .collect();
    ensure!(left.is_empty(), "namespaces left: {left:?}");
    Ok(())
}

#[tokio::test]
async fn etcd_survives_the_loss_of_one_host_and_a_restart_of_all() -> Result<()> {
    let bed = Testbed::new("etcd")?;
    let mut etcd = Etcd::start(&bed, 3).await?;
    let hosts: Vec<Host> = etcd.hosts().to_vec();
    let ends = etcd.endpoints();
    let put = |end: String, key: &'static str, value: &'static str| {
        let host = hosts[2].clone();
        async move {
            let end = format!("--endpoints={end}");
            let argv = ["env", "ETCDCTL_API=3", "etcdctl", &end, "put", key, value];
            host.run(None, &argv).await
        }
    };
    put(ends[2].clone(), "/k", "before").await?;
    hosts[0].power_off()?;
    wait_for("a quorum of two", SOON, async || {
        put(ends[2].clone(), "/k", "after").await
    })
    .await?;
    hosts[0].power_on()?;
    etcd.kill_all()?;
    etcd.start_all()?;
    etcd.wait_ready().await?;
    let end = format!("--endpoints={}", ends[0]);
    let argv = [
        "env",
        "ETCDCTL_API=3",
        "etcdctl",
        &end,
        "get",
        "/k",
        "--print-value-only",
    ];
    let value = hosts[0].run(None, &argv).await?;
    ensure!(value.trim() == "after", "read back: {value}");
    Ok(())
}
