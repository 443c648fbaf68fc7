#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""profile_oracle.py - how the AWS CLI v2 and botocore read pairs of profile files: hand-made and random ones

    profile_oracle.py FOLDER SEED COUNT

Writes FOLDER/N.config and FOLDER/N.credentials (either may be missing) and for each pair one line of JSON to stdout: what was
asked (profile, env) and the answer: {"error": "unreadable" | "no profile"} or {"region": …, "keys": {…}, "creds": …}. creds
is null, "partial", or [access key, secret key, token, source]. Both are Debian's: the CLI's own copy of botocore, which
reads AWS_REGION, and python3-botocore, which does not; where both know better than to differ they must agree.
"""
import json
import os
import random
import sys

import awscli.botocore.configloader
import awscli.botocore.credentials
import awscli.botocore.exceptions
import awscli.botocore.session
import botocore.configloader
import botocore.credentials
import botocore.exceptions
import botocore.session

KEYS = ['region', 'output', 'ca_bundle', 'endpoint_url', 'aws_access_key_id', 'aws_secret_access_key']
NBSP = '\u00a0'

# (config, credentials, profile, environment)
HAND_MADE = [
    (None, None, None, {}),
    (None, None, 'x', {}),
    (None, None, 'default', {}),
    ('[default]\nregion=a\n', None, 'default', {}),
    ('[profile x]\nregion=a\n', '[x]\nregion=b\n', 'x', {}),
    ('[profile x]\nregion=a\n', '[x]\nregion=\n', 'x', {}),
    ('[profile x]\nregion=a\n', '[x]\nregion =\n  a = b\n', 'x', {}),
    ('[x]\nregion=a\n', '[profile x]\nregion=b\n', 'x', {}),
    ('[x]\nregion=a\n', '[profile x]\nregion=b\n', 'profile x', {}),
    ('[profile x]\nregion=a\n', None, 'x', {'AWS_REGION': 'e'}),
    ('[profile x]\nregion=a\n', None, 'x', {'AWS_DEFAULT_REGION': 'e'}),
    ('[profile x]\nregion=a\n', None, 'x', {'AWS_REGION': 'e', 'AWS_DEFAULT_REGION': 'f'}),
    ('[profile x]\nregion=a\n', None, None, {'AWS_PROFILE': 'x'}),
    ('[profile x]\nregion=a\n[profile y]\nregion=b\n', None, None, {'AWS_PROFILE': 'x', 'AWS_DEFAULT_PROFILE': 'y'}),
    ('[profile x]\nregion=a\n[profile y]\nregion=b\n', None, None, {'AWS_DEFAULT_PROFILE': 'y'}),
    ('[profile x]\nregion=a\n[profile y]\nregion=b\n', None, 'x', {'AWS_PROFILE': 'y'}),
    ('[profile x]\nregion=a\n', None, None, {'AWS_PROFILE': 'gone'}),
    ('[DEFAULT]\nregion=a\n', None, None, {}),
    ('[DEFAULT]\nregion=a\n[default]\noutput=x\n', None, None, {}),
    ('[DEFAULT]\nregion=a\n[default]\nregion=b\n', None, None, {}),
    ('[default]\noutput=x\n[DEFAULT]\nregion=a\n', None, None, {}),
    ('[DEFAULT]\nregion=a\n[default]\noutput=x\n[DEFAULT]\nca_bundle=c\n', None, None, {}),
    ('[DEFAULT]\nregion=a\n[default]\noutput=x\n[DEFAULT]\nregion=c\n', None, None, {}),
    ('[default]\nregion=a\n', '[DEFAULT]\nregion=b\n[default]\noutput=y\n', None, {}),
    (None, '[DEFAULT]\nregion=b\n', 'DEFAULT', {}),
    ('[DEFAULT]\ns3 =\n  junk\n', None, None, {}),
    ('[DEFAULT]\ns3 =\n  junk\n[default]\n', None, None, {}),
    ('[default]\ns3 =\n  junk\nregion=a\n', None, None, {}),
    ('[plugins]\ns3 =\n  junk\n[default]\nregion=a\n', None, None, {}),
    ('[default]\ns3 =\n\n  a = b\n  # c\n  d=e\nregion=a\n', None, None, {}),
    ('[default]\ns3 = x\n  junk\nregion=a\n', None, None, {}),
    ('[default]\nregion=a\n', '[default]\ns3 =\n  junk\n', None, {}),
    ('[default]\nregion=a\n', '[default]\nregion\n', None, {}),
    ('\ufeff[default]\nregion=a\n', None, None, {}),
    ('\ufeff# comment\n[default]\nregion=a\n', None, None, {}),
    (b'[default]\nregion=a\n# caf\xe9\n', None, None, {}),
    (b'[default]\nregion=a\xff\n', None, None, {}),
    ('[default]\nregion=a\n', b'\xc0\x80', None, {}),
    ('[default]\nregion =%sa%s\n' % (NBSP, NBSP), None, None, {}),
    ('[default]\n%sregion = a\n%soutput = x\n' % (NBSP, NBSP * 2), None, None, {}),
    ('[default]\nregion = a\n\u3000 output = b\n', None, None, {}),
    ('[profile жуткий]\nregion=a\n', None, 'жуткий', {}),
    ('[profile "жуткий профиль"]\nregion=a\n', None, 'жуткий профиль', {}),
    ('[profile 日本]\nregion=a\n', '[日本]\naws_access_key_id=AKID\naws_secret_access_key=s\n', '日本', {}),
    ('[default]\r\nregion=a\r\n', '[default]\r\naws_access_key_id=AKID\r\naws_secret_access_key=s\r\n', None, {}),
    ('[default]\rregion=a\r', None, None, {}),
    (None, '[default]\naws_access_key_id=AKID\n', None, {}),
    (None, '[default]\naws_access_key_id=AKID\naws_secret_access_key=s\naws_session_token=t\n', None, {}),
    (None, '[default]\naws_access_key_id=A\naws_secret_access_key=s\naws_security_token=u\naws_session_token=t\n', None, {}),
    ('[default]\naws_access_key_id=C\naws_secret_access_key=c\n', '[default]\naws_access_key_id=A\naws_secret_access_key=a\n', None, {}),
    ('[default]\naws_access_key_id=C\naws_secret_access_key=c\n', '[other]\naws_access_key_id=A\naws_secret_access_key=a\n', None, {}),
    ('[default]\naws_access_key_id=C\n', None, None, {}),
    ('[profile x]\naws_access_key_id=C\naws_secret_access_key=c # d\n', None, 'x', {}),
    ('[default]\nAWS_ACCESS_KEY_ID=C\nAws_Secret_Access_Key="c"\n', None, None, {}),
    ('[default]\naws_access_key_id : C\naws_secret_access_key : c=d:e\n', None, None, {}),
    ('', '', None, {}),
]

SECTIONS = ['[default]', '[profile x]', '[x]', '[profile "y z"]', '[y z]', '[profile ж]', '[ж]', '[DEFAULT]', '[profile default]',
            '[profile y z]', '[services x]', '[sso-session x]', '[ default ]', '[profile x]]', "[profile 'x]", '[plugins]']
TWINS = ["[profile 'x']", '[profile  x ]', '  [profile x]', '[profile x] # no', '[profile\tx]', '[profiles x]', '[default', 'default]']
NAMES = KEYS + ['s3', 'services', 'ключ', 'aws_session_token', 'aws_security_token', 'sso_region']
VALUES = ['a', 'eu-west-1', 'b # c', 'b ; c', '"q"', "'q'", '', 'd=e', 'd:e', 'ä', NBSP + 'n' + NBSP, '%(x)s', '[v]', '\\n', ' ', '$HOME',
          'a\u2003b', '#', 'x\ty', '=', 'A' * 300]
# An empty one of these is passed over by ours and not by theirs, which then have no usable credentials.
NOT_EMPTY = ['aws_access_key_id', 'aws_security_token']
FILLED = [v for v in VALUES if v.strip()]
BLANKS = ['', '', '', '', ' ', '  ', '\t', '    ', NBSP]
ENDS = ['\n'] * 8 + ['\r\n', '\r']
PROFILES = [None] * 4 + ['default', 'x', 'x', 'x', 'y z', 'y z', 'ж', 'ж', 'gone', 'DEFAULT']


def random_file(rnd):
    """Mostly readable: sections and keys mostly once."""
    out, end = [], rnd.choice(ENDS)
    sections = rnd.sample(SECTIONS[:8], rnd.randrange(1, 6)) + rnd.sample(SECTIONS, rnd.randrange(2))
    rnd.shuffle(sections)
    if rnd.random() < 0.1:
        sections.insert(rnd.randrange(len(sections) + 1), rnd.choice(TWINS))
    for section in sections:
        out.append(section)
        names = rnd.sample(NAMES, rnd.randrange(0, 6))
        if rnd.random() < 0.5:
            names += [name for name in KEYS[-2:] if name not in names]
        if rnd.random() < 0.02:
            names.append(rnd.choice(NAMES))
        deep = rnd.choice(BLANKS)
        for name in names:
            line = rnd.random()
            if line < 0.1:
                out.append(rnd.choice(BLANKS) + rnd.choice('#;') + ' comment = x')
            if line > 0.9:
                out.append(rnd.choice(BLANKS))
            indent = deep if rnd.random() < 0.97 else rnd.choice(BLANKS)
            name = rnd.choice([name] * 9 + [name.upper() if name.isascii() else name])  # ours folds A to Z only
            out.append(indent + name + rnd.choice(['=', ' = ', ': ', ' :', '\t=\t']) +
                       rnd.choice(FILLED if name.lower() in NOT_EMPTY else VALUES))
            while rnd.random() < 0.1:
                out.append(indent + '  ' + rnd.choice(['in = ner', 'in=', '# c', '', 'a = b = c', '[z] =']))
    if rnd.random() < 0.03:
        out.insert(rnd.randrange(len(out) + 1), rnd.choice(['junk', 'a = b', '= v', '[]', '[']))
    text = end.join(out) + (end if rnd.random() < 0.8 else '')
    data = text.encode()
    if rnd.random() < 0.02:
        data = data.replace(b'a', b'\xe4', 1)
    if rnd.random() < 0.02:
        data = b'\xef\xbb\xbf' + data
    return data


def random_case(rnd):
    env = {}
    for name in ['AWS_REGION', 'AWS_DEFAULT_REGION', 'AWS_PROFILE', 'AWS_DEFAULT_PROFILE']:
        if rnd.random() < 0.1:
            env[name] = rnd.choice(['x', 'default', 'y z'])
    files = [random_file(rnd) if rnd.random() < 0.8 else None for _ in range(2)]
    return (*files, rnd.choice(PROFILES), env)


def either(name):
    """Debian's copy in awscli raises the other's exceptions in places"""
    return getattr(awscli.botocore.exceptions, name), getattr(botocore.exceptions, name)


def credentials_of(package, config, credentials, profile):
    """What the two sources that read keys from files give, in the chain's order."""
    module = package.credentials
    for source in (module.SharedCredentialProvider(credentials, profile), module.ConfigProvider(config, profile)):
        try:
            found = source.load()
        except either('PartialCredentialsError'):
            return 'partial'
        if found:
            return [found.access_key, found.secret_key, found.token, found.method]
    return None


def answer(package, config, credentials, profile):
    try:
        session = package.session.Session(profile=profile)
        region = session.get_config_variable('region')
        scoped = session.get_scoped_config()
        name = session.get_config_variable('profile') or 'default'
        keys = {k: v for k, v in scoped.items() if k in KEYS and isinstance(v, str)}
        return {'region': region if isinstance(region, str) else None, 'keys': keys,
                'creds': credentials_of(package, config, credentials, name)}
    except either('ConfigParseError'):
        return {'error': 'unreadable'}
    except either('ProfileNotFound'):
        return {'error': 'no profile'}


def main(folder, seed, count):
    rnd = random.Random(int(seed))
    cases = HAND_MADE + [random_case(rnd) for _ in range(int(count))]
    for n, (config, credentials, profile, env) in enumerate(cases):
        paths = [os.path.join(folder, '%d.%s' % (n, kind)) for kind in ('config', 'credentials')]
        for path, data in zip(paths, (config, credentials)):
            if data is not None:
                with open(path, 'wb') as file:
                    file.write(data.encode() if isinstance(data, str) else data)
        for name in list(os.environ):
            if name.startswith('AWS_'):
                del os.environ[name]
        os.environ.update(env, AWS_CONFIG_FILE=paths[0], AWS_SHARED_CREDENTIALS_FILE=paths[1])
        cli = answer(awscli.botocore, *paths, profile)
        other = answer(botocore, *paths, profile)
        if 'AWS_REGION' in env and 'region' in other:
            other['region'] = cli['region']
        assert cli == other, (n, cli, other)
        print(json.dumps({'profile': profile, 'env': env, **cli}))


main(*sys.argv[1:])
