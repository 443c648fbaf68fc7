#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""words_oracle.py - the lines of a file as botocore splits them: "N word|word…" or "-", one a line; a blank line is "0" """
import sys

from botocore.compat import compat_shell_split

with open(sys.argv[1], newline='\n') as lines:
    for line in lines:
        try:
            words = compat_shell_split(line.rstrip('\n'))
        except ValueError as error:
            print('-', error)
        else:
            print(len(words), '|'.join(words))
