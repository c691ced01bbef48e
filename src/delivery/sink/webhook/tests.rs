use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::endpoint::{AllowedAddresses, ReceiverAddress};
use super::signature::SigningKeys;
use super::*;
use crate::calendar::zone::Zones;
use crate::clock::Clock;
use crate::delivery::render::JsonFormat;
use crate::delivery::sink::any_sink::Sink;
use crate::delivery::sink::samples::{delivery, melbourne};
use crate::delivery::sink::{Readers, Transport as _};
use crate::tables::Credentials;
use crate::time::UtcMillis;

/// A receiver that gives each connection the answer that the path of its request names, or none.
#[derive(Clone)]
struct Receiver {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    async fn start(answer: fn(&str) -> Option<&'static str>) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Receiver { port: listener.local_addr().unwrap().port(), requests: Arc::default() };
        let requests = Arc::clone(&receiver.requests);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let requests = Arc::clone(&requests);
                tokio::spawn(async move {
                    let mut request = String::new();
                    let mut piece = [0; 4096];
                    while !request.ends_with('}') && !request.starts_with("OPTIONS") {
                        let length = stream.read(&mut piece).await.unwrap();
                        request.push_str(std::str::from_utf8(&piece[..length]).unwrap());
                    }
                    let path = request.split(' ').nth(1).unwrap().to_owned();
                    requests.lock().unwrap().push(request);
                    match answer(&path) {
                        Some(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                        None => std::future::pending().await,
                    }
                });
            }
        });
        receiver
    }

    fn settings(&self, path: &str) -> WebhookSettings {
        WebhookSettings {
            kind: KIND.name,
            address: ReceiverAddress::Written(format!("http://localhost:{}{path}", self.port).parse().unwrap()),
            allowed: AllowedAddresses { private: true, plaintext: false },
            payload: signed(false),
            credentials: Credentials::None,
            headers: vec![],
            ca_file: None,
            max_concurrent: 4,
        }
    }

    async fn outcome(&self, path: &str) -> Outcome {
        sink(self.settings(path), Duration::from_secs(20)).send_one(alarm()).await
    }

    fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

fn signed(cloud_events: bool) -> PayloadSettings {
    let secret = Some(SecretRef::inline("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\nold"));
    PayloadSettings::Json { secret, cloud_events, format: JsonFormat::default() }
}

fn sink(settings: WebhookSettings, timeout: Duration) -> Sink {
    let config = SinkConfig {
        name: "webhook".into(),
        actions: vec![],
        users: vec![],
        calendars: vec![],
        filter: Default::default(),
        events: true,
        timeout,
        give_up_after: timeout,
        settings: Arc::new(settings),
    };
    let context = SinkContext {
        clock: Clock::manual(UtcMillis(1_614_265_330_999)),
        zones: Zones::bundled(),
        server_name: "reveille.test".into(),
        readers: Readers::default(),
        max_reply_size: 1024,
        deadline: SendDeadline::default(),
    };
    Sink::open(&config, &context).unwrap()
}

fn alarm() -> ClaimedDelivery {
    delivery(&serde_json::to_string(&melbourne()).unwrap())
}

fn answer(path: &str) -> Option<&'static str> {
    Some(match path {
        "/ok" => "HTTP/1.1 204 No Content\r\n\r\n",
        "/gone" => "HTTP/1.1 410 Gone\r\nContent-Length: 3\r\n\r\nbye",
        "/busy" => "HTTP/1.1 429 Slow down\r\nRetry-After: 77\r\nContent-Length: 0\r\n\r\n",
        "/down" => "HTTP/1.1 503 Down\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n",
        "/broken" => "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        "/login" => "HTTP/1.1 401 Who\r\nContent-Length: 0\r\n\r\n",
        "/moved" => "HTTP/1.1 307 Moved\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n",
        "/elsewhere" => "HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/ok\r\nContent-Length: 0\r\n\r\n",
        "/nonsense" => "220 mail.example.org ESMTP\r\n",
        "/cut" => "HTTP/1.1 20",
        _ => return None,
    })
}

#[tokio::test]
async fn a_notification_is_posted_with_its_signatures_and_the_headers_of_cloud_events() {
    let receiver = Receiver::start(answer).await;
    let settings = WebhookSettings { payload: signed(true), ..receiver.settings("/ok") };
    assert_eq!(sink(settings, Duration::from_secs(20)).send_one(alarm()).await, Outcome::Delivered);
    let request = receiver.requests.lock().unwrap()[0].clone();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, &*alarm().notification);
    let header = |name: &str| {
        let line = head.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}: ")));
        line.and_then(|line| line.split_once(": ")).map_or("", |(_, value)| value)
    };
    let (id, seconds) = ("0123456789abcdef0123456789abcdef", "1614265330");
    assert!(head.starts_with("POST /ok HTTP/1.1"), "{head}");
    assert_eq!(
        [header("webhook-id"), header("webhook-timestamp"), header("content-type"), header("ce-id")],
        [id, seconds, "application/json", id]
    );
    let keys = SigningKeys::read(&SecretRef::inline("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\nold").read().unwrap());
    assert_eq!(header("webhook-signature"), keys.unwrap().sign(id, seconds, body));
    assert_eq!(
        [header("ce-specversion"), header("ce-type"), header("ce-source"), header("ce-time")],
        ["1.0", "reveille.CalendarAlarm", "//reveille.test/reveille", "2015-11-19T06:30:00.012Z"]
    );
}

#[tokio::test]
async fn the_answer_decides_what_becomes_of_the_alarm() {
    let receiver = Receiver::start(answer).await;
    let retry = |response: &str, seconds: Option<u64>| Outcome::Retry {
        response: response.to_owned(),
        after: seconds.map(Duration::from_secs),
    };
    for (path, expected) in [
        ("/gone", Outcome::permanent("HTTP 410: bye")),
        ("/busy", retry("HTTP 429", Some(77))),
        ("/down", retry("HTTP 503", Some(5))),
        ("/broken", retry("HTTP 500", None)),
        ("/login", Outcome::Down { response: "HTTP 401".to_owned(), closure: Closure::Settings }),
    ] {
        let before = receiver.count();
        assert_eq!(receiver.outcome(path).await, expected, "{path}");
        assert_eq!(receiver.count(), before + 1, "{path}");
    }
    assert_eq!(receiver.outcome("/moved").await, Outcome::Delivered);
    let elsewhere = receiver.outcome("/elsewhere").await;
    assert!(matches!(elsewhere, Outcome::Down { closure: Closure::Settings, .. }), "{elsewhere:?}");
    for path in ["/nonsense", "/cut"] {
        let Outcome::Retry { response, .. } = receiver.outcome(path).await else { panic!("{path}") };
        // The path may be a secret.
        assert!(!response.contains(path), "{response}");
    }
}

#[tokio::test]
async fn a_name_that_leads_to_a_private_address_is_refused_and_nothing_is_sent() {
    let receiver = Receiver::start(answer).await;
    let settings =
        WebhookSettings { allowed: AllowedAddresses { private: false, plaintext: false }, ..receiver.settings("/ok") };
    let sink = sink(settings, Duration::from_secs(20));
    let Outcome::Down { response, closure: Closure::Down } = sink.send_one(alarm()).await else { panic!() };
    assert!(response.contains("private address"), "{response}");
    assert_eq!(receiver.count(), 0);
    assert!(sink.check().await.is_err());
}

#[tokio::test]
async fn a_receiver_that_hangs_delays_none_and_is_given_up() {
    let receiver = Receiver::start(|_| None).await;
    let sink = sink(receiver.settings("/hangs"), Duration::from_millis(700));
    let numbered = |firing: i64| ClaimedDelivery { firing, ..alarm() };
    let deliveries: Vec<ClaimedDelivery> = (0..6).map(numbered).collect();
    let outcomes = sink.send(&deliveries).await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::InFlight).count(), 4);
    let mut finished = 0;
    while finished < 4 {
        for one in sink.finished().await {
            let Outcome::Retry { response, after: None } = one.outcome else { panic!("{:?}", one.outcome) };
            assert!(response.starts_with(&format!("http://localhost:{} did not answer", receiver.port)), "{response}");
            finished += 1;
        }
    }
    assert_eq!((receiver.count(), sink.batch()), (4, 4), "all at the same time");
}

#[tokio::test]
async fn connections_are_used_again_by_requests_of_the_same_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let receiver = Receiver { port: listener.local_addr().unwrap().port(), requests: Arc::default() };
    let all_have_come = Arc::new(tokio::sync::Barrier::new(4));
    let connections = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            *counted.lock().unwrap() += 1;
            let all_have_come = Arc::clone(&all_have_come);
            tokio::spawn(async move {
                let (mut piece, mut request) = ([0; 4096], Vec::new());
                while let Ok(length @ 1..) = stream.read(&mut piece).await {
                    request.extend_from_slice(&piece[..length]);
                    if request.ends_with(b"}") {
                        request.clear();
                        all_have_come.wait().await;
                        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                    }
                }
            });
        }
    });
    let sink = sink(receiver.settings("/ok"), Duration::from_secs(20));
    for round in 0..3 {
        let numbered = |n: i64| ClaimedDelivery { firing: 4 * round + n, ..alarm() };
        let deliveries: Vec<ClaimedDelivery> = (0..4).map(numbered).collect();
        assert_eq!(sink.send(&deliveries).await, [const { Outcome::InFlight }; 4]);
        let mut finished = 0;
        while finished < 4 {
            for one in sink.finished().await {
                assert_eq!(one.outcome, Outcome::Delivered);
                finished += 1;
            }
        }
    }
    assert_eq!(*connections.lock().unwrap(), 4);
}
