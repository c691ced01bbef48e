"""Runs a Python module as a program, and ends with whoever started it.

    serve.py MODULE [ARGUMENT]...

The starter keeps the other end of standard input. When it goes away, however it ends, standard input closes and so
does the server: a test run that is killed leaves no servers behind.
"""

import os
import runpy
import sys
import threading


def end_with_the_starter():
    while os.read(0, 4096):
        pass
    os._exit(0)


threading.Thread(target=end_with_the_starter, daemon=True).start()
sys.argv = sys.argv[1:]
sys.path[0] = ""
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
