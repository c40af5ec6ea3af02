//! What stands in the deadline file: one line of the agent's, the order, and one of the fence's, its receipt.
//!
//! Both are text of a fixed size, so that an operator can read the file with `cat` and each is written with
//! one pwrite. A checksum tells a line that was read while it was written.

use std::collections::BTreeMap;
use std::time::Duration;

use pgherd_domain::Moment;

/// Bytes of a line, padding included.
pub(crate) const LINE: usize = 256;

const ORDER_MAGIC: &str = "pgherd-fence-1";
/// How the orders of all versions begin.
const ANY_MAGIC: &[u8] = b"pgherd-fence-";
const RECEIPT_MAGIC: &str = "pgherd-fence-receipt-1";

/// What the agent wants of the fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// A primary that runs at `deadline` is stopped.
    Armed {
        /// When.
        deadline: Moment,
        /// The time from the deadline to the end of the lease: all must be over by then.
        margin: Duration,
    },
    /// Nothing is stopped.
    Disarmed,
    /// The fence is to end.
    Leave,
}

/// The agent's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    /// What is wanted.
    pub(crate) order: Order,
    /// Counts the writes; the receipt tells the one that the fence has seen.
    pub(crate) sequence: u64,
    /// Process id of the agent.
    pub(crate) writer: i32,
    /// The boot on whose clock the deadline is, see [`crate::clock::boot`].
    pub(crate) boot: u64,
    /// [`hash`] of the data directory's path.
    pub(crate) folder: u64,
}

/// The fence's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// Process id of the fence.
    pub(crate) pid: i32,
    /// When that process started, in clock ticks since boot: tells it from another with its number.
    pub(crate) started: u64,
    /// The sequence number of the last order that it has seen.
    pub(crate) sequence: u64,
}

impl Record {
    /// The line of this record.
    pub(crate) fn encode(&self) -> [u8; LINE] {
        let (word, deadline, margin) = match self.order {
            Order::Armed { deadline, margin } => ("armed", deadline.as_nanos(), millis(margin)),
            Order::Disarmed => ("disarmed", 0, 0),
            Order::Leave => ("leave", 0, 0),
        };
        let Self {
            sequence,
            writer,
            boot,
            folder,
            ..
        } = self;
        line(
            ORDER_MAGIC,
            &format!(
                "order={word} deadline={deadline} margin={margin} sequence={sequence} \
                 writer={writer} boot={boot:016x} folder={folder:016x}"
            ),
        )
    }

    /// Whether `line` is an order as another version of this program writes it.
    pub(crate) fn is_foreign(line: &[u8]) -> bool {
        let word = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        word.starts_with(ANY_MAGIC) && word != ORDER_MAGIC.as_bytes()
    }

    /// Reads a line. `None`: it is torn, or not one.
    pub(crate) fn decode(line: &[u8]) -> Option<Self> {
        let fields = fields(ORDER_MAGIC, line)?;
        let order = match *fields.get("order")? {
            "armed" => Order::Armed {
                deadline: Moment::from_nanos(number(&fields, "deadline")?),
                margin: Duration::from_millis(number(&fields, "margin")?),
            },
            "disarmed" => Order::Disarmed,
            "leave" => Order::Leave,
            _ => return None,
        };
        Some(Self {
            order,
            sequence: number(&fields, "sequence")?,
            writer: fields.get("writer")?.parse().ok()?,
            boot: u64::from_str_radix(fields.get("boot")?, 16).ok()?,
            folder: u64::from_str_radix(fields.get("folder")?, 16).ok()?,
        })
    }
}

impl Receipt {
    /// The line of this receipt.
    pub(crate) fn encode(&self) -> [u8; LINE] {
        let Self {
            pid,
            started,
            sequence,
        } = self;
        line(
            RECEIPT_MAGIC,
            &format!("pid={pid} started={started} sequence={sequence}"),
        )
    }

    /// Reads a line. `None`: it is torn, or not one.
    pub(crate) fn decode(line: &[u8]) -> Option<Self> {
        let fields = fields(RECEIPT_MAGIC, line)?;
        Some(Self {
            pid: fields.get("pid")?.parse().ok()?,
            started: number(&fields, "started")?,
            sequence: number(&fields, "sequence")?,
        })
    }
}

/// FNV-1a: tells torn lines, other boots and other folders, and keeps out nobody who means harm.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn line(magic: &str, body: &str) -> [u8; LINE] {
    let text = format!("{magic} {:016x} {body}", hash(body.as_bytes()));
    let mut line = [b' '; LINE];
    // The longest numbers leave 40 bytes, and the last is the end of the line.
    for (to, from) in line.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    line[LINE - 1] = b'\n';
    line
}

fn fields<'a>(magic: &str, line: &'a [u8]) -> Option<BTreeMap<&'a str, &'a str>> {
    let text = std::str::from_utf8(line).ok()?;
    let rest = text.strip_prefix(magic)?.strip_prefix(' ')?;
    let (sum, body) = rest.split_once(' ')?;
    let body = body.strip_suffix('\n')?.trim_end_matches(' ');
    if line.len() != LINE || u64::from_str_radix(sum, 16) != Ok(hash(body.as_bytes())) {
        return None;
    }
    body.split(' ').map(|word| word.split_once('=')).collect()
}

fn number(fields: &BTreeMap<&str, &str>, name: &str) -> Option<u64> {
    fields.get(name)?.parse().ok()
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(order: Order) -> Record {
        Record {
            order,
            sequence: 42,
            writer: 4711,
            boot: 7,
            folder: u64::MAX,
        }
    }

    fn armed(deadline: u64) -> Record {
        record(Order::Armed {
            deadline: Moment::from_nanos(deadline),
            margin: Duration::from_millis(1500),
        })
    }

    #[test]
    fn what_is_written_is_read() {
        let longest = Record {
            sequence: u64::MAX,
            writer: i32::MIN,
            boot: u64::MAX,
            ..record(Order::Armed {
                deadline: Moment::from_nanos(u64::MAX),
                margin: Duration::from_millis(u64::MAX),
            })
        };
        for record in [
            armed(1),
            longest,
            record(Order::Disarmed),
            record(Order::Leave),
        ] {
            assert_eq!(Record::decode(&record.encode()), Some(record));
        }
        let receipt = Receipt {
            pid: i32::MAX,
            started: u64::MAX,
            sequence: u64::MAX,
        };
        assert_eq!(Receipt::decode(&receipt.encode()), Some(receipt));
    }

    #[test]
    fn a_torn_line_is_never_taken_for_an_order() {
        let (old, new) = (armed(1_000_000).encode(), armed(2_222_222).encode());
        for at in 0..=LINE {
            let torn: Vec<u8> = old[..at].iter().chain(&new[at..]).copied().collect();
            if torn != old && torn != new {
                assert_eq!(Record::decode(&torn), None, "torn at {at}");
            }
            assert_eq!(Record::decode(&new[..at]).is_some(), at == LINE);
        }
    }

    #[test]
    fn a_line_with_a_wrong_byte_is_no_order() {
        let line = armed(1_000_000).encode();
        let end = line.iter().rposition(|byte| *byte != b' ').unwrap();
        let text = line[..end].trim_ascii_end().len();
        for at in 0..text {
            let mut wrong = line;
            wrong[at] ^= 1;
            assert_eq!(Record::decode(&wrong), None, "byte {at}");
        }
        assert_eq!(Record::decode(&[0; LINE]), None);
        assert!(!Record::is_foreign(&line) && !Record::is_foreign(&[0; LINE]));
        assert!(Record::is_foreign(b"pgherd-fence-2 whatever"));
        let receipt = Receipt {
            pid: 1,
            started: 2,
            sequence: 3,
        };
        assert_eq!(Record::decode(&receipt.encode()), None);
    }
}
