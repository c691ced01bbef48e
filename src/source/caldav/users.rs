//! The users of a server, as it lists them to an administrator. Servers differ in what they allow: some answer a search
//! for principals, some list their collection, and some only the collection that the homes are in.

use std::collections::BTreeSet;

use reqwest::Url;

use super::dav_client::DavClient;
use super::error::CaldavError;
use super::href;
use super::requests::principals::{self, AboutCollector, AboutPrincipals, ListedPrincipal, PrincipalCollector};
use crate::config::{LimitsConfig, UserListing};
use crate::http::{Hosts, HttpRequest};

/// Collections of principals that are asked.
const MAX_COLLECTIONS: usize = 4;
/// Users that one server may list.
const MAX_USERS: usize = 20_000;
/// Characters of a user's name.
const MAX_NAME: usize = 255;

/// Lists the users of one server.
#[derive(Debug)]
pub struct UserLister {
    dav: DavClient,
    url: Url,
}

/// What a server lists.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ListedUsers {
    /// The names of the users, in order, each once.
    pub users: Vec<String>,
    /// Principals that cannot be users here: their names stand in paths.
    pub left_out: usize,
}

impl UserLister {
    /// For what `listing` says. Nothing is sent yet.
    ///
    /// # Errors
    /// [`CaldavError::Settings`] when the URL cannot be used.
    pub fn new(listing: &UserListing, limits: &LimitsConfig, hosts: &Hosts) -> Result<UserLister, CaldavError> {
        let url = Url::parse(&listing.settings.url);
        let url = url.map_err(|why| CaldavError::Settings(format!("the source's url cannot be used: {why}")))?;
        let dav = DavClient::new(&url, &listing.settings, limits.responses).sharing(hosts, &url);
        Ok(UserLister { dav, url })
    }

    /// Resolves when the secret or a certificate is another one than the one that was used last.
    pub async fn changes(&self) {
        self.dav.http().changes().await;
    }

    /// Lists the users. Nothing counts that is listed by half.
    ///
    /// # Errors
    /// [`CaldavError`] when the server cannot be asked, names nobody besides the login itself, or too many.
    pub async fn list(&self) -> Result<ListedUsers, CaldavError> {
        let about = self.about().await?;
        let own = about.own.as_deref().map(href::last_segment).filter(|own| !own.is_empty());
        let mut found = FoundUsers { own, base: href::key(self.url.path()), ..FoundUsers::default() };
        let mut collections: Vec<Url> =
            about.collections.iter().filter_map(|collection| href::resolve(&self.url, collection)).collect();
        collections.truncate(MAX_COLLECTIONS);
        if collections.is_empty() {
            collections.push(self.url.clone());
        }
        found.add_all(self.ask_all(&collections, principals::search).await?, |_| true)?;
        if !found.has_others() {
            let keys: Vec<String> = collections.iter().map(|collection| href::key(collection.path())).collect();
            let is_inside = |one: &ListedPrincipal| one.is_principal && !keys.contains(&href::key(&one.href));
            found.add_all(self.ask_all(&collections, principals::list).await?, is_inside)?;
        }
        // What is beside principals is something else.
        let is_apart = collections.iter().all(|collection| href::key(collection.path()) != href::key(self.url.path()));
        if !found.has_others() && is_apart {
            let is_inside =
                |one: &ListedPrincipal| one.is_collection && href::key(&one.href) != href::key(self.url.path());
            found.add_all(self.ask_all(std::slice::from_ref(&self.url), principals::list).await?, is_inside)?;
        }
        if !found.has_others() {
            return Err(CaldavError::NoUsers { url: self.url.to_string() });
        }
        Ok(ListedUsers { users: found.users.into_iter().collect(), left_out: found.left_out.len() })
    }

    async fn about(&self) -> Result<AboutPrincipals, CaldavError> {
        match self.dav.multistatus(principals::about(&self.url), AboutCollector::default).await {
            Ok(response) => Ok(response.found),
            Err(error) if is_refusal(&error) => Ok(AboutPrincipals::default()),
            Err(error) => Err(error),
        }
    }

    /// What is listed in response to `request` for each of `collections`; nothing where the server allows it for none
    /// of them. What it allows for some would be a list by half.
    async fn ask_all(
        &self,
        collections: &[Url],
        request: fn(&Url) -> HttpRequest,
    ) -> Result<Vec<ListedPrincipal>, CaldavError> {
        let (mut listed, mut answered, mut refusal) = (Vec::new(), 0_usize, None);
        for collection in collections {
            match self.dav.multistatus(request(collection), PrincipalCollector::default).await {
                Ok(response) if response.found.is_cut => {
                    return Err(CaldavError::UsersCut { url: collection.to_string() });
                }
                Ok(response) => {
                    answered = answered.saturating_add(1);
                    listed.extend(response.found.principals);
                }
                Err(error) if is_refusal(&error) => refusal = Some(error),
                Err(error) => return Err(error),
            }
        }
        match refusal {
            Some(error) if answered > 0 => Err(error),
            _ => Ok(listed),
        }
    }
}

/// Whether the server says that it does not answer such a request.
fn is_refusal(error: &CaldavError) -> bool {
    error.is_refusal() || error.is_no_dav() || matches!(error, CaldavError::Status { status: 400..=499, .. })
}

/// The users so far.
#[derive(Debug, Default)]
struct FoundUsers {
    /// Who has logged in.
    own: Option<String>,
    /// The key of what homes are below.
    base: String,
    users: BTreeSet<String>,
    /// The hrefs of what cannot be a user here.
    left_out: BTreeSet<String>,
}

impl FoundUsers {
    /// Whether there is somebody besides the login itself.
    fn has_others(&self) -> bool {
        self.users.iter().any(|user| Some(user) != self.own.as_ref())
    }

    fn add_all(
        &mut self,
        listed: Vec<ListedPrincipal>,
        is_user: impl Fn(&ListedPrincipal) -> bool,
    ) -> Result<(), CaldavError> {
        for one in listed.into_iter().filter(is_user) {
            let name = href::last_segment(&one.href);
            let is_person = one.kind.as_ref().is_none_or(|kind| kind.eq_ignore_ascii_case("INDIVIDUAL"));
            if one.is_refused || !is_person || self.is_elsewhere(&one, &name) {
                continue;
            }
            if is_usable(&name) {
                self.users.insert(name);
            } else if self.left_out.len() <= MAX_USERS {
                self.left_out.insert(one.href);
            }
            if self.users.len() > MAX_USERS {
                return Err(CaldavError::TooManyUsers { limit: MAX_USERS });
            }
        }
        Ok(())
    }

    /// Whether the calendars of a principal are those of another one, as far as its homes tell: a server may name that
    /// of the login for all, or what is above all.
    fn is_elsewhere(&self, one: &ListedPrincipal, name: &str) -> bool {
        let is_own = |segment: &str| self.own.as_ref().is_some_and(|own| own == segment);
        let may_be = |home: &String| {
            let key = href::key(home);
            let below = key.strip_prefix(&self.base).unwrap_or(&key).trim_matches('/');
            below.is_empty() || below.split('/').any(|segment| segment == name || is_own(segment))
        };
        !one.homes.is_empty() && !one.homes.iter().any(may_be)
    }
}

/// Whether `name` can stand for a user in URLs and paths.
fn is_usable(name: &str) -> bool {
    let is_path = name.contains('/') || name.chars().all(|c| c == '.') || name.chars().any(char::is_control);
    !is_path && name.chars().count() <= MAX_NAME && !name.contains(char::REPLACEMENT_CHARACTER)
}
