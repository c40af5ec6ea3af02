//! What PostgreSQL's files and tools say.

use pgherd_pgconf::{
    Complaint, Conninfo, ControlReport, PidFile, ProcessStat, parse_options_file, parse_settings,
    split_command, without_recovery,
};

/// Output of pg_controldata, a pid file, a configuration file, a conninfo, or messages: the text is read as each.
pub fn tools(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    drop(ControlReport::parse(&text));
    PidFile::parse(&text);
    ProcessStat::parse(&text);
    parse_options_file(&text);
    Complaint::parse(&text);
    drop(split_command(&text));
    let kept = without_recovery(&text);
    assert_eq!(without_recovery(&kept), kept, "taken out once, taken out");
    let settings = parse_settings(&kept);
    assert!(
        !settings.contains_key("primary_conninfo"),
        "a recovery setting stays: {kept:?}"
    );
    if let Ok(conninfo) = Conninfo::parse(&text) {
        conninfo.endpoint();
        let again = Conninfo::parse(&conninfo.to_string());
        assert_eq!(again.as_ref(), Ok(&conninfo), "{text:?}");
    }
}
