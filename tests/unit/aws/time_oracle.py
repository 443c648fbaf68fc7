#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""time_oracle.py - the lines of a file as botocore reads them as times: one Unix time a line"""
import datetime
import sys

import botocore.utils

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
with open(sys.argv[1]) as lines:
    for line in lines:
        at = botocore.utils.parse_to_aware_datetime(line.rstrip('\n'))
        print((at - EPOCH) // datetime.timedelta(seconds=1))
