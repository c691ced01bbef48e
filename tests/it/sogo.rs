//! SOGo as it was seen to be: its versions are the seconds of its clock, its reports tell what is strictly later than a
//! token, and its entity tags count the writes to a row, which begin anew when an object is deleted and made again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use reveille::clock::Clock;
use reveille::time::UtcMillis;

use crate::quirks::{CALENDAR, changed, found, status, text};
use crate::scripted::{Asked, Reply, Scripted};
use crate::watch::{Watch, settings};

/// A row: what an object was like when it was written last. Deleted ones stay.
#[derive(Clone)]
struct Row {
    text: Option<String>,
    version: u32,
    second: i64,
}

#[derive(Default)]
struct Sogo {
    now: i64,
    rows: BTreeMap<String, Row>,
    /// Written before the next report, or list of objects, is answered: name and text.
    between: Vec<(String, Option<String>)>,
}

impl Sogo {
    fn second(&self) -> i64 {
        self.now / 1_000
    }

    fn write(&mut self, name: &str, content: Option<String>) {
        let before = self.rows.get(name).filter(|row| row.text.is_some());
        let version = before.map_or(0, |row| row.version + 1);
        self.rows.insert(name.to_owned(), Row { text: content, version, second: self.second() });
    }

    fn token(&self) -> i64 {
        self.rows.values().map(|row| row.second).max().unwrap_or(-1)
    }

    fn answer(&mut self, asked: &Asked) -> Reply {
        let path = |name: &str| format!("/cal/work/{name}");
        let etag = |row: &Row| format!("gcs{:08}", row.version);
        let is_late = asked.path == "/cal/work/" && !asked.body.contains("multiget");
        if is_late {
            for (name, content) in std::mem::take(&mut self.between) {
                self.write(&name, content);
            }
        }
        let alive = self.rows.iter().filter(|(_, row)| row.text.is_some());
        let inside: String = match (asked.method.as_str(), asked.path.as_str(), asked.header("depth")) {
            ("PROPFIND", "/cal/", Some("1")) => {
                let token = self.token();
                let marks = format!("<D:sync-token>{token}</D:sync-token><S:getctag>{token}</S:getctag>");
                found("/cal/", "") + &found("/cal/work/", &format!("{CALENDAR}{marks}"))
            }
            ("PROPFIND", "/cal/work/", Some("1")) => {
                let members = alive.map(|(name, row)| changed(&path(name), &etag(row)));
                found("/cal/work/", CALENDAR) + &members.collect::<String>()
            }
            ("PROPFIND", _, _) => found(
                &asked.path,
                "<D:current-user-principal><D:href>/mary/</D:href></D:current-user-principal>\
                 <C:calendar-home-set><D:href>/cal/</D:href></C:calendar-home-set>",
            ),
            ("REPORT", ..) if asked.body.contains("sync-collection") => {
                let from = asked.body.split("<D:sync-token>").nth(1).and_then(|rest| rest.split('<').next());
                let from: i64 = from.and_then(|from| from.parse().ok()).unwrap_or(0);
                let later = self.rows.iter().filter(|(_, row)| row.second > from);
                let said = |(name, row): (&String, &Row)| match row.text {
                    Some(_) => changed(&path(name), &etag(row)),
                    None => status(&path(name), 404),
                };
                let token = if self.token() == self.second() { self.token() - 1 } else { self.token() };
                later.map(said).collect::<String>() + &format!("<D:sync-token>{token}</D:sync-token>")
            }
            ("REPORT", ..) => {
                let hrefs = asked.body.split("<D:href>").skip(1).filter_map(|rest| rest.split("</D:href>").next());
                let object = |href: &str| match self.rows.get(href.trim_start_matches("/cal/work/")) {
                    Some(row @ Row { text: Some(text), .. }) => {
                        let tag = etag(row);
                        let data = format!("<C:calendar-data>{text}</C:calendar-data>");
                        found(href, &format!("<D:getetag>\"{tag}\"</D:getetag>{data}"))
                    }
                    _ => status(href, 404),
                };
                hrefs.map(object).collect()
            }
            _ => return Reply::status(404),
        };
        let at = jiff::Timestamp::from_second(self.second()).unwrap();
        let date = at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        Reply::multistatus(&inside).header("Date", &date)
    }
}

/// The server, a watch of it, and the clock of both.
struct Setting {
    sogo: Arc<Mutex<Sogo>>,
    _scripted: Scripted,
    watch: Watch,
    clock: Clock,
    now: i64,
    /// When it looks next.
    next: i64,
}

impl Setting {
    fn new() -> Setting {
        let now = 1_795_382_222_300;
        let sogo = Arc::new(Mutex::new(Sogo { now, ..Sogo::default() }));
        let shared = sogo.clone();
        let scripted = Scripted::start(move |asked| shared.lock().unwrap().answer(asked));
        let (source, settings) = settings(&scripted.url, Some(("mary", "sesame")));
        let clock = Clock::manual(UtcMillis(now));
        let watch = Watch::at(&source, &settings, clock.clone());
        Setting { sogo, _scripted: scripted, watch, clock, now, next: now }
    }

    /// Lets `millis` pass, and looks each second, or when the last sync wished for it.
    fn pass(&mut self, millis: i64) {
        let until = self.now + millis;
        while self.now < until {
            self.now = until.min(self.next.max(self.now));
            self.sogo.lock().unwrap().now = self.now;
            self.clock.set(UtcMillis(self.now));
            if self.now >= self.next {
                let report = self.watch.try_sync().unwrap();
                let wish = report.again_in.map_or(1_000, |again| i64::try_from(again.as_millis()).unwrap());
                self.next = self.now + wish.min(1_000);
            }
        }
    }

    fn write(&mut self, name: &str, content: Option<String>) {
        self.sogo.lock().unwrap().write(name, content);
    }

    /// What the store has and was not handed in so, and what was handed in and is not there.
    fn wrong(&self) -> (usize, usize) {
        let kept = self.watch.kept.calendar("/cal/work/").objects;
        let sogo = self.sogo.lock().unwrap();
        let there: BTreeMap<String, String> =
            sogo.rows.iter().filter_map(|(name, row)| Some((format!("/cal/work/{name}"), row.text.clone()?))).collect();
        let missing = there.iter().filter(|(href, text)| kept.get(*href).map(|(_, text)| text) != Some(text)).count();
        (missing, kept.keys().filter(|href| !there.contains_key(*href)).count())
    }
}

#[test]
fn no_change_within_a_second_is_missed_at_full_speed() {
    let mut setting = Setting::new();
    setting.pass(1_000);
    let names: Vec<String> = (0..150).map(|n| format!("{n}.ics")).collect();
    for (n, name) in names.iter().enumerate() {
        setting.write(name, Some(text(&format!("first {n}"))));
        // Some come while it looks.
        setting.sogo.lock().unwrap().between.push((format!("between-{n}.ics"), Some(text("between"))));
        setting.pass(13);
    }
    setting.pass(4_000);
    assert_eq!(setting.wrong(), (0, 0), "put");
    // Moved: deleted and made anew, with the same entity tags.
    for (n, name) in names.iter().enumerate() {
        setting.write(name, None);
        setting.write(name, Some(text(&format!("moved {n}"))));
        setting.pass(13);
    }
    setting.pass(4_000);
    assert_eq!(setting.wrong(), (0, 0), "moved");
    for name in &names {
        setting.write(name, None);
        setting.sogo.lock().unwrap().between.push((format!("between-{name}"), None));
        setting.pass(13);
    }
    setting.pass(4_000);
    assert_eq!(setting.wrong(), (0, 0), "deleted");
}

#[test]
fn a_second_that_is_not_over_is_synced_again_soon() {
    let mut setting = Setting::new();
    setting.write("a.ics", Some(text("a")));
    let report = setting.watch.try_sync().unwrap();
    assert!(report.again_in.is_some_and(|again| again.as_millis() <= 2_000), "{report:?}");
    // In the same second, after the sync; the versions are those of before.
    setting.write("b.ics", Some(text("b")));
    setting.pass(1_500);
    assert_eq!(setting.wrong(), (0, 0));
    setting.pass(4_000);
    let report = setting.watch.sync();
    assert_eq!((report.requests, report.again_in), (1, None), "the second is over");
}
