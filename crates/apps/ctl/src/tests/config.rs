//! `show-config` and `edit-config`.

use serde_json::json;

use super::fake::{NOBODY, Store, run, view};

#[tokio::test]
async fn show_config_is_block_yaml() {
    let store = Store::new(view(NOBODY, NOBODY, NOBODY));
    assert_eq!(
        run(&store, "show-config", "").await.out,
        "loop_wait: 10\nttl: 30\n\n"
    );
}

#[tokio::test]
async fn changes_are_shown_agreed_to_and_written() {
    let store = Store::new(view(NOBODY, NOBODY, NOBODY));
    let line = "edit-config -s ttl=40 -s loop_wait=null -p a.b=on -s postgresql.use_slots=false";
    let ran = run(&store, line, "y\n").await;
    assert_eq!(
        ran.out,
        "--- \n+++ \n@@ -1,2 +1,5 @@\n-loop_wait: 10\n-ttl: 30\n+postgresql:\n+  parameters:\n\
         +    a.b: true\n+  use_slots: false\n+ttl: 40\n\
         Apply these changes? [y/N]: Configuration changed\n"
    );
    let wanted =
        json!({"ttl": 40, "postgresql": {"use_slots": false, "parameters": {"a.b": true}}});
    assert_eq!(store.view().config.unwrap().value, wanted);
}

#[tokio::test]
async fn nothing_is_written_without_consent_or_change() {
    let store = Store::new(view(NOBODY, NOBODY, NOBODY));
    let before = store.view().config;
    for (line, input, out) in [
        (
            "edit-config -q -s ttl=40",
            "n\n",
            "Apply these changes? [y/N]: ",
        ),
        ("edit-config -s ttl=30 --force", "", "Not changed\n"),
        (
            "edit-config -q --apply -",
            "ttl: 50\n",
            "Use --force option to apply changes\n",
        ),
    ] {
        let ran = run(&store, line, input).await;
        assert_eq!((ran.ok, ran.out.as_str()), (true, out), "{line}");
    }
    assert_eq!(store.view().config, before);
}

#[tokio::test]
async fn files_patch_or_replace() {
    let store = Store::new(view(NOBODY, NOBODY, NOBODY));
    let ran = run(
        &store,
        "edit-config -q --force --apply -",
        "{\"ttl\": 50, \"pause\": yes}",
    )
    .await;
    assert_eq!(ran.out, "Configuration changed\n");
    assert_eq!(
        store.view().config.unwrap().value,
        json!({"ttl": 50, "loop_wait": 10, "pause": true})
    );
    let ran = run(
        &store,
        "edit-config -q --force --replace - -s loop_wait=5",
        "ttl: 51",
    )
    .await;
    assert_eq!(ran.out, "Configuration changed\n");
    assert_eq!(
        store.view().config.unwrap().value,
        json!({"ttl": 51, "loop_wait": 5})
    );
}

#[tokio::test]
async fn what_is_wrong_is_told() {
    let store = Store::new(view(NOBODY, NOBODY, NOBODY));
    for (line, input, error) in [
        (
            "edit-config -s ttl --force",
            "",
            "Invalid parameter setting ttl",
        ),
        (
            "edit-config -s ttl.x=1 --force",
            "",
            "Invalid parameter setting ttl.x",
        ),
        (
            "edit-config --apply - --force",
            "[1]",
            "- holds no mapping of keys to values",
        ),
        ("edit-config --apply /no/such --force", "", "read /no/such"),
    ] {
        let ran = run(&store, line, input).await;
        assert!(
            !ran.ok && ran.err.starts_with(&format!("Error: {error}")),
            "{line}: {ran:?}"
        );
    }
    let ran = run(&store, "edit-config -s ttl=[1] --force", "").await;
    assert!(!ran.ok && ran.err.contains("ttl"), "{ran:?}");
    store.overtake();
    let ran = run(&store, "edit-config -s ttl=40 --force", "").await;
    assert_eq!(
        ran.err,
        "Error: Config modification aborted due to concurrent changes\n"
    );
    store.change(|view| view.config = None);
    let ran = run(&store, "edit-config -s ttl=40 --force", "").await;
    assert_eq!(
        ran.err,
        "Error: The config key does not exist in the cluster demo\n"
    );
}
