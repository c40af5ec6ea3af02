//! One line of pg_hba.conf as PostgreSQL reads it: fields with their items, and where connections come from.

use std::net::IpAddr;

/// One name or word of a field.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) text: String,
    pub(crate) raw: String,
    pub(crate) quoted: bool,
}

impl Item {
    /// Whether it is this word of the grammar, which has no quotes.
    pub(crate) fn is_word(&self, word: &str) -> bool {
        !self.quoted && self.text == word
    }

    /// Whether it certainly names `user`. A group, a pattern or a list in a file may or may not.
    fn names(&self, user: &str) -> bool {
        let is_special = !self.quoted && self.text.starts_with(['+', '/', '@']);
        self.is_word("all") || (!is_special && self.text == user)
    }
}

/// A field: one item, or several with commas between.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) items: Vec<Item>,
    pub(crate) raw: String,
}

impl Field {
    /// Whether one of its items certainly names `user`.
    pub(crate) fn name(&self, user: &str) -> bool {
        self.items.iter().any(|item| item.names(user))
    }
}

/// Lines with their numbers; one that ends with a backslash goes on in the next.
pub(crate) fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (index, line) in text.lines().enumerate() {
        let body = line.strip_suffix('\\');
        let part = body.unwrap_or(line);
        match lines.last_mut().filter(|_| goes_on) {
            Some((_, last)) => last.push_str(part),
            None => lines.push((index + 1, part.to_owned())),
        }
        goes_on = body.is_some();
    }
    lines
}

/// The fields of a line; none when it is blank or a comment.
pub(crate) fn fields(line: &str) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    let mut letters = line.chars().peekable();
    let mut joins = false;
    loop {
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        let Some(first) = letters.peek().copied().filter(|letter| *letter != '#') else {
            return fields;
        };
        if first == ',' {
            letters.next();
            joins = true;
            continue;
        }
        let item = item(&mut letters);
        match fields.last_mut().filter(|_| joins) {
            Some(field) => {
                field.raw.push(',');
                field.raw.push_str(&item.raw);
                field.items.push(item);
            }
            None => fields.push(Field {
                raw: item.raw.clone(),
                items: vec![item],
            }),
        }
        joins = false;
    }
}

/// Up to a blank, a comma or a comment outside of quotes.
fn item(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Item {
    let (mut text, mut raw) = (String::new(), String::new());
    let mut inside = false;
    let quoted = letters.peek() == Some(&'"');
    while let Some(letter) = letters
        .next_if(|letter| inside || !(letter.is_whitespace() || *letter == ',' || *letter == '#'))
    {
        raw.push(letter);
        if letter == '"' {
            // Two of them within quotes are one.
            if inside && letters.peek() == Some(&'"') {
                letters.next();
                raw.push('"');
                text.push('"');
            } else {
                inside = !inside;
            }
        } else {
            text.push(letter);
        }
    }
    Item { text, raw, quoted }
}

/// Where connections of a line come from.
#[derive(Debug)]
pub(crate) enum Address {
    /// `all`
    Any,
    /// `samehost`
    SameHost,
    /// `samenet`
    SameNet,
    /// A network: its address, and how many bits count.
    Net(IpAddr, u8),
    /// A host name, or a domain.
    Name(String),
}

impl Address {
    /// Whether this host's own address `ip` is among them, as far as that can be told without asking anybody.
    pub(crate) fn holds(&self, ip: IpAddr) -> bool {
        match self {
            Self::Any | Self::SameHost | Self::SameNet => true,
            Self::Net(net, bits) => within(ip, *net, *bits),
            Self::Name(name) => name == "localhost" && ip.is_loopback(),
        }
    }

    /// Whether nobody else's connections come from there. A name is kept as it stands: it is of few hosts.
    pub(crate) fn is_of_this_host(&self) -> bool {
        match self {
            Self::SameHost | Self::Name(_) => true,
            Self::Net(net, bits) => net.is_loopback() && *bits >= 8,
            Self::Any | Self::SameNet => false,
        }
    }
}

/// The address at the beginning of `rest`, and which field the method is.
pub(crate) fn address(rest: &[Field]) -> Option<(Address, usize)> {
    let item = rest.first()?.items.first()?;
    let word = |word: &str| item.is_word(word);
    if word("all") {
        return Some((Address::Any, 1));
    }
    if word("samehost") {
        return Some((Address::SameHost, 1));
    }
    if word("samenet") {
        return Some((Address::SameNet, 1));
    }
    if let Some((ip, bits)) = item.text.split_once('/') {
        return Some((Address::Net(ip.parse().ok()?, bits.parse().ok()?), 1));
    }
    let Ok(ip) = item.text.parse::<IpAddr>() else {
        return Some((Address::Name(item.text.clone()), 1));
    };
    let mask: IpAddr = rest.get(1)?.items.first()?.text.parse().ok()?;
    let bits = match mask {
        IpAddr::V4(mask) => mask.to_bits().leading_ones(),
        IpAddr::V6(mask) => mask.to_bits().leading_ones(),
    };
    Some((Address::Net(ip, u8::try_from(bits).ok()?), 2))
}

fn within(ip: IpAddr, net: IpAddr, bits: u8) -> bool {
    let same = |difference: u128, width: u32| {
        let free = width.saturating_sub(u32::from(bits));
        difference.checked_shr(free).unwrap_or(0) == 0
    };
    match (ip, net) {
        (IpAddr::V4(ip), IpAddr::V4(net)) => same(u128::from(ip.to_bits() ^ net.to_bits()), 32),
        (IpAddr::V6(ip), IpAddr::V6(net)) => same(ip.to_bits() ^ net.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}
