#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""ini_oracle.py - how botocore reads an AWS config file: one "profile key value" a line, or "unreadable"

Nested sections are left out, as ours leaves them out. Backslash and newline are escaped.
"""
import sys

import botocore.configloader
import botocore.exceptions

try:
    loaded = botocore.configloader.load_config(sys.argv[1])
except botocore.exceptions.BotoCoreError:
    print('unreadable')
    sys.exit()
for profile, values in sorted(loaded['profiles'].items()):
    for key, value in sorted(values.items()):
        if isinstance(value, str):
            print(profile, key, value.replace('\\', '\\\\').replace('\n', '\\n'), sep='\t')
