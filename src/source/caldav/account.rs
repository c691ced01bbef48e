//! Finding out where the calendars of an account are, from any of its URLs (RFC 6764, 6).

use std::collections::{HashMap, HashSet};

use reqwest::Url;

use super::dav_client::DavClient;
use super::error::CaldavError;
use super::href;
use super::message::Multistatus;
use super::requests::discovery::{self, Discovered};
use super::requests::find_calendars::{self, ListedCalendar};
use crate::time::UtcMillis;

/// Where servers commonly have CalDAV when nothing at the address says so, in the order in which they are asked.
const CONTEXTS: [&str; 8] =
    ["", "remote.php/dav/", "dav/", "caldav/", "SOGo/dav/", "caldav.php/", "dav.php/", "server.php/"];

/// Where a server says where its CalDAV is (RFC 6764, 5).
const WELL_KNOWN: &str = ".well-known/caldav";

/// An account, as discovery found it.
#[derive(Clone, Debug)]
pub struct Account {
    /// The principal of the login, where the server names one.
    pub principal: Option<Url>,
    /// The addresses of the login as the server knows them, bare.
    pub addresses: Vec<String>,
    /// Those that the server gives for what was asked for, which may belong to somebody else than the login.
    pub addresses_there: Vec<String>,
    /// The places are the login's own, as far as the server says whose they are.
    pub is_of_login: bool,
    /// The principal whose homes the places are; none where they were named by themselves.
    pub of: Option<Url>,
    pub places: Vec<CalendarPlace>,
    /// Prefixes that the server leaves out of what it answers and that may be there or not: it has two addresses.
    optional: HashSet<String>,
}

/// Where calendars are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CalendarPlace {
    /// A collection of calendars.
    Home(Url),
    /// One calendar.
    Calendar(Url),
}

impl CalendarPlace {
    fn url(&self) -> &Url {
        match self {
            CalendarPlace::Home(url) | CalendarPlace::Calendar(url) => url,
        }
    }
}

/// The calendars of an account now.
#[derive(Debug, Default)]
pub struct Listing {
    pub calendars: Vec<ListedAt>,
    /// By key of the href: the status that a server gave instead of saying whether a calendar is there.
    pub unclear: HashMap<String, u16>,
    /// A server did not list everything.
    pub is_cut: bool,
    /// The server's clock.
    pub server_now: Option<UtcMillis>,
}

/// What is at a URL.
struct DiscoveredAt {
    /// Redirections followed.
    url: Url,
    found: Discovered,
}

/// A calendar and its URL.
#[derive(Clone, Debug)]
pub struct ListedAt {
    pub listed: ListedCalendar,
    pub url: Url,
}

impl ListedAt {
    /// Its name; the last part of its path where it has none.
    pub fn name(&self) -> String {
        self.listed.name.clone().unwrap_or_else(|| href::last_segment(&self.listed.href))
    }
}

impl Account {
    /// Finds the account at `start`: a server, a principal, a home or one calendar. What `start` names is what is
    /// found; the account of the login is looked for only if `start` belongs to no user, or is not WebDAV at all.
    ///
    /// # Errors
    /// [`CaldavError::NothingFound`] when there is none; the server's no at `start`; or the error of a request.
    pub async fn discover(dav: &DavClient, start: &Url) -> Result<Account, CaldavError> {
        let (mut asked, mut elsewhere) = (Vec::new(), None);
        for candidate in candidates(start) {
            let is_named = candidate == *start && !names_no_user(start);
            let found = match ask(dav, &candidate).await {
                Ok(there) => match account_at(dav, &candidate, there, is_named).await {
                    // There is something, and what it is will be known later.
                    Err(error) if error.is_transient() => return Err(error),
                    account => account,
                },
                Err(error) => Err(error),
            };
            match found {
                Ok(Some(account)) => return Ok(account),
                Ok(None) if !is_named => {}
                Err(error) if is_named && !error.is_no_dav() => return Err(error),
                Err(error @ (CaldavError::Redirected { .. } | CaldavError::Unencrypted { .. })) => {
                    elsewhere = Some(error)
                }
                Err(error) if error.is_wrong_address() => {}
                Err(error) => return Err(error),
                Ok(None) => {
                    asked.push(candidate.path().to_owned());
                    break;
                }
            }
            asked.push(candidate.path().to_owned());
        }
        let nothing = || CaldavError::NothingFound { url: start.to_string(), asked: asked.join(", ") };
        Err(elsewhere.unwrap_or_else(nothing))
    }

    /// Whether this is the account `other`, perhaps at another address: the homes of the same principal, or at least
    /// one place of both.
    pub fn is(&self, other: &Account) -> bool {
        let is_same = |(one, other): (&Url, &Url)| href::key(one.path()) == href::key(other.path());
        let is_shared = |mine: &CalendarPlace| other.places.iter().any(|theirs| is_same((mine.url(), theirs.url())));
        self.of.as_ref().zip(other.of.as_ref()).is_some_and(is_same) || self.places.iter().any(is_shared)
    }

    /// Where its calendars are, a URL.
    pub fn place(&self) -> String {
        self.places.first().map(|place| place.url().to_string()).unwrap_or_default()
    }

    /// Whether `owner`, the href of a principal, is that of the user whose places these are: their principal, or one
    /// whose last segment the places have too.
    pub fn is_named_by(&self, owner: &str) -> bool {
        let name = href::last_segment(owner);
        let has_name = |place: &CalendarPlace| href::key(place.url().path()).split('/').any(|segment| segment == name);
        let is_principal = |of: &Url| href::key(of.path()) == href::key(owner);
        self.of.as_ref().is_some_and(is_principal) || self.places.iter().any(has_name)
    }

    /// What to call it in a sentence.
    pub fn address(&self) -> String {
        self.of.as_ref().or(self.places.first().map(CalendarPlace::url)).map(Url::to_string).unwrap_or_default()
    }

    /// Lists the calendars: one request for each place.
    ///
    /// # Errors
    /// The error of a request; [`CaldavError::NotFound`] when the one calendar is no calendar any more.
    pub async fn list(&mut self, dav: &DavClient) -> Result<Listing, CaldavError> {
        let mut listing = Listing::default();
        let mut seen = HashSet::new();
        for place in &self.places {
            let (url, depth) = match place {
                CalendarPlace::Home(url) => (url, "1"),
                CalendarPlace::Calendar(url) => (url, "0"),
            };
            let collector = || find_calendars::CalendarCollector::new(dav.limits());
            let answer = dav.multistatus(find_calendars::request(url, depth), collector).await?;
            let Multistatus { origin, found } = answer.unless_refused()?;
            unless_stripped_all(dav, &origin.url, depth, &found.calendars, &mut self.optional).await?;
            let is_vague = found.is_cut || !found.unclear.is_empty();
            if depth == "0" && found.calendars.is_empty() && !is_vague {
                return Err(CaldavError::NotFound { url: url.to_string(), status: 404 });
            }
            listing.is_cut |= found.is_cut;
            listing.unclear.extend(found.unclear.into_iter().map(|(href, status)| (href::key(&href), status)));
            listing.server_now = listing.server_now.or(origin.date);
            for mut listed in found.calendars {
                // Asked by itself, a calendar has said all that it has to say.
                listed.lists_zone |= depth == "0";
                let Some(url) = href::resolve(&origin.url, &listed.href) else { continue };
                if seen.insert(href::key(&listed.href)) {
                    listing.calendars.push(ListedAt { listed, url });
                }
            }
        }
        Ok(listing)
    }

    /// Whether the calendar at `href` would be listed if it were there.
    pub fn lists(&self, href: &str) -> bool {
        let key = href::key(href);
        self.places.iter().any(|place| match place {
            CalendarPlace::Home(url) => {
                key.strip_prefix(&href::key(url.path())).is_some_and(|rest| rest.starts_with('/'))
            }
            CalendarPlace::Calendar(url) => key == href::key(url.path()),
        })
    }
}

/// The URLs to ask: the given one, and if that is no WebDAV, the well-known one and those that are common.
fn candidates(start: &Url) -> Vec<Url> {
    let mut all = vec![start.clone()];
    let below = format!("{}/", start.path().trim_end_matches('/'));
    for path in
        std::iter::once(format!("/{WELL_KNOWN}")).chain(CONTEXTS.iter().map(|context| format!("{below}{context}")))
    {
        let mut url = start.clone();
        url.set_query(None);
        url.set_path(&path);
        if !all.contains(&url) {
            all.push(url);
        }
    }
    all
}

fn is_root(url: &Url) -> bool {
    matches!(url.path(), "" | "/")
}

/// Whether a URL belongs to the server and not to a user: the root, or a path at which CalDAV is commonly found.
fn names_no_user(url: &Url) -> bool {
    let path = url.path().trim_matches('/');
    let common = CONTEXTS.iter().map(|context| context.trim_end_matches('/'));
    is_root(url) || path == WELL_KNOWN || common.into_iter().any(|context| path == context)
}

/// What is at `url`.
///
/// # Errors
/// That of the request; the server's no, also where a multistatus says it.
async fn ask(dav: &DavClient, url: &Url) -> Result<DiscoveredAt, CaldavError> {
    let answer = dav.multistatus(discovery::request(url), discovery::DiscoveryCollector::default).await?;
    let Multistatus { origin, found } = answer.unless_refused()?;
    Ok(DiscoveredAt { url: origin.url, found })
}

/// Refuses a response from `asked`, where it calls that path `given` without a prefix of it, and nothing is at `href`,
/// which it names without the prefix too. A prefix that may be there or not is added to `optional`, and is not asked
/// about again.
///
/// # Errors
/// [`CaldavError::Stripped`]; that of the request to `href`, which is made only where a prefix is missing, unless it
/// says that nothing is there.
async fn unless_stripped(
    dav: &DavClient,
    asked: &Url,
    given: &str,
    href: &str,
    optional: &mut HashSet<String>,
) -> Result<(), CaldavError> {
    let Some(prefix) = href::lacks_prefix(asked.path(), given) else { return Ok(()) };
    let Some(url) = href::resolve(asked, href).filter(|_| !optional.contains(&prefix)) else { return Ok(()) };
    let says_nothing = |error: &CaldavError| {
        // Something that knows no WebDAV says so with a 501 as well, at any time.
        let is_for_now = error.is_transient() && !error.is_no_dav();
        is_for_now || !(error.is_wrong_address() || matches!(error, CaldavError::Unauthorized { .. }))
    };
    match ask(dav, &url).await {
        Ok(_) => {
            optional.insert(prefix);
            Ok(())
        }
        Err(error) if says_nothing(&error) => Err(error),
        Err(_) => Err(CaldavError::Stripped { url: asked.to_string(), href: href.to_owned(), prefix }),
    }
}

/// The same of `calendars`, listed in the response from `asked`: the first that lacks a prefix stands for all.
///
/// # Errors
/// As for [`unless_stripped`].
async fn unless_stripped_all(
    dav: &DavClient,
    asked: &Url,
    depth: &str,
    calendars: &[ListedCalendar],
    optional: &mut HashSet<String>,
) -> Result<(), CaldavError> {
    let given = |listed: &ListedCalendar| match depth {
        "0" => listed.href.clone(),
        _ => href::folder(&listed.href).to_owned(),
    };
    // A home that is a calendar lists itself.
    let is_asked = |listed: &ListedCalendar| href::key(&listed.href) == href::key(asked.path());
    let lacks =
        |listed: &ListedCalendar| !is_asked(listed) && href::lacks_prefix(asked.path(), &given(listed)).is_some();
    match calendars.iter().find(|listed| lacks(listed)) {
        Some(listed) => unless_stripped(dav, asked, &given(listed), &listed.href, optional).await,
        None => Ok(()),
    }
}

/// The account that `there` belongs to, which `asked` led to; none where it leads nowhere. Where `asked` `is_named`, it
/// is what is there and nothing else.
async fn account_at(
    dav: &DavClient,
    asked: &Url,
    there: DiscoveredAt,
    is_named: bool,
) -> Result<Option<Account>, CaldavError> {
    let DiscoveredAt { url, found } = there;
    let mut optional = HashSet::new();
    unless_stripped(dav, &url, &found.href, &found.href, &mut optional).await?;
    if is_named && !href::is_same_below(asked, &url) && !href::holds(asked.path(), url.path()) {
        return Err(CaldavError::Moved { url: asked.to_string(), to: url.to_string() });
    }
    let login = found.principal.as_deref().and_then(|principal| href::resolve(&url, principal));
    let is_login = login.as_ref().is_some_and(|login| href::key(login.path()) == href::key(url.path()));
    let own = match &login {
        Some(login) if !is_login => match ask(dav, login).await {
            Ok(found) => Some(found),
            Err(error) if error.is_wrong_address() => None,
            Err(error) => return Err(error),
        },
        _ => None,
    };
    let addresses = own.as_ref().map_or(&found.addresses, |own| &own.found.addresses).clone();
    let is_in_home = |own: &DiscoveredAt| {
        let homes = own.found.homes.iter().filter_map(|home| href::resolve(&own.url, home));
        homes.into_iter().any(|home| is_at_or_below(&home, &url))
    };
    let is_of_login = own.as_ref().is_none_or(is_in_home);
    let account = |of: Option<Url>, places| Account {
        is_of_login: is_of_login || of == login,
        addresses_there: found.addresses.clone(),
        principal: login.clone(),
        addresses,
        of,
        places,
        optional,
    };
    if found.is_calendar {
        return Ok(Some(account(None, vec![CalendarPlace::Calendar(url)])));
    }
    let here = places(&url, &found.homes)?;
    if is_login || found.is_principal || here.contains(&CalendarPlace::Home(url.clone())) {
        return Ok(Some(account(Some(url), here)).filter(|account| !account.places.is_empty()));
    }
    if !is_root(&url) && has_calendars(dav, &url).await? {
        // A home; perhaps another user's, which no principal of this user names.
        return Ok(Some(account(None, vec![CalendarPlace::Home(url)])));
    }
    let theirs = match &own {
        Some(own) if here.is_empty() => places(&own.url, &own.found.homes)?,
        _ => here,
    };
    // A folder without calendars is the server's where the account of the login lies below it. Any other one is perhaps
    // the empty home of another user.
    if is_named && !theirs.iter().map(CalendarPlace::url).chain(&login).any(|at| href::holds(url.path(), at.path())) {
        return Ok(None);
    }
    Ok(Some(account(login.clone(), theirs)).filter(|account| !account.places.is_empty()))
}

/// Whether `url` is that of `home`, or of something in it.
fn is_at_or_below(home: &Url, url: &Url) -> bool {
    href::key(home.path()) == href::key(url.path()) || href::holds(home.path(), url.path())
}

/// The homes that are on this server.
fn places(base: &Url, homes: &[String]) -> Result<Vec<CalendarPlace>, CaldavError> {
    let mut places = Vec::new();
    for home in homes {
        let place = href::resolve(base, home).map(CalendarPlace::Home);
        places.extend(place.filter(|place| !places.contains(place)));
    }
    match homes.first() {
        Some(elsewhere) if places.is_empty() => {
            Err(CaldavError::Redirected { url: base.to_string(), to: elsewhere.clone() })
        }
        _ => Ok(places),
    }
}

async fn has_calendars(dav: &DavClient, url: &Url) -> Result<bool, CaldavError> {
    let collector = || find_calendars::CalendarCollector::new(dav.limits());
    let listed = match dav.multistatus(find_calendars::request(url, "1"), collector).await {
        Ok(answer) => answer.found.ok(),
        Err(error @ CaldavError::Xml { .. }) => return Err(error),
        Err(error) if error.is_wrong_address() => None,
        Err(error) => return Err(error),
    };
    Ok(listed.is_some_and(|listed| !listed.calendars.is_empty()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use reqwest::Url;

    use super::{Account, CalendarPlace, candidates};

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn what_is_asked_in_which_order() {
        let at = |start: &str| candidates(&url(start)).iter().map(|url| url.path().to_owned()).collect::<Vec<_>>();
        assert_eq!(at("https://host")[..3], ["/", "/.well-known/caldav", "/remote.php/dav/"]);
        assert_eq!(
            at("https://host/cloud?x")[..4],
            ["/cloud", "/.well-known/caldav", "/cloud/", "/cloud/remote.php/dav/"]
        );
    }

    #[test]
    fn which_calendars_belong_to_a_home() {
        let account = |place| Account {
            principal: None,
            addresses: Vec::new(),
            addresses_there: Vec::new(),
            is_of_login: true,
            of: None,
            places: vec![place],
            optional: HashSet::new(),
        };
        let home = account(CalendarPlace::Home(url("https://host/cal/mary%40x/")));
        assert!(home.lists("/cal/mary@x/work/") && !home.lists("/cal/mary@xy/work/") && !home.lists("/cal/mary@x/"));
        let one = account(CalendarPlace::Calendar(url("https://host/cal/mary/work/")));
        assert!(one.lists("/cal/mary/work") && !one.lists("/cal/mary/home/"));
    }

    #[test]
    fn whose_principal_is_that_of_the_places() {
        let of = |principal: Option<&str>, place: &str| Account {
            principal: Some(url("https://host/principals/admin/")),
            addresses: Vec::new(),
            addresses_there: Vec::new(),
            is_of_login: false,
            of: principal.map(url),
            places: vec![CalendarPlace::Home(url(place))],
            optional: HashSet::new(),
        };
        let home = of(None, "https://host/cal/mary%40x/");
        assert!(home.is_named_by("/principals/mary@x/") && !home.is_named_by("/principals/mary/"));
        let principal = of(Some("https://host/p/17/"), "https://host/cal/17-home/");
        assert!(principal.is_named_by("/p/17") && !principal.is_named_by("/p/18/"));
    }
}
