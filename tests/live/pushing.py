"""Runs a Python module as serve.py does, which may push to this machine: pushing.py CA MODULE [ARGUMENT]...

CA is the PEM file of the authority that has signed the certificates of those that it pushes to.
"""

import os
import runpy
import sys

import certifi

authority = sys.argv.pop(1)
certifi.where = lambda: authority
os.environ["XANDIKOS_ALLOW_INTERNAL_PUSH_RESOURCE"] = "1"
runpy.run_path(os.path.join(os.path.dirname(__file__), "serve.py"), run_name="__main__")
