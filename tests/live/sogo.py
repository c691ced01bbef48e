"""SOGo from Debian's packages, with a database of its own: sogo.py PORT DATABASE_PORT USERS PASSWORD

The users are user0, user1 and so on; each has the calendar /SOGo/dav/USER/Calendar/personal/ once it has logged in.
'admin' is a superuser, who may read it at this address.
"""

import sys

from stack import Stack

port, database_port, users, password = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
stack = Stack()
stack.postgresql(database_port)
stack.sql("postgres", "CREATE DATABASE sogo")
stack.sql(
    "sogo",
    "CREATE TABLE users AS SELECT 'user' || n AS c_uid, 'user' || n AS c_name,"
    f" '{password}'::text AS c_password, 'User ' || n AS c_cn, 'user' || n || '@example.org' AS mail"
    f" FROM generate_series(0, {users - 1}) AS n;"
    f" INSERT INTO users VALUES ('admin', 'admin', '{password}', 'Administrator', 'admin@example.org')",
)
database = f"postgresql://postgres:postgres@127.0.0.1:{database_port}/sogo"
source = (
    f'({{ type = sql; id = users; viewURL = "{database}/users"; canAuthenticate = YES; isAddressBook = NO;'
    " userPasswordAlgorithm = plain; })"
)
# They go before those of /etc/sogo/sogo.conf, which it reads all the same.
settings = {
    "WOPort": f"127.0.0.1:{port}",
    "WOWorkersCount": "3",
    "WONoDetach": "YES",
    "WOLogFile": "-",
    "WOPidFile": stack.path("sogo.pid"),
    "SOGoMemcachedHost": stack.path("memcached"),
    # Seconds: for so long an old password is accepted (300 as installed).
    "SOGoCacheCleanupInterval": "5",
    "SOGoUserSources": source,
    "SOGoProfileURL": f"{database}/sogo_user_profile",
    "OCSFolderInfoURL": f"{database}/sogo_folder_info",
    "OCSSessionsFolderURL": f"{database}/sogo_sessions_folder",
    "OCSEMailAlarmsFolderURL": f"{database}/sogo_alarms_folder",
    "SOGoSuperUsernames": "(admin)",
    "SOGoTimeZone": "UTC",
    "SOGoEnableEMailAlarms": "NO",
    "SOGoAppointmentSendEMailNotifications": "NO",
}


def sogo():
    stack.start("sogo", "memcached", "-s", stack.path("memcached"), "-m", "16")
    words = (word for name, value in settings.items() for word in (f"-{name}", value))
    stack.answers(stack.start("sogo", "sogod", *words), port)


def servers():
    stack.start_postgresql(database_port)
    sogo()


sogo()
stack.serve(servers, ["database"])
