//! My pod: what it says of the member, its beat, and the labels with its role.

use std::sync::PoisonError;
use std::time::Duration;

use pgherd_domain::{MemberName, Moment};
use pgherd_ports::{Clock as _, Condition, DcsError, Key, Written};

use crate::api::Came;
use crate::body::{self, Annotations};
use crate::fault::Fault;
use crate::names::Thing;
use crate::object::Object;
use crate::pace::Pace;
use crate::pod;
use crate::record::LEASE;
use crate::store::Store;
use crate::write::Change;

/// A beat each quarter of ttl: three may be lost.
const BEATS_PER_TTL: u32 = 4;
/// How often a pod may change within one attempt.
const ROUNDS_MAX: usize = 4;

/// What my pod was told last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    document: String,
    /// Before it was sent.
    at: Moment,
    ttl: Duration,
    /// Whether the labels say that I lead.
    leads: bool,
}

impl Store {
    /// The ttl of my lease as a member.
    pub(crate) fn said_ttl(&self) -> Option<Duration> {
        self.said().map(|said| said.ttl)
    }

    fn said(&self) -> Option<Said> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.clone()
    }

    fn say(&self, said: Option<Said>) {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = said;
    }

    /// Beats if it is time to, and sets the labels anew when I lead or do not lead any more. Whether my lease as a member is
    /// good.
    pub(crate) async fn beat(&self, pace: Pace) -> bool {
        let (now, ttl) = (self.clock.now(), self.ttl());
        let Some(said) = self.said() else {
            return false;
        };
        if now >= said.at.plus(said.ttl) {
            // It ended; the next write makes another.
            self.say(None);
            return false;
        }
        let leads = self.mine().leads(now);
        let is_due = now >= said.at.plus(ttl / BEATS_PER_TTL);
        if !is_due && said.ttl == ttl && said.leads == leads {
            return true;
        }
        let beaten = self.http.ask(pace, |_| async move {
            let _one_at_a_time = self.telling.lock().await;
            match self.said() {
                // What it says stands there already.
                Some(said) => self
                    .tell_pod(&said.document, true, None, pace)
                    .await
                    .map(drop),
                None => Ok(()),
            }
        });
        match beaten.await {
            Ok(_) => true,
            Err(error) => {
                tracing::debug!(%error, "cannot beat in the pod");
                self.clock.now() < said.at.plus(said.ttl)
            }
        }
    }

    /// Writes a member's key.
    pub(crate) async fn write_member(
        &self,
        key: &Key,
        change: Change<'_>,
        when: Condition,
        pace: Pace,
    ) -> Result<Written, DcsError> {
        let Key::Member(name) = key else {
            return Ok(Written::Refused);
        };
        self.http
            .ask(pace, |_| async move {
                for _ in 0..ROUNDS_MAX {
                    if let Some(written) = self.member_round(name, change, when, pace).await? {
                        return Ok(written);
                    }
                }
                Err(crate::reign::changed(name.as_str()))
            })
            .await
    }

    /// `None`: the pod has changed meanwhile.
    async fn member_round(
        &self,
        name: &MemberName,
        change: Change<'_>,
        when: Condition,
        pace: Pace,
    ) -> Result<Option<Written>, Fault> {
        let before = match when.revision {
            Some(_) => self.pod(name.as_str(), pace).await?,
            None => None,
        };
        let there = before.as_ref().filter(|pod| pod.get("status").is_some());
        let revision = there.map_or(0, |pod| pod.number);
        if when.revision.is_some_and(|wanted| wanted != revision) {
            return Ok(Some(Written::Refused));
        }
        if when.leading {
            let leader = self.thing(Thing::Leader, pace).await?;
            if !self.leads(leader.as_ref(), pace).await? {
                return Ok(Some(Written::Refused));
            }
        }
        let version = before.as_ref().map(|pod| pod.version.as_str());
        let is_me = self.me.as_ref() == Some(name);
        let pod = match change {
            Change::Put(document) if is_me => {
                let _one_at_a_time = self.telling.lock().await;
                self.tell_pod(document, false, version, pace).await?
            }
            Change::Put(document) => {
                let said = Some(document.to_owned());
                let annotations = Annotations::from([("status", said)]);
                self.patch_pod(name, &annotations, version, pace).await?
            }
            Change::Delete => self.clear_pod(name, version, pace).await?,
        };
        Ok(pod.map(|pod| match change {
            Change::Put(_) => Written::Done(pod.number),
            Change::Delete => Written::Done(0),
        }))
    }

    /// Tells my pod what its member says, on my lease; `again`: it has been told that before. `None`: it is at another
    /// version.
    async fn tell_pod(
        &self,
        document: &str,
        again: bool,
        version: Option<&str>,
        pace: Pace,
    ) -> Result<Option<Object>, Fault> {
        let Some(me) = &self.me else {
            return Err(Fault::Final("this client is not a member".to_owned()));
        };
        let (at, ttl) = (self.clock.now(), self.ttl());
        let leads = self.mine().leads(at);
        // A beat that looks like a former one is none.
        let lease = pod::lease(&self.lease, ttl, self.next_number(), document);
        let mut annotations = Annotations::from([(LEASE, Some(lease))]);
        if !again {
            annotations.insert("status", Some(document.to_owned()));
        }
        let labels = body::role_labels(&self.settings, document, leads);
        let body = body::patch(&labels, &annotations, version);
        let Some(pod) = self.send_to_pod(me, &body, pace).await? else {
            return Ok(None);
        };
        self.say(Some(Said {
            document: document.to_owned(),
            at,
            ttl,
            leads,
        }));
        Ok(Some(pod))
    }

    async fn patch_pod(
        &self,
        name: &MemberName,
        annotations: &Annotations,
        version: Option<&str>,
        pace: Pace,
    ) -> Result<Option<Object>, Fault> {
        let body = body::patch(&Default::default(), annotations, version);
        self.send_to_pod(name, &body, pace).await
    }

    async fn clear_pod(
        &self,
        name: &MemberName,
        version: Option<&str>,
        pace: Pace,
    ) -> Result<Option<Object>, Fault> {
        let annotations = Annotations::from([("status", None), (LEASE, None)]);
        let labels = body::no_role(&self.settings);
        let body = body::patch(&labels, &annotations, version);
        match self.patch("pods", name.as_str(), &body, pace).await? {
            Came::Done(pod) => Ok(Some(pod)),
            // With its pod the member is gone too.
            Came::Missing => Ok(Some(Object::default())),
            Came::Conflict => Ok(None),
        }
    }

    async fn send_to_pod(
        &self,
        name: &MemberName,
        body: &serde_json::Value,
        pace: Pace,
    ) -> Result<Option<Object>, Fault> {
        match self.patch("pods", name.as_str(), body, pace).await? {
            Came::Done(pod) => Ok(Some(pod)),
            Came::Conflict => Ok(None),
            Came::Missing => Err(Fault::Final(format!(
                "there is no pod `{name}` in the namespace `{}`; a member must be called as its pod is",
                self.names.namespace
            ))),
        }
    }

    /// Takes what my pod says of me away.
    pub(crate) async fn leave_pod(&self, me: &MemberName) -> Result<(), DcsError> {
        let pace = self.operation();
        self.say(None);
        self.http
            .ask(pace, |_| self.clear_pod(me, None, pace))
            .await?;
        Ok(())
    }
}
