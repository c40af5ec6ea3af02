//! The systemd unit that is shipped: what safety hangs on stands in it, and systemd finds nothing wrong with it.

use std::process::Command;

const UNIT: &str = include_str!("../../../../packaging/systemd/pgherd.service");

#[test]
fn the_end_of_the_agent_is_not_the_end_of_postgresql() {
    for line in ["Type=notify", "KillMode=process", "Restart=always"] {
        assert!(UNIT.lines().any(|found| found == line), "{line}");
    }
}

#[test]
fn systemd_finds_nothing_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pgherd.service");
    // The program need not be installed where the test runs.
    let unit = UNIT.replace("ExecStart=/usr/bin/pgherd", "ExecStart=/bin/true");
    std::fs::write(&path, unit).unwrap();
    let verify = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&path)
        .output();
    // Where there is no systemd nobody uses the unit either.
    if let Ok(verify) = verify {
        let said = String::from_utf8_lossy(&verify.stderr);
        assert!(
            verify.status.success() && !said.contains("pgherd.service"),
            "{said}"
        );
    }
}
