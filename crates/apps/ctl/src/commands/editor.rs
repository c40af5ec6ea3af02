//! Programs of the operator's choice: an editor for the configuration, a pager for its difference.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::failure::Failure;
use crate::screen::Screen;

/// Lets the operator edit a text: `$EDITOR`, else `editor`, else `vi`.
pub(super) fn edit(text: &str) -> Result<String, Failure> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |source| Failure::Io { what, source }
    };
    let mut file = tempfile::Builder::new()
        .prefix("pgherd-config-")
        .suffix(".yaml")
        .tempfile()
        .map_err(failed("make a file to edit"))?;
    file.write_all(text.as_bytes())
        .map_err(failed("write the file to edit"))?;
    file.flush().map_err(failed("write the file to edit"))?;
    let editor = std::env::var("EDITOR")
        .ok()
        .filter(|editor| !editor.is_empty());
    let editor = editor
        .as_deref()
        .unwrap_or("$(command -v editor || command -v vi || echo vi)");
    // the shell splits what stands in $EDITOR, such as `code --wait`
    let ended = Command::new("sh")
        .arg("-c")
        .arg(format!("{editor} \"$1\""))
        .arg("sh")
        .arg(file.path())
        .status()
        .map_err(failed("start the editor"))?;
    if !ended.success() {
        return Err(Failure::Refused(format!(
            "the editor failed ({ended}); set EDITOR to another one"
        )));
    }
    fs_err::read_to_string(file.path()).map_err(failed("read the edited file"))
}

/// Shows a text: through `less` on a terminal, else as it is.
pub(super) fn page(text: &str, screen: &mut Screen) -> Result<(), Failure> {
    if screen.is_terminal && through_less(text).is_some() {
        return Ok(());
    }
    screen.print(text)
}

/// `None` when there is no `less` or it failed.
fn through_less(text: &str) -> Option<()> {
    let mut less = Command::new("less")
        .args(["-F", "-R", "-X"])
        .stdin(Stdio::piped())
        .spawn()
        .ok()?;
    // it may be left before it has read everything
    less.stdin.take()?.write_all(text.as_bytes()).ok();
    less.wait().ok()?.success().then_some(())
}
