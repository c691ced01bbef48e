//! Which addresses are a user's own: mail goes there, so what a calendar server says of them is not enough; and what
//! becomes of users who have none.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use reveille::config::{OwnDomains, UserConfig, Users};
use serde_json::Value;

use crate::rehearsal::Stage;
use crate::scripted::{Asked, Reply, Scripted};
use crate::watch::{Watch, settings};

/// A server with one account, whose principal has the addresses that a test gives it, and one calendar.
fn server(addresses: Vec<String>) -> Scripted {
    let addresses = Arc::new(Mutex::new(addresses));
    Scripted::start(move |asked| answer(asked, &addresses.lock().unwrap()))
}

fn answer(asked: &Asked, addresses: &[String]) -> Reply {
    let href = |text: &String| format!("<D:href>{text}</D:href>");
    let addresses: String = addresses.iter().map(href).collect();
    let props = match asked.path.as_str() {
        "/cal/work/" => "<D:resourcetype><D:collection/><C:calendar/></D:resourcetype>".to_owned(),
        _ => format!(
            "<D:resourcetype><D:collection/></D:resourcetype>\
             <D:current-user-principal><D:href>/p/</D:href></D:current-user-principal>\
             <C:calendar-home-set><D:href>/cal/</D:href></C:calendar-home-set>\
             <C:calendar-user-address-set>{addresses}</C:calendar-user-address-set>"
        ),
    };
    let response = |href: &str, props: &str| {
        format!(
            "<D:response><D:href>{href}</D:href><D:propstat><D:prop>{props}</D:prop>\
             <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
        )
    };
    let calendar = "<D:resourcetype><D:collection/><C:calendar/></D:resourcetype><S:getctag>1</S:getctag>";
    match (asked.method.as_str(), asked.header("depth"), asked.path.as_str()) {
        ("PROPFIND", Some("1"), "/cal/") => {
            Reply::multistatus(&(response("/cal/", &props) + &response("/cal/work/", calendar)))
        }
        ("PROPFIND", _, path) => Reply::multistatus(&response(path, &props)),
        _ => Reply::multistatus(""),
    }
}

fn strangers(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("mailto:victim{n}@elsewhere.example")).collect()
}

/// The addresses that a sync hands in, and what a check says.
fn seen(named: Vec<String>, login: &str, change: impl FnOnce(&mut OwnDomains, &mut Users)) -> (Vec<String>, String) {
    let server = server(named);
    let (mut source, mut settings) = settings(&server.url, Some((login, "sesame")));
    let mut users = Users::new();
    change(&mut settings.own_domains, &mut users);
    source.users = Arc::new(users);
    let mut watch = Watch::with(&source, &settings);
    watch.sync();
    let checked = watch.runtime.block_on(watch.source.check()).unwrap().to_string();
    (watch.kept.calendar("/cal/work/").seen.emails, checked)
}

#[test]
fn a_server_that_names_strangers_is_not_believed() {
    let (emails, checked) = seen(strangers(50), "mary@example.org", |_, _| {});
    assert_eq!(emails, ["mary@example.org"]);
    assert!(checked.contains("addresses mary@example.org; not used"), "{checked}");
    assert!(checked.contains("victim0@elsewhere.example") && checked.contains("45 more"), "{checked}");
    assert!(checked.contains("own_domains"), "{checked}");

    let (emails, checked) = seen(strangers(50), "mary", |_, _| {});
    assert!(emails.is_empty(), "{emails:?}");
    assert!(checked.contains("no address of mary") && checked.contains("45 more"), "{checked}");

    // Its own domain it may speak for, within a limit.
    let own = |n| format!("mailto:m{n}@example.org");
    let named: Vec<String> = strangers(3).into_iter().chain((0..20).map(own)).collect();
    let (emails, _) = seen(named.clone(), "mary", |_, _| {});
    assert_eq!(emails.len(), 10, "{emails:?}");
    assert!(emails.iter().all(|email| email.ends_with("@example.org")), "{emails:?}");

    // What the configuration says goes before.
    let (emails, _) = seen(named.clone(), "mary", |domains, _| {
        *domains = OwnDomains::Listed(vec!["elsewhere.example".to_owned()]);
    });
    assert_eq!(emails, ["victim0@elsewhere.example", "victim1@elsewhere.example", "victim2@elsewhere.example"]);
    let (emails, checked) = seen(named, "mary", |_, users| {
        let user = UserConfig { email: vec!["mary@home.example".to_owned()], ..UserConfig::default() };
        users.insert("mary".to_owned(), user);
    });
    assert_eq!(emails, ["mary@home.example"]);
    assert!(checked.contains("; addresses mary@home.example; an unchanged poll"), "{checked}");
}

/// A folder of Radicale's with a calendar of `mary` and one of `bob`, each with an EMAIL alarm at noon, and a sink that
/// mails through nobody.
fn installation(more: &str) -> Stage {
    let stage = Stage::new();
    let path = stage.path().display();
    for user in ["mary", "bob"] {
        let folder = stage.path().join("storage").join(user).join("work");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(".Radicale.props"), "{\"tag\": \"VCALENDAR\"}").unwrap();
        let event = crate::rehearsal::event(user, "20260310T120000Z", user);
        fs::write(folder.join("a.ics"), event.replace("ACTION:DISPLAY", "ACTION:EMAIL\r\nSUMMARY:Now")).unwrap();
    }
    let text = format!(
        "{more}\n[ledger]\nurl = \"sqlite://{path}/ledger.db\"\n\
         [[source]]\nkind = \"directory\"\nname = \"home\"\npath = \"{path}/storage\"\nlayout = \"radicale\"\n\
         [[sink]]\nkind = \"file\"\nname = \"alarms\"\npath = \"{path}/alarms.jsonl\"\n\
         [[sink]]\nkind = \"email\"\nname = \"mail\"\nurl = \"smtp+plain://127.0.0.1:1\"\nfrom = \"c@example.org\"\n"
    );
    fs::write(stage.path().join("reveille.toml"), text).unwrap();
    fs::set_permissions(stage.path(), fs::Permissions::from_mode(0o700)).unwrap();
    stage
}

fn told(stage: &Stage, arguments: &[&str]) -> String {
    let output = stage.reveille(arguments);
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_user_without_an_address_is_reported_everywhere() {
    let stage = installation("");
    let sentence = "no address of 'bob' is known";
    let todo = "[users.\"bob\"] email = ";
    let log = stage.pass("2026-03-10T11:00:00Z");
    assert_eq!(log.matches(sentence).count(), 1, "{log}");
    told(&stage, &["run", "--once", "--at", "2026-03-10T12:00:00Z"]);
    assert_eq!(stage.fired().len(), 2, "the file has them");
    // The alarm that could not be mailed is a delivery that failed, with the reason and what to do.
    let failed = stage.listing(&["deliveries", "--failed"]);
    let answers: Vec<&str> = failed.iter().map(|row| row["answer"].as_str().unwrap()).collect();
    assert_eq!(answers.len(), 2, "{failed:?}");
    assert!(answers.iter().any(|answer| answer.contains(sentence) && answer.contains(todo)), "{answers:?}");
    for arguments in [&["status"][..], &["explain", "bob@example.org"], &["check"]] {
        let told = told(&stage, arguments);
        assert!(told.contains(sentence) && told.contains(todo), "{arguments:?}: {told}");
    }
    let status = stage.listing(&["status"]);
    assert_eq!(status[0]["usersWithoutAddress"], serde_json::json!(["bob", "mary"]));
    let explained = stage.listing(&["explain", "bob@example.org"]);
    assert!(explained[0]["noAddress"].as_str().unwrap().contains(sentence), "{explained:?}");
}

#[test]
fn a_mail_that_failed_for_want_of_an_address_is_sent_once_there_is_one() {
    let stage = installation("");
    stage.pass("2026-03-10T11:00:00Z");
    told(&stage, &["run", "--once", "--at", "2026-03-10T12:00:00Z"]);
    let ids = |stage: &Stage| -> Vec<(String, String)> {
        let rows = stage.listing(&["deliveries"]);
        let mail = rows.iter().filter(|row| row["sink"] == "mail");
        mail.map(|row| (row["id"].as_str().unwrap().to_owned(), row["state"].as_str().unwrap().to_owned())).collect()
    };
    let before = ids(&stage);
    assert!(
        before.len() == 2 && before.iter().all(|(id, state)| id.ends_with("/mail") && state == "failed"),
        "{before:?}"
    );
    let file = stage.path().join("reveille.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}[users.\"bob\"]\nemail = [\"bob@example.net\", \"b@example.net\"]\n")).unwrap();
    told(&stage, &["run", "--once", "--at", "2026-03-10T12:01:00Z"]);
    assert_eq!(told(&stage, &["deliveries", "retry", "--all"]), "2 deliveries are tried again\n");
    let state = |address: &str| {
        let all = ids(&stage);
        let one =
            all.iter().find(|(id, _)| id.ends_with(address)).unwrap_or_else(|| panic!("{address} is not in {all:?}"));
        one.1.clone()
    };
    assert_eq!(state("/mail/bob@example.net"), "pending");
    // Nothing has become known of the other one.
    assert_eq!(state("/mail"), "pending");
    let mary = ids(&stage).into_iter().find(|(id, _)| id.ends_with("/mail")).unwrap().0;
    fs::write(&file, format!("{text}[users.\"mary\"]\nemail = \"mary@example.net\"\n")).unwrap();
    told(&stage, &["run", "--once", "--at", "2026-03-10T12:02:00Z"]);
    told(&stage, &["deliveries", "retry", &mary]);
    assert_eq!(state("/mail/mary@example.net"), "pending");
}

#[test]
fn names_of_sinks_that_match_no_user_are_reported() {
    let stage = installation("");
    let file = stage.path().join("reveille.toml");
    let text = fs::read_to_string(&file).unwrap();
    let set = |more: &str| {
        fs::write(&file, text.replace("name = \"alarms\"", &format!("name = \"alarms\"\n{more}"))).unwrap()
    };
    set("users = [\"mary\", \"marry\"]\ncalendars = [\"wor*\", \"Werk\"]");
    let check = told(&stage, &["check"]);
    for sentence in ["users: no calendars of 'marry' were found", "calendars: 'Werk' is not a calendar that is watched"]
    {
        assert_eq!(check.matches(sentence).count(), 1, "{check}");
    }
    assert!(!check.contains("no calendars of 'mary'") && !check.contains("'wor*'"), "{check}");
    // Where a source cannot be read, who is meant may be there.
    set("users = [\"marry\"]");
    fs::rename(stage.path().join("storage"), stage.path().join("elsewhere")).unwrap();
    assert!(!told(&stage, &["check"]).contains("no calendars of"));
}

/// What `check` says of users: userId, and whether it is a warning.
fn of_users(stage: &Stage) -> Vec<(String, bool)> {
    let output = stage.reveille(&["--json", "check"]);
    let lines = String::from_utf8(output.stdout).unwrap();
    let findings = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_user = findings.filter(|finding| finding["what"] == "calendarUser");
    of_user.map(|row| (row["name"].as_str().unwrap().to_owned(), row["warning"].as_bool().unwrap())).collect()
}

#[test]
fn the_table_of_users_gives_each_user_addresses_and_a_zone() {
    let table = "[users.\"mary\"]\nemail = [\"mary@example.org\"]\nzone = \"Asia/Tokyo\"\n\
                 [users.\"bob\"]\nemail = \"bob@example.net\"\n[users.\"nobody\"]\nzone = \"Europe/Berlin\"\n";
    let stage = installation(table);
    // A floating time is that of the user's zone; another event the user has declined.
    let floating = crate::rehearsal::event("floating", "20260310T120000", "floating");
    fs::write(stage.path().join("storage/mary/work/b.ics"), floating).unwrap();
    let declined = crate::rehearsal::event("declined", "20260310T120000Z", "declined")
        .replace("SUMMARY", "ATTENDEE;PARTSTAT=DECLINED:mailto:bob@example.net\r\nSUMMARY");
    fs::write(stage.path().join("storage/bob/work/c.ics"), declined).unwrap();
    let log = stage.pass("2026-03-10T02:00:00Z");
    assert!(!log.contains("no address"), "{log}");
    let armed = |stage: &Stage| {
        let rows = stage.listing(&["alarms", "--until", "2026-03-12T00:00:00Z"]);
        let row = |row: &Value| format!("{} {}", row["due"].as_str().unwrap(), row["summary"].as_str().unwrap());
        rows.iter().map(row).collect::<Vec<String>>()
    };
    let noon = "2026-03-10T12:00:00.000Z";
    let mut rows = armed(&stage);
    rows.sort();
    assert_eq!(rows, ["2026-03-10T03:00:00.000Z floating".to_owned(), format!("{noon} bob"), format!("{noon} mary")]);
    assert_eq!(of_users(&stage), [("nobody".to_owned(), true)]);
    // What changes in the table changes what depends on it.
    let file = stage.path().join("reveille.toml");
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace("Asia/Tokyo", "Europe/London").replace("bob@example.net", "robert@example.net");
    fs::write(&file, text).unwrap();
    stage.pass("2026-03-10T02:30:00Z");
    let mut rows = armed(&stage);
    rows.sort();
    let at_noon = ["bob", "declined", "floating", "mary"].map(|summary| format!("{noon} {summary}"));
    assert_eq!(rows, at_noon);
}

#[test]
fn one_users_address_is_not_that_of_several() {
    let stage = installation("");
    let file = stage.path().join("reveille.toml");
    let text = fs::read_to_string(&file).unwrap();
    let with = |layout: &str| {
        text.replace("layout = \"radicale\"", &format!("layout = \"{layout}\"\nemail = \"mary@example.org\""))
    };
    fs::write(&file, with("radicale")).unwrap();
    let refused = stage.reveille(&["check"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("email is one user's") && said.contains("[users.\"NAME\"]"), "{said}");
    // What the layout is, only a sync tells.
    fs::write(&file, with("auto")).unwrap();
    let failed = stage.reveille(&["check"]);
    let said = String::from_utf8_lossy(&failed.stdout).into_owned();
    assert_eq!(failed.status.code(), Some(1), "{said}");
    assert!(said.contains("email is one user's"), "{said}");
    told(&stage, &["run", "--once", "--at", "2026-03-10T11:00:00Z"]);
    let calendars = stage.listing(&["calendars"]);
    assert_eq!(calendars.len(), 2);
    let status = stage.listing(&["status"]);
    assert_eq!(status[0]["usersWithoutAddress"], serde_json::json!(["bob", "mary"]), "{status:?}");
    assert!(status[0]["sources"][0]["error"].as_str().unwrap().contains("email is one user's"), "{status:?}");
}

/// A server whose administrator `admin` reads the home `/cal/mary/`: all that it says of the login is the
/// administrator's.
fn administered() -> Scripted {
    Scripted::start(|asked| {
        let found = |href: &str, props: &str| {
            format!(
                "<D:response><D:href>{href}</D:href><D:propstat><D:prop>{props}</D:prop>\
                 <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
            )
        };
        let collection = "<D:resourcetype><D:collection/></D:resourcetype>\
            <D:current-user-principal><D:href>/p/admin/</D:href></D:current-user-principal>";
        let calendar = |owner: &str| {
            format!(
                "<D:resourcetype><D:collection/><C:calendar/></D:resourcetype><S:getctag>1</S:getctag>\
                 <D:owner><D:href>/p/{owner}/</D:href></D:owner>"
            )
        };
        match (asked.method.as_str(), asked.header("depth"), asked.path.as_str()) {
            ("PROPFIND", Some("1"), "/cal/mary/") => Reply::multistatus(
                &(found("/cal/mary/", collection)
                    + &found("/cal/mary/own/", &calendar("mary"))
                    + &found("/cal/mary/of-bob/", &calendar("bob"))
                    + &found("/cal/mary/of-admin/", &calendar("admin"))),
            ),
            ("PROPFIND", _, "/p/admin/") => {
                let props = "<C:calendar-home-set><D:href>/cal/admin/</D:href></C:calendar-home-set>\
                    <C:calendar-user-address-set><D:href>mailto:boss@example.org</D:href></C:calendar-user-address-set>";
                Reply::multistatus(&found("/p/admin/", &format!("{collection}{props}")))
            }
            ("PROPFIND", _, path) => Reply::multistatus(&found(path, collection)),
            _ => Reply::multistatus(""),
        }
    })
}

#[test]
fn the_addresses_and_calendars_of_an_administrator_are_not_those_of_the_user() {
    let server = administered();
    let (mut source, mut settings) =
        settings(&format!("{}cal/mary/", server.url), Some(("admin@example.org", "sesame")));
    settings.own_domains = OwnDomains::Listed(vec!["example.org".to_owned()]);
    for user in ["mary", "Mary@example.org"] {
        source.user = Some(user.to_owned());
        let mut watch = Watch::with(&source, &settings);
        watch.sync();
        let seen = |id: &str| watch.kept.calendar(&format!("/cal/mary/{id}/")).seen;
        let owners = ["own", "of-bob", "of-admin"].map(|id| seen(id).owner);
        assert_eq!(owners, [user, "bob", "admin"].map(str::to_owned));
        let addresses: &[&str] = if user.contains('@') { &["Mary@example.org"] } else { &[] };
        assert_eq!(seen("own").emails, addresses);
    }
}
