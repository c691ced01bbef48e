//! Sources that are one for each user that their server lists.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reveille::clock::Clock;
use reveille::config::UserListing;
use reveille::http::Hosts;
use reveille::source::caldav::{CaldavError, ListedUsers, UserLister};

use crate::accounts::{SOON, calendars, logged, pairs, site, start, stored};
use crate::daemon::{Daemon, undisturbed};
use crate::debian::{CYRUS, DAVICAL, PASSWORD, SABRE, SOGO};
use crate::quirks::{found, status};
use crate::rehearsal::event;
use crate::scripted::{Asked, Reply, Scripted};
use crate::servers::Radicale;
use crate::venv::Venv;
use crate::watch::{limits, settings};

/// What the server at `url` lists to `login`.
fn listed(url: &str, login: (&str, &str)) -> Result<ListedUsers, CaldavError> {
    let (_, settings) = settings(url, Some(login));
    let listing = UserListing { source: "all".to_owned(), settings, interval: Duration::from_secs(1) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let lister = UserLister::new(&listing, &limits(), &Hosts::default()).unwrap();
    runtime.block_on(lister.list())
}

#[test]
fn real_servers_list_their_users_to_an_administrator() {
    // DAViCal answers a search, Cyrus lists its collection of principals.
    for (kind, path, admin) in [(&DAVICAL, "caldav.php/", "admin"), (&CYRUS, "dav/calendars/user/", "cyrus")] {
        let Some(server) = kind.server() else { continue };
        let users = listed(&format!("{}{path}", server.url()), (admin, PASSWORD)).unwrap().users;
        assert!(["user0", "user1", "user39"].iter().all(|user| users.contains(&(*user).to_owned())), "{users:?}");
        assert!(!users.contains(&"user".to_owned()), "{users:?}");
    }
    // Somebody who may not read others is told of nobody else, and SOGo lists nobody at all.
    for (kind, path) in [(&SABRE, "calendars/"), (&SOGO, "SOGo/dav/")] {
        let Some(server) = kind.server() else { continue };
        let error = listed(&format!("{}{path}", server.url()), ("user0", PASSWORD)).unwrap_err();
        assert!(matches!(error, CaldavError::NoUsers { .. }), "{}: {error}", kind.name);
    }
}

fn principal(href: &str, more: &str) -> String {
    found(href, &format!("<D:resourcetype><D:collection/><D:principal/></D:resourcetype>{more}"))
}

fn kind(kind: &str) -> String {
    format!("<C:calendar-user-type>{kind}</C:calendar-user-type>")
}

fn home(href: &str) -> String {
    format!("<C:calendar-home-set><D:href>{href}</D:href></C:calendar-home-set>")
}

/// A server whose principals are `inside`, in the collection `/p/`; it answers a search with `search`, if it does.
fn principals(inside: String, search: Option<String>) -> Scripted {
    Scripted::start(move |asked: &Asked| match (asked.method.as_str(), asked.path.as_str(), asked.header("depth")) {
        ("PROPFIND", "/cal/", Some("0")) => Reply::multistatus(&found(
            "/cal/",
            "<D:principal-collection-set><D:href>/p/</D:href><D:href>http://127.0.0.2/p/</D:href></D:principal-collection-set>\
             <D:current-user-principal><D:href>/p/admin/</D:href></D:current-user-principal>",
        )),
        ("REPORT", "/p/", Some("0")) => search.as_ref().map_or(Reply::status(403), |found| Reply::multistatus(found)),
        ("PROPFIND", "/p/", Some("1")) => Reply::multistatus(&inside),
        ("PROPFIND", "/cal/", Some("1")) => Reply::status(403),
        _ => Reply::status(404),
    })
}

#[test]
fn people_are_users_and_groups_rooms_and_strange_names_are_not() {
    let inside = [
        principal("/p/", ""),
        principal("/p/admin/", &home("/cal/admin/")),
        principal("/p/mary%40example.org/", &(kind("INDIVIDUAL") + &home("/cal/mary@example.org/"))),
        principal("http://127.0.0.1:1/p/m%c3%a4x", &home("/cal/m%C3%A4x/")),
        principal("/p/mary@example.org", ""),
        principal("/p/team/", &kind("GROUP")),
        principal("/p/room/", &kind("room")),
        // What has the calendars of nobody, and what has those of the login because the server knows no better.
        principal("/p/so/", &home("/cal/anonymous/")),
        principal("/p/bob/", &home("/cal/admin/")),
        principal("/p/cal/", &home("/cal/anonymous/")),
        principal("/p/carol/", &home("/cal/")),
        principal("/p/a%2Fb/", ""),
        principal("/p/%00/", ""),
        principal("/p/%2e%2e/", ""),
        principal(&format!("/p/{}/", "x".repeat(300)), ""),
        status("/p/secret/", 403),
        found("/p/file", "<D:resourcetype/>"),
    ];
    let server = principals(inside.concat(), None);
    let listed_users = listed(&format!("{}cal/", server.url), ("admin", "x")).unwrap();
    assert_eq!(listed_users.users, ["admin", "bob", "carol", "mary@example.org", "m\u{e4}x"]);
    assert_eq!(listed_users.left_out, 4);
    // A search that is answered is enough.
    let server = principals(String::new(), Some(principal("/p/ann/", "") + &principal("/p/admin/", "")));
    assert_eq!(listed(&format!("{}cal/", server.url), ("admin", "x")).unwrap().users, ["admin", "ann"]);
    assert!(!server.lines().contains(&"PROPFIND /p/".to_owned()));
}

#[test]
fn a_list_that_cannot_be_right_is_not_used() {
    let many = |count: usize| (0..count).map(|n| principal(&format!("/p/u{n}/"), "")).collect::<String>();
    let error = |server: &Scripted| listed(&format!("{}cal/", server.url), ("admin", "x")).unwrap_err().to_string();
    assert!(error(&principals(many(20_001), None)).contains("more than 20000 users"));
    let server = principals(many(300), None);
    assert_eq!(listed(&format!("{}cal/", server.url), ("admin", "x")).unwrap().users.len(), 300);
    let alone = error(&principals(principal("/p/admin/", ""), None));
    assert!(alone.contains("lists no user to this login but its own"), "{alone}");
    // What the server cuts off, by a search as by a listing.
    let cut = principal("/p/ann/", "") + &principal("/p/bob/", "") + &status("/p/", 507);
    for server in [principals(cut.clone(), None), principals(String::new(), Some(cut))] {
        let told = error(&server);
        assert!(told.contains("does not list its users to the end (507)"), "{told}");
    }
    // One collection of two that may not be listed.
    let one_of_two = Scripted::start(|asked: &Asked| match (asked.path.as_str(), asked.header("depth")) {
        ("/cal/", Some("0")) => Reply::multistatus(&found(
            "/cal/",
            "<D:principal-collection-set><D:href>/p/</D:href><D:href>/q/</D:href></D:principal-collection-set>",
        )),
        ("/p/", _) => Reply::multistatus(&(principal("/p/ann/", "") + &principal("/p/bob/", ""))),
        _ => Reply::status(403),
    });
    assert!(matches!(listed(&format!("{}cal/", one_of_two.url), ("admin", "x")), Err(CaldavError::Forbidden { .. })));
    let half = Scripted::start(|asked: &Asked| match asked.header("depth") {
        Some("0") => Reply::multistatus(""),
        _ => Reply::status(207).header("Content-Type", "text/xml").body(
            "<D:multistatus xmlns:D='DAV:'><D:response><D:href>/cal/mary/</D:href><D:propstat><D:prop><D:resourcetype>\
             <D:principal/></D:resourcetype></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>",
        ),
    });
    assert!(matches!(listed(&format!("{}cal/", half.url), ("admin", "x")), Err(CaldavError::Xml { .. })));
    for code in [401, 500, 503] {
        let server = Scripted::start(move |_| Reply::status(code));
        assert!(listed(&format!("{}cal/", server.url), ("admin", "x")).is_err(), "{code}");
    }
}

#[test]
fn users_come_and_go_as_their_server_lists_them() {
    let Some(venv) = Venv::or_skip() else { return };
    let server = tempfile::tempdir().unwrap();
    let rights = server.path().join("rights");
    fs::write(&rights, "[admin]\nuser: admin\ncollection: .*\npermissions: RrWw\n").unwrap();
    let storage = server.path().join("storage");
    ["mary", "bob"].iter().for_each(|user| stored(&storage, user));
    let options = ["--rights-type=from_file".to_owned(), format!("--rights-file={}", rights.display())];
    let options = options.each_ref().map(String::as_str);
    let radicale = Radicale::start_with(venv, server.path(), &[("admin", "old")], None, &options);
    let source = format!(
        "[[source]]\nkind = 'caldav'\nname = 'all'\nurl = '{}{{user}}/'\nusername = 'admin'\npassword_file = 'password'\n\
         users_from_server = true\nusers_interval = '1s'\npoll_interval = '1s'\n",
        radicale.url()
    );
    let site = site(&source, &[]);
    let site = site.path();
    let password = |text: &str| {
        fs::write(site.join("password"), text).unwrap();
        fs::set_permissions(site.join("password"), fs::Permissions::from_mode(0o600)).unwrap();
    };
    password("old");
    let mut daemon = start(site);
    logged(&daemon, "source.name=\"all:mary\" calendars=1 changes=1");
    logged(&daemon, "source.name=\"all:bob\" calendars=1 changes=1");
    stored(&storage, "ann");
    logged(&daemon, "source.name=\"all:ann\" calendars=1 changes=1");
    fs::remove_dir_all(storage.join("collection-root/bob")).unwrap();
    logged(&daemon, "accounts.added=0 accounts.changed=0 accounts.removed=1");
    assert!(calendars(site).contains(&("all:bob".to_owned(), "bob".to_owned())), "one list may be wrong");
    logged(&daemon, "no longer configured: its calendars are forgotten");
    let wanted = pairs(&[("all:ann", "ann"), ("all:mary", "mary")]);
    assert_eq!(calendars(site), wanted);
    // A server that refuses the login keeps everybody, at a start too.
    fs::write(server.path().join("users"), "admin:new\n").unwrap();
    logged(&daemon, "users_from_server cannot be had");
    assert!(daemon.stop(SOON).success());
    let mut daemon = start(site);
    logged(&daemon, "reveille is running");
    assert_eq!(calendars(site), wanted);
    password("new");
    // Both, and the administrator.
    logged(&daemon, "accounts.added=3 accounts.changed=0 accounts.removed=0");
    assert!(daemon.stop(SOON).success());
}

#[test]
fn a_start_does_not_wait_for_a_server_that_is_slow_to_list_its_users() {
    let (answer, answered) = mpsc::channel::<()>();
    let is_silent = Arc::new(AtomicBool::new(false));
    let silent = is_silent.clone();
    let server = Scripted::start(move |_| {
        if silent.load(Ordering::SeqCst) {
            let _ = answered.recv();
        }
        Reply::status(404)
    });
    let source = format!(
        "[[source]]\nkind = 'directory'\nname = 'folder'\nuser = 'ann'\npath = 'store/ann'\nlayout = 'vdir'\n\
         [[source]]\nkind = 'caldav'\nname = 'all'\nurl = '{}{{user}}/'\nusername = 'admin'\n\
         password_file = 'password'\nusers_from_server = true\n",
        server.url
    );
    let site = site(&source, &["ann"]);
    let site = site.path();
    fs::write(site.join("password"), "x").unwrap();
    fs::set_permissions(site.join("password"), fs::Permissions::from_mode(0o600)).unwrap();
    let now = || Timestamp::from_millisecond(Clock::System.now().0).unwrap();
    let event_in = |name: &str, at: Timestamp| {
        let start = at.strftime("%Y%m%dT%H%M%SZ").to_string();
        fs::write(site.join("store/ann/work").join(name), event(name, &start, name)).unwrap();
    };
    event_in("overdue.ics", now() - SignedDuration::from_mins(1));
    let an_hour_ago = (now() - SignedDuration::from_hours(1)).to_string();
    let mut once = Daemon::start(site, &["run", "--once", "--at", &an_hour_ago, "--config", "reveille.toml"]);
    once.wait(SOON);
    assert!(once.log.text().contains("users_from_server cannot be had"), "a pass asks first: {}", once.log.text());
    is_silent.store(true, Ordering::SeqCst);
    let _undisturbed = undisturbed();
    event_in("soon.ics", now() + SignedDuration::from_secs(4));
    let mut daemon = start(site);
    daemon.expect(SOON, |line| line.contains("soon.ics"));
    assert!(!daemon.out.text().contains("overdue.ics"), "a source may say that it no longer stands");
    assert!(!daemon.log.text().contains("users_from_server"), "nothing is wrong yet: {}", daemon.log.text());
    is_silent.store(false, Ordering::SeqCst);
    drop(answer);
    daemon.expect(SOON, |line| line.contains("overdue.ics"));
    logged(&daemon, "users_from_server cannot be had");
    assert!(daemon.stop(SOON).success());
}

#[test]
fn a_server_that_is_asked_for_users_is_not_sent_the_user_of_one_of_them() {
    let seen = Arc::<Mutex<Vec<Option<String>>>>::default();
    let noted = seen.clone();
    let server = Scripted::start(move |asked: &Asked| {
        noted.lock().unwrap().push(asked.header("authorize-as").map(str::to_owned));
        match (asked.path.as_str(), asked.method.as_str()) {
            ("/cal/", "REPORT") => Reply::multistatus(&principal("/p/mary/", "")),
            _ => Reply::multistatus(""),
        }
    });
    let source = format!(
        "[[source]]\nkind = 'caldav'\nname = 'all'\nurl = '{}cal/{{user}}/'\nusername = 'admin'\npassword_file = 'password'\n\
         authorize_as = '{{user}}'\nusers_from_server = true\n",
        server.url
    );
    let site = site(&source, &[]);
    fs::write(site.path().join("password"), "x").unwrap();
    fs::set_permissions(site.path().join("password"), fs::Permissions::from_mode(0o600)).unwrap();
    let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_reveille"));
    check.args(["check", "--json", "--config", "reveille.toml"]).current_dir(site.path());
    let said = String::from_utf8(check.output().unwrap().stdout).unwrap();
    assert!(said.contains("\"all:mary\""), "{said}");
    let paths = server.asked();
    for (asked, acts_for) in paths.iter().zip(seen.lock().unwrap().iter()) {
        let expected = asked.path.starts_with("/cal/mary/").then_some("mary");
        if asked.path.starts_with("/cal/") {
            assert_eq!(acts_for.as_deref(), expected, "{}", asked.line());
        }
    }
    assert!(paths.iter().any(|asked| asked.path.starts_with("/cal/mary/")), "{said}");
}
