# SPDX-License-Identifier: MIT
"""What tests/aws/play.py is made of: the world (state), the wire (answers and errors), the services, the control interface."""
