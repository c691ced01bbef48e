"""sabre/dav from Debian's packages under PHP's own server: sabre.py PORT DIGEST_PORT USERS PASSWORD

Users log in by Basic at the one port, and by Digest at the other.

The users are user0, user1 and so on; the home of each is /calendars/USER/.
"""

import contextlib
import os
import sqlite3
import sys

from stack import Stack

# The columns that sabre/dav asks for.
TABLES = {
    "principals": "uri, email, displayname, vcardurl",
    "groupmembers": "principal_id, member_id",
    "calendars": "principaluri, displayname, uri, ctag, description, calendarorder, calendarcolor, timezone, components, transparent",
    "calendarobjects": "calendardata, uri, calendarid, lastmodified, etag, size, componenttype, firstoccurence, lastoccurence",
}
SERVER = """<?php
require_once 'Sabre/autoload.php';
date_default_timezone_set('UTC');
$database = new PDO('sqlite:FOLDER/database');
$database->setAttribute(PDO::ATTR_ERRMODE, PDO::ERRMODE_EXCEPTION);
$database->exec('PRAGMA busy_timeout = 10000; PRAGMA synchronous = OFF');

class Basic extends Sabre\\DAV\\Auth\\Backend\\AbstractBasic {
    protected function validateUserPass($user, $password) { return $password === 'PASSWORD'; }
}

class Digest extends Sabre\\DAV\\Auth\\Backend\\AbstractDigest {
    public function getDigestHash($realm, $user) { return md5("$user:$realm:PASSWORD"); }
}

$principals = new Sabre\\DAVACL\\PrincipalBackend\\PDO($database);
$calendars = new Sabre\\CalDAV\\Backend\\PDO($database);
$server = new Sabre\\DAV\\Server([
    new Sabre\\CalDAV\\Principal\\Collection($principals),
    new Sabre\\CalDAV\\CalendarRootNode($principals, $calendars),
]);
$server->setBaseUri('/');
$server->addPlugin(new Sabre\\DAV\\Auth\\Plugin(new LOGIN(), 'SabreDAV'));
$server->addPlugin(new Sabre\\DAVACL\\Plugin());
$server->addPlugin(new Sabre\\CalDAV\\Plugin());
$server->exec();
"""

ports, users, password = [int(port) for port in sys.argv[1:3]], int(sys.argv[3]), sys.argv[4]
stack = Stack()
text = SERVER.replace("FOLDER", stack.folder).replace("PASSWORD", password)
with contextlib.closing(sqlite3.connect(stack.path("database"))) as database, database:
    for name, columns in TABLES.items():
        database.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY ASC, {columns})")
    for n in range(users):
        values = (f"principals/user{n}", f"user{n}@example.org", f"User {n}")
        database.execute("INSERT INTO principals (uri, email, displayname) VALUES (?, ?, ?)", values)
        # Who is a member of this one may read what the user has.
        proxy = (f"principals/user{n}/calendar-proxy-read",)
        database.execute("INSERT INTO principals (uri) VALUES (?)", proxy)
os.chmod(stack.path("database"), 0o666)
stack.environment["PHP_CLI_SERVER_WORKERS"] = "3"
for login in ["Basic", "Digest"]:
    stack.write(f"{login}.php", text.replace("LOGIN", login))


def servers():
    for port, login in zip(ports, ["Basic", "Digest"]):
        arguments = ["-d", "error_reporting=E_ERROR", "-S", f"127.0.0.1:{port}", stack.path(f"{login}.php")]
        stack.answers(stack.start("www-data", "php", *arguments), port)


servers()
stack.serve(servers, ["database"])
