//! Finding out where the calendars of an account are, from any of its URLs (RFC 6764, 6).

use std::collections::HashSet;

use reqwest::Url;

use super::error::CaldavError;
use super::href;
use super::http::Http;
use super::requests::calendars::{self, Listed};
use super::requests::discovery::{self, Found};
use crate::time::UtcMillis;

/// Where servers commonly have CalDAV when nothing at the address says so, in the order in which they are asked.
const CONTEXTS: [&str; 8] =
    ["", "remote.php/dav/", "dav/", "caldav/", "SOGo/dav/", "caldav.php/", "dav.php/", "server.php/"];

/// An account, as discovery found it.
#[derive(Clone, Debug)]
pub struct Account {
    /// The principal's URL, where there is one.
    pub principal: Option<Url>,
    /// The user's own addresses as the server knows them, bare.
    pub addresses: Vec<String>,
    pub places: Vec<Place>,
}

/// Where calendars are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A collection of calendars.
    Home(Url),
    /// One calendar.
    Calendar(Url),
}

/// The calendars of an account now.
#[derive(Debug)]
pub struct Listing {
    pub calendars: Vec<ListedAt>,
    /// The server's clock.
    pub server_now: Option<UtcMillis>,
}

/// A calendar and its URL.
#[derive(Clone, Debug)]
pub struct ListedAt {
    pub listed: Listed,
    pub url: Url,
}

impl ListedAt {
    /// Its name; the last part of its path where it has none.
    pub fn name(&self) -> String {
        self.listed.name.clone().unwrap_or_else(|| href::last_segment(&self.listed.href))
    }
}

impl Account {
    /// Finds the account at `start`: a server, a principal, a home or one calendar.
    ///
    /// # Errors
    /// [`CaldavError::NothingFound`] when there is none, or the error of a request.
    pub async fn discover(http: &Http, start: &Url) -> Result<Account, CaldavError> {
        let mut asked = Vec::new();
        for candidate in candidates(start) {
            match ask(http, &candidate).await {
                Ok(Some((url, found))) => {
                    if let Some(account) = account_at(http, url, found).await? {
                        return Ok(account);
                    }
                }
                Ok(None) => {}
                // What was a calendar yesterday must not become the whole account today.
                Err(missing @ CaldavError::NotFound { .. }) if asked.is_empty() && !is_root(start) => {
                    return Err(missing);
                }
                Err(error) if error.is_wrong_address() => {}
                Err(error) => return Err(error),
            }
            asked.push(candidate.path().to_owned());
        }
        Err(CaldavError::NothingFound { url: start.to_string(), asked: asked.join(", ") })
    }

    /// Lists the calendars: one request for each place.
    ///
    /// # Errors
    /// The error of a request; [`CaldavError::NotFound`] when the one calendar is no calendar any more.
    pub async fn list(&self, http: &Http) -> Result<Listing, CaldavError> {
        let mut listing = Listing { calendars: Vec::new(), server_now: None };
        let mut seen = HashSet::new();
        for place in &self.places {
            let (url, depth) = match place {
                Place::Home(url) => (url, "1"),
                Place::Calendar(url) => (url, "0"),
            };
            let answer = http.multistatus(calendars::request(url, depth)).await?;
            let listed = calendars::parse(answer.document()).map_err(|error| answer.error(error))?;
            let Some(listed) = listed.filter(|listed| depth == "1" || !listed.is_empty()) else {
                return Err(CaldavError::NotFound { url: url.to_string(), status: 404 });
            };
            listing.server_now = listing.server_now.or(answer.date);
            for listed in listed {
                let Some(url) = href::resolve(&answer.url, &listed.href) else { continue };
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
            Place::Home(url) => key.strip_prefix(&href::key(url.path())).is_some_and(|rest| rest.starts_with('/')),
            Place::Calendar(url) => key == href::key(url.path()),
        })
    }
}

/// The URLs to ask: the given one, and if that is no WebDAV, the well-known one and those that are common.
fn candidates(start: &Url) -> Vec<Url> {
    let mut all = vec![start.clone()];
    let below = format!("{}/", start.path().trim_end_matches('/'));
    let well_known = "/.well-known/caldav".to_owned();
    for path in std::iter::once(well_known).chain(CONTEXTS.iter().map(|context| format!("{below}{context}"))) {
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

async fn ask(http: &Http, url: &Url) -> Result<Option<(Url, Found)>, CaldavError> {
    let answer = http.multistatus(discovery::request(url)).await?;
    let found = discovery::parse(answer.document()).map_err(|error| answer.error(error))?;
    Ok(found.map(|found| (answer.url, found)))
}

/// The account that `found` at `url` belongs to; none where it leads nowhere.
async fn account_at(http: &Http, url: Url, found: Found) -> Result<Option<Account>, CaldavError> {
    let mut account = Account { principal: None, addresses: Vec::new(), places: Vec::new() };
    let mut homes = (url.clone(), found.homes);
    account.principal = found.principal.as_deref().and_then(|principal| href::resolve(&url, principal));
    match &account.principal {
        Some(principal) if href::key(principal.path()) != href::key(url.path()) => {
            let at_principal = match ask(http, principal).await {
                Ok(found) => found,
                Err(error) if error.is_wrong_address() => None,
                Err(error) => return Err(error),
            };
            if let Some((at, found)) = at_principal {
                account.addresses = found.addresses;
                if homes.1.is_empty() {
                    homes = (at, found.homes);
                }
            }
        }
        _ => account.addresses = found.addresses,
    }
    if found.is_calendar {
        account.places = vec![Place::Calendar(url)];
    } else if homes.0 == url && !homes.1.is_empty() {
        account.places = places(&homes)?;
    } else if !is_root(&url) && has_calendars(http, &url).await? {
        // A home; perhaps somebody else's, which no principal of this user names.
        account.places = vec![Place::Home(url)];
    } else {
        account.places = places(&homes)?;
    }
    Ok(Some(account).filter(|account| !account.places.is_empty()))
}

/// The homes that are on this server.
fn places((base, homes): &(Url, Vec<String>)) -> Result<Vec<Place>, CaldavError> {
    let mut places = Vec::new();
    for home in homes {
        let place = href::resolve(base, home).map(Place::Home);
        places.extend(place.filter(|place| !places.contains(place)));
    }
    match homes.first() {
        Some(elsewhere) if places.is_empty() => {
            Err(CaldavError::Redirected { url: base.to_string(), to: elsewhere.clone() })
        }
        _ => Ok(places),
    }
}

async fn has_calendars(http: &Http, url: &Url) -> Result<bool, CaldavError> {
    let listed = match http.multistatus(calendars::request(url, "1")).await {
        Ok(answer) => calendars::parse(answer.document()).map_err(|error| answer.error(error))?,
        Err(error) if error.is_wrong_address() => None,
        Err(error) => return Err(error),
    };
    Ok(listed.is_some_and(|listed| !listed.is_empty()))
}

#[cfg(test)]
mod tests {
    use reqwest::Url;

    use super::{Account, Place, candidates};

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
        let account = |place| Account { principal: None, addresses: Vec::new(), places: vec![place] };
        let home = account(Place::Home(url("https://host/cal/mary%40x/")));
        assert!(home.lists("/cal/mary@x/work/") && !home.lists("/cal/mary@xy/work/") && !home.lists("/cal/mary@x/"));
        let one = account(Place::Calendar(url("https://host/cal/mary/work/")));
        assert!(one.lists("/cal/mary/work") && !one.lists("/cal/mary/home/"));
    }
}
