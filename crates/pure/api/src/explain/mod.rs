//! Why each member may or may not become primary, from what it publishes of itself and from what everybody
//! can see in the DCS; and what would have to change. Ours: Patroni has no such command.

mod remedy;

use pgherd_domain::documents::MemberDoc;
use pgherd_domain::{
    ClusterView, Lsn, MemberName, PgRole, PgState, SyncMode, Tags, TimelineId, Veto, sync_warnings,
};

pub use remedy::remedy;

use crate::cluster::shown_state;
use crate::role::ClusterRole;
use crate::table::{Cell, Column, Format, Table};
use crate::wanted::Wanted;

/// Everything about one cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    cluster: String,
    leader: Option<MemberName>,
    paused: bool,
    members: Vec<Explained>,
    warnings: Vec<String>,
}

/// One member.
#[derive(Debug, Clone, PartialEq)]
struct Explained {
    name: MemberName,
    role: ClusterRole,
    /// What the judgement rests on, as people read it.
    inputs: Vec<String>,
    /// Reasons against it; empty: it may.
    because: Vec<String>,
    /// For the order among candidates: WAL first, then priority.
    rank: (Lsn, i64),
    lag: Option<u64>,
}

/// Looks at a cluster.
pub fn explain(cluster: &str, view: &ClusterView) -> Explanation {
    let wanted = Wanted::of(view);
    let members = view
        .members
        .iter()
        .map(|(name, doc)| explained(name, doc, view, &wanted))
        .collect();
    Explanation {
        cluster: cluster.to_owned(),
        leader: view.leader_name().cloned(),
        paused: wanted.pause,
        members,
        warnings: warnings(view, &wanted),
    }
}

/// What would keep a synchronous mode from going on, and what keeps it now.
fn warnings(view: &ClusterView, wanted: &Wanted) -> Vec<String> {
    let warnings = sync_warnings(view, &wanted.sync_outlook());
    let mut texts: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    texts.extend(view.zone_shortage().map(|shortage| shortage.to_string()));
    texts
}

impl Explanation {
    /// The explanation in one of the formats. Ends with a line break.
    pub fn print(&self, format: Format) -> String {
        match format {
            Format::Pretty => self.text(),
            Format::Tsv | Format::Json | Format::Yaml => self.table().print(format, None, true),
        }
    }

    fn text(&self) -> String {
        let mut out = match &self.leader {
            Some(leader) => format!("Cluster {}: {leader} leads\n\n", self.cluster),
            None => format!("Cluster {}: nobody leads\n\n", self.cluster),
        };
        let width = self
            .members
            .iter()
            .map(|member| member.name.as_str().chars().count())
            .max();
        let width = width.unwrap_or(0);
        for member in &self.members {
            let verdict = match (member.role.leads(), member.because.is_empty()) {
                (true, _) => "leads",
                (false, true) => "may become primary",
                (false, false) => "may not become primary",
            };
            out.push_str(&format!(
                "{:<width$}  {}: {verdict}\n",
                member.name,
                member.role.title()
            ));
            let indent = " ".repeat(width + 2);
            out.push_str(&format!("{indent}{}\n", member.inputs.join(", ")));
            for reason in &member.because {
                out.push_str(&format!(
                    "{indent}- {reason}\n{indent}  to change that: {}\n",
                    remedy(reason)
                ));
            }
        }
        out.push('\n');
        out.push_str(&self.outlook());
        for warning in &self.warnings {
            out.push_str(&format!("Warning: {warning}\n"));
        }
        out
    }

    /// What happens when the leader fails now; when nobody could take over, what would have to change.
    fn outlook(&self) -> String {
        let when = match &self.leader {
            Some(leader) => format!("If {leader} fails now"),
            None => "As it stands".to_owned(),
        };
        if self.paused {
            return format!(
                "{when}, nobody takes over by itself: the cluster is paused. `pgherd resume {}` changes that.\n",
                self.cluster
            );
        }
        let others = || self.members.iter().filter(|member| !member.role.leads());
        let next = others()
            .filter(|member| member.because.is_empty())
            .max_by_key(|member| member.rank);
        if let Some(next) = next {
            let loss = match next.lag {
                Some(0) => ", with everything that is known to be written".to_owned(),
                Some(lag) => format!(", without the last {} of WAL at most", size(lag)),
                None => String::new(),
            };
            return format!("{when}, {} takes over{loss}.\n", next.name);
        }
        let nearest = others().min_by_key(|member| (member.because.len(), member.name.clone()));
        let Some(nearest) = nearest else {
            return format!(
                "{when}, nobody can take over: there is no other member. Add a replica.\n"
            );
        };
        let mut out = format!(
            "{when}, nobody can take over. {} is nearest to it; what would have to change:\n",
            nearest.name
        );
        for reason in &nearest.because {
            out.push_str(&format!("  {}\n", remedy(reason)));
        }
        out
    }

    fn table(&self) -> Table {
        let columns = [
            "Cluster",
            "Member",
            "Role",
            "May become primary",
            "Inputs",
            "Because",
            "To change that",
        ];
        let rows = self.members.iter().map(|member| {
            let may = match (member.role.leads(), member.because.is_empty()) {
                (true, _) => "leads",
                (false, true) => "yes",
                (false, false) => "no",
            };
            let remedies: Vec<&str> = member.because.iter().map(|reason| remedy(reason)).collect();
            [
                self.cluster.clone(),
                member.name.to_string(),
                member.role.title().to_owned(),
                may.to_owned(),
                member.inputs.join(", "),
                member.because.join("; "),
                remedies.join("; "),
            ]
            .map(Cell::Text)
            .into()
        });
        Table {
            columns: columns.map(|name| Column::new(name, false)).into(),
            rows: rows.collect(),
        }
    }
}

fn explained(name: &MemberName, doc: &MemberDoc, view: &ClusterView, wanted: &Wanted) -> Explained {
    let role = ClusterRole::of(name, view, wanted);
    let position = position(doc);
    let lag = match (position, view.status.optime) {
        (Some(position), Some(end)) if !role.leads() => Some(position.behind(end)),
        (Some(_) | None, Some(_) | None) => None,
    };
    let tags = Tags::from_published(&doc.tags);
    let mut because: Vec<String> = Vec::new();
    if !role.leads() {
        let published = doc
            .verdict
            .iter()
            .flat_map(|verdict| verdict.because.clone());
        because.extend(published);
        for veto in seen_from_outside(name, doc, view, wanted) {
            // the member's own word has newer figures
            let reason = veto.to_string();
            if !because.iter().any(|known| remedy(known) == remedy(&reason)) {
                because.push(reason);
            }
        }
    }
    Explained {
        name: name.clone(),
        role,
        inputs: inputs(doc, role, lag, &tags),
        because,
        rank: (position.unwrap_or_default(), tags.failover_priority),
        lag,
    }
}

fn inputs(doc: &MemberDoc, role: ClusterRole, lag: Option<u64>, tags: &Tags) -> Vec<String> {
    let mut inputs = vec![shown_state(doc, role)];
    if let Some(timeline) = doc.timeline {
        inputs.push(format!("timeline {timeline}"));
    }
    match (lag, position(doc)) {
        (Some(lag), _) => inputs.push(format!("lag {}", size(lag))),
        (None, Some(position)) => inputs.push(format!("WAL up to {position}")),
        (None, None) => inputs.push("WAL position unknown".to_owned()),
    }
    if !role.leads() {
        inputs.push(format!("failover_priority {}", tags.failover_priority));
    }
    if let Some(progress) = &doc.progress {
        inputs.push(progress.clone());
    }
    if let Some(closed) = &doc.closed {
        inputs.push(closed.clone());
    }
    inputs
}

/// What anybody can tell from the DCS.
fn seen_from_outside(
    name: &MemberName,
    doc: &MemberDoc,
    view: &ClusterView,
    wanted: &Wanted,
) -> Vec<Veto> {
    let mut vetoes = Vec::new();
    if Tags::from_published(&doc.tags).nofailover {
        vetoes.push(Veto::TaggedNoFailover);
    }
    if doc.api_url.is_empty() {
        vetoes.push(Veto::NotAnswering);
    }
    match (doc.state, doc.role) {
        (_, Some(PgRole::Uninitialized)) | (Some(PgState::CreatingReplica), _) => {
            vetoes.push(Veto::NoData);
            return vetoes;
        }
        (Some(PgState::Running), _) => {}
        (
            Some(PgState::Starting | PgState::Restarting | PgState::StartingAfterCustomBootstrap),
            _,
        ) => {
            vetoes.push(Veto::Starting);
        }
        (Some(_) | None, _) => vetoes.push(Veto::NotRunning),
    }
    match (position(doc), view.status.optime) {
        (None, _) => vetoes.push(Veto::UnknownPosition),
        (Some(position), Some(end)) => {
            let (lag, limit) = (position.behind(end), wanted.maximum_lag_on_failover);
            if lag > limit {
                vetoes.push(Veto::Lagging { lag, limit });
            }
        }
        (Some(_), None) => {}
    }
    vetoes.extend(old_timeline(doc, view, wanted));
    vetoes.extend(not_synchronous(name, view, wanted));
    vetoes
}

fn old_timeline(doc: &MemberDoc, view: &ClusterView, wanted: &Wanted) -> Option<Veto> {
    let led = view.leader_member().and_then(|leader| leader.timeline);
    let known = view
        .history
        .as_ref()
        .map(|history| history.current_timeline());
    let wants: TimelineId = led.max(known)?;
    let has = doc.timeline?;
    (wanted.check_timeline && has < wants).then_some(Veto::OldTimeline { has, wants })
}

fn not_synchronous(name: &MemberName, view: &ClusterView, wanted: &Wanted) -> Option<Veto> {
    // In quorum mode votes decide, and those are counted when nobody leads.
    if wanted.sync_mode != SyncMode::On {
        return None;
    }
    let sync = view.sync_state().filter(|sync| !sync.names(name))?;
    let names = sync
        .leader
        .iter()
        .chain(&sync.standbys)
        .map(MemberName::as_str);
    Some(Veto::NotSynchronous {
        sync: names.collect::<Vec<_>>().join(", "),
    })
}

fn position(doc: &MemberDoc) -> Option<Lsn> {
    doc.xlog_location.max(doc.receive_lsn).max(doc.replay_lsn)
}

/// A number of bytes as people read it.
fn size(bytes: u64) -> String {
    const STEPS: [(u64, &str); 3] = [(1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")];
    for (step, unit) in STEPS {
        if bytes >= step {
            let tenths = bytes / (step / 10).max(1);
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests;
