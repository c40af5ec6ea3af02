//! Bridge, links and what goes wrong with them: cut, cut one way, slow, carrier lost.

use std::net::Ipv4Addr;

use anyhow::Result;

use crate::command::{attempt, run};

/// Name of the nftables table that a cut lives in, inside the host's namespace.
const TABLE: &str = "pgherd_cut";

/// Whom a host that is cut off can still talk to. Packets vanish silently, as on a dead switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Nobody at all.
    Everyone,
    /// Not to the other hosts; clients in the test process still reach it, to see whether it takes writes.
    Peers,
}

/// Which way a cut works, seen from the host that is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nothing passes.
    Both,
    /// Nothing arrives at the host; what it sends still does.
    Inwards,
    /// Nothing that the host sends arrives; it still hears the others.
    Outwards,
}

/// One host's end of the network.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    /// The network namespace.
    pub(crate) namespace: String,
    /// The end that is plugged into the bridge.
    pub(crate) port: String,
}

/// Makes a bridge called `name` with an address for this process.
///
/// # Errors
/// When `ip` refuses.
pub(crate) fn make_bridge(name: &str, address: Ipv4Addr) -> Result<()> {
    ip(&["link", "add", name, "type", "bridge"])?;
    ip(&["addr", "add", &format!("{address}/24"), "dev", name])?;
    ip(&["link", "set", name, "up"])?;
    if bridged_packets_are_filtered() {
        run(&forward_rule("-I", name))?;
    }
    Ok(())
}

/// Removes the bridge or port called `name`, and what [`make_bridge`] added for it.
pub(crate) fn remove(name: &str) {
    if bridged_packets_are_filtered() {
        attempt(&forward_rule("-D", name));
    }
    attempt(&["ip", "link", "del", name]);
}

/// Where a container engine is at home, packets between ports of any bridge pass the machine's FORWARD rules,
/// which it likes to set to DROP.
fn bridged_packets_are_filtered() -> bool {
    fs_err::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables")
        .is_ok_and(|text| text.trim() == "1")
}

fn forward_rule<'a>(verb: &'a str, bridge: &'a str) -> [&'a str; 9] {
    [
        "iptables", verb, "FORWARD", "-i", bridge, "-o", bridge, "-j", "ACCEPT",
    ]
}

fn ip(arguments: &[&str]) -> Result<()> {
    let mut argv = vec!["ip"];
    argv.extend_from_slice(arguments);
    run(&argv).map(drop)
}

impl Link {
    /// Makes the namespace `bridge-host` and plugs it into `bridge` with `address`.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub(crate) fn plug(bridge: &str, host: &str, number: u8, address: Ipv4Addr) -> Result<Self> {
        let link = Self {
            namespace: format!("{bridge}-{host}"),
            port: format!("{bridge}-{number}"),
        };
        let (namespace, port) = (link.namespace.as_str(), link.port.as_str());
        ip(&["netns", "add", namespace])?;
        let veth = ["type", "veth", "peer", "name", "eth0", "netns", namespace];
        ip(&[&["link", "add", port][..], &veth[..]].concat())?;
        ip(&["link", "set", port, "master", bridge, "up"])?;
        ip(&["-n", namespace, "link", "set", "lo", "up"])?;
        ip(&[
            "-n",
            namespace,
            "addr",
            "add",
            &format!("{address}/24"),
            "dev",
            "eth0",
        ])?;
        ip(&["-n", namespace, "link", "set", "eth0", "up"])?;
        Ok(link)
    }

    /// Pulls the plug: the carrier is gone, as when a cable is drawn.
    pub(crate) fn down(&self) -> Result<()> {
        ip(&["link", "set", &self.port, "down"])
    }

    /// Plugs in again.
    pub(crate) fn up(&self) -> Result<()> {
        ip(&["link", "set", &self.port, "up"])
    }

    /// Drops packets silently, both ways. `spared` is the one address that [`Cut::Peers`] lets through.
    pub(crate) fn cut(&self, cut: Cut, spared: Ipv4Addr) -> Result<()> {
        let but = match cut {
            Cut::Everyone => String::new(),
            Cut::Peers => format!("ip {{dir}} != {spared} "),
        };
        let inwards = format!("iifname eth0 {}drop", but.replace("{dir}", "saddr"));
        let outwards = format!("oifname eth0 {}drop", but.replace("{dir}", "daddr"));
        self.rules(&[("input", &inwards), ("output", &outwards)])
    }

    /// Drops what comes from `others`, what goes there, or both; adds to the cuts that are there already.
    pub(crate) fn cut_from(&self, others: &[Ipv4Addr], way: Way) -> Result<()> {
        let all: Vec<String> = others.iter().map(ToString::to_string).collect();
        let all = all.join(", ");
        let inwards = format!("ip saddr {{ {all} }} drop");
        let outwards = format!("ip daddr {{ {all} }} drop");
        match way {
            Way::Both => self.rules(&[("input", &inwards), ("output", &outwards)]),
            Way::Inwards => self.rules(&[("input", &inwards)]),
            Way::Outwards => self.rules(&[("output", &outwards)]),
        }
    }

    /// Hands packets that arrive for TCP port `port` to queue `number`; see `bad_line`.
    pub(crate) fn queue_arrivals(&self, port: u16, number: u16) -> Result<()> {
        let argv = self.queue_rule("-A", port, number);
        run(&argv.iter().map(String::as_str).collect::<Vec<_>>()).map(drop)
    }

    /// Ends [`Self::queue_arrivals`].
    pub(crate) fn queue_nothing(&self, port: u16, number: u16) {
        let argv = self.queue_rule("-D", port, number);
        attempt(&argv.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// By iptables: not every kernel that has packet queues lets nftables use them.
    fn queue_rule(&self, verb: &str, port: u16, number: u16) -> Vec<String> {
        let rule = format!(
            "ip netns exec {} iptables {verb} INPUT -p tcp --dport {port} -j NFQUEUE \
             --queue-num {number} --queue-bypass",
            self.namespace
        );
        rule.split_whitespace().map(str::to_owned).collect()
    }

    /// Ends every cut.
    pub(crate) fn heal(&self) {
        self.nft(&format!("delete table inet {TABLE}"));
    }

    /// Limits the link to `kbit` per second each way; `None` takes the limit away.
    pub(crate) fn slow(&self, kbit: Option<u32>) -> Result<()> {
        let outer = ["tc", "qdisc"];
        let inner = ["ip", "netns", "exec", &self.namespace, "tc", "qdisc"];
        for (prefix, device) in [(&outer[..], self.port.as_str()), (&inner[..], "eth0")] {
            attempt(&[prefix, &["del", "dev", device, "root"][..]].concat());
            if let Some(kbit) = kbit {
                let rate = format!("{kbit}kbit");
                let tail = ["tbf", "rate", &rate, "burst", "16kb", "latency", "400ms"];
                run(&[prefix, &["add", "dev", device, "root"][..], &tail[..]].concat())?;
            }
        }
        Ok(())
    }

    fn rules(&self, rules: &[(&str, &str)]) -> Result<()> {
        let mut script = format!("add table inet {TABLE}\n");
        for hook in ["input", "output"] {
            script.push_str(&format!(
                "add chain inet {TABLE} {hook} {{ type filter hook {hook} priority 0; }}\n"
            ));
        }
        for (hook, rule) in rules {
            script.push_str(&format!("add rule inet {TABLE} {hook} {rule}\n"));
        }
        run(&["ip", "netns", "exec", &self.namespace, "nft", &script]).map(drop)
    }

    fn nft(&self, command: &str) -> bool {
        attempt(&["ip", "netns", "exec", &self.namespace, "nft", command])
    }
}
