#!/usr/bin/env python3
"""Asks an installed Patroni what it makes of the settings in a file of rows.

Usage: PATRONI'S-PYTHON ask.py ROWS REFERENCE. Prints one JSON list per look of the file: [number of the line, value]. A
look that makes Patroni raise an exception gives "raises". Nothing is started and no host is asked: the modules that read
the configuration are called as the agent calls them, with stand-ins for the server and the store.

The last line is [0, keys]: those that the page of reference calls Patroni's, and no source of Patroni's knows.
"""
import json
import logging
import os
import sys
import tempfile

from copy import deepcopy
from types import SimpleNamespace

import yaml

from patroni import global_config, log, validator
from patroni.collections import CaseInsensitiveDict, CaseInsensitiveSet
from patroni.config import Config
from patroni.dcs import AbstractDCS, Cluster
from patroni.dcs.etcd import AbstractEtcd
from patroni.postgresql import Postgresql
from patroni.postgresql.bootstrap import Bootstrap
from patroni.postgresql.config import ConfigHandler
from patroni.postgresql.misc import PostgresqlRole
from patroni.postgresql.mpp import get_mpp
from patroni.request import PatroniRequest
from patroni.tags import Tags
from patroni.utils import parse_bool, parse_int, patch_config, split_host_port
from patroni.watchdog.base import WatchdogConfig

BASE = {
    'scope': 'demo',
    'name': 'n1',
    'restapi': {'listen': '*:8008', 'connect_address': 'h1:8008'},
    'etcd3': {'hosts': ['e1']},
    'postgresql': {
        'listen': '*:5432', 'connect_address': 'h1:5432', 'data_dir': '/data',
        'authentication': {'superuser': {'username': 'postgres'}, 'replication': {'username': 'repl'}},
    },
}


class Herd:
    """One stanza of the file: its layers, and Patroni's objects made from them."""

    def __init__(self, folder, files, environment, dynamic):
        self.files, self.environment, self.dynamic = files, environment, dynamic
        for name in [name for name in os.environ if name.startswith('PATRONI_')]:
            del os.environ[name]
        for name in os.listdir(folder):
            os.remove(os.path.join(folder, name))
        for number, text in enumerate([yaml.safe_dump(BASE), *files]):
            with open(os.path.join(folder, f'{number:02}.yml'), 'w') as file:
                file.write(text)
        os.environ.update(environment)
        self.config = Config(folder, validator=None)
        if dynamic is not None:
            self.config.set_dynamic_configuration(deepcopy(dynamic))
        # what the agent does with the view of the store, each turn
        in_store = SimpleNamespace(data=deepcopy(dynamic) or {}, modify_version=1)
        global_config.update(SimpleNamespace(config=in_store), {})

    def section(self, name):
        return self.config.get(name) or {}

    @property
    def postgresql(self):
        return self.config['postgresql']

    def handler(self):
        """The keeper of the server's configuration, without a server: PostgreSQL 15."""
        server = SimpleNamespace(
            scope=self.config['scope'], major_version=150000, role=PostgresqlRole.REPLICA,
            mpp_handler=SimpleNamespace(adjust_postgres_gucs=lambda parameters: None))
        handler = ConfigHandler.__new__(ConfigHandler)
        handler._postgresql = server
        handler._config_dir = '/data'
        handler._server_parameters = CaseInsensitiveDict()
        handler._config = deepcopy(self.postgresql)
        handler._server_parameters = handler.get_server_parameters(self.postgresql)
        handler._adjust_recovery_parameters()
        return handler

    def tags(self):
        published = Tags._filter_tags(self.config.get('tags', {}))
        return type('OfMember', (Tags,), {'tags': published})()

    def store_client(self):
        """What the client of etcd is made with."""
        seen = {}

        class Client:
            machines = ['one']

            def __init__(self, config, resolver):
                seen.update(config)

        AbstractEtcd.get_etcd_client(SimpleNamespace(), self.config['etcd3'] if 'etcd3' in self.config
                                     else self.config['etcd'], Client)
        return seen


def scalar(value):
    """A scalar as text; booleans as PostgreSQL writes them."""
    if isinstance(value, bool):
        return 'on' if value else 'off'
    return None if value is None else str(value)


def texts(mapping):
    return {str(name): scalar(value) for name, value in (mapping or {}).items() if value not in (None, '')}


def address(value, port):
    host, port = split_host_port(value, port)
    return [host.strip('[]'), port]


def sync_mode(herd):
    if global_config.is_quorum_commit_mode:
        return 'quorum'
    return 'on' if global_config.check_mode('synchronous_mode') else 'off'


def slots(herd):
    kinds = {}
    for name, value in global_config.permanent_slots.items():
        if Cluster.is_physical_slot(value):
            kinds[name] = 'physical'
        elif Cluster.is_logical_slot(value):
            kinds[name] = 'logical'
    return kinds


def standby_cluster(herd):
    return texts(global_config.get_standby_cluster_config()) if global_config.is_standby_cluster else None


def options(tool, given):
    return Bootstrap.process_user_options(tool, given or [], (), lambda problem: None)


def endpoints(herd):
    client = herd.store_client()
    if 'hosts' in client and 'proxy' not in client:
        return list(client['hosts'])
    return ['{}://{}:{}'.format(client.get('protocol', 'http'), client['host'], client['port'])]


def leader_key(herd):
    Store = type('Store', (AbstractDCS,), {})
    Store.__abstractmethods__ = frozenset()
    store = Store.__new__(Store)
    settings = {name: herd.config[name] for name in ('namespace', 'name', 'scope') if name in herd.config}
    AbstractDCS.__init__(store, settings, get_mpp({}))
    return store.leader_path


def level(herd, name, default):
    given = herd.section('log').get(name, default)
    return logging.getLevelName(logging._checkLevel(given))


def parameter(herd, name):
    value = herd.handler()._server_parameters.get(name)
    if name == 'wal_keep_size':
        return parse_int(value, 'MB')
    if name == 'listen_addresses':
        return value.replace(' ', '')
    if name == 'wal_level':
        return value.lower()
    if name in ('hot_standby', 'wal_log_hints', 'track_commit_timestamp'):
        return scalar(parse_bool(value))
    return scalar(value)


def clients(herd):
    """What the agent shows its peers: user and password, and the certificates they are checked against."""
    request = PatroniRequest(herd.config)
    return {'authorization': 'authorization' in request._pool.headers,
            'ca_certs': request._pool.connection_pool_kw.get('ca_certs'),
            'checks': request._pool.connection_pool_kw.get('cert_reqs') == 'CERT_REQUIRED'}


def named(schema, name):
    """The part of the validator's schema that a key of this name belongs to."""
    for key, inner in schema.items():
        if key == name or getattr(key, 'name', None) == name:
            return inner
        if name in getattr(key, 'args', ()):
            return inner._schema[name]
    return None


def pruned(schema, given):
    """The schema without what is not given: no default of a key that nobody asks about is looked at."""
    if not isinstance(schema, dict) or not isinstance(given, dict):
        return schema
    kept = {}
    for key, inner in schema.items():
        names = getattr(key, 'args', None) or (getattr(key, 'name', key),)
        present = [name for name in names if name in given]
        if present:
            kept[key] = pruned(inner, given[present[0]])
    return kept


def valid(herd):
    """Whether the validator takes what the stanza gives, whatever else a whole file needs."""
    given = {}
    for text in herd.files:
        patch_config(given, yaml.safe_load(text))
    if herd.dynamic is not None:
        given = {'bootstrap': {'dcs': herd.dynamic}}
    for name, value in given.items():
        part = named(validator.schema.validator, name)
        if part is None:
            continue
        for result in validator.Schema({name: pruned(part, value)}).validate({name: deepcopy(value)}):
            if not result.status:
                return False
    return True


def environment(herd):
    """What the variables alone say."""
    os.environ.update(herd.environment)
    return json.loads(json.dumps(Config._build_environment_configuration()))


def local(section, name, default=None, read=lambda value: value):
    return lambda herd: read(herd.section(section).get(name, default))


def both(name, default=None, read=lambda value: value):
    return lambda herd: read(herd.postgresql.get(name, default))


LOOKS = {
    'times': lambda herd: [int(herd.config[name]) for name in ('ttl', 'loop_wait', 'retry_timeout')],
    'maximum_lag_on_failover': lambda herd: global_config.maximum_lag_on_failover,
    'maximum_lag_on_syncnode': lambda herd: max(global_config.maximum_lag_on_syncnode, 0),
    'max_timelines_history': lambda herd: global_config.max_timelines_history,
    'primary_start_timeout': lambda herd: global_config.primary_start_timeout,
    'primary_stop_timeout': lambda herd: global_config.primary_stop_timeout,
    'member_slots_ttl': lambda herd: global_config.member_slots_ttl,
    'synchronous_node_count': lambda herd: global_config.synchronous_node_count,
    'synchronous_mode': sync_mode,
    'synchronous_mode_strict': lambda herd: global_config.is_synchronous_mode_strict,
    'check_timeline': lambda herd: global_config.check_mode('check_timeline'),
    'failsafe_mode': lambda herd: global_config.check_mode('failsafe_mode'),
    'pause': lambda herd: global_config.is_paused,
    'use_slots': lambda herd: global_config.use_slots,
    'slots': slots,
    'ignore_slots': lambda herd: global_config.ignore_slots_matchers,
    'standby_cluster': standby_cluster,
    'leader_key': leader_key,
    'name': lambda herd: herd.config['name'],
    'log.type': local('log', 'type', log.PatroniLogger.DEFAULT_TYPE),
    'log.level': lambda herd: level(herd, 'level', log.PatroniLogger.DEFAULT_LEVEL),
    'log.traceback_level': local('log', 'traceback_level', 'ERROR', lambda given: given.upper()),
    'log.format': local('log', 'format', log.PatroniLogger.DEFAULT_FORMAT),
    'log.dateformat': local('log', 'dateformat', None, lambda given: given or None),
    'log.max_queue_size': local('log', 'max_queue_size', log.PatroniLogger.DEFAULT_MAX_QUEUE_SIZE, int),
    'log.mode': local('log', 'mode', None, parse_int),
    'log.file_size': local('log', 'file_size', 25000000, int),
    'log.file_num': local('log', 'file_num', 4, int),
    'log.static_fields': local('log', 'static_fields', {}),
    'log.loggers': local('log', 'loggers', {}, texts),
    'log.deduplicate_heartbeat_logs': local('log', 'deduplicate_heartbeat_logs', False, bool),
    'restapi.listen': lambda herd: address(herd.section('restapi')['listen'], 8008),
    'restapi.allowlist': local('restapi', 'allowlist', [], lambda given: given if isinstance(given, list) else []),
    'restapi.allowlist_include_members': local('restapi', 'allowlist_include_members', False, bool),
    'restapi.verify_client': local('restapi', 'verify_client', 'none', lambda given: given.lower()),
    'restapi.request_queue_size': local('restapi', 'request_queue_size', 5, int),
    'restapi.server_tokens': local('restapi', 'server_tokens', 'original', lambda given: given.lower()),
    'restapi.http_extra_headers': local('restapi', 'http_extra_headers', {}, texts),
    'clients': clients,
    'bootstrap.initdb': lambda herd: options('initdb', herd.section('bootstrap').get('initdb')),
    'bootstrap.method': lambda herd: herd.section('bootstrap').get('method') or 'initdb',
    'bootstrap.post': lambda herd: herd.section('bootstrap').get('post_bootstrap')
    or herd.section('bootstrap').get('post_init'),
    'watchdog.mode': lambda herd: WatchdogConfig(herd.config).mode,
    'watchdog.timeout': lambda herd: WatchdogConfig(herd.config).timeout,
    'watchdog.device': lambda herd: WatchdogConfig(herd.config).driver_config.get('device', '/dev/watchdog'),
    'tags': lambda herd: {
        **{name: getattr(herd.tags(), name) for name in
           ('nofailover', 'nosync', 'noloadbalance', 'nostream', 'replicatefrom')},
        **{name: max(getattr(herd.tags(), name), 0) for name in ('failover_priority', 'sync_priority')}},
    'tags.published': lambda herd: Tags._filter_tags(herd.config.get('tags', {})),
    'endpoints': endpoints,
    'use_proxies': lambda herd: bool(herd.store_client().get('use_proxies')),
    'etcd.user': lambda herd: [herd.store_client().get('username'), herd.store_client().get('password')],
    'etcd.srv': lambda herd: herd.store_client().get('srv'),
    'postgresql.connect_address': lambda herd: address(herd.postgresql['connect_address'], 5432),
    'postgresql.bin_dir': both('bin_dir'),
    'postgresql.database': both('database', 'postgres'),
    'postgresql.config_dir': lambda herd: herd.postgresql.get('config_dir', '') or herd.postgresql['data_dir'],
    'postgresql.pg_hba': both('pg_hba'),
    'postgresql.pg_ident': both('pg_ident'),
    'postgresql.use_pg_rewind': both('use_pg_rewind', False, bool),
    'postgresql.use_unix_socket': both('use_unix_socket', False, bool),
    'postgresql.pg_ctl_timeout': both('pg_ctl_timeout', 60, lambda given: round(float(given or 0))),
    'postgresql.callbacks': both('callbacks', {}, texts),
    'postgresql.pre_promote': both('pre_promote'),
    'postgresql.basebackup': lambda herd: options('basebackup', herd.postgresql.get('basebackup')),
    'postgresql.create_replica_methods': lambda herd: Postgresql.create_replica_methods.fget(
        SimpleNamespace(config=herd.postgresql)) or ['basebackup'],
    'postgresql.recovery_conf': lambda herd: {
        name.lower(): value for name, value in texts(herd.handler().get('recovery_conf')).items()},
    'environment': environment,
    'valid': valid,
}

OF_ONE = {
    'parameter': parameter,
    'login': lambda herd, name: texts(herd.postgresql['authentication'].get(name)),
    'program': lambda herd, name: Postgresql.pgcommand(
        SimpleNamespace(_bin_dir=herd.postgresql.get('bin_dir') or '', config=herd.postgresql), name),
}


def look(herd, what):
    try:
        name, _, one = what.partition(' ')
        return OF_ONE[name](herd, one) if one else LOOKS[name](herd)
    except KeyError as problem:
        if problem.args == (name,):
            raise
        return 'raises'
    except Exception:
        return 'raises'


def strangers(reference):
    """Keys that a page calls Patroni's although their names stand in none of its sources."""
    sources = ''
    for folder, _, names in os.walk(os.path.dirname(validator.__file__)):
        for name in names:
            if name.endswith('.py'):
                with open(os.path.join(folder, name)) as file:
                    sources += file.read()
    unknown = []
    with open(reference) as lines:
        for line in lines:
            columns = [column.strip() for column in line.split('|')]
            if columns[-2:-1] == ['Patroni'] and columns[1].startswith('`'):
                key = columns[1].strip('`')
                name = key.rpartition('.')[2]
                if name != '*' and f"'{name}'" not in sources and f'"{name}"' not in sources:
                    unknown.append(key)
    return unknown


def main(rows, reference):
    logging.disable(logging.CRITICAL)
    folder = tempfile.mkdtemp()
    herd, files, variables, dynamic = None, [], {}, None
    with open(rows) as lines:
        for number, line in enumerate(lines, 1):
            line = line.rstrip('\n')
            if line.startswith('#') or line.startswith('why '):
                continue
            if line.startswith('  '):
                if herd is None:
                    herd = Herd(folder, files, variables, dynamic)
                what = line.strip().partition(' = ')[0]
                print(json.dumps([number, look(herd, what)]))
                continue
            layer, _, text = line.partition(' ')
            if layer == 'file':
                files.append(text + '\n')
            elif layer == 'env':
                name, _, value = text.partition('=')
                variables[name] = value.replace('\\n', '\n')
            elif layer == 'dynamic':
                dynamic = yaml.safe_load(text)
            elif not line:
                herd, files, variables, dynamic = None, [], {}, None
            else:
                sys.exit(f'{rows}:{number}: no such layer: {layer}')
    for name in os.listdir(folder):
        os.remove(os.path.join(folder, name))
    os.rmdir(folder)
    print(json.dumps([0, strangers(reference)]))


if __name__ == '__main__':
    main(*sys.argv[1:])
