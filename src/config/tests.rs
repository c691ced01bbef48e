use jiff::civil::{Weekday, time};

use crate::calendar::ical::component::ComponentKind;
use crate::delivery::alarm_filter::AlarmFilter;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{
    CaldavSettings, Config, Credentials, Overrides, OwnDomains, Secret, SecretCommand, SecretSource, ServerUsers,
    SourceKind, load,
};
use crate::delivery::sink::Recipients;
use crate::delivery::sink::email::{EmailSettings, LoginSecret, LoginSettings, SmtpSecurity};

fn nothing(_: &str) -> Option<String> {
    None
}

/// Writes `text` to a file of its own and loads that.
fn load_text(text: &str) -> Result<Config, String> {
    load_with(text, &nothing).1
}

fn load_with(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> (tempfile::TempDir, Result<Config, String>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reveille.toml");
    std::fs::write(&file, text).unwrap();
    std::fs::write(folder.path().join("open"), "hunter2\n").unwrap();
    std::fs::set_permissions(folder.path().join("open"), std::fs::Permissions::from_mode(0o640)).unwrap();
    for (name, secret) in [("secret", "hunter2\n"), ("edited", "\u{feff}hunter2\r\n\n"), ("empty", "\n")] {
        std::fs::write(folder.path().join(name), secret).unwrap();
        std::fs::set_permissions(folder.path().join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let loaded = load(Some(&file), &Overrides::default(), environment);
    let prefix = format!("{}/", folder.path().display());
    let result = loaded.map_err(|error| error.to_string().replace(&prefix, ""));
    (folder, result)
}

/// The one sentence that a text's problem is told with.
fn problem(text: &str) -> String {
    load_text(text).expect_err(text)
}

const CALDAV: &str = "[[source]]\nkind = 'caldav'\nurl = 'https://dav.example.org/'\n";
const EMAIL: &str = "[[sink]]\nkind = 'email'\nfrom = 'C <c@example.org>'\n";

#[test]
fn the_example_loads() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/reveille.toml");
    let config = load(Some(&file), &Overrides::default(), &nothing).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.ledger, Path::new("/var/lib/reveille/ledger.db"));
    assert_eq!(config.sources.len(), 3);
    assert_eq!(config.sinks.len(), 8);
    let names: Vec<_> = config.sinks.iter().map(|sink| sink.name.as_str()).collect();
    assert_eq!(names, ["stdout", "file", "cyrus-notify", "email", "command", "webhook", "phone", "web-push"]);
}

/// What docs/notification.md shows of each service can be copied.
#[test]
fn the_examples_of_services_load() {
    let text = include_str!("../../docs/notification.md").split_once("### Services").unwrap().1;
    let blocks =
        text.split("    [[sink]]\n").skip(1).map(|rest| rest.lines().take_while(|line| line.starts_with("    ")));
    let mut shown = Vec::new();
    for block in blocks {
        let block: Vec<&str> = block.map(str::trim).collect();
        let config = load_text(&format!("[[sink]]\n{}\n", block.join("\n"))).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(config.sinks.len(), 1);
        shown.extend(
            block
                .iter()
                .filter_map(|line| line.strip_prefix("preset = "))
                .map(|name| name.trim_matches('"').to_owned()),
        );
    }
    let unknown = problem("[[sink]]\nkind = 'webhook'\npreset = 'x'\nurl = 'https://h/'");
    assert!(unknown.contains(&format!("must be one of {};", shown.join(", "))), "{unknown}\n{shown:?}");
}

#[test]
fn the_example_says_what_holds_where_a_key_is_left_out() {
    let short = load_text("[[source]]\nkind='directory'\npath='x'\n").unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/reveille.toml");
    let long = load(Some(&file), &Overrides::default(), &nothing).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(long.defaults.max_lateness, short.defaults.max_lateness);
    assert_eq!(format!("{:?}", long.limits), format!("{:?}", short.limits));
    assert_eq!(long.sinks[0].give_up_after, short.sinks[0].give_up_after);
    assert_eq!(short.sinks.len(), 1, "standard output where no sink is named");
    assert_eq!(short.sinks[0].settings.kind(), "stdout");
}

#[test]
fn each_limit_is_read_from_its_key() {
    let numbers = [
        "max_redirects",
        "max_repeat",
        "max_alarms_per_hour",
        "max_alarms",
        "max_rules",
        "max_work",
        "max_attendees",
        "max_faults",
        "max_elements",
        "max_calendars",
        "max_zone_observances",
        "max_zone_dates",
        "max_zone_rules",
        "max_zone_counts",
        "max_pages",
        "max_changes",
        "max_name",
        "max_own_addresses",
        "max_depth",
        "max_xml_depth",
        "max_object_size",
        "max_text",
        "max_notification_size",
        "max_reply_size",
        "max_response_size",
        "max_listing_size",
        "max_href",
    ];
    // Each gets a number of its own, within the bounds of all that are counted like it.
    let number = |key: usize| if key < 20 { 8 + key } else { 5_000 + key };
    let lines: String = numbers.iter().enumerate().map(|(n, key)| format!("{key} = {}\n", number(n))).collect();
    let limits = load_text(&format!("[limits]\n{lines}max_retry_after = \"7m\"\n")).unwrap().limits;
    let told = format!("{limits:?}");
    for (n, key) in numbers.iter().enumerate() {
        assert!(told.contains(&format!("{key}: {}", number(n))), "{key}: {told}");
    }
    assert_eq!(limits.responses.max_retry_after, Duration::from_secs(420));
}

#[test]
fn a_renamed_key_is_read_and_its_new_name_is_reported() {
    let config = load_text("[limits]\nmax_rings_per_hour = 7\n").unwrap();
    assert_eq!(config.limits.objects.max_alarms_per_hour, 7);
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    let warning = "2: [limits]: max_rings_per_hour was renamed: write max_alarms_per_hour";
    assert!(matches!(&warnings[..], [only] if only.ends_with(warning)), "{warnings:?}");
    let both = load_text("[limits]\nmax_rings_per_hour = 7\nmax_alarms_per_hour = 8\n").unwrap_err();
    assert!(both.to_string().contains("unknown key 'max_rings_per_hour'"), "{both}");
}

#[test]
fn the_example_shows_every_key() {
    let example = include_str!("../../packaging/reveille.toml");
    let readers = [
        include_str!("load.rs"),
        include_str!("sources.rs"),
        include_str!("credentials.rs"),
        include_str!("admin.rs"),
        include_str!("../tables/secret.rs"),
        include_str!("../tables/names.rs"),
        include_str!("../delivery/render.rs"),
        include_str!("../delivery/event_settings.rs"),
        include_str!("../delivery/alarm_filter.rs"),
        include_str!("../delivery/user_routing.rs"),
        include_str!("../delivery/quiet_hours.rs"),
        include_str!("../delivery/sink/registry.rs"),
        include_str!("../delivery/sink/file.rs"),
        include_str!("../delivery/sink/file/rotation.rs"),
        include_str!("../delivery/sink/cyrus_notify.rs"),
        include_str!("../delivery/sink/command.rs"),
        include_str!("../delivery/sink/webhook/settings.rs"),
        include_str!("../delivery/sink/email/settings.rs"),
    ];
    let mut keys: Vec<&str> = ["password_file", "password_env", "password_credential", "token_file"].to_vec();
    let limits = [".small(\"", ".count(\"", ".octets(\"", ".depth(\"", ".within(\""];
    for before in [".read(\"", ".required(\"", ".table(\"", ".tables(\""].into_iter().chain(limits) {
        let after = readers.iter().flat_map(|text| text.split(before).skip(1));
        keys.extend(after.filter_map(|rest| rest.split('"').next()));
    }
    assert!(keys.len() > 30, "{keys:?}");
    for key in keys {
        assert!(example.contains(&format!("{key} = ")) || example.contains(&format!("[{key}]")), "{key}");
    }
}

#[test]
fn every_problem_is_reported_at_once_in_the_order_of_the_lines() {
    let text = "[defaults]\nzome = 'Europe/Berlin'\nmax_lateness = '30 parsecs'\n\n[[source]]\nkind = 'cladav'\n\n\
                [[source]]\nkind = 'directory'\nname = 'tank'\nlayuot = 'flat'\n\n[sinks]\n";
    let told = problem(text);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(
        lines,
        [
            "reveille.toml:2: [defaults]: unknown key 'zome'; the nearest known key is 'zone'",
            "reveille.toml:3: [defaults]: max_lateness is '30 parsecs', which is not a duration: write 30s, 5m, 24h, 7d or a \
             sum such as 1h30m",
            "reveille.toml:6: source 1: kind is 'cladav' and must be one of caldav, directory, ics; the nearest is 'caldav'",
            "reveille.toml:8: source 'tank': path is missing",
            "reveille.toml:11: source 'tank': unknown key 'layuot'; the nearest known key is 'layout'",
            "reveille.toml:13: unknown key 'sinks'; the nearest known key is 'sink'",
        ]
    );
}

#[test]
fn problems_name_their_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    std::fs::write(&file, "[[sink]]\nkind = 'file'\npath = 3\n").unwrap();
    let error = load(Some(&file), &Overrides::default(), &nothing).unwrap_err();
    assert_eq!(error.problems()[0].key.as_deref(), Some("sink.path"));
    assert_eq!(error.problems()[0].line, Some(3));
}

#[test]
fn wrong_types_and_values() {
    for (text, told) in [
        ("defaults = 3", "1: defaults is a whole number and must be a table: write [defaults]"),
        ("[source]\nkind='caldav'", "1: source is a table and must be a list of tables: write [[source]]"),
        ("source = [1]", "1: source is a whole number and must be a list of tables: write [[source]]"),
        ("[limits]\nmax_repeat = 0", "2: [limits]: max_repeat is 0 and must lie between 1 and 1000000"),
        ("[limits]\nmax_repeat = -1", "2: [limits]: max_repeat is -1 and must lie between 1 and 1000000"),
        ("[limits]\nmax_repeat = '5'", "2: [limits]: max_repeat is a text and must be a whole number"),
        (
            "[defaults]\nmax_lateness = 30",
            "2: [defaults]: max_lateness is a whole number and must be a duration in quotes",
        ),
        ("[defaults]\nmax_lateness = '0s'", "2: [defaults]: max_lateness must be at least 1s"),
        (
            "[defaults]\nzone = 'Europe/Berln'",
            "2: [defaults]: zone is 'Europe/Berln', which is not a known time zone; did you mean 'Europe/Berlin'?",
        ),
        (
            "[[source]]\nkind='directory'\npath='x'\nzone='Mars'",
            "4: source 1: zone is 'Mars', which is not a known time zone",
        ),
        ("zoneinfo = '/nowhere'", "1: zoneinfo is '/nowhere': cannot read the time zone database in /nowhere"),
        ("[defaults]\nzone = ''", "2: [defaults]: zone is empty"),
        ("[defaults]\nzone = [1]", "2: [defaults]: zone is a list and must be a text"),
        (
            "[log]\nlevel = 'debg'",
            "2: [log]: level is 'debg' and must be one of error, warn, info, debug, trace; the nearest is 'debug'",
        ),
        (
            "[ledger]\nurl = 'postgres://h/d'",
            "2: [ledger]: url begins with postgres: and must be sqlite:///PATH or a path",
        ),
        ("[admin]\nlisten = '9464'", "2: [admin]: listen is '9464' and must be ADDRESS:PORT"),
        ("[admin]\nlisten = '0.0.0.0:9464'", "2: [admin]: listen can be reached from other machines, and no token"),
        ("[admin]\ntoken_file = 'token'", "1: [admin]: listen is missing"),
        ("[admin]\nlisten = '127.0.0.1:1'\npush_url = 'http://h/'", "3: [admin]: push_url must begin with https://"),
        ("[admin]\ncyrus_socket_mode = '0660'", "2: [admin]: cyrus_socket_mode is given without cyrus_socket"),
        (
            "[admin]\ncyrus_socket = 's'\ncyrus_socket_mode = '0066'",
            "3: [admin]: cyrus_socket_mode is '0066' and must be",
        ),
        ("[admin]\ncertificate = 'x'\nkey = 'y'", "2: [admin]: certificate is given without listen"),
        ("[admin]\nlisten = '127.0.0.1:1'\ncertificate = 'x'", "3: [admin]: certificate is given without its key"),
        (
            "[[source]]\nkind='caldav'\nurl='https://h/'\nhinted_poll_interval='5s'",
            "4: source 1: hinted_poll_interval is shorter than poll_interval",
        ),
        (
            "[[source]]\nkind='caldav'\nurl='https://h/'\nmax_poll_interval='1h'\nhinted_poll_interval='5m'",
            "5: source 1: hinted_poll_interval is shorter than max_poll_interval",
        ),
        (
            "[events]\nkinds = ['AclChange']\n[[sink]]\nkind = 'stdout'\nevents = false",
            "2: [events]: kinds names store events, and no sink takes any",
        ),
        (
            "[events]\nkinds = ['AclChange']\n[[sink]]\nkind = 'email'\nurl = 'smtps://h'\nfrom = 'a@b.c'",
            "2: [events]: kinds names store events, and no sink takes any",
        ),
        (
            "[[sink]]\nkind = 'pager'",
            "2: sink 1: kind is 'pager' and must be one of stdout, file, cyrus-notify, email, command, webhook, web-push; the nearest",
        ),
        ("[[sink]]\nkind = 'webhook'\nurl = 'http://h/'", "3: sink 1: url is without encryption"),
        ("[[sink]]\nkind = 'webhook'\nurl = 'https://10.1.2.3/'", "3: sink 1: url names a private address"),
        ("[[sink]]\nkind = 'webhook'\nurl = 'https://h/'\nsecret = 'x'", "4: sink 1: secret must not be in this file"),
        (
            "[[sink]]\nkind = 'webhook'\nurl = 'https://h/'\nheaders = { Webhook-Id = 'x' }",
            "4: sink 1: headers holds webhook-id, which Reveille sets itself",
        ),
        (
            "[[sink]]\nkind = 'webhook'\nurl = 'https://h/'\nheaders = { X = { path = 'x' } }",
            "4: sink 1: headers holds x, whose value must be a text",
        ),
        (
            "[[sink]]\nkind = 'webhook'\npreset = 'nfty'\nurl = 'https://h/x'",
            "3: sink 1: preset is 'nfty' and must be one of ntfy, gotify, matrix, slack, mattermost, apprise, home-assistant, \
             pushover, telegram; the nearest is 'ntfy'",
        ),
        ("[[sink]]\nkind = 'webhook'\npreset = 'gotify'\nurl = 'https://h/'", "1: sink 1: token_file is missing"),
        ("[[sink]]\nkind = 'webhook'\npreset = 'telegram'\ntoken_file = 'x'", "1: sink 1: chat_id is missing"),
        (
            "[[sink]]\nkind = 'webhook'\npreset = 'matrix'\nurl = 'https://h/'\ntoken_file = 'x'\nroom = '#a:h'",
            "6: sink 1: room must be the id of a room",
        ),
        (
            "[[sink]]\nkind = 'webhook'\npreset = 'slack'\nurl_file = 'x'\npriority = 'high'",
            "5: sink 1: unknown key 'priority'",
        ),
        (
            "[[sink]]\nkind = 'file'\npath = 'x'\nrotate_keep = 2",
            "4: sink 1: rotate_keep says how many old files are kept",
        ),
        (
            "[[sink]]\nkind = 'web-push'\ncontact = 'me'\nvapid_key_file = 'x'\nsubscription_file = 'y'",
            "3: sink 1: contact must begin with mailto: or https://",
        ),
        ("[[sink]]\nkind = 'web-push'\nvapid_key_file = 'x'", "1: sink 1: contact is missing"),
        ("[[sink]]\nkind = 'command'\nargv = 'x'", "3: sink 1: argv is a text and must be a list of the program"),
        ("[[sink]]\nkind = 'command'", "1: sink 1: argv is missing"),
        ("[[source]]\nkind='caldav'\nurl='https://h/'\ndefault_alarms='yes'", "4: source 1: default_alarms"),
        ("[[sink]]\nname = 'x'", "1: sink 1: kind is missing"),
        (
            "[[sink]]\nkind = 'stdout'\nactions = ['ring']",
            "3: sink 1: actions is 'ring' and must be one of display, email, audio",
        ),
        ("[[sink]]\nkind = 'stdout'\nactions = []", "3: sink 1: actions is an empty list"),
        ("[[sink]]\nkind = 'stdout'\nname = 'a/b'", "3: sink 1: name is 'a/b' and must not hold a '/'"),
        (
            "[[sink]]\nkind = 'stdout'\nformat = 'short'",
            "3: sink 1: format is 'short' and must be one of full, documented",
        ),
    ] {
        assert!(problem(text).starts_with(&format!("reveille.toml:{told}")), "{text}\n{}", problem(text));
    }
}

#[test]
fn a_text_that_is_not_toml_is_reported_with_its_line() {
    let told = problem("[defaults]\nzone = \"Europe/Berlin\nmax_lateness = '1h'\n");
    assert!(told.starts_with("reveille.toml:2: this is not valid TOML: "), "{told}");
    assert!(
        problem("[log]\nlevel='info'\nlevel='warn'\n")
            .starts_with("reveille.toml:3: this is not valid TOML: duplicate key")
    );
}

#[test]
fn names_are_made_of_the_kind_and_each_is_taken_once() {
    let text = "[[source]]\nkind='directory'\npath='a'\n[[source]]\nkind='directory'\npath='b'\n\
                [[source]]\nkind='directory'\npath='c'\n";
    let names: Vec<_> = load_text(text).unwrap().sources.into_iter().map(|source| source.name).collect();
    assert_eq!(names, ["directory", "directory-2", "directory-3"]);
    let told = problem("[[sink]]\nkind='stdout'\nname='x'\n[[sink]]\nkind='stdout'\nname='x'\n");
    assert_eq!(told, "reveille.toml:6: sink 2: name 'x' is taken: give each its own");
}

#[test]
fn a_caldav_source() {
    let text =
        format!("{CALDAV}username = 'mary'\npassword_file = 'secret'\npoll_interval = '1s'\nuser='m@example.org'\n");
    let (_folder, config) = load_with(&text, &nothing);
    let config = config.unwrap();
    assert_eq!(config.sources[0].user.as_deref(), Some("m@example.org"));
    let SourceKind::Caldav(settings) = &config.sources[0].kind else { panic!() };
    assert_eq!(settings.poll_interval, Duration::from_secs(1));
    let Credentials::Password { username, .. } = &settings.credentials else { panic!() };
    assert_eq!((username.as_str(), secret(&config).as_deref()), ("mary", Ok("hunter2")));
    assert!(!format!("{:?}", Secret::new("hunter2")).contains("hunter2"));

    let (_folder, config) = load_with(&format!("{CALDAV}token_file = 'secret'\n"), &nothing);
    let config = config.unwrap();
    let SourceKind::Caldav(settings) = &config.sources[0].kind else { panic!() };
    assert!(matches!(settings.credentials, Credentials::Bearer { .. }));
    assert_eq!(secret(&config).as_deref(), Ok("hunter2"));
    // What editors leave around it is no part of it.
    let (_folder, config) = load_with(&format!("{CALDAV}token_file = 'edited'\n"), &nothing);
    assert_eq!(secret(&config.unwrap()).as_deref(), Ok("hunter2"));
}

/// The password or token of the only source.
fn secret(config: &Config) -> Result<String, String> {
    let SourceKind::Caldav(settings) = &config.sources[0].kind else { panic!("{config:?}") };
    let Some(SecretSource::Kept(secret)) = settings.credentials.secret() else { panic!("{settings:?}") };
    secret.read().map(|secret| secret.expose().to_owned()).map_err(|error| error.to_string())
}

#[test]
fn secrets_are_refused_where_others_could_read_them() {
    let user = format!("{CALDAV}username = 'mary'\n");
    for (line, told) in [
        ("password_file = 'open'", "password_file names open, which others may read (mode 0640): chmod 600 open"),
        ("password_file = 'gone'", "password_file names gone, which cannot be read: No such file"),
        ("password_file = 'empty'", "password_file names empty, which is empty"),
        ("password_file = '.'", "password_file names ., which is not a file"),
        ("password_env = 'NOWHERE'", "password_env names the environment variable NOWHERE, which is not set"),
        ("password_credential = 'x'", "password_credential names the systemd credential 'x', but "),
    ] {
        // The configuration itself is right.
        let (folder, config) = load_with(&format!("{user}{line}\n"), &nothing);
        let all = secret(&config.unwrap()).expect_err(line).replace(&format!("{}/", folder.path().display()), "");
        assert!(all.starts_with(told), "{line}\n{all}");
        assert!(!all.contains("hunter2"), "{all}");
    }
}

#[test]
fn a_login_is_named_once_and_whole() {
    let user = format!("{CALDAV}username = 'mary'\n");
    for (line, told) in [
        ("password = 'hunter2'", "4: source 1: username is given without a password"),
        ("", "4: source 1: username is given without a password"),
        ("password_file = 'secret'\ntoken_file = 'secret'", "6: source 1: token_file and a password are given"),
        ("password_file = 'secret'\npassword_env = 'X'", "6: source 1: password_env is one place too many"),
        ("password_file = 'secret'\npassword_command = ['x']", "6: source 1: password_command is one place too many"),
        ("token_command = ['x']\npassword_command = ['x']", "5: source 1: token_command and a password are given"),
        (
            "password_command = 'pass show x'",
            "5: source 1: password_command is a text and must be a list of the program",
        ),
        (
            "password_file = 'secret'\nauth = 'ntlm'",
            "6: source 1: auth is 'ntlm' and must be one of auto, basic, digest",
        ),
        ("token_file = 'secret'\nauth = 'digest'", "6: source 1: auth says how a password is sent, and none is given"),
        ("client_key = 'x'\npassword_file = 'x'", "5: source 1: client_key is given without its certificate"),
        ("client_certificate = 'x'\npassword_file = 'x'", "5: source 1: client_certificate is given without its key"),
        ("password_command = []", "5: source 1: password_command names no program"),
        ("password_command = [' ', 'x']", "5: source 1: password_command names no program"),
        ("password_command = ['x', 1]", "5: source 1: password_command holds a whole number and must hold texts only"),
    ] {
        let all = problem(&format!("{user}{line}\n"));
        assert!(all.starts_with(&format!("reveille.toml:{told}")), "{line}\n{all}");
        assert!(!all.contains("hunter2"), "{all}");
    }
    let plain = problem(&format!("{user}password = 'hunter2'\n"));
    assert!(plain.contains(":5: source 1: password must not be in this file: "), "{plain}");
    let lonely = problem(&format!("{CALDAV}password_file = 'secret'\n"));
    assert_eq!(lonely, "reveille.toml:4: source 1: password_file is given without a username");
}

#[test]
fn secrets_come_from_variables_and_credentials_too() {
    let user = format!("{CALDAV}username = 'mary'\n");
    let (_folder, config) = load_with(&format!("{user}password_env = 'PATH'\n"), &nothing);
    assert_eq!(secret(&config.unwrap()).unwrap(), std::env::var("PATH").unwrap());
    assert!(load_text(&format!("{user}password_credential = 'mary'\n")).is_ok());
    let told = problem(&format!("{user}password_credential = '../mary'\n"));
    assert!(told.contains("5: source 1: password_credential is '../mary' and must be the bare name"), "{told}");
}

#[test]
fn a_command_is_relative_to_the_file_unless_it_is_a_bare_name() {
    let (folder, config) = load_with(&format!("{CALDAV}token_command = ['./bin/token', '']\n"), &nothing);
    let program = folder.path().join("./bin/token").display().to_string();
    let expected = SecretCommand::new("token_command", program, vec![String::new()]);
    let source_of = |config: Config| {
        let SourceKind::Caldav(settings) = &config.sources[0].kind else { panic!("{config:?}") };
        settings.credentials.secret().unwrap().clone()
    };
    assert_eq!(source_of(config.unwrap()), SecretSource::Printed(expected));
    let (_folder, config) =
        load_with(&format!("{CALDAV}username = 'mary'\npassword_command = ['pass', ' a']\n"), &nothing);
    let expected = SecretCommand::new("password_command", "pass".to_owned(), vec![" a".to_owned()]);
    assert_eq!(source_of(config.unwrap()), SecretSource::Printed(expected));
    // A mail server has no such key.
}

#[test]
fn an_access_token_is_got_by_what_oauth2_says() {
    let settings_of = |oauth2: &str, file: &str| {
        let (_folder, config) = load_with(&format!("{CALDAV}oauth2 = {{ {oauth2} }}\n{file}"), &nothing);
        let source = config.unwrap().sources.remove(0);
        let SourceKind::Caldav(CaldavSettings { credentials: Credentials::OAuth2(settings), .. }) = source.kind else {
            panic!("{source:?}")
        };
        settings
    };
    let files = "refresh_token_file = 'secret', client_secret_file = 'secret'";
    let google = settings_of(&format!("client_id = 'x', {files}"), "");
    assert_eq!(google.token_url, "https://oauth2.googleapis.com/token");
    assert_eq!(google.secrets().filter_map(|secret| secret.path()).count(), 2);
    let own = settings_of("client_id_file = 'id', refresh_token_env = 'X', token_url = 'http://[::1]:8/t'", "");
    assert!(own.client_secret.is_none() && own.token_url == "http://[::1]:8/t");
    for (oauth2, told) in [
        ("client_id = 'x'", "source 1: oauth2: refresh_token_file is missing"),
        ("refresh_token_file = 'secret'", "oauth2: client_id is missing"),
        ("client_id = 'x', refresh_token = '1//x'", "oauth2: refresh_token must not be in this file"),
        ("client_id = 'x', client_id_file = 'x', refresh_token_file = 'x'", "one place too many for the client_id"),
        ("client_id = 'x', refresh_token_file = 'x', token_ulr = 'x'", "the nearest known key is 'token_url'"),
        (&format!("client_id = 'x', {files}, token_url = 'http://h/'"), "token_url must begin with https://"),
        (&format!("client_id = 'x', {files} }}\ntoken_file = 'x'\nemail = ['a@b.c'] #"), "and oauth2 are given"),
    ] {
        let told_instead = problem(&format!("{CALDAV}oauth2 = {{ {oauth2} }}\n"));
        assert!(told_instead.contains(told), "{oauth2}: {told_instead}");
    }
}

#[test]
fn a_server_is_asked_for_its_users_with_one_login() {
    let source = "[[source]]\nkind = 'caldav'\nname = 'all'\nusers_from_server = true\n";
    let login = "username = 'admin'\npassword_file = 'secret'\n";
    let text = format!("{source}{login}url = 'https://dav.example.org/cal/{{user}}/work/'\nemail = ['{{user}}@x.y']\n");
    let (_folder, config) = load_with(&format!("{text}authorize_as = '{{user}}'\n"), &nothing);
    let config = config.unwrap();
    let [listing] = &config.listings[..] else { panic!("{config:?}") };
    assert_eq!((listing.settings.url.as_str(), listing.interval.as_secs()), ("https://dav.example.org/cal/", 300));
    assert!(listing.settings.authorize_as.is_none() && !config.account_origins.is_empty() && config.sources.is_empty());
    assert!(config.account_problems.is_empty(), "where it is not asked, nothing is missing");
    // What it says becomes the sources.
    let users = ServerUsers::default();
    let load_listed = || {
        let overrides = Overrides { server_users: Some(&users), ..Overrides::default() };
        load(Some(&_folder.path().join("reveille.toml")), &overrides, &nothing).unwrap()
    };
    assert!(load_listed().account_problems[0].problem.sentence.contains("has not listed its users yet"));
    users.note("all", Ok(vec!["b b".to_owned(), "mary".to_owned(), "a/b".to_owned()]));
    users.note("all", Err("the server is down".to_owned()));
    let config = load_listed();
    let SourceKind::Caldav(settings) = &config.sources[0].kind else { panic!("{config:?}") };
    assert_eq!(
        (config.sources[0].name.as_str(), settings.url.as_str()),
        ("all:mary", "https://dav.example.org/cal/mary/work/")
    );
    assert_eq!(settings.authorize_as.as_deref(), Some("mary"));
    let told: Vec<&str> = config.account_problems.iter().map(|one| one.problem.sentence.as_str()).collect();
    assert!(told.iter().any(|told| told.contains("'a/b' cannot be a user here")), "{told:?}");
    assert!(told.iter().any(|told| told.contains("authorize_as is sent in a header")), "{told:?}");
    assert!(told.iter().any(|told| told.contains("the server is down")), "{told:?}");
    for (lines, told) in [
        (format!("{login}url = 'https://h/cal/'"), "url needs {user} in its path"),
        (format!("{login}url = 'https://{{user}}.example.org/'"), "url needs {user} in its path"),
        ("username = '{user}'\npassword_file = 'x'\nurl = 'https://h/{user}/'".to_owned(), "the same for all users"),
        (format!("{login}url = 'https://h/{{user}}/'\nusers = ['a']"), "one of them lists the users"),
        ("url = 'https://h/{user}/'\nauthorize_as = '{user}'".to_owned(), "authorize_as needs a login"),
    ] {
        let said = problem(&format!("{source}{lines}\n"));
        assert!(said.contains(told), "{lines}: {said}");
    }
    let feed = problem("[[source]]\nkind = 'ics'\nusers_from_server = true\nurl = 'https://h/{user}'\n");
    assert!(feed.contains("is for a source of kind caldav"), "{feed}");
}

#[test]
fn a_secret_that_is_written_again_is_known_by_its_stamp() {
    let (folder, config) = load_with(&format!("{CALDAV}token_file = 'secret'\n"), &nothing);
    let source = config.unwrap().sources.remove(0);
    let SourceKind::Caldav(CaldavSettings { credentials: Credentials::Bearer { token }, .. }) = source.kind else {
        panic!()
    };
    let before = token.stamp();
    assert!(before.is_some() && before == token.stamp());
    let file = folder.path().join("secret");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let opened = token.stamp();
    assert_ne!(opened, before, "other rights");
    std::fs::write(folder.path().join("new"), "hunter2\n").unwrap();
    std::fs::rename(folder.path().join("new"), &file).unwrap();
    assert_ne!(token.stamp(), opened, "another file of the same size");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(token.stamp(), None);
}

#[test]
fn plaintext_is_for_this_machine_unless_spelled_out() {
    let source = |rest: &str| format!("[[source]]\nkind='caldav'\n{rest}");
    let told = problem(&source("url = 'http://dav.example.org/'\n"));
    assert!(told.starts_with("reveille.toml:3: source 1: url is without encryption"), "{told}");
    assert!(load_text(&source("url = 'http://dav.example.org/'\nallow_plaintext = true\n")).is_ok());
    assert!(load_text(&source("url = 'http://[::1]:5232/'\n")).is_ok());
    let password = problem(&source("url = 'https://mary:hunter2@dav.example.org/'\n"));
    assert!(password.contains("holds a password") && !password.contains("hunter2"), "{password}");
}

#[test]
fn an_email_sink() {
    let text = format!(
        "{EMAIL}url='smtp://mary@mail.example.org'\npassword_file='secret'\nrecipients=['mailto:a@example.org']\n"
    );
    let (_folder, config) = load_with(&text, &nothing);
    let sink = config.unwrap().sinks.remove(0);
    assert_eq!(sink.actions, ["email"]);
    let settings: &dyn std::any::Any = &*sink.settings;
    let settings = settings.downcast_ref::<EmailSettings>().unwrap().clone();
    assert_eq!((settings.port, settings.security), (587, SmtpSecurity::StartTls));
    assert_eq!(settings.recipients, Recipients::List(vec!["a@example.org".into()]));
    let LoginSettings { username, secret } = settings.login.unwrap();
    let LoginSecret::Password(SecretSource::Kept(password)) = secret else { panic!() };
    assert_eq!((username.as_str(), password.read()), ("mary", Ok(Secret::new("hunter2"))));
    for (lines, told) in [
        ("url='smtp://mary@mail.example.org'", "4: sink 1: url names a user, but there is no password"),
        (
            "url='smtp://mail.example.org'\npassword_file='secret'",
            "5: sink 1: password_file is given, but the url names no user",
        ),
        (
            "url='smtp://mary@h'\npassword_file='secret'\ntoken_command=['get-token']",
            "6: sink 1: token_command and password_file are given: one of them logs in",
        ),
        (
            "url='smtp://mary@h'\noauth2={client_id='c'}",
            "5: sink 1: oauth2: refresh_token_file is missing: name the file that the refresh token is in",
        ),
        (
            "url='smtp+plain://mary@mail:25'\nallow_plaintext=true\npassword_file='secret'",
            "4: sink 1: url names a user, whose password would be sent without encryption",
        ),
        ("url='smtps://mail'\nallow_plaintext=true", "5: sink 1: allow_plaintext is for smtp+plain://"),
        ("url='smtp+plain://mail.example.org'", "4: sink 1: url is without encryption"),
        ("url='smtp://h'\nrecipients='all'", "5: sink 1: recipients is 'all' and must be own, attendees or"),
        ("url='smtp://h'\nhelo='laptop'", "5: sink 1: helo is 'laptop' and must be a full host name"),
        ("url='smtp://h'\nhelo='[300.0.0.1]'", "5: sink 1: helo is '[300.0.0.1]' and must be a full host name"),
        ("url='smtp://h'\nrecipients=['nobody']", "5: sink 1: recipients holds 'nobody', which is not an address"),
        ("url='mail.example.org:587'", "4: sink 1: url does not say how to get there: write it as smtps://HOST, or"),
        ("", "1: sink 1: url is missing"),
    ] {
        let all = problem(&format!("{EMAIL}{lines}\n"));
        assert!(all.starts_with(&format!("reveille.toml:{told}")), "{lines}\n{all}");
    }
    let from = problem("[[sink]]\nkind='email'\nurl='smtp://h'\nfrom='Calendar'\n");
    assert!(from.contains(":4: sink 1: from is 'Calendar', which is no mailbox such as"), "{from}");
}

#[test]
fn the_command_line_adds_and_overrides() {
    let watch = [PathBuf::from("/srv/calendars"), PathBuf::from("/home/calendars")];
    let overrides = Overrides { ledger: Some("sqlite:///tmp/l.db"), watch: &watch, server_users: None };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reveille.toml");
    std::fs::write(&file, "").unwrap();
    let environment = |name: &str| (name == "LOGNAME").then(|| "mary".to_owned());
    let config = load(Some(&file), &overrides, &environment).unwrap();
    assert_eq!(config.ledger, Path::new("/tmp/l.db"));
    let names: Vec<_> = config.sources.iter().map(|source| (source.name.as_str(), source.login.as_str())).collect();
    assert_eq!(names, [("calendars", "mary"), ("calendars-2", "mary")]);
    let overrides = Overrides { ledger: Some("mysql://x"), watch: &[], server_users: None };
    let told = load(Some(&file), &overrides, &environment).unwrap_err().to_string();
    assert_eq!(told, "--ledger begins with mysql: and must be sqlite:///PATH or a path");
}

#[test]
fn where_the_file_is_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("reveille");
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("reveille.toml"), "[ledger]\nurl = 'own.db'\n").unwrap();
    std::fs::write(folder.path().join("named.toml"), "[ledger]\nurl = '/named.db'\n").unwrap();
    let text = folder.path().to_str().unwrap().to_owned();
    let xdg = |name: &str| (name == "XDG_CONFIG_HOME").then(|| text.clone());
    let config = load(None, &Overrides::default(), &xdg).unwrap();
    assert_eq!(config.ledger, own.join("own.db"), "relative paths begin at the file's folder");
    let named = |name: &str| xdg(name).or_else(|| (name == "REVEILLE_CONFIG").then(|| format!("{text}/named.toml")));
    assert_eq!(load(None, &Overrides::default(), &named).unwrap().ledger, Path::new("/named.db"));
    let missing = load(Some(Path::new("/nowhere/x.toml")), &Overrides::default(), &named).unwrap_err().to_string();
    assert!(missing.starts_with("/nowhere/x.toml: the configuration cannot be read: "), "{missing}");
}

#[test]
fn limit_of_a_configurations_size_at_it_and_above() {
    let file = "[log]\n".to_owned();
    let padded = |size: usize| format!("{file}#{}\n", "x".repeat(size - file.len() - 2));
    let most = usize::try_from(super::context::MAX_FILE).unwrap();
    assert!(load_text(&padded(most)).is_ok());
    let told = problem(&padded(most + 1));
    assert!(told.contains("more than the 1048576 octets that a configuration may have"), "{told}");
}

#[test]
fn limit_of_a_secrets_size_at_it_and_above() {
    let folder = tempfile::tempdir().unwrap();
    let most = usize::try_from(crate::tables::MAX_SECRET).unwrap();
    let load = |size: usize| {
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "x".repeat(size)).unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        let config = load_text(&format!("{CALDAV}username = 'mary'\npassword_file = '{}'\n", secret.display()));
        self::secret(&config.unwrap())
    };
    assert!(load(most).is_ok());
    let told = load(most + 1).unwrap_err();
    assert!(told.contains("which is too long for a secret") && !told.contains("xxx"), "{told}");
}

#[test]
fn a_problem_is_one_line_whatever_keys_and_values_hold() {
    let text = "\"a\\nb\\u001b\" = 1\n[defaults]\nmax_lateness = \"1\\n\"\nzone = \"x\\ny\"\n";
    let problems = super::read_text(text).unwrap_err();
    let told: Vec<String> = problems.problems().iter().map(ToString::to_string).collect();
    assert_eq!(told[0], "reveille.toml:1: unknown key 'a\\nb\\u{1b}'");
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|line| !line.contains(char::is_control)), "{told:?}");
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_configuration_or_has_problems_of_one_line_each(
        text in "([\\[]{0,2}(source|sink|defaults|limits|log|ledger)[\\]]{0,2}\n|[a-z_]{1,8} = [\"0-9a-z\\\\n]{0,9}\n|(kind|url|path|name|from|users|actions|timeout) ?= ?[\\[\"]{0,2}(file|email|caldav|directory|5m|https://a/|x)[\"\\]]{0,2}\n){0,12}",
    ) {
        if let Err(error) = super::read_text(&text) {
            for problem in error.problems() {
                let told = problem.to_string();
                proptest::prop_assert!(told.starts_with("reveille.toml") && !told.contains('\n'), "{}", told);
            }
        }
    }
}

#[test]
fn users_have_addresses_and_zones() {
    let table =
        "[users.'mary']\nemail = ['mailto:mary@example.org', 'm@example.org']\nzone = 'Europe/Berlin'\n[users.bob]\n";
    let config = load_text(&format!("{table}{CALDAV}user = 'mary'\nemail = 'other@example.org'\n")).unwrap();
    let source = &config.sources[0];
    assert_eq!(source.emails_of("mary"), ["mary@example.org", "m@example.org"]);
    assert_eq!(source.emails_of("bob"), ["other@example.org"]);
    assert_eq!((source.zone_of("mary"), source.zone_of("bob")), (Some("Europe/Berlin"), None));
    for (text, told) in [
        ("users = 3", "1: users is a whole number and must be a table: write [users.\"NAME\"]"),
        ("[users]\nmary = 'x'", "2: [users.\"mary\"] is a text and must be a table"),
        ("[users.mary]\nemial = 'x'", "2: [users.\"mary\"]: unknown key 'emial'; the nearest known key is 'email'"),
        ("[users.mary]\nemail = 'x'", "2: [users.\"mary\"]: email holds 'x', which is not an address"),
        ("[users.mary]\nzone = 'Mars'", "2: [users.\"mary\"]: zone is 'Mars', which is not a known time zone"),
        (
            "[[source]]\nkind='directory'\npath='x'\nlayout='radicale'\nemail='a@b.example'",
            "5: source 1: email is one user's",
        ),
    ] {
        assert!(problem(text).starts_with(&format!("reveille.toml:{told}")), "{text}\n{}", problem(text));
    }
    let one = "[[source]]\nkind='directory'\npath='x'\nlayout='radicale'\nuser='a'\nemail='a@b.example'";
    assert!(load_text(one).is_ok());
}

#[test]
fn sinks_and_users_filter_alarms() {
    let keys = "components = 'VTODO'\ncategories = ['Work*']\nnot_categories = ['Private']\nonly_accepted = true\n";
    let text = format!("[users.mary]\nmuted = ['Birthdays*']\n{keys}[[sink]]\nkind = 'stdout'\n{keys}");
    let config = load_text(&text).unwrap();
    let mary = &config.user_routing()["mary"];
    assert_eq!((mary.muted[0].as_str(), &mary.filter), ("Birthdays*", &config.sinks[0].filter));
    assert_eq!(
        mary.filter,
        AlarmFilter {
            components: vec![ComponentKind::Todo],
            categories: vec!["Work*".to_owned()],
            not_categories: vec!["Private".to_owned()],
            only_accepted: true,
        }
    );
    let wrong = problem("[[sink]]\nkind = 'stdout'\ncomponents = ['VEVNT']\n");
    assert!(wrong.starts_with("reveille.toml:3: sink 1: components is 'VEVNT'"), "{wrong}");
}

#[test]
fn users_have_quiet_hours() {
    let quiet = |table: &str| load_text(&format!("[users.mary]\nquiet = {table}\n"));
    let read = |table: &str| quiet(table).unwrap().user_routing()["mary"].quiet.clone().unwrap();
    let night = read("{ from = '22:00', until = '07:00', days = ['fri', 'sat'], email = true }");
    assert_eq!((night.from, night.until), (time(22, 0, 0, 0), Some(time(7, 0, 0, 0))));
    assert_eq!((night.days, night.email), (vec![Weekday::Friday, Weekday::Saturday], true));
    assert_eq!(
        (read("{ from = '00:00', until = '24:00' }").until, read("{ from = '00:00', until = '01:00' }").email),
        (None, false)
    );
    for (table, told) in [
        ("{ from = '22:00' }", "quiet: until is missing"),
        ("{ from = '22:00', until = '25:00' }", "quiet: until is '25:00', which is not a time of day"),
        ("{ from = '24:00', until = '07:00' }", "quiet: from is '24:00', which is not a time of day"),
        ("{ from = '07:00', until = '07:00' }", "quiet: until is the same as from"),
        ("{ from = '22:00', until = '07:00', day = 'mon' }", "unknown key 'day'"),
        ("{ from = '22:00', until = '07:00', days = 'monday' }", "quiet: days is 'monday'"),
        ("'22:00'", "quiet is a text and must be a table"),
    ] {
        let wrong = quiet(table).unwrap_err();
        assert!(wrong.contains(told), "{table}\n{wrong}");
    }
}

#[test]
fn domains_of_own_addresses() {
    let domains = |text: &str| match &load_text(text).unwrap().sources[0].kind {
        SourceKind::Caldav(settings) => settings.own_domains.clone(),
        other => panic!("{other:?}"),
    };
    let listed = |one: &str| OwnDomains::Listed(vec![one.to_owned()]);
    let defaults = "[defaults]\nown_domains = ['Example.NET']\n";
    let usual = ["dav.example.org", "example.org"].map(str::to_owned);
    assert_eq!(domains(CALDAV), OwnDomains::Usual(usual.to_vec()));
    assert_eq!(domains(&format!("{defaults}{CALDAV}")), listed("example.net"));
    assert_eq!(domains(&format!("{defaults}{CALDAV}own_domains = 'example.com'\n")), listed("example.com"));
    assert!(problem(&format!("{CALDAV}own_domains = 'a@b'\n")).contains("which is not a domain such as example.org"));
}

#[test]
fn a_source_is_read_once_for_each_user_of_a_list() {
    let text = "[[source]]\nkind='caldav'\nname='all'\nurl='https://h/dav/{user}/'\nusername='admin'\n\
        password_file='secrets/{user}'\nemail='{user}@example.org'\nusers=['mary','a%b','c d','../x']\n";
    let config = load_text(text).unwrap();
    let urls: Vec<(&str, &str)> = config
        .sources
        .iter()
        .map(|source| match &source.kind {
            SourceKind::Caldav(settings) => (source.name.as_str(), settings.url.as_str()),
            SourceKind::Directory(_) | SourceKind::Ics(_) => ("", ""),
        })
        .collect();
    assert_eq!(urls, [("all:mary", "https://h/dav/mary/"), ("all:a%b", "https://h/dav/a%25b/")]);
    assert_eq!(config.sources[0].user.as_deref(), Some("mary"), "not the administrator");
    assert_eq!(config.sources[0].email, ["mary@example.org"]);
    assert!(format!("{:?}", config.sources[0].kind).contains("secrets/mary"));
    let problems: Vec<&str> = config.account_problems.iter().map(|problem| problem.account.as_str()).collect();
    assert_eq!(problems, ["all:", "all:c d"], "one that no path may hold, one that has no address");
    // What is wrong is said once, and not for each user.
    let wrong = load_text(&text.replace("username", "usrname")).unwrap_err();
    assert_eq!(wrong.matches("unknown key 'usrname'").count(), 1, "{wrong}");
}

#[test]
fn the_address_of_a_feed_is_a_secret_and_its_user_is_named() {
    let of = |lines: &str| format!("[[source]]\nkind='ics'\n{lines}\n");
    let config = load_text(&of("url='webcal://h/token.ics'\nuser='mary'\nmin_interval='2d'")).unwrap();
    let SourceKind::Ics(settings) = &config.sources[0].kind else { panic!("{config:?}") };
    assert_eq!(settings.url.read().unwrap().expose(), "webcal://h/token.ics");
    assert_eq!((settings.interval.as_secs(), settings.max_interval), (900, settings.min_interval));
    assert!(!format!("{config:?}").contains("token.ics"));
    for (lines, told) in [
        ("user='mary'", "source 1: url is missing"),
        ("url='https://h/'", "source 1: user is missing"),
        ("user='mary'\nurl='http://h/token'", "4: source 1: url is without encryption"),
        ("user='mary'\nurl='https://h/'\nurl_file='x'", "5: source 1: url_file is one place too many for the url"),
        ("user='mary'\nurl='https://h/'\ncalendars=['x']", "5: source 1: unknown key 'calendars'"),
        ("user='mary'\nurl='https://h/'\nmin_interval='2h'\nmax_interval='1h'", "6: source 1: max_interval is shorter"),
    ] {
        let all = problem(&of(lines));
        assert!(all.contains(told) && !all.contains("token"), "{lines}\n{all}");
    }
}

#[test]
fn names_of_listed_sources_are_taken_once() {
    let list = "[[source]]\nkind='directory'\nusers=['mary','bob']\npath='store/{user}'\n";
    let two = load_text(&format!("{list}{list}")).unwrap();
    let names: Vec<&str> = two.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["directory:mary", "directory:bob", "directory-2:mary", "directory-2:bob"]);
    let other = "[[source]]\nkind='directory'\nname='directory:bob'\npath='x'\n";
    let clash = load_text(&format!("{other}{list}")).unwrap();
    assert_eq!(clash.sources.len(), 2);
    assert_eq!(clash.account_problems[0].account, "directory:bob");
    // What cannot be listed now leaves the rest as it is.
    let gone =
        load_text(&format!("{other}{}", list.replace("users=['mary','bob']", "users_file='/nowhere/users'"))).unwrap();
    assert_eq!((gone.sources.len(), gone.account_problems[0].account.as_str()), (1, "directory:*"));
    assert!(gone.account_problems[0].concerns("directory:mary") && gone.account_problems[0].concerns_many());
}
