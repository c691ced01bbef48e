//! The sinks `webhook` and `web-push` through the program: what receivers get by TLS, and what their answers lead to.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::proxied::{CERTIFICATE, TlsProxy, address};
use crate::rehearsal::Stage;
use crate::scripted::{Asked, Reply, Scripted};
use crate::venv::Venv;

/// Writes a file that its owner alone may read.
fn secret(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
    fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).unwrap();
}

/// Adds a sink `hook` of the kind `webhook` to the configuration.
fn hook(stage: &Stage, keys: &str) {
    sink(stage, "webhook", keys);
}

/// Adds a sink `hook` of `kind` to the configuration.
fn sink(stage: &Stage, kind: &str, keys: &str) {
    stage.configure("");
    let file = stage.path().join("reveille.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(file, format!("{text}[[sink]]\nkind = '{kind}'\nname = 'hook'\nallow_private = true\n{keys}")).unwrap();
}

/// What `test-sink hook` says, and whether the alarm was accepted.
fn test_sink(stage: &Stage) -> (bool, String) {
    let output = stage.reveille(&["test-sink", "hook"]);
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

/// The reference library of receivers, which refuses what is not signed as it should be, or not now.
const VERIFY: &str = "import sys, json\nfrom standardwebhooks.webhooks import Webhook, WebhookVerificationError\n\
    request = json.load(open(sys.argv[1]))\nhook = Webhook(sys.argv[2])\n\
    hook.verify(request['body'], request['headers'])\n\
    try:\n    hook.verify(request['body'] + ' ', request['headers'])\n    sys.exit('a changed body passes')\n\
    except WebhookVerificationError:\n    pass\n";

#[test]
fn a_test_alarm_goes_out_by_tls_with_login_headers_and_signatures_that_the_reference_library_accepts() {
    let Some(venv) = Venv::or_skip() else { return };
    let server = Scripted::start(|_| Reply::status(204));
    let proxy = TlsProxy::start(address(&server));
    let stage = Stage::new();
    fs::write(stage.path().join("ca.pem"), CERTIFICATE).unwrap();
    let (old, new) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    secret(stage.path(), "hook.secret", &format!("{old}\n{new}\n"));
    secret(stage.path(), "hook.token", "token-of-mine\n");
    secret(stage.path(), "api.key", "key-of-mine\n");
    let keys = format!(
        "url = '{}'\nsecret_file = 'hook.secret'\ntoken_file = 'hook.token'\nca_file = 'ca.pem'\ncloudevents = true\n\
         headers = {{ X-Tenant = 'mary & co', X-Api-Key = {{ file = 'api.key' }} }}\n",
        proxy.url("/in/")
    );
    hook(&stage, &keys);
    assert_eq!(test_sink(&stage), (true, "the sink 'hook' accepted the alarm\n".to_owned()));
    let asked: Asked = server.asked().remove(0);
    let header = |name: &str| asked.header(name).unwrap_or_default();
    assert_eq!(asked.line(), "POST /in/");
    assert_eq!(
        ["authorization", "x-tenant", "x-api-key", "content-type", "ce-type"].map(header),
        ["Bearer token-of-mine", "mary & co", "key-of-mine", "application/json", "reveille.CalendarAlarm"]
    );
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!(body["notificationId"], header("webhook-id"));
    let headers: serde_json::Map<String, Value> =
        asked.headers.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    let request = serde_json::json!({ "headers": headers, "body": asked.body });
    fs::write(stage.path().join("request.json"), request.to_string()).unwrap();
    let file = stage.path().join("request.json");
    for secret in [old, new] {
        venv.script(VERIFY, &[file.to_str().unwrap(), secret]);
    }

    // Another authority, and a secret that others may read.
    hook(&stage, &keys.replace("ca_file = 'ca.pem'\n", ""));
    let (is_accepted, said) = test_sink(&stage);
    assert!(!is_accepted && said.contains("there is no secure connection to https://127.0.0.1"), "{said}");
    fs::set_permissions(stage.path().join("api.key"), fs::Permissions::from_mode(0o644)).unwrap();
    hook(&stage, &keys);
    let (is_accepted, said) = test_sink(&stage);
    assert!(!is_accepted && said.contains("headers names") && said.contains("chmod 600"), "{said}");
    assert!(server.asked().is_empty());
}

#[test]
fn what_a_receiver_repeats_of_the_path_and_the_secrets_is_not_shown() {
    let server = Scripted::start(|asked| {
        Reply::status(403).body(format!("{} may not POST {}", asked.header("x-api-key").unwrap(), asked.path))
    });
    let stage = Stage::new();
    secret(stage.path(), "api.key", "key-of-mine");
    hook(
        &stage,
        &format!("url = '{}in/path-of-mine?of=mine'\nheaders = {{ X-Api-Key = {{ file = 'api.key' }} }}\n", server.url),
    );
    let (is_accepted, said) = test_sink(&stage);
    assert_eq!(
        (is_accepted, said.as_str()),
        (false, "error: the sink 'hook' did not accept the alarm: HTTP 403: … may not POST …?…\n")
    );
}

/// The deliveries to the hook, as 'state attempts response'.
fn deliveries(stage: &Stage) -> Vec<String> {
    let all = stage.listing(&["deliveries"]);
    let ours = all.iter().filter(|delivery| delivery["sink"] == "hook");
    ours.map(|one| {
        format!("{} {} {}", one["state"].as_str().unwrap(), one["attempts"], one["answer"].as_str().unwrap_or_default())
    })
    .collect()
}

#[test]
fn retry_after_is_kept_to_the_second_and_the_alarm_comes_with_the_same_id() {
    let mut answers = vec![
        Reply::status(204),
        Reply::status(307).header("Location", "/moved/here"),
        Reply::status(429).header("Retry-After", "90").body("busy"),
    ];
    let server = Scripted::start(move |_| answers.pop().unwrap_or(Reply::status(500)));
    let stage = Stage::new();
    hook(&stage, &format!("url = '{}in'\n", server.url));
    stage.put("tea.ics", "20260310T120000Z", "Tea", "2026-03-01T00:00:00Z");
    let pass = stage.reveille(&["run", "--once", "--at", "2026-03-10T12:00:00Z"]);
    assert_eq!(pass.status.code(), Some(1), "an alarm is pending");
    let first = server.asked();
    assert_eq!(deliveries(&stage), ["pending 1 HTTP 429: busy"]);
    stage.reveille(&["run", "--once", "--at", "2026-03-10T12:01:29Z"]);
    assert!(server.asked().is_empty(), "it wants to be left alone");
    stage.pass("2026-03-10T12:01:31Z");
    let then = server.asked();
    let lines: Vec<String> = then.iter().map(Asked::line).collect();
    assert_eq!(lines, ["POST /in", "POST /moved/here"], "a redirection on the same server is followed, with the body");
    let id = |asked: &Asked| (asked.header("webhook-id").unwrap().to_owned(), asked.body.clone());
    assert!(first.len() == 1 && then.iter().all(|asked| id(asked) == id(&first[0])));
    assert_eq!(deliveries(&stage), ["delivered 2 "]);
}

#[test]
fn a_redirection_to_another_server_is_not_followed() {
    let other = Scripted::start(|_| Reply::status(204));
    let location = format!("{}in?key=sesame", other.url);
    let server = Scripted::start(move |_| Reply::status(308).header("Location", &location));
    let stage = Stage::new();
    hook(&stage, &format!("url = '{}in/path-of-mine'\n", server.url));
    let (is_accepted, said) = test_sink(&stage);
    assert!(!is_accepted && said.contains("another server"), "{said}");
    assert!(!said.contains("path-of-mine") && !said.contains("sesame"), "{said}");
    assert_eq!(other.lines(), [""; 0]);
}

/// The presets: keys of the configuration besides the address, what is requested, and what the service answers.
const SERVICES: [(&str, &str, &str, &str); 9] = [
    ("ntfy", "url = 'URLtopic'\ntoken_file = 'a.token'", "POST /", "{\"id\":\"a\"}"),
    ("gotify", "url = 'URL'\ntoken_file = 'a.token'", "POST /message", "{\"id\":1}"),
    (
        "matrix",
        "url = 'URL'\ntoken_file = 'a.token'\nroom = '!r:h'",
        "PUT /_matrix/client/v3/rooms/!r:h/send/m.room.message/test-",
        "{\"event_id\":\"$a\"}",
    ),
    ("slack", "url_file = 'a.url'", "POST /hook-of-mine", "ok"),
    ("mattermost", "url_file = 'a.url'", "POST /hook-of-mine", "ok"),
    (
        "apprise",
        "url = 'URLnotify/k'\nheaders = { X-Key = { file = 'a.token' } }",
        "POST /notify/k",
        "{\"error\":\"\"}",
    ),
    (
        "home-assistant",
        "url = 'URLapi/services/notify/phone'\ntoken_file = 'a.token'",
        "POST /api/services/notify/phone",
        "[]",
    ),
    (
        "pushover",
        "url = 'URL1/m.json'\ntoken_file = 'a.token'\nuser_key_file = 'a.key'",
        "POST /1/m.json",
        "{\"status\":1}",
    ),
    (
        "telegram",
        "url = 'URL'\ntoken_file = 'a.token'\nchat_id = -100",
        "POST /bottoken-of-mine/sendMessage",
        "{\"ok\":true}",
    ),
];

/// Each service gets its message; the secrets are in it, and in no message about a refusal that repeats all of it.
#[test]
fn each_service_gets_its_message_and_its_secrets_are_not_shown() {
    let stage = Stage::new();
    let (accepts, answer) = (Arc::new(AtomicBool::new(true)), Arc::new(Mutex::new("")));
    let said = (accepts.clone(), answer.clone());
    let server = Scripted::start(move |asked| match said.0.load(Ordering::SeqCst) {
        true => Reply::status(200).body(*said.1.lock().unwrap()),
        false => Reply::status(403).body(format!("refused: {} {:?} {}", asked.path, asked.headers, asked.body)),
    });
    secret(stage.path(), "a.token", "token-of-mine\n");
    secret(stage.path(), "a.key", "key-of-mine\n");
    secret(stage.path(), "a.url", &format!("{}hook-of-mine\n", server.url));
    for (preset, keys, line, ok) in SERVICES {
        hook(&stage, &format!("preset = '{preset}'\n{}\n", keys.replace("URL", &server.url)));
        *answer.lock().unwrap() = ok;
        accepts.store(true, Ordering::SeqCst);
        assert_eq!(test_sink(&stage), (true, "the sink 'hook' accepted the alarm\n".to_owned()), "{preset}");
        let asked = server.asked();
        assert!(asked.len() == 1 && asked[0].line().starts_with(line), "{preset}: {asked:?}");
        let all = format!("{asked:?}");
        assert!(all.contains("Test of reveille") || all.contains("Test+of+reveille"), "{all}");
        let secrets = ["token-of-mine", "key-of-mine", "hook-of-mine"];
        assert!(secrets.iter().any(|secret| all.contains(secret)), "{preset} sends its secret: {all}");
        accepts.store(false, Ordering::SeqCst);
        let (is_accepted, told) = test_sink(&stage);
        assert!(!is_accepted && told.contains("HTTP 403: refused: "), "{preset}: {told}");
        assert!(!secrets.iter().any(|secret| told.contains(secret)), "{preset}: {told}");
        server.asked();
    }
    accepts.store(true, Ordering::SeqCst);
    *answer.lock().unwrap() = "<html>another server</html>";
    let (is_accepted, told) = test_sink(&stage);
    assert!(!is_accepted && told.contains("HTTP 200, which is not how telegram answers: <html>"), "{told}");
}

/// A room of Matrix that wants to be left alone gets the message later, as the same transaction.
#[test]
fn a_message_that_comes_again_is_the_same_transaction() {
    let mut answers = vec![
        Reply::status(200).body("{\"event_id\":\"$a\"}"),
        Reply::status(429).body("{\"errcode\":\"M_LIMIT_EXCEEDED\",\"retry_after_ms\":90000}"),
    ];
    let server = Scripted::start(move |_| answers.pop().unwrap_or(Reply::status(500)));
    let stage = Stage::new();
    secret(stage.path(), "a.token", "token-of-mine\n");
    let keys = "preset = 'matrix'\nroom = '!r:h'\ntoken_file = 'a.token'\n";
    hook(&stage, &format!("url = '{}'\n{keys}[users.'mary@example.org']\nzone = 'Europe/Berlin'\n", server.url));
    stage.put("tea.ics", "20260310T120000Z", "Tea", "2026-03-01T00:00:00Z");
    for at in ["2026-03-10T12:00:00Z", "2026-03-10T12:01:29Z", "2026-03-10T12:01:31Z"] {
        stage.reveille(&["run", "--once", "--at", at]);
    }
    let asked = server.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_eq!(asked[0].path, asked[1].path);
    let body = |asked: &Asked| serde_json::from_str::<Value>(&asked.body).unwrap()["body"].clone();
    let when = "Tea\nTuesday, 10 March 2026, 13:00\u{2013}14:00 (Europe/Berlin)";
    assert_eq!(body(&asked[0]), when);
    assert_eq!(
        body(&asked[1]),
        format!("{when}\nThis reminder comes 1 minute late: it was due on Tuesday, 10 March 2026, 13:00.")
    );
    assert_eq!(deliveries(&stage), ["delivered 2 "]);
}

/// A browser that subscribes, and a key that signs; arguments: folder, address.
const SUBSCRIBE: &str = "import sys, os, json, base64\n\
    from cryptography.hazmat.primitives.asymmetric import ec\n\
    from cryptography.hazmat.primitives import serialization as s\n\
    folder, endpoint = sys.argv[1:]\n\
    code = lambda octets: base64.urlsafe_b64encode(octets).decode().rstrip('=')\n\
    own, vapid = (ec.generate_private_key(ec.SECP256R1()) for _ in 'ab')\n\
    for name, key in [('own.pem', own), ('vapid.pem', vapid)]:\n    \
    open(folder + '/' + name, 'wb').write(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()))\n\
    point = own.public_key().public_bytes(s.Encoding.X962, s.PublicFormat.UncompressedPoint)\n\
    keys = {'p256dh': code(point), 'auth': code(os.urandom(16))}\n\
    json.dump({'endpoint': endpoint, 'expirationTime': None, 'keys': keys}, open(folder + '/phone.json', 'w'))\n";

/// What the browser reads with the reference library of the encryption, and what its push service checks; arguments:
/// folder, body, Authorization, the server of the address.
const READ: &str = "import sys, json, time, base64, http_ece\n\
    from cryptography.hazmat.primitives import hashes, serialization\n\
    from cryptography.hazmat.primitives.asymmetric import ec, utils\n\
    folder, body, authorization, origin = sys.argv[1:]\n\
    decode = lambda text: base64.urlsafe_b64decode(text + '==')\n\
    load = lambda name: serialization.load_pem_private_key(open(folder + '/' + name, 'rb').read(), None)\n\
    auth = decode(json.load(open(folder + '/phone.json'))['keys']['auth'])\n\
    content = http_ece.decrypt(bytes.fromhex(body), private_key=load('own.pem'), auth_secret=auth, version='aes128gcm')\n\
    assert json.loads(content)['summary'] == 'Test of reveille', content\n\
    token, key = (part.split('=', 1)[1] for part in authorization.removeprefix('vapid ').split(', '))\n\
    signed, signature = token.rsplit('.', 1)\n\
    claims = json.loads(decode(signed.split('.')[1]))\n\
    assert (claims['aud'], claims['sub']) == (origin, 'mailto:admin@example.org'), claims\n\
    assert 0 < claims['exp'] - time.time() < 86400, claims\n\
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decode(key))\n\
    assert public == load('vapid.pem').public_key()\n\
    r, s = (int.from_bytes(decode(signature)[at:at + 32], 'big') for at in (0, 32))\n\
    public.verify(utils.encode_dss_signature(r, s), signed.encode(), ec.ECDSA(hashes.SHA256()))\n";

#[test]
fn a_message_of_web_push_is_read_by_the_reference_library() {
    let Some(venv) = Venv::or_skip() else { return };
    let mut answers = vec![Reply::status(410), Reply::status(201)];
    let server = Scripted::start(move |asked| match asked.method.as_str() {
        "POST" => answers.pop().unwrap(),
        _ => Reply::status(405),
    });
    let stage = Stage::new();
    let folder = stage.path().to_str().unwrap();
    venv.script(SUBSCRIBE, &[folder, &format!("{}push/of-mine", server.url)]);
    for name in ["phone.json", "vapid.pem"] {
        fs::set_permissions(stage.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let keys = "contact = 'mailto:admin@example.org'\nvapid_key_file = 'vapid.pem'\nsubscription_file = 'phone.json'\n";
    sink(&stage, "web-push", &format!("{keys}ttl = '1h'\n"));
    let checked = stage.reveille(&["check"]);
    let checked = String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap();
    server.asked();
    assert_eq!(test_sink(&stage), (true, "the sink 'hook' accepted the alarm\n".to_owned()));
    let asked: Asked = server.asked().remove(0);
    let header = |name: &str| asked.header(name).unwrap_or_default();
    assert_eq!(asked.line(), "POST /push/of-mine");
    assert_eq!(["ttl", "urgency", "content-encoding"].map(header), ["3600", "high", "aes128gcm"]);
    assert!(header("topic").starts_with("test-"), "{asked:?}");
    let key = header("authorization").split_once(", k=").unwrap().1;
    assert!(checked.contains(&format!("the public key is {key}")), "{checked}");
    let body: String = asked.body.chars().map(|c| format!("{:02x}", u32::from(c))).collect();
    venv.script(READ, &[folder, &body, header("authorization"), server.url.trim_end_matches('/')]);
    let (is_accepted, told) = test_sink(&stage);
    assert!(!is_accepted && told.contains("HTTP 410") && !told.contains("of-mine"), "{told}");
}
