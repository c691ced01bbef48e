//! What the server answers: WebDAV as far as it is asked for, and the lies in it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::{Hash as _, Hasher as _};

use super::lies::{Kind, Lie};
use super::{Collection, Manner, Resource, Server};
use crate::scripted::{Asked, Reply};
use crate::simulation::walls::http_date_of as http_date;

/// Where an answer comes from.
struct Place<'a> {
    user: &'a str,
    calendar: &'a str,
    /// The calendar as the answer shows it.
    collection: &'a Collection,
    lies: &'a [&'a Lie],
}

impl Server {
    /// Answers a request of somebody who is logged in as `login`, at `now` (UTC milliseconds).
    pub fn answer(&mut self, asked: &Asked, login: &str, now: i64) -> Reply {
        let path: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
        let reply = match (path.as_slice(), asked.method.as_str()) {
            ([""], "PROPFIND") => self.principal("/", login),
            (["p", user], "PROPFIND") => self.principal(&format!("/p/{user}/"), user),
            (["cal", user], "PROPFIND") => self.home(asked, user, now),
            (["cal", user, calendar], _) => self.calendar(asked, user, calendar, now),
            (["cal", user, calendar, name], "GET") => self.object(user, calendar, name),
            _ => Reply::status(404),
        };
        reply.header("Date", &http_date(now + self.skew))
    }

    /// What somebody who lies to all requests of the user answers.
    fn refusal(&self, user: &str) -> Option<Reply> {
        let of_user = self.lies.iter().filter(|lie| lie.user == user && lie.calendar.is_none());
        let reply = |lie: &Lie| match lie.kind {
            Kind::Status(status) => Some(Reply::status(status)),
            Kind::HangsUp => Some(Reply::hang_up()),
            Kind::TimesOut => Some(Reply::hang_up().header("In-Time", "no")),
            Kind::NoHome(status, false) => Some(Reply::status(status)),
            Kind::NoHome(status, true) => Some(Reply::multistatus(&gone(&format!("/cal/{user}/"), status))),
            _ => None,
        };
        of_user.filter_map(reply).next()
    }

    fn principal(&self, href: &str, user: &str) -> Reply {
        if let Some(refusal) = self.refusal(user) {
            return refusal;
        }
        let props = format!(
            "<D:resourcetype><D:collection/></D:resourcetype>\
             <D:current-user-principal><D:href>/p/{user}/</D:href></D:current-user-principal>\
             <C:calendar-home-set><D:href>/cal/{user}/</D:href></C:calendar-home-set>"
        );
        Reply::multistatus(&response(href, &props))
    }

    fn home(&mut self, asked: &Asked, user: &str, now: i64) -> Reply {
        if let Some(refusal) = self.refusal(user) {
            return refusal;
        }
        let Some(home) = self.homes.get(user).cloned() else { return Reply::status(404) };
        let mut inside = response(
            &format!("/cal/{user}/"),
            &format!(
                "<D:resourcetype><D:collection/></D:resourcetype><D:displayname>{user}</D:displayname>\
                 <C:calendar-home-set><D:href>/cal/{user}/</D:href></C:calendar-home-set>"
            ),
        );
        if asked.header("depth") == Some("0") {
            return Reply::multistatus(&inside);
        }
        let of_user: Vec<Lie> = self.lies.iter().filter(|lie| lie.user == user).cloned().collect();
        if of_user.iter().any(|lie| matches!(lie.kind, Kind::Empty)) {
            return Reply::multistatus(&inside);
        }
        let cut =
            of_user.iter().filter_map(|lie| if let Kind::Cut(after) = lie.kind { Some(after) } else { None }).min();
        for (name, collection) in home.iter().take(cut.unwrap_or(usize::MAX)) {
            let lies: Vec<&Lie> = of_user.iter().filter(|lie| lie.is_of(user, name)).collect();
            if lies.iter().all(|lie| !matches!(lie.kind, Kind::Hidden(_))) {
                let collection = shown(collection, &lies);
                inside += &self.listed(&Place { user, calendar: name, collection, lies: &lies }, now);
            }
        }
        if cut.is_some() {
            inside += &gone(&format!("/cal/{user}/"), 507);
        }
        Reply::multistatus(&inside)
    }

    /// The properties of a calendar.
    fn listed(&mut self, place: &Place<'_>, now: i64) -> String {
        let Place { user, calendar, collection, lies } = place;
        let mut props = format!("<D:displayname>{calendar}</D:displayname>");
        if let Some(token) = self.token(collection, now) {
            let _ = write!(props, "<D:sync-token>{token}</D:sync-token>");
        }
        if let Some(ctag) = self.ctag(collection) {
            let _ = write!(props, "<S:getctag>{ctag}</S:getctag>");
        }
        if self.identifies {
            let (identity, made) = (collection.identity, http_date(collection.made));
            let _ = write!(props, "<D:resource-id><D:href>urn:uuid:{identity:032x}</D:href></D:resource-id>");
            let _ = write!(props, "<D:creationdate>{made}</D:creationdate>");
        }
        if let Some(zone) = collection.zone {
            let _ = write!(props, "<C:calendar-timezone-id>{zone}</C:calendar-timezone-id>");
        }
        let kind = "<D:resourcetype><D:collection/><C:calendar/></D:resourcetype>";
        let untyped =
            lies.iter().find_map(|lie| if let Kind::Untyped(status) = lie.kind { Some(status) } else { None });
        let href = format!("/cal/{user}/{calendar}/");
        match untyped {
            None => response(&href, &format!("{kind}{props}")),
            Some(status) => {
                let kind = format!("<D:propstat><D:prop><D:resourcetype/></D:prop>{}</D:propstat>", code(status));
                response(&href, &props).replace("</D:response>", &format!("{kind}</D:response>"))
            }
        }
    }

    fn token(&mut self, collection: &Collection, now: i64) -> Option<String> {
        match self.manner {
            Manner::Counter => Some(format!("http://sabre.io/ns/sync/{}", collection.version)),
            Manner::Full => Some(format!("data:,{}", collection.version)),
            Manner::Seconds => Some(collection.second.to_string()),
            Manner::Hash => {
                let mut hash = DefaultHasher::new();
                (collection.identity, collection.version).hash(&mut hash);
                collection.objects.iter().for_each(|(name, resource)| (name, &resource.etag).hash(&mut hash));
                let token = format!("http://radicale.org/ns/sync/{:016x}", hash.finish());
                self.issued.insert(token.clone(), collection.version);
                Some(token)
            }
            Manner::Ctag | Manner::Bare => None,
        }
        .filter(|_| now > 0)
    }

    fn ctag(&self, collection: &Collection) -> Option<String> {
        match self.manner {
            Manner::Bare | Manner::Hash => None,
            Manner::Seconds => Some(collection.second.to_string()),
            _ => Some(format!("\"{}\"", collection.version)),
        }
    }

    fn calendar(&mut self, asked: &Asked, user: &str, calendar: &str, now: i64) -> Reply {
        if let Some(refusal) = self.refusal(user) {
            return refusal;
        }
        let lies: Vec<Lie> = self.lies.iter().filter(|lie| lie.is_of(user, calendar)).cloned().collect();
        let lies: Vec<&Lie> = lies.iter().collect();
        let says_no = |lie: &&Lie| match lie.kind {
            Kind::Closed(status) | Kind::Hidden(status @ 400..) => Some(status),
            Kind::Empty => Some(404),
            _ => None,
        };
        if let Some(status) = lies.iter().find_map(says_no) {
            return Reply::status(status);
        }
        let Some(collection) = self.collection(user, calendar).cloned() else { return Reply::status(404) };
        let given = given(&collection, &lies);
        let collection = shown(&collection, &lies);
        let place = Place { user, calendar, collection, lies: &lies };
        let mut reply = match asked.method.as_str() {
            "PROPFIND" if asked.header("depth") == Some("0") => Reply::multistatus(&self.listed(&place, now)),
            "PROPFIND" => self.members(&place, now),
            "REPORT" if asked.body.contains("sync-collection") => self.changes(asked, &place, now),
            "REPORT" if asked.body.contains("calendar-multiget") => {
                multiget(asked, &Place { collection: &given, ..place }, &mut self.given, self.skew)
            }
            _ => Reply::status(405),
        };
        if lies.iter().any(|lie| matches!(lie.kind, Kind::Torn)) && reply.body.len() > 200 {
            let keep = 120 + self.chance.below(reply.body.len() - 150);
            reply.body.truncate(keep);
        }
        reply
    }

    fn members(&mut self, place: &Place<'_>, now: i64) -> Reply {
        let mut inside = self.listed(place, now);
        let short = place.lies.iter().any(|lie| matches!(lie.kind, Kind::Short));
        let all = place.collection.objects.len();
        for (name, resource) in place.collection.objects.iter().take(if short { all / 2 } else { all }) {
            inside += &member(place, name, resource);
        }
        if short {
            inside += &gone(&format!("/cal/{}/{}/", place.user, place.calendar), 507);
        }
        Reply::multistatus(&inside)
    }

    fn changes(&mut self, asked: &Asked, place: &Place<'_>, now: i64) -> Reply {
        let asked = between(&asked.body, "sync-token>", "<").next().unwrap_or_default();
        let collection = place.collection;
        let Some(mut token) = self.token(collection, now) else {
            return Reply::status(403).body("<D:error xmlns:D='DAV:'><D:supported-report/></D:error>");
        };
        let number = |token: &str| token.rsplit(['/', ',']).next().and_then(|n| n.parse::<u64>().ok());
        let since = match self.manner {
            Manner::Hash => match self.issued.get(asked) {
                Some(version) if *version <= collection.version || asked.is_empty() => Some(*version),
                _ => return Reply::status(403).body("<D:error xmlns:D='DAV:'><D:valid-sync-token/></D:error>"),
            },
            Manner::Full => number(asked).filter(|version| *version <= collection.version),
            _ => number(asked),
        };
        if self.manner == Manner::Counter && since.is_some_and(|since| since > collection.version) {
            asked.clone_into(&mut token);
        }
        if self.manner == Manner::Seconds && collection.second == (now + self.skew).div_euclid(1_000) {
            token = (collection.second - 1).to_string();
        }
        let is_new = |logged: &&super::Logged| match (self.manner, since) {
            (_, None) => true,
            (Manner::Seconds, Some(since)) => logged.second.unsigned_abs() > since,
            (_, Some(since)) => logged.version > since,
        };
        let mut names: Vec<&String> = collection.log.iter().filter(is_new).map(|logged| &logged.name).collect();
        names.sort_unstable();
        names.dedup();
        let mut inside = format!("<D:sync-token>{token}</D:sync-token>");
        for name in names {
            match collection.objects.get(name) {
                Some(resource) => inside += &member(place, name, resource),
                // Who gives everything does not say what is gone.
                None if since.is_none() => {}
                None => inside += &gone(&format!("/cal/{}/{}/{name}", place.user, place.calendar), 404),
            }
        }
        Reply::multistatus(&inside)
    }

    fn object(&mut self, user: &str, calendar: &str, name: &str) -> Reply {
        if let Some(refusal) = self.refusal(user) {
            return refusal;
        }
        let lies: Vec<Lie> = self.lies.iter().filter(|lie| lie.is_of(user, calendar)).cloned().collect();
        let lies: Vec<&Lie> = lies.iter().collect();
        let says_no = |lie: &&&Lie| matches!(lie.kind, Kind::Closed(_) | Kind::Hidden(400..) | Kind::Empty);
        if let Some(lie) = lies.iter().find(says_no) {
            return Reply::status(if let Kind::Closed(status) | Kind::Hidden(status) = lie.kind {
                status
            } else {
                404
            });
        }
        let Some(collection) = self.homes.get(user).and_then(|home| home.get(calendar)) else {
            return Reply::status(404);
        };
        let given = given(collection, &lies);
        let place = Place { user, calendar, collection: &given, lies: &lies };
        match content(&place, name, &mut self.given) {
            Ok((etag, text, resource)) => Reply::status(200)
                .header("Content-Type", "text/calendar; charset=utf-8")
                .header("ETag", &etag)
                .header("Last-Modified", &http_date(resource.written + self.skew))
                .body(text),
            Err(status) => Reply::status(status),
        }
    }
}

/// A calendar as listings and reports show it.
fn shown<'a>(collection: &'a Collection, lies: &[&'a Lie]) -> &'a Collection {
    let past = lies.iter().find_map(|lie| if let Kind::Lags(past) = &lie.kind { Some(&**past) } else { None });
    past.unwrap_or(collection)
}

/// A calendar as its objects are given. What has another text now under the same entity tag is not given as it was:
/// nobody could tell.
fn given<'a>(collection: &'a Collection, lies: &[&'a Lie]) -> Cow<'a, Collection> {
    let past = lies.iter().find_map(|lie| match &lie.kind {
        Kind::Lags(past) | Kind::Behind(past) => Some(&**past),
        _ => None,
    });
    let Some(past) = past else { return Cow::Borrowed(collection) };
    let mut given = past.clone();
    for (name, resource) in &mut given.objects {
        match collection.objects.get(name) {
            Some(now) if now.etag == resource.etag => resource.clone_from(now),
            _ => {}
        }
    }
    Cow::Owned(given)
}

/// An object's entity tag and text; else the status that it has instead.
fn content<'a>(
    place: &Place<'a>,
    name: &str,
    given: &mut BTreeMap<String, String>,
) -> Result<(String, String, &'a Resource), u16> {
    let resource = place.collection.objects.get(name).ok_or(404_u16)?;
    let (etag, mut text) = (resource.etag.clone(), resource.text.clone());
    let href = format!("/cal/{}/{}/{name}", place.user, place.calendar);
    for lie in place.lies.iter().filter(|lie| lie.is_about(resource)) {
        match &lie.kind {
            Kind::Missing { status, .. } => return Err(*status),
            Kind::Half => text.truncate(text.len() / 2),
            // Who does not know the text before has nothing to tell by that it is no news.
            Kind::Stale => match &resource.before {
                Some((_, before)) if given.get(&href) == Some(before) => text.clone_from(before),
                _ => {}
            },
            _ => {}
        }
    }
    given.insert(href, text.clone());
    Ok((etag, text, resource))
}

fn multiget(asked: &Asked, place: &Place<'_>, given: &mut BTreeMap<String, String>, skew: i64) -> Reply {
    let mut inside = String::new();
    let silent = |lie: &&Lie| matches!(lie.kind, Kind::Missing { silent: true, .. });
    for href in between(&asked.body, "href>", "<").filter(|href| !href.is_empty()) {
        let name = href.rsplit('/').next().unwrap_or_default();
        match content(place, name, given) {
            Ok((etag, text, resource)) => {
                let text = text.replace('&', "&amp;").replace('<', "&lt;");
                let written = http_date(resource.written + skew);
                let props = format!(
                    "<D:getetag>{etag}</D:getetag><D:getlastmodified>{written}</D:getlastmodified>\
                     <C:calendar-data>{text}</C:calendar-data>"
                );
                inside += &response(href, &props);
            }
            Err(_) if place.lies.iter().any(silent) => {}
            Err(status) => inside += &gone(href, status),
        }
    }
    Reply::multistatus(&inside)
}

fn member(place: &Place<'_>, name: &str, resource: &Resource) -> String {
    let props = format!("<D:getetag>{}</D:getetag><D:resourcetype/>", resource.etag);
    response(&format!("/cal/{}/{}/{name}", place.user, place.calendar), &props)
}

fn response(href: &str, props: &str) -> String {
    let code = code(200);
    format!("<D:response><D:href>{href}</D:href><D:propstat><D:prop>{props}</D:prop>{code}</D:propstat></D:response>")
}

fn gone(href: &str, status: u16) -> String {
    format!("<D:response><D:href>{href}</D:href>{}</D:response>", code(status))
}

fn code(status: u16) -> String {
    format!("<D:status>HTTP/1.1 {status} Said</D:status>")
}

/// What stands between each `begin` and the `end` after it.
fn between<'a>(text: &'a str, begin: &'a str, end: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(begin).skip(1).filter_map(move |rest| rest.split(end).next())
}
