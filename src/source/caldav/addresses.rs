//! Which addresses are the user's own: mail goes there, so a server is not believed further than it is allowed to be.

use crate::config::OwnDomains;

/// What a server named as the user's addresses, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnAddresses {
    /// The user's own addresses, bare; alarms go to the first one.
    pub used: Vec<String>,
    /// What the server named beyond that.
    pub refused: Vec<String>,
}

/// What the configuration says of a user's addresses.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Addresses that are written there.
    pub written: &'a [String],
    /// What the user is called: the login, userId.
    pub names: &'a [&'a str],
    pub domains: &'a OwnDomains,
    /// How many addresses the server may name.
    pub most: usize,
}

/// The user's own addresses: those that are written, and nothing else; or the login, if it is an address, and what the
/// server names in the domains that are listed; or what it names in its own.
pub fn own(named: &[String], wanted: Wanted<'_>) -> OwnAddresses {
    if !wanted.written.is_empty() {
        return OwnAddresses { used: wanted.written.to_vec(), refused: Vec::new() };
    }
    let login = wanted.names.iter().find(|name| is_address(name));
    let mut own =
        OwnAddresses { used: login.map(|&login| login.to_owned()).into_iter().collect(), ..Default::default() };
    let domains = match (wanted.domains, login) {
        (OwnDomains::Listed(domains), _) | (OwnDomains::Usual(domains), None) => domains.as_slice(),
        (OwnDomains::Usual(_), Some(_)) => &[],
    };
    let most = wanted.most.saturating_add(own.used.len());
    for address in named {
        if own.used.iter().chain(&own.refused).any(|other| other.eq_ignore_ascii_case(address)) {
            continue;
        }
        let is_allowed = own.used.len() < most && is_address(address) && domains.iter().any(|one| is_in(address, one));
        if is_allowed { &mut own.used } else { &mut own.refused }.push(address.clone());
    }
    own
}

fn is_address(text: &str) -> bool {
    text.parse::<lettre::Address>().is_ok_and(|address| address.user().is_ascii())
}

fn is_in(address: &str, domain: &str) -> bool {
    let Some((_, of)) = address.rsplit_once('@') else { return false };
    idna::domain_to_ascii(of).is_ok_and(|of| of == domain)
}

#[cfg(test)]
mod tests {
    use super::{OwnAddresses, OwnDomains, Wanted, own};

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|&text| text.to_owned()).collect()
    }

    /// What becomes of `named`: used, and refused.
    fn sorted(named: &[&str], written: &[&str], names: &[&str], domains: OwnDomains) -> (String, String) {
        let written = texts(written);
        let OwnAddresses { used, refused } =
            own(&texts(named), Wanted { written: &written, names, domains: &domains, most: 3 });
        (used.join(" "), refused.join(" "))
    }

    fn is(used: &str, refused: &str) -> (String, String) {
        (used.to_owned(), refused.to_owned())
    }

    #[test]
    fn where_own_addresses_come_from() {
        let named = ["m.smith@Example.ORG", "eve@evil.example", "mary@example.org"];
        let usual = || OwnDomains::Usual(texts(&["dav.example.org", "example.org"]));
        let listed = || OwnDomains::Listed(texts(&["example.org"]));
        assert_eq!(sorted(&named, &["me@home.example"], &["mary"], usual()), is("me@home.example", ""));
        assert_eq!(
            sorted(&named, &[], &["mary"], usual()),
            is("m.smith@Example.ORG mary@example.org", "eve@evil.example")
        );
        // Others may have addresses in the login's domain: at a mail provider they are strangers.
        assert_eq!(sorted(&named, &[], &["mary@example.org"], usual()).0, "mary@example.org");
        assert_eq!(sorted(&named, &[], &["mary", "mary@example.org"], usual()).0, "mary@example.org");
        assert_eq!(
            sorted(&named, &[], &["mary@example.org"], listed()),
            is("mary@example.org m.smith@Example.ORG", "eve@evil.example")
        );
        assert_eq!(sorted(&named, &[], &["mary"], OwnDomains::Usual(Vec::new())).0, "");
    }

    #[test]
    fn what_is_no_single_address_of_the_domain_is_refused() {
        let listed = || OwnDomains::Listed(texts(&["example.org", "xn--bcher-kva.example"]));
        for wrong in [
            "eve@evil.example,mary@example.org",
            "eve@evil.example\r\nBcc: mary@example.org",
            "eve@sub.example.org",
            "eve@notexample.org",
            "eve@example.org.evil.example",
            "eve%evil.example",
            "<eve@evil.example> mary@example.org",
            "@example.org",
        ] {
            assert_eq!(sorted(&[wrong], &[], &["mary"], listed()), is("", wrong), "{wrong}");
        }
        assert_eq!(sorted(&["a@bücher.example"], &[], &["mary"], listed()).0, "a@bücher.example");
    }

    #[test]
    fn limit_of_own_addresses_at_it_and_above() {
        let named: Vec<String> = (0..5).map(|n| format!("a{n}@example.org")).collect();
        let domains = OwnDomains::Listed(texts(&["example.org"]));
        for (most, names) in [(4, ["mary"]), (5, ["mary"]), (4, ["mary@example.org"])] {
            let OwnAddresses { used, refused } =
                own(&named, Wanted { written: &[], names: &names, domains: &domains, most });
            assert_eq!(used.iter().filter(|used| used.starts_with('a')).count(), most.min(5));
            assert_eq!(refused.len(), 5 - most);
        }
    }
}
