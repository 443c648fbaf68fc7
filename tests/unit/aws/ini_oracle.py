#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""ini_oracle.py - how botocore reads AWS config files: of each one "profile key value" a line, or "unreadable", then "."

Nested sections are left out, as ours leaves them out. Backslash and newline are escaped.
"""
import sys

import botocore.configloader
import botocore.exceptions

for path in sys.argv[1:]:
    try:
        loaded = botocore.configloader.load_config(path)
    except botocore.exceptions.BotoCoreError:
        print('unreadable')
    else:
        for profile, values in sorted(loaded['profiles'].items()):
            for key, value in sorted(values.items()):
                if isinstance(value, str):
                    print(profile, key, value.replace('\\', '\\\\').replace('\n', '\\n'), sep='\t')
    print('.')
