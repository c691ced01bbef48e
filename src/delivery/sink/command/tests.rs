use std::collections::HashSet;

use super::*;
use crate::calendar::zone::Zones;
use crate::clock::Clock;
use crate::delivery::sink::any_sink::Sink;
use crate::delivery::sink::samples::{delivery, melbourne};
use crate::delivery::sink::{Readers, Transport as _};
use crate::notification::Notification;
use crate::time::UtcMillis;

const PATIENT: Duration = Duration::from_secs(30);

fn sink(argv: &[&str], timeout: Duration, deadline: &SendDeadline) -> Sink {
    let mut argv = argv.iter().map(|word| (*word).to_owned());
    let settings = CommandSettings {
        program: argv.next().unwrap(),
        arguments: argv.collect(),
        max_concurrent: 8,
        format: JsonFormat::default(),
    };
    let config = SinkConfig {
        name: "command".into(),
        actions: vec![],
        users: vec![],
        calendars: vec![],
        filter: Default::default(),
        events: true,
        timeout,
        give_up_after: PATIENT,
        settings: Arc::new(settings),
    };
    let context = SinkContext {
        clock: Clock::manual(UtcMillis(0)),
        zones: Zones::bundled(),
        server_name: "reveille.test".into(),
        readers: Readers::default(),
        max_reply_size: 1024,
        deadline: deadline.clone(),
    };
    Sink::open(&config, &context).unwrap()
}

/// The outcome of the script `script` of a shell, whose arguments are `arguments`.
async fn run(script: &str, arguments: &[&str], timeout: Duration) -> Outcome {
    let argv = [&["/bin/sh", "-c", script, "sh"], arguments].concat();
    sink(&argv, timeout, &SendDeadline::default()).send_one(alarm(&melbourne())).await
}

fn alarm(notification: &Notification) -> ClaimedDelivery {
    delivery(&serde_json::to_string(notification).unwrap())
}

/// Waits until the process with the number in the file `path` is gone, or waits for somebody to notice that.
async fn is_gone(path: &Path) {
    let id = std::fs::read_to_string(path).unwrap();
    let status = format!("/proc/{}/stat", id.trim());
    soon(async {
        while !std::fs::read_to_string(&status).map_or(true, |stat| stat.contains(") Z ")) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// What `work` comes to, long before a program that sleeps ends by itself.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENT, work).await.expect("it ends in time")
}

#[tokio::test]
async fn a_program_gets_the_json_and_a_few_variables_and_no_shell_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let summary = "Tea; $(touch x) `id`\n\0REVEILLE_USER=eve\u{1b}[2J";
    let notification = Notification { summary: summary.into(), ..melbourne() };
    let script = "cat >\"$1\"; env >\"$2\"; echo \"$3\" >\"$4\"";
    let argv = ["/bin/sh", "-c", script, "sh", &path("json"), &path("env"), "$HOME *", &path("argument")];
    let sink = sink(&argv, PATIENT, &SendDeadline::default());
    assert_eq!(sink.send_one(alarm(&notification)).await, Outcome::Delivered);
    let read = |name: &str| std::fs::read_to_string(path(name)).unwrap();
    assert_eq!(read("json"), serde_json::to_string(&notification).unwrap());
    assert_eq!(read("argument"), "$HOME *\n");
    let environment = read("env");
    for line in [
        "REVEILLE_ID=0123456789abcdef0123456789abcdef",
        "REVEILLE_USER=mary@example.org",
        "REVEILLE_SUMMARY=Tea; $(touch x) `id`  REVEILLE_USER=eve [2J",
        "REVEILLE_START=20151119T073000Z",
        "REVEILLE_EVENT=CalendarAlarm",
    ] {
        assert!(environment.lines().any(|other| other == line), "{line}: {environment}");
    }
    // Nothing else of the environment of Reveille, where secrets may be: cargo has set variables here.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some() && !environment.contains("CARGO"), "{environment}");
    assert_eq!(sink.check().await.unwrap(), "runs /bin/sh");
}

#[tokio::test]
async fn the_end_of_a_program_decides_what_becomes_of_the_alarm() {
    let failed = |what: &str| Outcome::retry(format!("/bin/sh failed ({what}"));
    for (script, expected) in [
        ("echo hello", Outcome::Delivered),
        // What it leaves running may keep its output.
        ("sleep 60 & exit 0", Outcome::Delivered),
        ("echo no bell; echo oh\\\\033[2J >&2; exit 3", failed("exit status: 3): no bell; oh\\u{1b}[2J")),
        ("exit 75", failed("exit status: 75)")),
        ("kill -9 $$", failed("signal: 9 (SIGKILL))")),
        ("echo nonsense; exit 65", Outcome::permanent("/bin/sh failed (exit status: 65): nonsense")),
    ] {
        assert_eq!(run(script, &[], PATIENT).await, expected, "{script}");
    }
    let Outcome::Retry { response, .. } = run("seq 1 100000; exit 1", &[], PATIENT).await else { panic!() };
    assert!(response.len() < 350 && response.ends_with("; 99999; 100000"), "{response}");
    // More than a pipe holds, which is not read.
    let long = Notification { description: "x".repeat(300_000), ..melbourne() };
    let outcome = sink(&["true"], PATIENT, &SendDeadline::default()).send_one(alarm(&long)).await;
    assert_eq!(outcome, Outcome::Delivered);
}

#[tokio::test]
async fn a_program_that_is_absent_or_may_not_be_run_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ring");
    let name = path.to_str().unwrap();
    let sink = sink(&[name], PATIENT, &SendDeadline::default());
    let settings = |outcome: &Outcome| matches!(outcome, Outcome::Down { closure: Closure::Settings, .. });
    assert!(settings(&sink.send_one(alarm(&melbourne())).await));
    assert_eq!(sink.check().await, Err(SinkError(format!("there is no program {name}"))));
    std::fs::write(&path, "#!/bin/sh\n").unwrap();
    let before = sink.files();
    assert!(settings(&sink.send_one(alarm(&melbourne())).await));
    assert!(sink.ready().unwrap_err().0.ends_with(&format!("chmod +x {name}")));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(before != sink.files(), "it is tried at once");
    assert_eq!(sink.send_one(alarm(&melbourne())).await, Outcome::Delivered);
}

#[tokio::test]
async fn a_program_that_hangs_is_stopped_with_all_that_it_has_started() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let name = pid.to_str().unwrap();
    // One ends when it is asked to, the other does not and is killed.
    for script in
        ["sleep 600 & echo $! >$1; echo hangs; wait", "trap '' TERM; sleep 600 & echo $! >$1; echo hangs; wait"]
    {
        let outcome = soon(run(script, &[name], Duration::from_millis(500))).await;
        let response = "/bin/sh failed (it did not end within 0 s and was stopped): hangs";
        assert_eq!(outcome, Outcome::retry(response), "{script}");
        is_gone(&pid).await;
    }
}

#[tokio::test]
async fn a_hundred_run_within_the_limit_and_a_slow_one_delays_none() {
    let folder = tempfile::tempdir().unwrap();
    let script = "cd \"$1\"; : >run.$$; ls run.* | wc -l >>counts
                  if test $REVEILLE_ID = slow; then until test -e go; do sleep 0.01; done; fi; rm run.$$";
    let argv = ["/bin/sh", "-c", script, "sh", folder.path().to_str().unwrap()];
    let sink = sink(&argv, PATIENT, &SendDeadline::default());
    let numbered = |n: i64| {
        let notification_id = if n == 0 { "slow".to_owned() } else { n.to_string() };
        ClaimedDelivery { firing: n, ..alarm(&Notification { notification_id, ..melbourne() }) }
    };
    let mut waiting: Vec<ClaimedDelivery> = (0..100).map(numbered).collect();
    let mut delivered = HashSet::new();
    while delivered.len() < 100 {
        let outcomes = sink.send(&waiting).await;
        assert!(outcomes.iter().filter(|outcome| **outcome == Outcome::InFlight).count() <= 8);
        let mut outcomes = outcomes.into_iter();
        waiting.retain(|_| outcomes.next() == Some(Outcome::NotAttempted));
        for finished in soon(sink.finished()).await {
            assert_eq!(finished.outcome, Outcome::Delivered);
            delivered.insert(finished.firing);
        }
        if delivered.len() == 99 {
            assert!(!delivered.contains(&0), "all others are through");
            std::fs::write(folder.path().join("go"), "").unwrap();
        }
    }
    let counts = std::fs::read_to_string(folder.path().join("counts")).unwrap();
    assert!(counts.lines().all(|count| count.trim().parse::<u32>().unwrap() <= 8), "{counts}");
    assert!(waiting.is_empty() && sink.batch() == 8);
}

#[tokio::test]
async fn the_end_of_all_sending_ends_programs_and_starts_none() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let script = "sleep 600 & echo $! >$1.new; mv $1.new $1; wait";
    let deadline = SendDeadline::default();
    let sink = sink(&["/bin/sh", "-c", script, "sh", pid.to_str().unwrap()], PATIENT, &deadline);
    assert_eq!(sink.send(&[alarm(&melbourne())]).await, [Outcome::InFlight]);
    while !pid.exists() {
        sleep(Duration::from_millis(5)).await;
    }
    deadline.set(Instant::now());
    let finished = soon(sink.finished()).await;
    assert!(matches!(&finished[..], [Finished { outcome: Outcome::NotAttempted, .. }]), "{finished:?}");
    is_gone(&pid).await;
    assert_eq!(sink.send(&[alarm(&melbourne())]).await, [Outcome::NotAttempted]);
}
