//! Calendars of others: which of their alarms fire for a sharee, and that one object fires once for each user.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use jiff::SignedDuration;
use reveille::calendar_info::{CalendarInfo, SharedAlarms};
use reveille::clock::Clock;

use crate::account::{self, Account};
use crate::quirks::{Server, found, versions};
use crate::rehearsal::{Stage, event, touch};
use crate::scripted::Reply;
use crate::venv::Venv;
use crate::watch::{Watch, settings};

/// The storage of a Radicale in which Mary's folder has a link to a calendar of Bob's, and one of her own. `lines` are
/// added to the source, `more` to the end of the configuration.
fn configure(stage: &Stage, lines: &str, more: &str) {
    let path = stage.path().display();
    let text = format!(
        "[ledger]\nurl = \"sqlite://{path}/ledger.db\"\n\
         [[source]]\nkind = \"directory\"\nname = \"home\"\npath = \"{path}/watched\"\nlayout = \"radicale\"\n{lines}\n\
         [[sink]]\nkind = \"file\"\nname = \"alarms\"\npath = \"{path}/alarms.jsonl\"\n\
         [users.\"mary\"]\nemail = ['mary@example.org']\n{more}"
    );
    fs::write(stage.path().join("reveille.toml"), text).unwrap();
}

fn stage() -> Stage {
    let stage = Stage::new();
    let watched = stage.path().join("watched");
    fs::remove_dir_all(&watched).unwrap();
    fs::create_dir_all(watched.join("bob/team")).unwrap();
    fs::create_dir_all(watched.join("mary/own")).unwrap();
    symlink("../bob/team", watched.join("mary/team")).unwrap();
    let mail = |to: &str| {
        event("mail", "20260310T130000Z", "mail")
            .replace("ACTION:DISPLAY\r\n", &format!("ACTION:EMAIL\r\nATTENDEE:{to}\r\n"))
    };
    let bare = event("bare", "20260310T130000Z", "bare");
    let bare = format!("{}END:VEVENT\r\nEND:VCALENDAR\r\n", bare.split_once("BEGIN:VALARM").unwrap().0);
    for (file, text) in [
        ("bob/team/shown.ics", event("shown", "20260310T130000Z", "shown")),
        ("bob/team/mail.ics", mail("MAILTO:Mary@example.org")),
        ("bob/team/bare.ics", bare),
        ("mary/own/own.ics", event("own", "20260310T130000Z", "own")),
    ] {
        fs::write(watched.join(file), text).unwrap();
        touch(&watched.join(file), "2026-03-01T00:00:00Z");
    }
    stage
}

/// What is armed for Mary, as 'HH:MM summary'.
fn armed(stage: &Stage) -> String {
    stage.pass("2026-03-10T12:00:00Z");
    let listed = stage.listing(&["alarms", "--user", "mary", "--until", "2026-03-11T00:00:00Z"]);
    let word = |alarm: &serde_json::Value, key: &str| alarm[key].as_str().unwrap().to_owned();
    let mut all: Vec<String> =
        listed.iter().map(|alarm| format!("{} {}", &word(alarm, "due")[11..16], word(alarm, "summary"))).collect();
    all.sort();
    all.join(", ")
}

#[test]
fn rule_25_the_configuration_says_which_alarms_of_others_fire() {
    let stage = stage();
    let next = |lines: &str, more: &str| {
        configure(&stage, lines, more);
        armed(&stage)
    };
    let all = "13:00 mail, 13:00 own, 13:00 shown";
    assert_eq!(next("", ""), all);
    assert_eq!(next("shared = 'off'", ""), "13:00 own");
    assert_eq!(next("shared = 'own-alarms'", ""), "13:00 mail, 13:00 own");
    let defaults = "default_alarms = { timed = ['-5m'] }\n";
    assert_eq!(
        next(&format!("shared = 'own-alarms'\n{defaults}"), ""),
        "12:55 bare, 12:55 shown, 13:00 mail, 13:00 own"
    );
    assert_eq!(next(&format!("shared = 'off'\n{defaults}"), ""), "13:00 own");
    // The narrowest part that says something counts.
    assert_eq!(next("", "shared = 'off'"), "13:00 own");
    assert_eq!(next("shared = 'ring'", "shared = 'off'"), all);
    let of_team = "shared = 'ring'\n[[source.alarms]]\ncalendars = ['team']\nshared = 'off'";
    assert_eq!(next(of_team, ""), "13:00 own");
    let shared: Vec<String> =
        stage.listing(&["calendars"]).iter().map(|row| format!("{} {}", row["href"], row["shared"])).collect();
    assert_eq!(shared, [r#""bob/team" "ring""#, r#""mary/own" "ring""#, r#""mary/team" "off""#]);
    // What the key says holds for what fires.
    stage.pass("2026-03-10T13:00:00Z");
    let mut fired: Vec<String> =
        stage.alarms().iter().map(|alarm| format!("{} {}", alarm["userId"], alarm["summary"])).collect();
    fired.sort();
    assert_eq!(fired, [r#""bob" "mail""#, r#""bob" "shown""#, r#""mary" "own""#]);
}

#[test]
fn explain_says_that_an_alarm_is_withheld_in_a_calendar_of_another() {
    let stage = stage();
    let explained = |lines: &str| {
        configure(&stage, lines, "");
        stage.pass("2026-03-10T12:00:00Z");
        let arguments = ["explain", "shown@example.org", "--at", "2026-03-10T12:00:00Z"];
        let said = String::from_utf8(stage.reveille(&arguments).stdout).unwrap();
        let reports = stage.listing(&arguments);
        let of_mary = reports.iter().find(|report| report["object"]["userId"] == "mary").unwrap();
        (said, of_mary["components"][0].clone())
    };
    let (said, component) = explained("shared = 'off'");
    let why = "it is in a calendar of 'bob' that is shared, and `shared` is off";
    assert!(said.contains(&format!("none of its alarms fires: {why}")), "{said}");
    assert_eq!((&component["silent"], &component["alarms"][0]["status"]), (&why.into(), &"silent".into()));
    let (said, component) = explained("shared = 'own-alarms'");
    let why = "it is in a calendar of 'bob' that is shared, and `shared` is own-alarms";
    assert!(said.contains(&format!("it does not fire: {why}")), "{said}");
    assert_eq!((&component["silent"], &component["alarmsWithheld"]), (&().into(), &().into()));
    let (said, component) = explained("shared = 'own-alarms'\ndefault_alarms = { timed = ['-5m'] }");
    assert!(said.contains(&format!("its own alarms do not fire: {why}")), "{said}");
    assert_eq!((&component["alarmsWithheld"], &component["defaultAlarmsFrom"]), (&why.into(), &"source".into()));
}

/// How a source with `shared = "off"` takes in a calendar whose server says `props` of it.
fn seen(props: &'static str) -> CalendarInfo {
    let server = Server::start();
    server.quirk(move |asked, _| {
        let is_home = (asked.method.as_str(), asked.path.as_str()) == ("PROPFIND", "/cal/");
        is_home.then(|| {
            let calendar = found("/cal/work/", &format!("{props}{}", versions("t1", "c1")));
            Reply::multistatus(&(found("/cal/", "") + &calendar))
        })
    });
    let (mut source, settings) = settings(&server.scripted.url, Some(("mary", "sesame")));
    source.alarms.all.shared = Some(SharedAlarms::Off);
    let mut watch = Watch::at(&source, &settings, Clock::System);
    watch.sync();
    watch.kept.calendar("/cal/work/").seen
}

#[test]
fn whose_a_calendar_is_as_servers_say_it() {
    let plain = "<D:resourcetype><D:collection/><C:calendar/></D:resourcetype>";
    let owner = |href: &str| format!("<D:owner><D:href>{href}</D:href></D:owner>");
    let cases = [
        // Nobody says anything, as Radicale.
        (plain.to_owned(), "mary", SharedAlarms::Ring),
        (format!("{plain}{}", owner("/mary/")), "mary", SharedAlarms::Ring),
        // Nextcloud, whose DAV:owner is the owner, as in Cyrus, DAViCal and SOGo.
        (
            format!(
                "{plain}{}<o:owner-principal xmlns:o='http://owncloud.org/ns'>/principals/users/bob</o:owner-principal>",
                owner("/principals/users/bob/")
            ),
            "bob",
            SharedAlarms::Off,
        ),
        // sabre/dav, whose DAV:owner is the sharee.
        (
            format!(
                "<D:resourcetype><D:collection/><C:calendar/><S:shared/></D:resourcetype>{}<D:share-access>\
                 <D:read-write/></D:share-access><S:invite><S:organizer><D:href>mailto:bob@example.org</D:href>\
                 </S:organizer></S:invite>",
                owner("/mary/")
            ),
            "bob@example.org",
            SharedAlarms::Off,
        ),
        (format!("{plain}{}<D:share-access><D:read/></D:share-access>", owner("/mary/")), "mary", SharedAlarms::Off),
        // The user's own, which others see.
        (
            format!(
                "<D:resourcetype><D:collection/><C:calendar/><S:shared-owner/></D:resourcetype><D:share-access>\
                 <D:shared-owner/></D:share-access><S:invite><S:organizer><D:href>/mary/</D:href></S:organizer></S:invite>{}",
                owner("/mary/")
            ),
            "mary",
            SharedAlarms::Ring,
        ),
    ];
    for (props, owner, shared) in cases {
        let seen = seen(props.clone().leak());
        assert_eq!((seen.owner.as_str(), seen.shared_alarms), (owner, shared), "{props}");
        assert_eq!(seen.user, "mary");
    }
}

/// A source that looks at the account `account` as `user`.
fn source(stage: &Stage, account: &Account, name: &str, user: &str) -> String {
    let (username, password) = account.login.unwrap();
    let file = stage.path().join("password");
    fs::write(&file, password).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    format!(
        "[[source]]\nkind = \"caldav\"\nname = \"{name}\"\nurl = \"{}\"\nuser = \"{user}\"\nusername = \"{username}\"\n\
         password_file = \"{}\"\n",
        account.url,
        file.display()
    )
}

#[test]
fn rule_25_one_object_fires_once_for_each_user_and_not_twice_for_one_who_sees_it_twice() {
    let Some(venv) = Venv::or_skip() else { return };
    let account = account::radicale(venv);
    let now = Clock::System.now();
    let after = |minutes| now.saturating_add(SignedDuration::from_mins(minutes)).to_string();
    let start = now.saturating_add(SignedDuration::from_mins(30)).basic();
    account.put("a.ics", &event("a", &start, "a"));
    // A copy of the same event in another calendar of the account, and one that has no other.
    let other = format!("{}other/", account.home);
    account.client.mkcalendar(&other, "Other");
    account.client.put(&format!("{other}copy.ics"), &event("a", &start, "copy"));
    account.client.put(&format!("{other}b.ics"), &event("b", &start, "b"));
    let stage = Stage::new();
    let path = stage.path().display();
    let sources = [("one", "mary"), ("two", "mary"), ("three", "john")];
    let sources = sources.map(|(name, user)| source(&stage, &account, name, user)).concat();
    let text = format!(
        "[ledger]\nurl = \"sqlite://{path}/ledger.db\"\n{sources}[[sink]]\nkind = \"file\"\npath = \"{path}/alarms.jsonl\"\n\
         [events]\nkinds = [\"MessageAppend\"]\n"
    );
    fs::write(stage.path().join("reveille.toml"), text).unwrap();
    stage.pass(&after(0));
    assert_eq!(stage.listing(&["calendars"]).len(), 6);
    account.put("c.ics", &event("c", &start, "c"));
    stage.pass(&after(1));
    stage.pass(&after(31));
    stage.pass(&after(32));
    let alarms = stage.alarms();
    let said = |events: bool, key: &str| {
        let those = alarms.iter().filter(|alarm| (alarm["event"] != "CalendarAlarm") == events);
        let mut said: Vec<String> = those
            .map(|alarm| format!("{} {}", alarm["userId"].as_str().unwrap(), alarm[key].as_str().unwrap()))
            .collect();
        said.sort();
        said
    };
    let uids = ["john a", "john b", "john c", "mary a", "mary b", "mary c"].map(|said| format!("{said}@example.org"));
    assert_eq!(said(false, "uid"), uids);
    assert_eq!(said(true, "vnd.cmu.davFilename"), ["john c.ics", "mary c.ics"]);
}
