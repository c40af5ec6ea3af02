//! What is done with the device when. It counts only under a lease that is good, is kept alive once for each proof
//! of that, and is stopped when nothing is left that could write.

use std::sync::Arc;
use std::time::Duration;

use pgherd_domain::{Moment, TimeoutVerdict, WatchdogMode, WatchdogPlan, WatchdogSeen};
use pgherd_ports::{Clock, WatchdogOrder, WatchdogWant};
use tracing::{error, info, warn};

use crate::device::{Device, Driver, Support};
use crate::trace::Trace;

/// How long a device that failed is not tried again: somebody else is to lead meanwhile.
const REFUSED_FOR: Duration = Duration::from_secs(30);
/// How long after its time a device that could not be kept alive is believed to reset the host yet.
const RESET_PATIENCE: Duration = Duration::from_secs(2);

/// The device, and what is known of it.
#[derive(Debug)]
pub(crate) struct Keeping {
    driver: Box<dyn Driver>,
    clock: Arc<dyn Clock>,
    trace: Trace,
    open: Option<Open>,
    /// When it resets the host, and its timeout. It may count without being open here, when it broke.
    counts: Option<(Moment, Duration)>,
    /// A device that counts and is not open here: an agent before this one left it, or it broke.
    left: Option<String>,
    /// Why it is not tried, and until when.
    refused: Option<(String, Moment)>,
    /// What was last complained of: it is told once.
    complaint: String,
}

/// A device that is open.
#[derive(Debug)]
struct Open {
    device: Box<dyn Device>,
    path: String,
    testing: bool,
    support: Support,
    /// The plan's timeout when it was last asked for one, and what it was asked for.
    asked: Option<(Duration, Duration)>,
    timeout: Duration,
}

impl Keeping {
    /// Nothing is opened yet.
    pub(crate) fn new(driver: Box<dyn Driver>, clock: Arc<dyn Clock>, trace: Trace) -> Self {
        let left = trace.left_counting();
        if let Some(device) = &left {
            info!("the watchdog {device} counts: an agent before this one left it so");
        }
        Self {
            driver,
            clock,
            trace,
            open: None,
            counts: None,
            left,
            refused: None,
            complaint: String::new(),
        }
    }

    /// Does what is wanted, and tells what is known then.
    pub(crate) fn obey(&mut self, order: &WatchdogOrder) -> WatchdogSeen {
        match order.want {
            WatchdogWant::Off => self.turn_off(order.plan.testing),
            WatchdogWant::Leave => {}
            WatchdogWant::Alive { good_until } => self.keep_alive(&order.plan, good_until),
        }
        self.look(order)
    }

    /// Looks again; a device that could not be stopped is tried again.
    pub(crate) fn look(&mut self, order: &WatchdogOrder) -> WatchdogSeen {
        if order.want == WatchdogWant::Off && self.left.is_some() {
            self.turn_off(order.plan.testing);
        }
        let now = self.clock.now();
        if let Some((resets_at, timeout)) = self.counts {
            if self.open.is_some() || now < resets_at.plus(RESET_PATIENCE) {
                return WatchdogSeen::Counting { resets_at, timeout };
            }
            self.counts = None;
        }
        if order.plan.mode == WatchdogMode::Off {
            return WatchdogSeen::Off;
        }
        match self.usable(&order.plan, now) {
            Ok(()) => WatchdogSeen::Ready,
            Err(why) => WatchdogSeen::Unusable { why },
        }
    }

    /// Whether it may be tried, as far as can be told without opening it.
    fn usable(&mut self, plan: &WatchdogPlan, now: Moment) -> Result<(), String> {
        plan.check()?;
        self.refused = self.refused.take().filter(|(_, until)| now < *until);
        if let Some((why, _)) = &self.refused {
            return Err(why.clone());
        }
        let checked = self.driver.check(&plan.device);
        checked.map_err(|error| format!("{}: {error}", plan.device))
    }

    fn keep_alive(&mut self, plan: &WatchdogPlan, good_until: Moment) {
        let other = |open: &Open| open.path != plan.device || open.testing != plan.testing;
        if self.open.as_ref().is_some_and(other) {
            self.turn_off(plan.testing);
        }
        let was_open = self.open.is_some();
        let mut done = self.try_alive(plan, good_until);
        if was_open && done.is_err() {
            // It may only have been reset itself: once more from the beginning.
            warn!("the watchdog {} is opened anew", plan.device);
            self.open = None;
            done = self.try_alive(plan, good_until);
        }
        if let Err(why) = done {
            self.refuse(plan, why);
        }
    }

    /// Opens it if need be, and lets it count anew. Nothing is done when the lease is about to end.
    fn try_alive(&mut self, plan: &WatchdogPlan, good_until: Moment) -> Result<(), String> {
        let now = self.clock.now();
        let Some(timeout) = plan.timeout_at(now, good_until) else {
            if self.open.is_some() {
                warn!("the watchdog is not kept alive: the lease ends too soon");
            }
            return Ok(());
        };
        if self.open.is_none() {
            self.usable(plan, now)?;
            self.open(plan)?;
        }
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        if open.asked.map(|(_, asked)| asked) != Some(timeout) {
            let fresh = open.asked.is_none_or(|(wanted, _)| wanted != plan.timeout);
            open.ask_for(timeout)
                .map_err(|error| format!("{}: set its timeout: {error}", plan.device))?;
            open.asked = Some((plan.timeout, timeout));
            let verdict = plan.judge(timeout, open.timeout);
            match verdict {
                TimeoutVerdict::Refused(why) if fresh => return Err(why),
                TimeoutVerdict::TooLong | TimeoutVerdict::Refused(_) => {
                    let may = open.timeout;
                    self.complain(format!(
                        "the watchdog {} resets this host only after {may:?}, which is after the end of the \
                         lease: another member may lead by then",
                        plan.device
                    ));
                }
                TimeoutVerdict::Good => {}
            }
        }
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        open.device
            .keep_alive()
            .map_err(|error| format!("{}: keep it alive: {error}", plan.device))?;
        if self.counts.is_none() {
            info!(
                "the watchdog {} ({}) counts: it resets this host {:?} after it was last kept alive",
                plan.device, open.support.identity, open.timeout
            );
        }
        self.counts = Some((now.plus(open.timeout), open.timeout));
        Ok(())
    }

    fn open(&mut self, plan: &WatchdogPlan) -> Result<(), String> {
        let doing = |what: &str, error: std::io::Error| format!("{}: {what}: {error}", plan.device);
        if let Err(error) = self.trace.leave(&plan.device) {
            self.complain(format!(
                "should this agent be killed, the next one will not know that the watchdog counts: {error}"
            ));
        }
        let device = match self.driver.open(&plan.device, plan.testing) {
            Ok(device) => device,
            Err(error) => {
                if self.left.is_none() && self.counts.is_none() {
                    self.forget_trace();
                }
                return Err(doing("open it", error));
            }
        };
        // From here on it counts, and whatever goes wrong, it is stopped or said.
        self.left = None;
        let support = device.support();
        self.open = Some(Open {
            device,
            path: plan.device.clone(),
            testing: plan.testing,
            support: support.as_ref().map_or_else(|_| nothing(), Clone::clone),
            asked: None,
            timeout: Duration::ZERO,
        });
        let support = support.map_err(|error| doing("ask what it can do (GETSUPPORT)", error))?;
        if !support.magic_close {
            self.complain(format!(
                "the watchdog {} can not be stopped: it resets this host when it is not kept alive any more, \
                 also after an orderly end",
                plan.device
            ));
        }
        Ok(())
    }

    /// It does not work as it is. What counts with the right figures goes on; whatever else is stopped.
    fn refuse(&mut self, plan: &WatchdogPlan, why: String) {
        let until = self.clock.now().plus(REFUSED_FOR);
        let needed = plan.mode == WatchdogMode::Required;
        let how = if needed {
            "this member does not lead without it"
        } else {
            "this member leads without it"
        };
        self.complain(format!("the watchdog is not usable: {why}; {how}"));
        if self.counts.is_some() {
            error!(
                "the watchdog is not kept alive any more, and resets this host when its time is over"
            );
            self.left = self.open.take().map(|open| open.path).or(self.left.take());
        } else {
            self.turn_off(plan.testing);
        }
        self.refused = Some((why, until));
    }

    /// Stops it. What counts without being open here is opened for that.
    fn turn_off(&mut self, testing: bool) {
        if self.open.is_none()
            && let Some(path) = self.left.clone()
        {
            match self.driver.open(&path, testing) {
                Ok(device) => self.open = Some(Open::to_be_stopped(device, path, testing)),
                Err(error) => {
                    return self.complain(format!(
                        "the watchdog {path} counts and can not be stopped: open it: {error}; unless that \
                         changes this host is reset"
                    ));
                }
            }
        }
        self.left = None;
        let Some(mut open) = self.open.take() else {
            return;
        };
        self.counts = None;
        self.forget_trace();
        match open.stop() {
            Ok(()) => info!("the watchdog {} is off", open.path),
            Err(why) => warn!(
                "the watchdog {} can not be stopped ({why}): it resets this host within {:?}",
                open.path, open.timeout
            ),
        }
        self.complaint.clear();
    }

    fn forget_trace(&mut self) {
        if let Err(error) = self.trace.remove() {
            self.complain(format!("the trace of the watchdog stays: {error}"));
        }
    }

    fn complain(&mut self, what: String) {
        if self.complaint != what {
            warn!("{what}");
            self.complaint = what;
        }
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        if self.open.is_some() {
            warn!("the agent ends and leaves a primary: the watchdog counts on");
        }
    }
}

impl Open {
    /// A device that counts, and is opened only to stop it.
    fn to_be_stopped(device: Box<dyn Device>, path: String, testing: bool) -> Self {
        let support = device.support().unwrap_or_else(|_| nothing());
        let timeout = device.timeout().unwrap_or_default();
        Self {
            device,
            path,
            testing,
            support,
            asked: None,
            timeout,
        }
    }

    fn ask_for(&mut self, timeout: Duration) -> std::io::Result<()> {
        self.timeout = if self.support.sets_timeout {
            self.device.set_timeout(timeout)?
        } else {
            self.device.timeout()?
        };
        Ok(())
    }

    /// Tells it to stop, in both ways that there are. A kernel built or booted with `nowayout` refuses.
    fn stop(&mut self) -> Result<(), String> {
        let disabled = self.device.disable();
        let farewell = self.device.say_farewell();
        match (disabled, farewell) {
            (Err(error), _) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                Err("the kernel lets nobody stop it: nowayout".to_owned())
            }
            (Ok(()), _) => Ok(()),
            (Err(_), Ok(())) if self.support.magic_close => Ok(()),
            (Err(_), Ok(())) => Err("it knows no magic close".to_owned()),
            (Err(_), Err(error)) => Err(error.to_string()),
        }
    }
}

/// What a device can do that does not say.
const fn nothing() -> Support {
    Support {
        identity: String::new(),
        sets_timeout: false,
        magic_close: false,
    }
}

#[cfg(test)]
mod tests;
