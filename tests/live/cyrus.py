"""Cyrus IMAP from Debian's packages: cyrus.py PORT IMAP_PORT USERS PASSWORD PROXY_PORT

The users are user0, user1 and so on; the home of each is /dav/calendars/user/USER/. On the last port the administrator
'cyrus' may act for any user, as on a server behind a Murder, where only that is allowed; accounts are not made there. Event
notifications go to the socket "notify" beside the file that it prints the path of, if somebody listens there.
"""

import imaplib
import sys

from stack import Stack

port, imap_port, users, password = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
proxy_port = int(sys.argv[5])
names = [f"user{number}" for number in range(users)]
stack = Stack()
settings = stack.write(
    "imapd.conf",
    f"""
configdirectory: {stack.folder}/state
partition-default: {stack.folder}/mail
defaultpartition: default
proc_path: {stack.folder}/proc
mboxname_lockpath: {stack.folder}/lock
idlesocket: {stack.folder}/idle
notifysocket: {stack.folder}/notify
sievedir: {stack.folder}/sieve
admins: cyrus
delete_mode: immediate
allowplaintext: yes
httpmodules: caldav
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {stack.folder}/sasldb
sasl_mech_list: PLAIN
syslog_prefix: cyrus
unixhierarchysep: yes
virtdomains: off
event_notifier: log
event_groups: message mailbox access
""",
)
with open(settings, encoding="utf-8") as file:
    proxy = stack.write("proxy.conf", file.read() + "mupdate_server: 127.0.0.1\nproxyservers: cyrus\n")
services = stack.write(
    "cyrus.conf",
    f"""
START {{
    recover cmd="/usr/sbin/cyrus ctl_cyrusdb -C {settings} -r"
}}
SERVICES {{
    imap cmd="imapd -C {settings}" listen="127.0.0.1:{imap_port}" prefork=0
    http cmd="httpd -C {settings}" listen="127.0.0.1:{port}" prefork=2
    proxy cmd="httpd -C {proxy}" listen="127.0.0.1:{proxy_port}" prefork=0
}}
""",
)
for name in ["state", "state/socket", "state/db", "state/user", "mail", "proc", "lock", "sieve"]:
    stack.run("cyrus", "mkdir", name)
stack.run(
    "cyrus",
    "sh",
    "-c",
    f"for user in cyrus {' '.join(names)}; do echo {password} | saslpasswd2 -p -c -f sasldb -u $(hostname) $user; done",
)
def servers():
    master = stack.start("cyrus", "/usr/sbin/cyrmaster", "-D", "-C", settings, "-M", services, "-p", stack.path("pid"))
    stack.answers(master, imap_port)
    stack.answers(master, port)


servers()
with imaplib.IMAP4("127.0.0.1", imap_port) as imap:
    imap.login("cyrus", password)
    for name in names:
        answer, said = imap.create(f"user/{name}")
        if answer != "OK":
            stack.fail(f"a mailbox for {name}: {said}")
print(stack.path("sasldb"), flush=True)
stack.serve(servers, ["state", "mail", "sieve"])
