//! The book of promises: what this member promised to leaders that can not reach the DCS, and whether it
//! stands for election itself. The two exclude each other, under one lock.
//!
//! A promise is written down before it is told, so that it binds the next agent too.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use pgherd_domain::{Lsn, MemberName, Moment, Promise};

/// Promises kept, at most: leaders of the last ttl.
const PROMISES_MAX: usize = 64;

/// Where promises are written down; it survives the agent and the host's power.
#[async_trait]
pub trait PromiseStore: Send + Sync + fmt::Debug {
    /// What was written down, in moments of this boot. Where it can not be told how long ago that was, the
    /// whole span counts from now.
    ///
    /// # Errors
    /// When something was written down and can not be read.
    async fn load(&self) -> Result<BTreeMap<MemberName, Moment>, String>;

    /// Writes all promises down; when it returns they survive a power cut.
    ///
    /// # Errors
    /// When that is not certain.
    async fn keep(&self, promises: &BTreeMap<MemberName, Moment>) -> Result<(), String>;
}

/// Nowhere: no promise is ever given.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPromises;

#[async_trait]
impl PromiseStore for NoPromises {
    async fn load(&self) -> Result<BTreeMap<MemberName, Moment>, String> {
        Ok(BTreeMap::new())
    }

    async fn keep(&self, _: &BTreeMap<MemberName, Moment>) -> Result<(), String> {
        Err("there is no place to write promises down".to_owned())
    }
}

/// Why a promise is not given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unpromised {
    /// What was promised before is not known yet: the agent is only starting.
    #[error("the agent is only starting")]
    Starting,
    /// This member leads, or is about to.
    #[error("Running as a leader")]
    Stands,
    /// It can not be written down.
    #[error("the promise could not be written down: {0}")]
    NotWritten(String),
}

/// The promises of one member. Cheap to clone; all clones are one book.
#[derive(Debug, Clone)]
pub struct PromiseBook {
    pages: Arc<Mutex<Pages>>,
    /// One writes at a time, and always everything.
    writing: Arc<tokio::sync::Mutex<()>>,
    store: Arc<dyn PromiseStore>,
}

#[derive(Debug, Default)]
struct Pages {
    /// Whether what was written down has been read.
    open: bool,
    /// This member takes the leader key, holds it, or runs as a primary.
    stands: bool,
    promises: BTreeMap<MemberName, Moment>,
    /// What the last leader that was promised said of its slots. Nothing hangs on it, so it is not written down.
    told: Option<(MemberName, BTreeMap<String, Lsn>)>,
}

impl Pages {
    fn binding(&self, now: Moment) -> Option<Promise> {
        let last = self.promises.iter().max_by_key(|(_, until)| **until)?;
        (now < *last.1).then(|| Promise {
            to: last.0.clone(),
            until: *last.1,
        })
    }
}

impl PromiseBook {
    /// A book that is opened by [`Self::open`].
    pub fn new(store: Arc<dyn PromiseStore>) -> Self {
        Self {
            pages: Arc::default(),
            writing: Arc::default(),
            store,
        }
    }

    /// Reads what was written down. What can not be read is taken for a promise to `me` until `otherwise`.
    ///
    /// # Errors
    /// Why it could not be read, for the log.
    pub async fn open(&self, me: &MemberName, otherwise: Moment) -> Result<(), String> {
        let read = self.store.load().await;
        let mut pages = self.lock();
        let (promises, result) = match read {
            Ok(promises) => (promises, Ok(())),
            Err(why) => ([(me.clone(), otherwise)].into(), Err(why)),
        };
        pages.promises.extend(promises);
        pages.open = true;
        result
    }

    /// The promise that binds at `now`, the longest of all.
    pub fn binding(&self, now: Moment) -> Option<Promise> {
        self.lock().binding(now)
    }

    /// What `from`, which was promised, says of its slots.
    pub fn hear(&self, from: &MemberName, slots: BTreeMap<String, Lsn>) {
        self.lock().told = Some((from.clone(), slots));
    }

    /// What the leader to whom a promise binds at `now` last said of its slots.
    pub fn told(&self, now: Moment) -> BTreeMap<String, Lsn> {
        let pages = self.lock();
        let binding = pages.binding(now);
        match (&pages.told, binding) {
            (Some((from, slots)), Some(promise)) if *from == promise.to => slots.clone(),
            (Some(_) | None, _) => BTreeMap::new(),
        }
    }

    /// Stands for election, unless a promise forbids it. No promise is given until [`Self::sit`].
    ///
    /// # Errors
    /// The promise that is in the way.
    pub fn stand(&self, now: Moment) -> Result<(), Promise> {
        let mut pages = self.lock();
        match pages.binding(now) {
            Some(promise) => Err(promise),
            None => {
                pages.stands = true;
                Ok(())
            }
        }
    }

    /// This member neither leads nor is about to.
    pub fn sit(&self) {
        self.lock().stands = false;
    }

    /// Promises `to` not to race before `until`. It binds at once, and is told only when it is written down.
    ///
    /// # Errors
    /// Why `to` must not rely on it.
    pub async fn promise(
        &self,
        to: &MemberName,
        until: Moment,
        now: Moment,
    ) -> Result<(), Unpromised> {
        {
            let mut pages = self.lock();
            if !pages.open {
                return Err(Unpromised::Starting);
            }
            if pages.stands {
                return Err(Unpromised::Stands);
            }
            pages.promises.retain(|_, until| now < *until);
            if !pages.promises.contains_key(to) && pages.promises.len() >= PROMISES_MAX {
                let text = format!("{PROMISES_MAX} promises are in force already");
                return Err(Unpromised::NotWritten(text));
            }
            let kept = pages.promises.entry(to.clone()).or_insert(until);
            *kept = until.max(*kept);
        }
        self.write().await.map_err(Unpromised::NotWritten)
    }

    /// `to` gives its promise back.
    pub async fn release(&self, to: &MemberName) {
        let was_bound = self.lock().promises.remove(to).is_some();
        if was_bound {
            // What stays written down binds the next agent a little longer, and harms nobody.
            self.write().await.ok();
        }
    }

    async fn write(&self) -> Result<(), String> {
        let _one = self.writing.lock().await;
        let promises = self.lock().promises.clone();
        self.store.keep(&promises).await
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Paper(Mutex<Result<BTreeMap<MemberName, Moment>, String>>);

    #[async_trait]
    impl PromiseStore for Paper {
        async fn load(&self) -> Result<BTreeMap<MemberName, Moment>, String> {
            self.0.lock().unwrap().clone()
        }

        async fn keep(&self, promises: &BTreeMap<MemberName, Moment>) -> Result<(), String> {
            let mut paper = self.0.lock().unwrap();
            paper.as_ref().map_err(Clone::clone)?;
            *paper = Ok(promises.clone());
            Ok(())
        }
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    fn name(text: &str) -> MemberName {
        MemberName::new(text).unwrap()
    }

    fn paper(text: Result<(), &str>) -> Arc<Paper> {
        let text = text.map(|()| BTreeMap::new()).map_err(str::to_owned);
        Arc::new(Paper(Mutex::new(text)))
    }

    async fn book(paper: &Arc<Paper>) -> PromiseBook {
        let book = PromiseBook::new(Arc::clone(paper) as Arc<dyn PromiseStore>);
        book.open(&name("b"), at(500)).await.ok();
        book
    }

    #[tokio::test]
    async fn who_promised_does_not_stand_and_who_stands_does_not_promise() {
        let paper = paper(Ok(()));
        let book = book(&paper).await;
        book.promise(&name("a"), at(130), at(100)).await.unwrap();
        assert_eq!(book.stand(at(129)).unwrap_err().to, name("a"));
        book.stand(at(130)).unwrap();
        let refused = book.promise(&name("a"), at(170), at(140)).await;
        assert_eq!(refused, Err(Unpromised::Stands));
        book.sit();
        book.promise(&name("a"), at(170), at(140)).await.unwrap();
    }

    #[tokio::test]
    async fn a_promise_binds_the_next_agent() {
        let paper = paper(Ok(()));
        let first = book(&paper).await;
        first.promise(&name("a"), at(130), at(100)).await.unwrap();
        drop(first);
        let next = book(&paper).await;
        assert_eq!(next.binding(at(101)).unwrap().until, at(130));
    }

    #[tokio::test]
    async fn nothing_is_promised_before_the_book_is_open() {
        let book = PromiseBook::new(paper(Ok(())));
        let early = book.promise(&name("a"), at(130), at(100)).await;
        assert_eq!(early, Err(Unpromised::Starting));
    }

    #[tokio::test]
    async fn what_can_not_be_read_binds_and_what_can_not_be_written_is_not_told() {
        let paper = paper(Err("torn"));
        let book = book(&paper).await;
        assert_eq!(book.binding(at(499)).unwrap().until, at(500));
        assert_eq!(book.binding(at(500)), None);
        let told = book.promise(&name("a"), at(630), at(600)).await;
        assert_eq!(told, Err(Unpromised::NotWritten("torn".to_owned())));
        assert!(book.binding(at(601)).is_some(), "it binds all the same");
    }

    #[tokio::test]
    async fn what_a_leader_says_of_its_slots_counts_while_its_promise_binds() {
        let paper = paper(Ok(()));
        let book = book(&paper).await;
        book.promise(&name("a"), at(130), at(100)).await.unwrap();
        let slots: BTreeMap<String, Lsn> = [("c".to_owned(), Lsn::new(42))].into();
        book.hear(&name("a"), slots.clone());
        assert_eq!(book.told(at(129)), slots);
        assert_eq!(book.told(at(130)), BTreeMap::new(), "the promise has ended");
        book.promise(&name("c"), at(140), at(100)).await.unwrap();
        assert_eq!(book.told(at(101)), BTreeMap::new(), "somebody else's slots");
    }

    #[tokio::test]
    async fn the_longest_promise_counts_and_one_given_back_does_not() {
        let paper = paper(Ok(()));
        let book = book(&paper).await;
        book.promise(&name("a"), at(130), at(100)).await.unwrap();
        book.promise(&name("c"), at(120), at(100)).await.unwrap();
        book.promise(&name("a"), at(110), at(100)).await.unwrap();
        assert_eq!(book.binding(at(100)).unwrap().to, name("a"));
        book.release(&name("a")).await;
        assert_eq!(book.binding(at(100)).unwrap().until, at(120));
    }
}
