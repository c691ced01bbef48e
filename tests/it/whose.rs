//! Whose account is watched: what the configured URL names, and never that of the login in its stead.

use std::sync::{Arc, Mutex};

use crate::account::{radicale, xandikos};
use crate::rehearsal::Stage;
use crate::scripted::{Asked, Reply, Scripted};
use crate::venv::Venv;
use crate::watch::{Watch, settings};

/// The login of these tests; what is bob's is not hers.
const ALICE: Option<(&str, &str)> = Some(("alice", "sesame"));

/// How a server says no.
#[derive(Clone, Copy, Debug, PartialEq)]
enum No {
    Status(u16),
    /// A multistatus in which each property has the status.
    Properties(u16),
    /// A multistatus that gives the resource as a whole the status.
    Response(u16),
    Html,
    Redirect(&'static str),
}

impl No {
    fn reply(self, path: &str) -> Reply {
        let props = "<D:resourcetype/><D:current-user-principal/><D:displayname/>";
        match self {
            No::Status(status) => Reply::status(status),
            No::Html => Reply::status(200).header("Content-Type", "text/html").body("<html>Log in</html>"),
            No::Redirect(to) => Reply::status(302).header("Location", to),
            No::Response(status) => Reply::multistatus(&format!(
                "<D:response><D:href>{path}</D:href><D:status>HTTP/1.1 {status} Said</D:status></D:response>"
            )),
            No::Properties(status) => Reply::multistatus(&format!(
                "<D:response><D:href>{path}</D:href><D:propstat><D:prop>{props}</D:prop>\
                 <D:status>HTTP/1.1 {status} Said</D:status></D:propstat></D:response>"
            )),
        }
    }
}

/// A server of alice and bob. Each has the principal `/principals/NAME/`, the home `/cal/NAME/` and there the calendar
/// `work`.
struct Server {
    scripted: Scripted,
    state: Arc<Mutex<State>>,
}

struct State {
    /// Paths that begin so are answered so.
    no: Vec<(String, No)>,
    /// Who is logged in, whatever the name.
    login: &'static str,
    /// Where homes are.
    homes: &'static str,
    /// Calendars of each home.
    calendars: Vec<&'static str>,
}

fn found(href: &str, props: &str) -> String {
    format!(
        "<D:response><D:href>{href}</D:href><D:propstat><D:prop>{props}</D:prop>\
         <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
    )
}

impl State {
    fn answer(&self, asked: &Asked) -> Reply {
        let path = asked.path.as_str();
        if let Some((_, no)) = self.no.iter().find(|(start, _)| path.starts_with(start)) {
            return no.reply(path);
        }
        let login = format!(
            "<D:current-user-principal><D:href>/principals/{}/</D:href></D:current-user-principal>",
            self.login
        );
        let folder = format!("<D:resourcetype><D:collection/></D:resourcetype>{login}");
        let calendar = format!("<D:resourcetype><D:collection/><C:calendar/></D:resourcetype>{login}");
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (&segments[..], asked.method.as_str()) {
            ([".well-known", "caldav"], _) => No::Redirect("/dav/").reply(path),
            (["" | "dav" | "cal" | "principals"], "PROPFIND") => Reply::multistatus(&found(path, &folder)),
            (["principals", name], "PROPFIND") => Reply::multistatus(&found(
                path,
                &format!(
                    "<D:resourcetype><D:principal/></D:resourcetype>{login}<C:calendar-home-set><D:href>{}{name}/</D:href>\
                     </C:calendar-home-set>",
                    self.homes
                ),
            )),
            ([_, name], "PROPFIND") if path.starts_with(self.homes) => {
                let inside = |work: &&str| found(&format!("{}{name}/{work}/", self.homes), &calendar);
                let inside = self.calendars.iter().filter(|_| asked.header("depth") == Some("1")).map(inside);
                Reply::multistatus(&(found(path, &folder) + &inside.collect::<String>()))
            }
            ([_, _, _], "PROPFIND") if path.starts_with(self.homes) => Reply::multistatus(&found(path, &calendar)),
            _ => Reply::status(404),
        }
    }
}

impl Server {
    fn start() -> Server {
        let state = State { no: Vec::new(), login: "alice", homes: "/cal/", calendars: vec!["work"] };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        Server { scripted: Scripted::start(move |asked| shared.lock().unwrap().answer(asked)), state }
    }

    fn with(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    fn no(&self, path: &str, no: No) {
        self.with(|state| state.no = vec![(path.to_owned(), no)]);
    }

    fn url(&self, path: &str) -> String {
        format!("{}{}", self.scripted.url, path.trim_start_matches('/'))
    }

    fn watch(&self, path: &str) -> Watch {
        Watch::of(&self.url(path), ALICE)
    }
}

#[test]
fn what_the_url_names_is_what_is_watched() {
    let server = Server::start();
    for (path, watched) in [
        ("/", "/cal/alice/work/"),
        ("/dav/", "/cal/alice/work/"),
        ("/cal", "/cal/alice/work/"),
        ("/principals/", "/cal/alice/work/"),
        ("/principals/alice/", "/cal/alice/work/"),
        ("/cal/alice/", "/cal/alice/work/"),
        ("/principals/bob/", "/cal/bob/work/"),
        ("/cal/bob", "/cal/bob/work/"),
        ("/cal/bob/work/", "/cal/bob/work/"),
    ] {
        let mut watch = server.watch(path);
        watch.sync();
        assert_eq!(watch.kept.hrefs(), [watched], "{path}");
        assert_eq!(watch.kept.calendar(watched).seen.user, "alice");
    }
}

#[test]
fn a_refused_url_never_becomes_the_logins_own_account() {
    let server = Server::start();
    let said = ["may not be read", "does not exist", "does not accept the login"];
    for path in ["/principals/bob/", "/cal/bob/", "/cal/bob/work/"] {
        for status in [401, 403, 404, 410] {
            for no in [No::Status(status), No::Properties(status), No::Response(status)] {
                server.no(path, no);
                server.scripted.asked();
                let mut watch = server.watch(path);
                let refused = watch.failure();
                assert!(refused.contains(path) && refused.contains(&status.to_string()), "{path} {no:?}: {refused}");
                assert!(said.iter().any(|said| refused.contains(said)), "{path} {no:?}: {refused}");
                assert!(watch.kept.hrefs().is_empty(), "{path} {no:?}");
                // Once without a login, and once with it.
                assert_eq!(server.scripted.lines(), [format!("PROPFIND {path}"), format!("PROPFIND {path}")], "{no:?}");
                let checked = watch.runtime.block_on(watch.source.check()).unwrap_err().to_string();
                assert_eq!(checked, refused);
                server.scripted.asked();
            }
        }
    }
    // A server's own trouble is no reason to look elsewhere either.
    server.no("/cal/bob/", No::Status(500));
    let failed = server.watch("/cal/bob/").failure();
    assert!(failed.contains("500"), "{failed}");
    assert_eq!(server.scripted.lines(), ["PROPFIND /cal/bob/"]);
}

#[test]
fn a_url_that_names_no_user_leads_to_the_login() {
    let server = Server::start();
    for (start, no) in [("/web", No::Status(405)), ("/cal/web/", No::Html), ("/cal/web/", No::Status(501))] {
        server.no(start, no);
        let mut watch = server.watch(start);
        watch.sync();
        assert_eq!(watch.kept.hrefs(), ["/cal/alice/work/"], "{start} {no:?}");
    }
}

#[test]
fn an_empty_home_of_another_is_no_reason_to_look_elsewhere() {
    let server = Server::start();
    server.with(|state| state.calendars.clear());
    let failed = server.watch("/cal/bob/").failure();
    assert!(failed.contains("no calendars were found") && failed.contains("/cal/bob/"), "{failed}");
    assert_eq!(server.watch("/cal/alice/").sync().calendars, 0, "her own home may be empty");
}

#[test]
fn a_redirection_does_not_lead_from_one_to_another() {
    let server = Server::start();
    for to in ["/cal/alice/", "/", "/dav/"] {
        server.no("/cal/bob/", No::Redirect(to));
        let failed = server.watch("/cal/bob/").failure();
        assert!(failed.contains("/cal/bob/ redirects to") && failed.contains("another user"), "{to}: {failed}");
    }
    // Nor later: what was bob's home is not alice's from now on.
    server.with(|state| state.no.clear());
    let mut watch = server.watch("/cal/bob/");
    watch.sync();
    server.no("/cal/bob/", No::Redirect("/cal/alice/"));
    let failed = watch.failure();
    assert!(failed.contains("/cal/bob/ redirects to"), "{failed}");
    assert_eq!(watch.kept.hrefs(), ["/cal/bob/work/"]);
    // What lies at the same path below another is the same.
    server.no("/old/cal/bob/", No::Redirect("/cal/bob/"));
    assert!(server.watch("/old/cal/bob/").failure().contains("redirects"));
    server.no("/principals/bob/", No::Redirect("/principals/bob"));
    server.with(|state| state.no.push(("/bob".to_owned(), No::Redirect("/cal/bob/"))));
    let mut watch = server.watch("/bob");
    watch.sync();
    assert_eq!(watch.kept.hrefs(), ["/cal/bob/work/"]);
}

#[test]
fn a_home_that_is_refused_later_is_a_sync_that_failed() {
    let server = Server::start();
    for (url, home) in [("/cal/bob/", "/cal/bob/"), ("/", "/cal/alice/"), ("/principals/bob/", "/cal/bob/")] {
        for status in [403, 404] {
            for no in [No::Status(status), No::Properties(status), No::Response(status)] {
                server.with(|state| state.no.clear());
                let mut watch = server.watch(url);
                watch.sync();
                let calendar = format!("{home}work/");
                server.no(home, no);
                for _ in 0..3 {
                    let failed = watch.failure();
                    assert!(failed.contains(home) && failed.contains(&status.to_string()), "{url} {no:?}: {failed}");
                    assert_eq!(watch.kept.hrefs(), [calendar.as_str()], "{url} {no:?}");
                    assert!(watch.kept.calendar(&calendar).absent_since.is_some(), "{url} {no:?}");
                }
                server.with(|state| state.no.clear());
                watch.sync();
                assert_eq!(watch.kept.hrefs(), [calendar.as_str()], "{url} {no:?}");
                assert!(watch.kept.calendar(&calendar).absent_since.is_none(), "{url} {no:?}");
            }
        }
    }
}

#[test]
fn the_account_moves_only_with_its_principal() {
    let server = Server::start();
    let mut watch = server.watch("/");
    watch.sync();
    // Another session's answer: the server takes her for bob.
    server.with(|state| state.login = "bob");
    server.no("/cal/alice/", No::Status(404));
    let failed = watch.failure();
    assert!(failed.contains("/principals/bob/") && failed.contains("/principals/alice/"), "{failed}");
    assert_eq!(watch.kept.hrefs(), ["/cal/alice/work/"]);
    // A new version of the server has the homes elsewhere.
    server.with(|state| {
        state.login = "alice";
        state.homes = "/calendars/";
    });
    watch.sync();
    assert!(watch.kept.hrefs().contains(&"/calendars/alice/work/".to_owned()), "{:?}", watch.kept.hrefs());
}

/// Looks at `path` of a real server, which must refuse it.
fn is_refused(server: &str, login: Option<(&str, &str)>, path: &str, user: &str) {
    let (mut source, settings) = settings(&format!("{}{}", server, path.trim_start_matches('/')), login);
    source.user = Some(user.to_owned());
    let mut watch = Watch::with(&source, &settings);
    let refused = watch.failure();
    assert!(refused.contains(path) && refused.contains("40"), "{path}: {refused}");
    assert!(watch.kept.hrefs().is_empty(), "{path}");
    assert!(watch.runtime.block_on(watch.source.check()).is_err(), "{path}");
}

#[test]
fn radicale_and_xandikos_refuse_and_nothing_else_is_watched() {
    let Some(venv) = Venv::or_skip() else { return };
    let (alice, bob) = (radicale(venv), radicale(venv));
    for path in [bob.home, bob.work, &format!("{}nothing/", bob.home), &format!("{}nothing/", alice.home)] {
        is_refused(&alice.url, alice.login, path, "alice");
    }
    let xandikos = xandikos(venv);
    let server = xandikos.url.strip_suffix(xandikos.home.trim_start_matches('/')).expect("a home's address");
    for path in ["/bob/", "/bob/calendars/", &format!("{}nothing/", xandikos.home)] {
        is_refused(server, None, path, "alice");
    }
    // A calendar that was there.
    let mut watch = Watch::of(&format!("{server}{}", xandikos.work.trim_start_matches('/')), None);
    watch.sync();
    xandikos.client.delete(xandikos.work);
    let refused = watch.failure();
    assert!(refused.contains(xandikos.work) && refused.contains("404"), "{refused}");
    assert_eq!(watch.kept.hrefs(), [xandikos.work]);
}

#[test]
fn a_redirection_to_another_server_is_reported_with_the_url_to_write() {
    let other = Scripted::start(|_| Reply::status(404));
    let elsewhere = format!("{}dav/", other.url);
    let to = elsewhere.clone();
    let server = Scripted::start(move |asked| match asked.path.as_str() {
        "/.well-known/caldav" => Reply::status(301).header("Location", &to),
        _ => Reply::status(404),
    });
    let mut watch = Watch::of(&server.url, ALICE);
    let told = format!("/.well-known/caldav redirects to {elsewhere}, where the login is not sent");
    let failed = watch.failure();
    assert!(failed.contains(&told) && failed.contains(&format!("write {elsewhere} as the source's url")), "{failed}");
    assert_eq!(watch.runtime.block_on(watch.source.check()).unwrap_err().to_string(), failed);
    assert!(other.asked().is_empty());
}

/// What `check` says of a source that `lines` describe, and its exit status.
fn checked(lines: &str) -> (String, Option<i32>) {
    let stage = Stage::new();
    let text = format!("[ledger]\nurl = \"sqlite://{}/ledger.db\"\n[[source]]\n{lines}", stage.path().display());
    std::fs::write(stage.path().join("reveille.toml"), text).unwrap();
    std::fs::create_dir(stage.path().join("empty")).unwrap();
    let output = stage.reveille(&["check"]);
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

#[test]
fn a_check_that_finds_nothing_to_watch_fails() {
    let server = Server::start();
    let caldav = |more: &str| format!("kind = \"caldav\"\nurl = \"{}\"\n{more}\n", server.url("/"));
    let (said, status) = checked(&caldav(""));
    assert!(said.contains("1 of 1 calendars watched") && status == Some(0), "{said}");
    let (said, status) = checked(&caldav("calendars = [\"Holidays\", \"School*\"]"));
    let told =
        "no calendar is watched: calendars = [\"Holidays\", \"School*\"] names none that could be; there are work";
    assert!(said.contains(told) && status == Some(1), "{said}");
    server.with(|state| state.calendars.clear());
    let (said, status) = checked(&caldav(""));
    let told = format!("no calendars were found at {}", server.url("/cal/alice/"));
    assert!(said.contains(&told) && status == Some(1), "{said}");
    let (said, status) = checked("kind = \"directory\"\npath = \"empty\"\n");
    assert!(said.contains("no calendars were found in ") && status == Some(1), "{said}");
    let (said, status) = checked("kind = \"directory\"\npath = \"watched\"\ncalendars = \"home\"\n");
    assert!(said.contains("calendars = [\"home\"] names none") && status == Some(1), "{said}");
}
