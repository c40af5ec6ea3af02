//! `restapi.ciphers`: OpenSSL's words for ciphers, applied to those that are offered here (contract §2.4).
//!
//! As with OpenSSL the list is about TLS 1.2; the ciphers of TLS 1.3 are offered whatever it says. Of TLS 1.2 only
//! suites with forward secrecy and authenticated encryption exist here, so words for others find nothing.

use rustls::CipherSuite;

/// One cipher suite of TLS 1.2, with every word that selects it.
struct Suite {
    id: CipherSuite,
    /// OpenSSL's name.
    name: &'static str,
    words: &'static [&'static str],
}

/// In the order in which they are preferred.
#[rustfmt::skip]
const SUITES: [Suite; 6] = [
    Suite { id: CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, name: "ECDHE-ECDSA-AES256-GCM-SHA384", words: &["ECDSA", "aECDSA", "AES", "AES256", "AESGCM", "SHA384"] },
    Suite { id: CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, name: "ECDHE-ECDSA-AES128-GCM-SHA256", words: &["ECDSA", "aECDSA", "AES", "AES128", "AESGCM", "SHA256"] },
    Suite { id: CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, name: "ECDHE-ECDSA-CHACHA20-POLY1305", words: &["ECDSA", "aECDSA", "CHACHA20"] },
    Suite { id: CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, name: "ECDHE-RSA-AES256-GCM-SHA384", words: &["aRSA", "AES", "AES256", "AESGCM", "SHA384"] },
    Suite { id: CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, name: "ECDHE-RSA-AES128-GCM-SHA256", words: &["aRSA", "AES", "AES128", "AESGCM", "SHA256"] },
    Suite { id: CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, name: "ECDHE-RSA-CHACHA20-POLY1305", words: &["aRSA", "CHACHA20"] },
];
/// What all of them are.
const EVERY: [&str; 9] = [
    "ALL", "DEFAULT", "HIGH", "ECDHE", "EECDH", "kECDHE", "kEECDH", "TLSv1.2", "AEAD",
];

impl Suite {
    fn is(&self, word: &str) -> bool {
        word == self.name || EVERY.contains(&word) || self.words.contains(&word)
    }
}

/// The suites of TLS 1.2 that `list` leaves, in the order in which it wants them.
///
/// Words are separated by `:`, `,` or blanks. A word adds what it means; `a+b` adds what both mean; behind `-` it is
/// taken away, behind `+` moved to the end, behind `!` taken away for good. `@STRENGTH` and `@SECLEVEL` change nothing,
/// for all here are strong. Unknown words mean nothing.
pub(crate) fn selected(list: &str) -> Vec<CipherSuite> {
    let mut chosen: Vec<&Suite> = Vec::new();
    let mut banned: Vec<CipherSuite> = Vec::new();
    for word in list.split([':', ',', ' ']).filter(|word| !word.is_empty()) {
        let (sign, word) = match word.chars().next() {
            Some(sign @ ('!' | '-' | '+' | '@')) => (Some(sign), word.get(1..).unwrap_or_default()),
            _ => (None, word),
        };
        let fits = |suite: &Suite| word.split('+').all(|word| suite.is(word));
        match sign {
            Some('!') => {
                banned.extend(
                    SUITES
                        .iter()
                        .filter(|suite| fits(suite))
                        .map(|suite| suite.id),
                );
                chosen.retain(|suite| !fits(suite));
            }
            Some('-') => chosen.retain(|suite| !fits(suite)),
            // Stable: those that move keep their order among themselves.
            Some('+') => chosen.sort_by_key(|suite| fits(suite)),
            Some(_) => {}
            None => {
                let new = |suite: &&Suite| fits(suite) && !banned.contains(&suite.id);
                for suite in SUITES.iter().filter(new) {
                    if !chosen.iter().any(|there| there.id == suite.id) {
                        chosen.push(suite);
                    }
                }
            }
        }
    }
    chosen.into_iter().map(|suite| suite.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Vec<&'static str> {
        let name = |id: CipherSuite| SUITES.iter().find(|suite| suite.id == id).map(|it| it.name);
        selected(list).into_iter().filter_map(name).collect()
    }

    #[test]
    fn lists_mean_what_they_mean_to_openssl() {
        assert_eq!(names("ALL:!SSLv1:!SSLv2:!SSLv3:!TLSv1:!TLSv1.1").len(), 6);
        assert_eq!(
            names("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"),
            [
                "ECDHE-RSA-AES128-GCM-SHA256",
                "ECDHE-ECDSA-AES256-GCM-SHA384"
            ]
        );
        assert_eq!(
            names("HIGH:!aECDSA:!CHACHA20:+AES256:@STRENGTH"),
            ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"]
        );
        assert_eq!(
            names("EECDH+AESGCM, -aRSA, ECDHE-RSA-AES256-GCM-SHA384"),
            [
                "ECDHE-ECDSA-AES256-GCM-SHA384",
                "ECDHE-ECDSA-AES128-GCM-SHA256",
                "ECDHE-RSA-AES256-GCM-SHA384"
            ]
        );
        assert_eq!(names("!CHACHA20:ALL").len(), 4, "taken away for good");
        for old in ["AES256-SHA", "kRSA", "RC4:3DES", ""] {
            assert!(names(old).is_empty(), "{old}");
        }
    }
}
