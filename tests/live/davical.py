"""DAViCal from Debian's packages under PHP's own server, with a database of its own: davical.py PORT DATABASE_PORT USERS PASSWORD

The users are user0, user1 and so on; the home of each is /caldav.php/USER/.
"""

import sys

from stack import Stack

HTDOCS = "/usr/share/davical/htdocs"

port, database_port, users, password = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
stack = Stack()
stack.postgresql(database_port)
stack.run("postgres", "/usr/share/davical/dba/create-database.sh", "davical", password)
stack.sql(
    "davical",
    "INSERT INTO usr (active, email_ok, updated, username, password, fullname, email) SELECT true, current_date, current_date,"
    f" 'user' || n, '**{password}', 'User ' || n, 'user' || n || '@example.org' FROM generate_series(0, {users - 1}) AS n;"
    "INSERT INTO principal (type_id, user_no, displayname, default_privileges)"
    " SELECT 1, user_no, fullname, 0::bit(24) FROM usr WHERE username LIKE 'user%'",
)
# DAViCal looks for NAME-conf.php below /etc/davical, NAME being what the server is called; in the file it is called by its own
# name again.
stack.write(
    "davical-conf.php",
    "<?php\n$_SERVER['SERVER_NAME'] = $c->domain_name = '127.0.0.1';\n"
    f"$c->pg_connect[] = 'dbname=davical user=davical_app host={stack.folder} port={database_port}';\n",
)
router = stack.write(
    "router.php",
    f"<?php\n$_SERVER['SERVER_NAME'] = '../..{stack.folder}/davical';\nchdir('{HTDOCS}');\n"
    "if (preg_match('{^/[.]well-known/[^?]*}', $_SERVER['REQUEST_URI'], $found)) {\n"
    "    $_SERVER['PATH_INFO'] = $found[0];\n    $_SERVER['SCRIPT_NAME'] = '/caldav.php';\n"
    "}\nif ($_SERVER['SCRIPT_NAME'] !== '/caldav.php') return false;\ninclude 'caldav.php';\n",
)
stack.environment["PHP_CLI_SERVER_WORKERS"] = "3"


def php():
    server = stack.start("www-data", "php", "-S", f"127.0.0.1:{port}", "-t", HTDOCS, router)
    stack.answers(server, port)


def servers():
    stack.start_postgresql(database_port)
    php()


php()
stack.serve(servers, ["database"])
