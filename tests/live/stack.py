"""What sogo.py, davical.py and cyrus.py stand on: processes of users without rights, in a folder of their own, some with a
PostgreSQL of their own, that all end with whoever started them.

The starter keeps the other end of standard input, where it may order that the servers are stopped, started, and their data
copied and put back. When that closes, everything is ended and the folder removed: a test run that is
killed leaves nothing behind.
"""

import contextlib
import ctypes
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

PR_SET_CHILD_SUBREAPER = 36
PATIENCE = 60


class Stack:
    """Processes and their folder."""

    def __init__(self):
        # What a process leaves behind when it ends becomes a child of this one, so that nothing gets away.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        # The path of a socket may not be long, and every user must get there.
        self.folder = tempfile.mkdtemp(prefix="reveille-live-", dir="/tmp")
        os.chmod(self.folder, 0o777)
        self.environment = dict(os.environ, HOME=self.folder, LC_ALL="C.UTF-8")
        self.servers, self.data = None, []
        threading.Thread(target=self.obey_the_starter, daemon=True).start()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self.fail("told to end"))

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def options(self, user):
        """How a process is started: as `user`, which only root can."""
        options = {"env": self.environment, "cwd": self.folder, "stdin": subprocess.DEVNULL}
        if os.getuid() == 0:
            account = pwd.getpwnam(user)
            options.update(user=account.pw_uid, group=account.pw_gid, extra_groups=[])
        return options

    def start(self, user, *command):
        """Starts a process that logs on standard error, in a session of its own: the master of Cyrus ends its whole process
        group when it is told to end, and so would end that of another test."""
        return subprocess.Popen(command, stdout=sys.stderr, start_new_session=True, **self.options(user))

    def run(self, user, *command):
        """Runs a program to its end; what it says is shown when it fails."""
        options = self.options(user)
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options
        )
        if done.returncode != 0:
            self.fail(f"{' '.join(command)} failed ({done.returncode}): {done.stdout}")

    def postgresql(self, port):
        """Makes and starts a PostgreSQL on the loopback `port` and in the folder that believes everybody."""
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]))
        self.environment.update(
            PATH=f"{found[-1]}:{os.environ['PATH']}", PGHOST=self.folder, PGPORT=str(port), PGUSER="postgres"
        )
        self.run(
            "postgres",
            "initdb",
            "--pgdata=database",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "--username=postgres",
        )
        self.start_postgresql(port)

    def start_postgresql(self, port):
        options = ["-D", "database", "-k", self.folder, "-h", "127.0.0.1", "-p", str(port), "-F"]
        server = self.start("postgres", "postgres", *options, "-c", "log_min_messages=fatal")
        ready = ["pg_isready", "--quiet"]
        self.until(server, lambda: subprocess.run(ready, check=False, **self.options("postgres")).returncode == 0)

    def sql(self, database, text):
        self.run("postgres", "psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--dbname", database, "-c", text)

    def answers(self, server, port):
        """Waits until `port` takes connections."""

        def taken():
            with socket.socket() as attempt:
                return attempt.connect_ex(("127.0.0.1", port)) == 0

        self.until(server, taken)

    def until(self, server, ready):
        deadline = time.monotonic() + PATIENCE
        while not ready():
            if server.poll() is not None or time.monotonic() > deadline:
                self.fail(f"{server.args[0]} did not start")
            time.sleep(0.01)

    def serve(self, servers, data):
        """Says that all is ready, then waits for the starter's orders and its end. `servers` starts the servers, and `data` is
        what they keep their data in, below the folder."""
        self.servers, self.data = servers, data
        print("ready", flush=True)
        threading.Event().wait()

    def obey_the_starter(self):
        """Orders are lines: stop, start, backup, restore. Each is answered when it is done."""
        orders = {"stop": self.stop, "start": lambda: self.servers(), "backup": self.backup, "restore": self.restore}
        for line in sys.stdin:
            orders[line.strip()]()
            print(f"done {line.strip()}", flush=True)
        self.end()
        os._exit(0)

    def backup(self):
        """Copies the data aside. The servers must be stopped."""
        shutil.rmtree(self.path("backup"), ignore_errors=True)
        os.mkdir(self.path("backup"))
        for name in self.data:
            subprocess.run(["cp", "-a", self.path(name), self.path("backup")], check=True)

    def restore(self):
        """Puts the data back as it was copied last. The servers must be stopped."""
        for name in self.data:
            subprocess.run(["rm", "-rf", self.path(name)], check=True)
            subprocess.run(["cp", "-a", self.path("backup", name), self.folder], check=True)

    def fail(self, why):
        print(why, file=sys.stderr, flush=True)
        self.end()
        os._exit(1)

    def stop(self):
        """Ends everything that was started, and what that has started."""
        # PostgreSQL gives its shared memory back when it is asked to quit at once, the rest is killed.
        for number in (signal.SIGQUIT, signal.SIGKILL):
            deadline = time.monotonic() + 1
            while (left := children()) and time.monotonic() < deadline:
                for child in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child, number)
                with contextlib.suppress(ChildProcessError):
                    while os.waitpid(-1, os.WNOHANG)[0]:
                        pass
                time.sleep(0.01)

    def end(self):
        """Ends everything, and removes the folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def children():
    """The processes that have this one for a parent."""
    found = []
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/self/task/{thread}/children", encoding="ascii") as file:
            found += map(int, file.read().split())
    return found
