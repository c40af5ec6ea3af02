//! Links the program with packed relative relocations (`.relr.dyn`): the loader reads all of them at every start, and
//! unpacked they are a megabyte of the agent's resident memory.

use std::process::Command;

/// The first glibc that reads them. GNU ld has written them for longer.
const SINCE: (u32, u32) = (2, 36);

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let crosses = std::env::var("HOST") != std::env::var("TARGET");
    if !crosses && glibc().is_some_and(|version| version >= SINCE) {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of the glibc here, as `getconf` says it: `glibc 2.36`.
fn glibc() -> Option<(u32, u32)> {
    let said = Command::new("getconf")
        .arg("GNU_LIBC_VERSION")
        .output()
        .ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
