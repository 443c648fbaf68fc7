#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""chain_oracle.py - what botocore finds: a file holds a JSON list of {"env": {…}, "profile": name or null}; a line for each:
"METHOD ACCESS SECRET TOKEN", "none", or "error" and what it was"""
import json
import os
import sys

import botocore.session


def find(case):
    os.environ.clear()
    os.environ.update(case['env'])
    session = botocore.session.Session(profile=case['profile'])
    found = session.get_credentials()
    if found is None:
        return 'none'
    frozen = found.get_frozen_credentials()
    return ' '.join([found.method, frozen.access_key, frozen.secret_key, frozen.token or '-'])


with open(sys.argv[1]) as file:
    cases = json.load(file)
for case in cases:
    try:
        print(find(case), flush=True)
    except Exception as error:  # whatever it is: that there is one is the answer
        print('error', type(error).__name__, str(error).replace('\n', ' '), flush=True)
