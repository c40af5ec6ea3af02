//! Documents in the DCS.

use pgherd_domain::MemberName;
use pgherd_domain::documents::{FailoverDoc, HistoryDoc, MemberDoc, StatusDoc, SyncDoc};

/// A value of any key: what is understood of it is written in a form that is understood the same way again.
pub fn documents(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let status = StatusDoc::parse(&text);
    assert_eq!(StatusDoc::parse(&status.render()), status);
    let sync = SyncDoc::parse(&text);
    assert_eq!(SyncDoc::parse(&sync.render()), sync);
    let member = MemberDoc::parse(&text);
    assert_eq!(MemberDoc::parse(&member.render()), member);
    member.address();
    member.tags();
    if let Some(failover) = FailoverDoc::parse(&text) {
        let again = FailoverDoc::parse(&failover.render()).unwrap_or_default();
        assert_eq!(again, failover);
    }
    if let Some(history) = HistoryDoc::parse(&text) {
        history.current_timeline();
        assert_eq!(
            HistoryDoc::parse(&history.render()).as_ref(),
            Some(&history)
        );
    }
    if let Ok(name) = MemberName::new(&text) {
        assert_eq!(name.as_str(), text);
    }
}
