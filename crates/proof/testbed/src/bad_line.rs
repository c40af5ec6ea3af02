//! A bad line: packets come late, or get lost. This kernel need not have netem, so a thread of ours holds them back.
//!
//! The packets wait in a queue of netfilter in the host's namespace. When the thread ends, or this process does, they
//! pass as if nothing had been there.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nfq::{Message, Queue, Verdict};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::time::Instant;

use crate::link::Link;

/// Number of the queue: one for each namespace, so it is always the same.
const NUMBER: u16 = 7;
/// Packets that may wait at a time; what comes beyond is lost, as in a router.
const ROOM: u32 = 10_000;
/// Only heads are copied: a packet that passes unchanged needs no more.
const HEAD: u16 = 128;
/// From one look at the queue to the next; the delay is that coarse.
const LOOK: Duration = Duration::from_millis(1);

/// What happens to packets on their way to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadLine {
    /// How much later each one arrives.
    pub delay: Duration,
    /// How many of a hundred never do.
    pub loss_percent: u64,
}

/// A line that is bad until this is dropped.
#[derive(Debug)]
pub struct Degraded {
    link: Link,
    port: u16,
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Degraded {
    /// Makes the line to `port` of the namespace behind `link` bad.
    ///
    /// # Errors
    /// When the namespace, the queue or the rule cannot be had.
    pub(crate) fn begin(link: &Link, port: u16, line: BadLine) -> Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let (tell, ready) = sync_channel(1);
        let namespace = link.namespace.clone();
        let thread = std::thread::spawn(move || match open(&namespace) {
            Ok(queue) => {
                tell.send(Ok(())).ok();
                hold_back(queue, line, &stopped);
            }
            Err(error) => {
                tell.send(Err(error)).ok();
            }
        });
        ready
            .recv()
            .context("the thread that holds packets back ended")??;
        let degraded = Self {
            link: link.clone(),
            port,
            stop: Some(stop),
            thread: Some(thread),
        };
        degraded.link.queue_arrivals(port, NUMBER)?;
        Ok(degraded)
    }
}

impl Drop for Degraded {
    fn drop(&mut self) {
        self.link.queue_nothing(self.port, NUMBER);
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has no result; a panic of its own was printed already.
            thread.join().ok();
        }
    }
}

/// Opens the queue in `namespace`, to which this thread then belongs until it ends.
fn open(namespace: &str) -> Result<Queue> {
    let place = fs_err::File::open(format!("/run/netns/{namespace}"))?;
    let place = std::os::fd::AsFd::as_fd(&place);
    move_into_link_name_space(place, Some(LinkNameSpaceType::Network))
        .with_context(|| format!("enter the namespace {namespace}"))?;
    let mut queue = Queue::open().context("open a packet queue")?;
    queue.bind(NUMBER).context("bind the packet queue")?;
    queue.set_copy_range(NUMBER, HEAD)?;
    queue.set_queue_max_len(NUMBER, ROOM)?;
    queue.set_nonblocking(true);
    Ok(queue)
}

/// Lets every packet pass when its time has come, until it is told to stop; then all at once.
fn hold_back(mut queue: Queue, line: BadLine, stopped: &Receiver<()>) {
    let mut waiting: VecDeque<(Instant, Message)> = VecDeque::new();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        let now = Instant::now();
        while let Ok(mut packet) = queue.recv() {
            if dice.below(100) < line.loss_percent {
                packet.set_verdict(Verdict::Drop);
                queue.verdict(packet).ok();
            } else {
                waiting.push_back((now + line.delay, packet));
            }
        }
        while let Some((_, packet)) = waiting.pop_front_if(|(due, _)| *due <= now) {
            pass(&mut queue, packet);
        }
    }
    for (_, packet) in waiting {
        pass(&mut queue, packet);
    }
}

/// A packet whose namespace is gone can go nowhere.
fn pass(queue: &mut Queue, mut packet: Message) {
    packet.set_verdict(Verdict::Accept);
    queue.verdict(packet).ok();
}

/// Which packets get lost: the same ones each time, as far as the traffic is the same.
struct Dice(u64);

impl Dice {
    /// The next number below `limit` (xorshift64).
    const fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
