//! Waiting for members, in simulated time.

use std::sync::Arc;
use std::time::Duration;

use pgherd_domain::PgState;
use pgherd_domain::documents::MemberDoc;
use tokio::time::sleep;

use super::fake::{NOBODY, Shared, Store, name, view};
use crate::commands::{wait_for_copies, wait_for_pause};
use crate::screen::Screen;
use crate::session::Cluster;

fn cluster() -> (Arc<Store>, Cluster) {
    let store = Store::new(view(NOBODY, NOBODY, NOBODY));
    (
        Arc::clone(&store),
        Cluster {
            group: None,
            name: "demo".into(),
            dcs: store,
        },
    )
}

fn set(store: &Store, member: &str, change: impl FnOnce(&mut MemberDoc)) {
    store.change(|view| change(view.members.get_mut(&name(member)).unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_followed_to_its_end() {
    let (store, cluster) = cluster();
    let (out, err) = (Shared::default(), Shared::default());
    let mut screen = Screen::of(b"", out.clone(), err.clone());
    let copying = async {
        sleep(Duration::from_secs(3)).await;
        set(&store, "b", |doc| {
            doc.state = Some(PgState::CreatingReplica);
            doc.progress = Some("copying 1 of 9 MB".into());
        });
        sleep(Duration::from_secs(4)).await;
        set(&store, "b", |doc| {
            doc.progress = Some("copying 8 of 9 MB".into());
        });
        sleep(Duration::from_secs(4)).await;
        set(&store, "b", |doc| {
            doc.state = Some(PgState::Running);
            doc.progress = None;
        });
    };
    let names = vec![name("b")];
    let (ended, ()) = tokio::join!(wait_for_copies(names, &cluster, &mut screen), copying);
    ended.unwrap();
    assert_eq!(
        out.text(),
        "Waiting for reinitialize to complete on: b\nReinitialize is completed on: b\n"
    );
    assert_eq!(err.text(), "b: copying 1 of 9 MB\nb: copying 8 of 9 MB\n");
}

#[tokio::test(start_paused = true)]
async fn a_copy_too_quick_to_be_seen_is_done_too() {
    let (_, cluster) = cluster();
    let out = Shared::default();
    let mut screen = Screen::of(b"", out.clone(), Shared::default());
    wait_for_copies(vec![name("b")], &cluster, &mut screen)
        .await
        .unwrap();
    assert!(out.text().ends_with("Reinitialize is completed on: b\n"));
}

#[tokio::test(start_paused = true)]
async fn a_pause_waits_for_every_member() {
    let (store, cluster) = cluster();
    let noticing = async {
        for member in ["a", "b", "c"] {
            sleep(Duration::from_secs(5)).await;
            set(&store, member, |doc| doc.pause = true);
        }
    };
    let wait = wait_for_pause(true, &cluster, Duration::from_secs(10));
    let (ended, ()) = tokio::join!(wait, noticing);
    ended.unwrap();

    set(&store, "c", |doc| doc.pause = false);
    let ended = wait_for_pause(true, &cluster, Duration::from_secs(10)).await;
    assert_eq!(
        ended.unwrap_err().to_string(),
        "c members didn't recognized pause state after 20 seconds"
    );
}
