//! The CalDAV source against real servers, and what it hands in.

use std::path::Path;

use reveille::source::SyncReport;
use reveille::source::caldav::{CaldavError, ChangeDetection};

use crate::account::{Account, MARY, radicale, radicale_alone, xandikos, xandikos_alice};
use crate::debian::{CYRUS, DAVICAL, SABRE, SOGO};
use crate::memory_store::Kept;
use crate::servers::{Radicale, certificates};
use crate::venv::Venv;
use crate::watch::{Watch, settings};

fn event(uid: &str, summary: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VEVENT\r\nUID:{uid}\r\n\
         DTSTAMP:20260101T000000Z\r\nDTSTART:20260310T120000Z\r\nDTEND:20260310T130000Z\r\nSUMMARY:{summary}\r\n\
         END:VEVENT\r\nEND:VCALENDAR\r\n"
    )
}

fn of(account: &Account) -> Watch {
    Watch::of(&account.url, account.login)
}

fn put(account: &Account, name: &str, summary: &str) {
    account.put(name, &event(name, summary));
}

/// Runs a test on a Radicale and on a Xandikos.
fn on_both(test: impl Fn(Account)) {
    let Some(venv) = Venv::or_skip() else { return };
    test(radicale(venv));
    test(xandikos(venv));
}

#[test]
fn an_unchanged_account_costs_one_request() {
    on_both(|account| {
        let mut watch = of(&account);
        account.client.mkcalendar(&format!("{}home/", account.home), "Home");
        put(&account, "one.ics", "One");
        watch.sync();
        // Asked for it the first time, Xandikos mints a resource-id, which moves the token once.
        watch.sync();
        watch.kept.counts();
        for _ in 0..3 {
            assert_eq!(watch.sync(), SyncReport { calendars: 2, requests: 1, ..SyncReport::default() });
            assert_eq!(watch.kept.counts(), (0, 0, 2));
        }
        // Nor is an object read again after a restart: where the account is is found, and its calendars are compared.
        let mut watch = watch.restarted(&account.url, account.login);
        let report = watch.sync();
        assert!(report.changes == 0 && report.requests <= 7, "{report:?}");
        assert_eq!(watch.kept.counts().1, 0, "an object was read again");
        assert_eq!(watch.sync().requests, 1);
    });
}

#[test]
fn nothing_is_missed_while_not_looking() {
    on_both(|account| {
        let mut watch = of(&account);
        (0..20).for_each(|n| put(&account, &format!("{n}.ics"), "old"));
        watch.sync();
        put(&account, "3.ics", "new");
        account.delete("4.ics");
        put(&account, "brief.ics", "brief");
        account.delete("brief.ics");
        let mut watch = watch.restarted(&account.url, account.login);
        watch.kept.counts();
        assert_eq!(watch.sync().changes, 2);
        assert_eq!(watch.kept.counts(), (2, 1, 0), "only what changed was read");
        assert_eq!(watch.kept.summaries(account.work).iter().filter(|summary| *summary == "new").count(), 1);
    });
}

#[test]
fn a_dead_token_costs_a_comparison_and_no_object() {
    on_both(|account| {
        let mut watch = of(&account);
        (0..5).for_each(|n| put(&account, &format!("{n}.ics"), "old"));
        watch.sync();
        watch.sync();
        put(&account, "3.ics", "new");
        account.delete("4.ics");
        watch.kept.tamper(account.work, |calendar| {
            calendar.set_token("0123456789abcdef0123456789abcdef01234567");
        });
        watch.kept.counts();
        watch.sync();
        assert_eq!(watch.kept.counts(), (2, 1, 0));
        assert_eq!(watch.kept.summaries(account.work), ["new", "old", "old", "old"]);
        assert_eq!(watch.sync().requests, 1, "the new token is good");
    });
}

#[test]
fn a_thousand_events_come_in_batches_and_are_read_once() {
    let Some(venv) = Venv::or_skip() else { return };
    let account = radicale(venv);
    let events: String = (0..1_000).map(|n| event(&n.to_string(), "x")).collect();
    let bulk = format!("{}bulk/", account.home);
    let one = events.replace("END:VCALENDAR\r\nBEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\n", "");
    account.client.put(&bulk, &one);
    let mut watch = of(&account);
    watch.kept.fail_after(1);
    assert!(matches!(watch.try_sync(), Err(CaldavError::Store(_))), "the second batch is refused");
    assert_eq!(watch.kept.counts(), (500, 500, 0));

    let mut watch = watch.restarted(&account.url, account.login);
    let report = watch.sync();
    assert_eq!(watch.kept.counts(), (500, 500, 0), "what was handed in is not read again");
    assert_eq!((report.calendars, report.changes), (2, 500));
    assert_eq!(watch.kept.calendar(&bulk).objects.len(), 1_000);
    assert_eq!(watch.sync().requests, 1);
}

#[test]
fn any_url_of_the_account_will_do() {
    let Some(venv) = Venv::or_skip() else { return };
    let (radicale, xandikos) = (radicale(venv), xandikos_alice(venv));
    let home = radicale.home.trim_start_matches('/');
    for (account, paths) in [
        (&radicale, ["", ".well-known/caldav", home, home.trim_end_matches('/')]),
        (&xandikos, ["", ".well-known/caldav", "alice/", "alice/calendars/"]),
    ] {
        account.client.mkcalendar(&format!("{}home/", account.home), "Home");
        put(account, "one.ics", "One");
        for path in paths {
            let mut watch = Watch::of(&format!("{}{path}", account.url), account.login);
            assert_eq!(watch.sync().calendars, 2, "{path}");
            assert_eq!(watch.kept.summaries(account.work), ["One"], "{path}");
        }
        let mut one = Watch::of(&format!("{}{}", account.url, account.work.trim_matches('/')), account.login);
        one.sync();
        assert_eq!(one.kept.hrefs(), [account.work]);
        one.sync();
        assert_eq!(one.sync().requests, 1);
        put(account, "one.ics", "Second");
        one.sync();
        assert_eq!(one.kept.summaries(account.work), ["Second"]);

        let checked = one.runtime.block_on(Watch::of(&account.url, account.login).source.check()).unwrap();
        let mut names: Vec<_> = checked.calendars.iter().map(|found| (found.name.as_str(), found.detection)).collect();
        names.sort_by_key(|(name, _)| *name);
        assert_eq!(names, [("Home", ChangeDetection::Report), ("Work", ChangeDetection::Report)]);
        assert!(checked.principal.is_some());
    }
}

#[test]
fn a_check_names_the_server_and_says_what_a_poll_costs() {
    let Some(venv) = Venv::or_skip() else { return };
    let (radicale, xandikos) = (Some(radicale(venv)), Some(xandikos(venv)));
    let debian = [(&SOGO, "SOGo"), (&DAVICAL, "DAViCal 1."), (&CYRUS, "Cyrus IMAP 3."), (&SABRE, "sabre/dav 1.")];
    let debian = debian.map(|(kind, name)| (kind.account(), name));
    for (account, name) in [(radicale, "Radicale"), (xandikos, "Xandikos")].into_iter().chain(debian) {
        let Some(account) = account else { continue };
        let url = account.url.trim_end_matches(account.home).trim_end_matches('/');
        let watch = Watch::of(&format!("{url}{}", account.home), account.login);
        let checked = watch.runtime.block_on(watch.source.check()).unwrap();
        let said = checked.to_string();
        println!("{said}");
        assert!(said.starts_with(name), "{said}");
        assert_eq!(checked.poll.requests, 1, "{said}");
        assert!((300..20_000).contains(&checked.poll.octets), "{said}");
    }
}

#[test]
fn only_the_calendars_that_are_wanted() {
    let Some(venv) = Venv::or_skip() else { return };
    let account = radicale(venv);
    for (id, name) in [("a", "Home"), ("b", "Homework"), ("c", "Other")] {
        account.client.mkcalendar(&format!("{}{id}/", account.home), name);
    }
    let path = |id: &str| format!("{}{id}", account.home);
    let ids = |kept: &Kept| kept.hrefs().iter().map(|href| href.replace(account.home, "")).collect::<Vec<_>>();
    let watched = |wanted: &[&str], kept: Kept| {
        let (mut source, settings) = settings(&account.url, account.login);
        source.calendars = wanted.iter().map(|&name| name.to_owned()).collect();
        let mut watch = Watch { kept, ..Watch::with(&source, &settings) };
        watch.sync();
        watch.kept
    };
    let kept = watched(&[], Kept::default());
    assert_eq!(ids(&kept), ["a/", "b/", "c/", "work/"]);
    let kept = watched(&["Home*", &path("work")], kept);
    assert_eq!(ids(&kept), ["a/", "b/", "work/"], "what is not wanted any more is dropped");
    let kept = watched(&["Home", "c", &path("w*")], kept);
    assert_eq!(ids(&kept), ["a/", "c/", "work/"]);
}

#[test]
fn errors_say_what_to_do() {
    let Some(venv) = Venv::or_skip() else { return };
    let mut account = radicale_alone(venv);
    let url = account.url.clone();
    let mut wrong = Watch::of(&url, Some(("mary", "open says me")));
    let said = wrong.failure();
    assert!(said.contains(&url) && said.contains("401") && said.contains("password_file"), "{said}");
    assert!(!said.contains("open says me"), "{said}");
    let said = Watch::of(&url, None).failure();
    assert!(said.contains("names no username"), "{said}");
    let said = Watch::of(&format!("{url}mary/nothing/"), account.login).failure();
    assert!(said.contains("/mary/nothing/") && said.contains("404") && said.contains("url"), "{said}");

    let mut watch = of(&account);
    put(&account, "one.ics", "One");
    watch.sync();
    account.stop();
    let down = watch.try_sync().unwrap_err();
    assert!(down.is_transient() && down.to_string().contains("refused"), "{down}");
    assert_eq!(watch.kept.summaries("/mary/work/"), ["One"], "what is known is kept");
    account.start_again();
    put(&account, "two.ics", "Two");
    watch.sync();
    assert_eq!(watch.kept.summaries("/mary/work/"), ["One", "Two"]);
}

#[test]
fn https_with_an_authority_of_ones_own() {
    let Some(venv) = Venv::or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    certificates(venv, folder.path());
    let file = |name: &str| folder.path().join(name);
    let certificate = Some((file("server.pem"), file("server.key")));
    let server = Radicale::start_with(venv, folder.path(), &[MARY], certificate, &[]);
    let (source, mut settings) = settings(&server.url(), Some(MARY));
    let said = Watch::with(&source, &settings).failure();
    let stranger = "there is no secure connection to SERVER: its certificate comes from an authority that this machine does not trust: if that is one of your own, name \
                    its certificate with ca_file; it is tried again";
    assert!(said.contains(&stranger.replace("SERVER", &server.url())), "{said}");
    settings.ca_file = Some(file("ca.pem"));
    assert_eq!(Watch::with(&source, &settings).sync().calendars, 0);
    settings.ca_file = Some(file("users"));
    let refused = Watch::with(&source, &settings).failure();
    assert!(refused.contains("users") && refused.contains("no certificate"), "{refused}");
}

/// Certificates that servers have which nobody but their admin trusts: signed by themselves, as `openssl req -x509`
/// makes them (of an authority), and as our message says.
fn own_certificate(venv: &Venv, folder: &Path, is_authority: bool, host: &str, days: i64) {
    let program = "import sys, datetime, ipaddress\n\
        from cryptography import x509\n\
        from cryptography.hazmat.primitives import hashes, serialization\n\
        from cryptography.hazmat.primitives.asymmetric import ec\n\
        folder, authority, host, days = sys.argv[1], sys.argv[2] == 'true', sys.argv[3], int(sys.argv[4])\n\
        key = ec.generate_private_key(ec.SECP256R1())\n\
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, 'calendar')])\n\
        now = datetime.datetime.now(datetime.timezone.utc)\n\
        try: alternative = x509.IPAddress(ipaddress.ip_address(host))\n\
        except ValueError: alternative = x509.DNSName(host)\n\
        made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())\n\
          .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=30))\n\
          .not_valid_after(now + datetime.timedelta(days=days))\n\
          .add_extension(x509.SubjectAlternativeName([alternative]), False)\n\
          .add_extension(x509.BasicConstraints(authority, None), True).sign(key, hashes.SHA256()))\n\
        open(folder + '/server.pem', 'wb').write(made.public_bytes(serialization.Encoding.PEM))\n\
        open(folder + '/server.key', 'wb').write(key.private_bytes(serialization.Encoding.PEM,\n\
          serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))\n";
    venv.script(program, &[folder.to_str().unwrap(), &is_authority.to_string(), host, &days.to_string()]);
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_in_words_and_a_pinned_one_works() {
    let Some(venv) = Venv::or_skip() else { return };
    let outcome_of = |is_authority: bool, host: &str, days: i64, named: &str| {
        let folder = tempfile::tempdir().unwrap();
        own_certificate(venv, folder.path(), is_authority, host, days);
        let file = |name: &str| folder.path().join(name);
        let certificate = Some((file("server.pem"), file("server.key")));
        let server = Radicale::start_with(venv, folder.path(), &[MARY], certificate, &[]);
        let (source, mut settings) = settings(&server.url(), Some(MARY));
        let another = folder.path().join("another");
        std::fs::create_dir(&another).unwrap();
        own_certificate(venv, &another, is_authority, host, days);
        settings.ca_file = (!named.is_empty()).then(|| file(named));
        Watch::with(&source, &settings).try_sync().map_err(|error| error.to_string())
    };
    let outcome = |is_authority: bool, host: &str, days: i64| outcome_of(is_authority, host, days, "server.pem");
    for is_authority in [false, true] {
        let report = outcome(is_authority, "127.0.0.1", 30).unwrap();
        assert_eq!(report.calendars, 0, "a certificate of its own that is named is trusted");
    }
    for named in ["", "another/server.pem"] {
        let authority = outcome_of(true, "127.0.0.1", 30, named).unwrap_err();
        assert!(authority.contains("its certificate is that of an authority (CA:TRUE)"), "{authority}");
        assert!(
            authority.contains("basicConstraints=critical,CA:FALSE") && !authority.contains("EndEntity"),
            "{authority}"
        );
    }
    // What is named is trusted for its names and in its time only.
    for is_authority in [false, true] {
        let name = outcome(is_authority, "calendar.example.org", 30).unwrap_err();
        assert!(name.contains("its certificate is for calendar.example.org and not for 127.0.0.1"), "{name}");
        let expired = outcome(is_authority, "127.0.0.1", -10).unwrap_err();
        assert!(expired.contains(" its certificate was valid until 20"), "{expired}");
    }
    let name = outcome(false, "calendar.example.org", 30).unwrap_err();
    let told = "its certificate is for calendar.example.org and not for 127.0.0.1: write that name in the url";
    assert!(name.contains(told), "{name}");
    let expired = outcome(false, "127.0.0.1", -10).unwrap_err();
    assert!(expired.contains(" its certificate was valid until 20") && expired.contains(": renew it; "), "{expired}");
}

#[test]
fn a_radicale_without_its_storage_loses_nothing() {
    let Some(venv) = Venv::or_skip() else { return };
    let mut account = radicale_alone(venv);
    put(&account, "one.ics", "One");
    put(&account, "two.ics", "Two");
    let mut watch = of(&account);
    watch.sync();
    let (storage, away) = (account.storage(), account.storage().with_extension("away"));
    let same_as_before = |watch: &mut Watch| {
        watch.kept.counts();
        watch.sync();
        assert_eq!((watch.kept.calendar("/mary/work/").absent_since, watch.kept.counts().0), (None, 0));
    };
    // It is started before its disk is mounted, and answers an empty home.
    account.stop();
    std::fs::rename(&storage, &away).unwrap();
    account.start_again();
    watch.sync();
    assert!(watch.kept.calendar("/mary/work/").absent_since.is_some());
    account.stop();
    std::fs::remove_dir_all(&storage).unwrap();
    std::fs::rename(&away, &storage).unwrap();
    account.start_again();
    same_as_before(&mut watch);
    // The calendar's own folder is a mount that is away.
    let work = storage.join("collection-root/mary/work");
    std::fs::rename(&work, &away).unwrap();
    std::fs::create_dir(&work).unwrap();
    watch.sync();
    assert!(watch.kept.calendar("/mary/work/").absent_since.is_some());
    std::fs::remove_dir_all(&work).unwrap();
    std::fs::rename(&away, &work).unwrap();
    same_as_before(&mut watch);
    // Its properties are empty, or half written.
    let properties = work.join(".Radicale.props");
    let before = std::fs::read(&properties).unwrap();
    for broken in [&b""[..], before.get(..before.len() / 2).unwrap()] {
        std::fs::write(&properties, broken).unwrap();
        let _ = watch.try_sync();
        assert_eq!(watch.kept.summaries("/mary/work/"), ["One", "Two"]);
    }
    std::fs::write(&properties, before).unwrap();
    same_as_before(&mut watch);
}
