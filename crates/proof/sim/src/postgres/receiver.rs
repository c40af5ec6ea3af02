//! The WAL receiver: connects to the upstream, takes its records over the network, tells what it has.

use std::time::Duration;

use pgherd_domain::{MemberName, Upstream};

use super::server::{Phase, Receiving, Sender};
use super::wal::{Gap, Record};
use crate::network::Place;
use crate::world::{State, World};

/// `wal_retrieve_retry_interval`: the pause after a connection that failed.
const RETRY: Duration = Duration::from_secs(5);

/// `wal_receiver_timeout` and `wal_sender_timeout`: how long silence is taken for a slow network.
const SILENCE: Duration = Duration::from_secs(60);

/// One wish to stream: what server it is of, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wish {
    pid: i32,
    generation: u64,
    upstream: Upstream,
    from: MemberName,
}

/// What a replica of this member wants to stream from now.
fn wish(state: &State, me: &MemberName) -> Option<Wish> {
    let server = &state.host(me).server;
    let postmaster = server.postmaster.as_ref()?;
    if !postmaster.recovery || postmaster.phase != Phase::Open || server.hangs() {
        return None;
    }
    let upstream = server.cluster()?.upstream.clone()?;
    let from = MemberName::new(&upstream.host).ok()?;
    state.hosts.contains_key(&from).then_some(Wish {
        pid: postmaster.pid,
        generation: server.generation,
        upstream,
        from,
    })
}

/// Streams whenever the member's server wants to, for ever.
pub(super) async fn receive(world: World, me: MemberName) {
    loop {
        let wanted = world.until(|state| wish(state, &me)).await;
        let session = world.quietly(|state| {
            let session = state.number();
            state.sessions.insert(session);
            session
        });
        let gone = world.until(|state| (wish(state, &me).as_ref() != Some(&wanted)).then_some(()));
        let why = tokio::select! {
            biased;
            () = gone => None,
            why = stream(&world, &me, &wanted, session) => Some(why),
        };
        disconnect(&world, &me, &wanted.from, session);
        let Some(why) = why else {
            continue;
        };
        world.change(|state| tell_trouble(state, &me, &wanted, &why));
        let other = world.until(|state| (wish(state, &me).as_ref() != Some(&wanted)).then_some(()));
        // Either the pause is over or something else is wanted; the loop looks again.
        drop(tokio::time::timeout(RETRY, other).await);
    }
}

/// Tells why it does not stream, once for each reason.
fn tell_trouble(state: &mut State, me: &MemberName, wanted: &Wish, why: &str) {
    let text = format!("postgres: does not stream from {}: {why}", wanted.from);
    let told = state
        .journal
        .entries
        .iter()
        .rev()
        .find(|entry| entry.who == me.as_str() && entry.what.starts_with("postgres: "))
        .is_some_and(|entry| entry.what == text);
    if !told {
        state.tell(me.as_str(), text);
    }
}

/// One connection; ends with the reason why it broke.
async fn stream(world: &World, me: &MemberName, wanted: &Wish, session: u64) -> String {
    let from = &wanted.from;
    if !world.carry_between(me, from).await {
        return "connection timed out".to_owned();
    }
    if let Err(why) = world.change(|state| connect(state, me, wanted, session)) {
        return why;
    }
    let upstream_side = give_up_silent(world.clone(), me.clone(), from.clone(), session);
    world.spawn(upstream_side);
    if !world.carry_between(from, me).await {
        return "connection timed out".to_owned();
    }
    world.change(|state| begin_receiving(state, me, wanted, session));
    loop {
        let batch = tokio::select! {
            biased;
            batch = world.until(|state| next_batch(state, me, from, session)) => batch,
            () = silence(world, me, from) => return "terminating walreceiver due to timeout".to_owned(),
        };
        let Some(batch) = batch else {
            return "the server closed the connection".to_owned();
        };
        if !world.carry_between(from, me).await {
            return "terminating walreceiver due to timeout".to_owned();
        }
        world.change(|state| take(state, me, from, &batch));
        if !world.carry_between(me, from).await {
            return "terminating walreceiver due to timeout".to_owned();
        }
        world.change(|state| acknowledge(state, me, from, session));
    }
}

/// Whether the upstream takes the connection.
fn connect(state: &mut State, me: &MemberName, wanted: &Wish, session: u64) -> Result<(), String> {
    let mine = state
        .host(me)
        .server
        .cluster()
        .map(|cluster| (cluster.system_id.clone(), cluster.wal.clone()));
    let Some((system_id, wal)) = mine else {
        return Err("there is no data directory".to_owned());
    };
    let upstream = &mut state.host_mut(&wanted.from).server;
    let frozen = upstream.postmaster.as_ref().is_some_and(|it| it.frozen);
    if !upstream.is_open() || frozen {
        return Err("the server does not accept connections".to_owned());
    }
    let Some(theirs) = upstream.cluster() else {
        return Err("the server does not accept connections".to_owned());
    };
    if theirs.system_id != system_id {
        return Err("database system identifier differs".to_owned());
    }
    wal.goes_on_from(&theirs.wal).map_err(|gap| {
        match gap {
            Gap::UpstreamIsOlder => "the upstream is on an older timeline",
            Gap::NotInHistory => "the requested starting point is not in its history",
            Gap::OtherContents => "its WAL has other contents",
        }
        .to_owned()
    })?;
    if wal.end() < theirs.oldest {
        return Err("the requested WAL segment has already been removed".to_owned());
    }
    if let Some(slot) = &wanted.upstream.slot
        && !theirs.slots.contains_key(slot)
    {
        return Err(format!("replication slot \"{slot}\" does not exist"));
    }
    let sender = Sender {
        session,
        flushed: wal.end(),
        slot: wanted.upstream.slot.clone(),
    };
    if let Some(postmaster) = upstream.postmaster.as_mut() {
        postmaster.senders.insert(me.clone(), sender);
    }
    Ok(())
}

fn begin_receiving(state: &mut State, me: &MemberName, wanted: &Wish, session: u64) {
    let server = &mut state.host_mut(me).server;
    let Some(postmaster) = server.postmaster.as_mut() else {
        return;
    };
    postmaster.receiver = Some(Receiving {
        session,
        from: wanted.upstream.clone(),
    });
    if let Some(cluster) = server.cluster_mut() {
        cluster.proven = true;
    }
    state.tell(
        me.as_str(),
        format!("postgres: streams from {}", wanted.from),
    );
}

/// What the upstream sends next: `Some(None)` when it has ended the connection and that is noticed.
fn next_batch(
    state: &State,
    me: &MemberName,
    from: &MemberName,
    session: u64,
) -> Option<Option<Vec<Record>>> {
    let place = |name: &MemberName| Place::Member(name.clone());
    if !state.network.is_whole(&place(me), &place(from)) {
        return None;
    }
    let upstream = &state.host(from).server;
    let connected = upstream
        .postmaster
        .as_ref()
        .and_then(|postmaster| postmaster.senders.get(me))
        .is_some_and(|sender| sender.session == session);
    if !connected {
        return Some(None);
    }
    if upstream.hangs() || state.host(me).server.takes_no_wal() {
        return None;
    }
    let mine = state.host(me).server.cluster()?;
    let theirs = upstream.cluster()?;
    if mine.wal.goes_on_from(&theirs.wal).is_err() {
        return Some(None);
    }
    let records = theirs.wal.since(mine.wal.end());
    (!records.is_empty()).then(|| Some(records.to_vec()))
}

fn take(state: &mut State, me: &MemberName, from: &MemberName, batch: &[Record]) {
    let Some((_, history)) = state.host(from).server.history() else {
        return;
    };
    if let Some(cluster) = state.host_mut(me).server.cluster_mut() {
        cluster.wal.append(batch, &history);
        cluster.replayed = cluster.wal.end();
        cluster.note_checkpoint();
    }
}

fn acknowledge(state: &mut State, me: &MemberName, from: &MemberName, session: u64) {
    let Some(end) = state.host(me).server.cluster().map(|it| it.wal.end()) else {
        return;
    };
    let upstream = &mut state.host_mut(from).server;
    let Some(sender) = upstream
        .postmaster
        .as_mut()
        .and_then(|postmaster| postmaster.senders.get_mut(me))
        .filter(|sender| sender.session == session)
    else {
        return;
    };
    sender.flushed = end;
    if let Some(slot) = sender.slot.clone()
        && let Some(cluster) = upstream.cluster_mut()
        && let Some(restart) = cluster.slots.get_mut(&slot)
    {
        *restart = end;
    }
}

/// Returns when the link has been cut for as long as a connection may be silent.
async fn silence(world: &World, me: &MemberName, from: &MemberName) {
    let (a, b) = (Place::Member(me.clone()), Place::Member(from.clone()));
    loop {
        world
            .until(|state| (!state.network.is_whole(&a, &b)).then_some(()))
            .await;
        let whole = world.until(|state| state.network.is_whole(&a, &b).then_some(()));
        if tokio::time::timeout(SILENCE, whole).await.is_err() {
            return;
        }
    }
}

/// Ends a connection on this side. The upstream learns it at once, unless it is cut off.
fn disconnect(world: &World, me: &MemberName, from: &MemberName, session: u64) {
    world.change(|state| {
        state.sessions.remove(&session);
        let postmaster = state.host_mut(me).server.postmaster.as_mut();
        if let Some(postmaster) = postmaster
            && postmaster
                .receiver
                .as_ref()
                .is_some_and(|receiving| receiving.session == session)
        {
            postmaster.receiver = None;
        }
        let (a, b) = (Place::Member(me.clone()), Place::Member(from.clone()));
        if state.network.is_whole(&a, &b) {
            forget_sender(state, me, from, session);
        }
    });
}

fn forget_sender(state: &mut State, me: &MemberName, from: &MemberName, session: u64) {
    if let Some(postmaster) = state.host_mut(from).server.postmaster.as_mut()
        && postmaster
            .senders
            .get(me)
            .is_some_and(|sender| sender.session == session)
    {
        postmaster.senders.remove(me);
    }
}

/// The upstream's side of a connection: it is given up when its standby is silent for too long.
async fn give_up_silent(world: World, me: MemberName, from: MemberName, session: u64) {
    let gone = world.until(|state| {
        let postmaster = state.host(&from).server.postmaster.as_ref();
        let sender = postmaster.and_then(|postmaster| postmaster.senders.get(&me));
        let same = sender.is_some_and(|sender| sender.session == session);
        (!same).then_some(())
    });
    // Another process answers at the standby's address, and knows nothing of the connection.
    let reset = world.until(|state| {
        let (a, b) = (Place::Member(me.clone()), Place::Member(from.clone()));
        let unknown = !state.sessions.contains(&session) && state.network.is_whole(&a, &b);
        unknown.then_some(())
    });
    tokio::select! {
        biased;
        () = gone => return,
        () = reset => {}
        () = silence(&world, &me, &from) => {}
    }
    world.change(|state| forget_sender(state, &me, &from, session));
}
