from __future__ import annotations

import pytest

from planton_build.settings.values import LOG_RETENTION_DAYS, MAX_TAGS

ACCOUNT = "eu-west-1:123456789012"
QUEUE = f"arn:aws:sqs:{ACCOUNT}:orders"
FIFO = f"arn:aws:sqs:{ACCOUNT}:orders.fifo"
TOPIC = f"arn:aws:sns:{ACCOUNT}:alerts"
FUNCTION = f"arn:aws:lambda:{ACCOUNT}:function:other:live"
BUS = f"arn:aws:events:{ACCOUNT}:event-bus/default"
BUCKET = "arn:aws:s3:::acme-failed"
KINESIS = f"arn:aws:kinesis:{ACCOUNT}:stream/clicks"
CONSUMER = f"{KINESIS}/consumer/fast:1700000000"
DYNAMODB = f"arn:aws:dynamodb:{ACCOUNT}:table/Orders/stream/2026-11-25T00:00:00.000"
MSK = f"arn:aws:kafka:{ACCOUNT}:cluster/c/0123-4567"
MQ = f"arn:aws:mq:{ACCOUNT}:broker:b:b-0123"
DOCUMENTS = f"arn:aws:rds:{ACCOUNT}:cluster:docs"
SECRET = f"arn:aws:secretsmanager:{ACCOUNT}:secret:broker-a1b2c3"


def ways(*pairs: str) -> str:
    """The `access` of types and, after a space, their URIs."""
    tables = []
    for pair in pairs:
        type_, _, uri = pair.partition(" ")
        tables.append(f"{{ type = '{type_}'" + (f", uri = '{uri}' }}" if uri else " }"))
    return f"access = [{', '.join(tables)}]"


BASIC = ways(f"BASIC_AUTH {SECRET}")
OWN = "servers = ['kafka-1.example.com:9092']\ntopics = ['orders']\nstarting-position = 'LATEST'\n"
NETWORK = ("VPC_SUBNET subnet-1", "VPC_SUBNET subnet:subnet-2", "VPC_SECURITY_GROUP sg-1")
OF_MQ = f"queues = ['orders']\n{BASIC}"
OF_DOCUMENTS = f"starting-position = 'LATEST'\ndatabase = 'shop'\n{BASIC}"


S3_FILES = f"arn:aws:s3files:{ACCOUNT}:file-system/fs-0123456789abcdef0/access-point/fsap-0123456789abcdef0"
IN_VPC = {"subnets": "[{value: subnet-1}]", "securityGroups": "[{value: sg-1}]"}


def statement(keys: str) -> str:
    return f"{{ statements = [{{ Effect = 'Deny', {keys} }}] }}"


def in_deploy(key: str, value: str) -> str:
    return f"[deploy]\n{key} = {value}\n"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("alias", '"123"', "not digits alone"),
        ("alias", f'"{"a" * 129}"', "1 to 128"),
        ("alias", '"a.b"', "letters, digits"),
        ("alias", '""', "must not be empty"),
        ("alias", "true", "must be text, not true"),
        ("provisioned-concurrency", "0", "at least 1, not 0; false removes it"),
        ("provisioned-concurrency", "true", "must be a whole number"),
        ("provisioned-concurrency", "1.0", "must be a whole number"),
        ("provisioned-concurrency", f"0x{'f' * 5000}", "a number that long"),
        ("tracing", '"active"', 'must be "Active" or "PassThrough", not "active"'),
        ("tracing", "false", 'must be "Active" or "PassThrough", not false'),
        ("dead-letter", f'"{BUCKET}"', "an SQS queue or an SNS topic"),
        ("dead-letter", f'"{FIFO}"', "an SQS queue or an SNS topic"),
        ("ephemeral-storage", "511", "a whole number of MB from 512 to 10,240, not 511"),
        ("ephemeral-storage", "10241", "a whole number of MB from 512 to 10,240"),
        ("ephemeral-storage", '"1 GB"', 'a whole number of MB from 512 to 10,240, not "1 GB"'),
        ("snap-start", '"on"', "must be true or false"),
        ("code-signing", f'"{TOPIC}"', "code signing configuration"),
        ("recursion", '"Stop"', 'must be "Allow" or "Terminate"'),
        ("log-retention", "2", "must be one of 1, 3, 5, 7, 14,"),
        ("log-retention", "true", "must be one of"),
        ("log-retention", "0", "3653, or false"),
        ("tags", '"team"', "must be a table"),
        ("tags", "{ 'aws:x' = 'y' }", "AWS's own"),
        ("tags", "{ 'AWS:x' = 'y' }", "AWS's own"),
        ("tags", "{ '' = 'y' }", "1 to 128"),
        ("tags", f"{{ {'k' * 129} = 'y' }}", "1 to 128"),
        ("tags", f"{{ k = '{'v' * 257}' }}", "at most 256"),
        ("tags", "{ k = 'a;b' }", "letters, digits, spaces"),
        ("tags", "{ k = 1 }", "a value that is no text"),
        ("tags", "{ " + ", ".join(f"k{n} = ''" for n in range(MAX_TAGS + 1)) + " }", "more than 50"),
        ("url", "true", "must be a table, or false, not true"),
        ("logging", "false", "must be a table, not false"),
        ("permissions", "false", "must be a list of tables"),
        ("permissions", "[1]", "permissions[0] must be a table, not 1"),
        ("file-systems", "{}", "must be a list of tables"),
        ("async", "{ retries = 3 }", "async.retries must be a whole number from 0 to 2"),
        ("async", "{ max-age = 59 }", "from 60 to 21,600"),
        ("async", "{ max-age = 21601 }", "from 60 to 21,600"),
        ("async", f"{{ on-success = '{BUCKET}' }}", "a queue, topic, function or event bus"),
        ("async", f"{{ on-failure = '{FIFO}' }}", "a queue, topic, function, event bus or bucket"),
        ("async", f"{{ on-failure = 'arn:aws{'-' * 340}:sqs:{ACCOUNT}:q' }}", "a queue, topic, function"),
        ("url", "{ auth = 'IAM' }", 'url.auth must be "AWS_IAM" or "NONE"'),
        ("url", "{ invoke-mode = 'STREAM' }", 'must be "BUFFERED" or "RESPONSE_STREAM"'),
        ("url", "{ cors = { max-age = 86401 } }", "url.cors.max-age must be a whole number of seconds"),
        ("url", "{ cors = { allow-methods = ['OPTIONS'] } }", "allow-methods [0] must be"),
        ("url", "{ cors = { allow-origins = ['a b'] } }", "an origin or *"),
        ("url", f"{{ cors = {{ allow-origins = ['{'a' * 254}'] }} }}", "an origin or *"),
        ("url", f"{{ cors = {{ allow-origins = {['a'] * 101} }} }}", "at most 100 of origins"),
        ("url", f"{{ cors = {{ allow-headers = ['{'a' * 1025}'] }} }}", "the name of a header"),
        ("url", f"{{ cors = {{ expose-headers = {['a'] * 101} }} }}", "at most 100"),
        ("logging", "{ level = 'INFO' }", 'logging.level goes with format = "JSON" only'),
        ("logging", "{ format = 'Text', system-level = 'INFO' }", 'goes with format = "JSON" only'),
        ("logging", "{ format = 'JSON', level = 'INFORM' }", "logging.level must be"),
        ("logging", "{ format = 'JSON', system-level = 'ERROR' }", "logging.system-level must be"),
        ("logging", "{ group = 'a b' }", "the name of a log group"),
        ("logging", f"{{ group = '{'a' * 513}' }}", "the name of a log group"),
        ("runtime-management", "{ update = 'Manual' }", "no version-arn"),
        ("runtime-management", "{ version-arn = 'arn:aws:lambda:eu-west-1::runtime:1' }", "Manual"),
        ("runtime-management", "{ update = 'Manual', version-arn = 'x' }", "version of a runtime"),
        ("alarms", "{ errors = 0 }", "alarms.errors must be a whole number at least 1"),
        ("alarms", "{ period = 90 }", "a multiple of 60"),
        ("alarms", "{ period = 10 }", "from 60 to"),
        ("alarms", "{ periods = 1441 }", "CloudWatch looks at 86,400 at most"),
        ("alarms", "{ period = 3600, periods = 169 }", "CloudWatch looks at 604,800 at most"),
        ("alarms", "{ duration-percent = 101 }", "from 1 to 100"),
        ("alarms", "{ duration = 900001 }", "from 1 to 900,000"),
        ("alarms", "{ duration = 100, duration-percent = 80 }", "there beside duration"),
        ("alarms", "{ actions = ['topic'] }", "actions [0] must be the ARN"),
        ("alarms", f"{{ actions = {[TOPIC] * 6} }}", "at most 5"),
        ("role", "{ path = 'service' }", "a path such as /service/"),
        ("role", "{ permissions-boundary = 'p' }", "the ARN of an IAM policy"),
        ("role", "{ statements = [{}] }", 'statements [0] must have Effect = "Allow"'),
        ("role", "{ statements = [{ Effect = 'Allow', Resource = '*' }] }", "either Action or NotAction"),
        ("role", statement("Action = 1, Resource = '*'"), "as its Action"),
        ("role", "{ statements = [{ effect = 'Deny' }] }", 'has the key "effect"'),
        ("role", statement("Action = 'a', Resource = '*', Principal = '*'"), "key"),
        ("role", statement("Action = 'a', Resource = '*', Sid = 'a b'"), "Sid"),
        ("role", statement("Action = 'a', Resource = 'r', Condition = 1"), "table"),
        ("role", statement("Action = 'a', Resource = 'r', Condition = { A = 2026-01-01 }"), "date or time"),
        ("references", "[{ name = 'x' }]", "references[0] has no type"),
        ("references", "[{ type = 'vault' }]", 'references[0].type must be "manifests", "outputs"'),
        ("references", "[{ type = 'ssm', kinds = 'AwsVpc' }]", "must be a list of kinds"),
        ("references", "[{ type = 'ssm', folder = '/' }]", "folder is not an option"),
        ("unheard-of", "1", "unheard-of is not a setting of deploy"),
    ],
)  # fmt: skip
def test_values_over_the_limits_are_refused(mistakes, key, value, words):
    findings = mistakes(in_deploy(key, value), **IN_VPC)
    (finding,) = findings
    assert words in finding.message
    assert (finding.file.name, finding.line) == ("planton.toml", 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("steps = [0]", "[0] must be a whole number from 1 to 99, not 0"),
        ("steps = [100]", "from 1 to 99"),
        ("steps = [50, 10]", "must rise"),
        ("steps = [10, 10]", "must rise"),
        ("steps = 10", "must be a list of percentages"),
        ("steps = [10]\nstep-seconds = 0", "step-seconds must be"),
        ("steps = [10]\nmax-errors = -1", "max-errors must be"),
        ("step-seconds = 60", "goes with steps only"),
        ("smoke-event = 1", "must be a file with JSON"),
        ("smoke-event = 'none.json'", 'names the file "none.json", which does not exist'),
        ("smoke-event = '.git'", "which is not a file"),
        ("smoke-event = 'planton.toml'", "not valid JSON in line 1"),
        ("smoke-event = 'nan.json'", "not valid JSON"),
        ("smoke-event = 'deep.json'", "not valid JSON"),
        ("smoke-event = 'latin.json'", "not UTF-8"),
        ("smoke-event = 'large.json'", "larger than 6,291,456 bytes"),
        ("smoke-event = { at = 2026-11-25 }", "a date or time, which JSON has not"),
        ("smoke-event = [nan]", "a number that JSON has not"),
        ('smoke-event = "a\\u0000b"', "must not hold control characters"),
        (f"smoke-event = [0x{'f' * 5000}]", "a number that JSON has not"),
    ],
)  # fmt: skip
def test_wrong_rollouts(mistakes, tmp_path, text, words):
    (tmp_path / "nan.json").write_text('{"a": NaN}')
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "latin.json").write_bytes(b'"\xe4"')
    with (tmp_path / "large.json").open("wb") as stream:
        stream.truncate(6 * 1024 * 1024 + 1)
    (finding,) = mistakes(f"[deploy]\nalias = 'live'\n[deploy.rollout]\n{text}\n")
    assert words in finding.message
    assert finding.line == 3 + len(text.split("\n"))


@pytest.mark.parametrize("days", LOG_RETENTION_DAYS)
def test_every_retention_of_cloudwatch(settings, days):
    assert settings(in_deploy("log-retention", str(days))).log_retention == days


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "file-systems[0] has no arn"),
        ("path = '/mnt/a'", "has no arn"),
        ("path = '/tmp/a'", "a folder below /mnt/"),
        ("path = '/mnt/../a'", "a folder below /mnt/"),
        (f"path = '/mnt/{'a' * 160}'", "a folder below /mnt/"),
        ("arn = 'arn:aws:elasticfilesystem:eu-west-1:123456789012:file-system/fs-1'", "an access point"),
    ],
)
def test_wrong_file_systems(mistakes, text, words):
    findings = mistakes(f"[[deploy.file-systems]]\n{text}\n", **IN_VPC)
    assert any(words in finding.message for finding in findings)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id = 'a b'\nprincipal = 's3.amazonaws.com'", "an id of 1 to 92"),
        (f"id = '{'a' * 93}'\nprincipal = 's3.amazonaws.com'", "an id of 1 to 92"),
        ("id = 'url-invoke'\nprincipal = 's3.amazonaws.com'", "what a function URL uses"),
        ("principal = 's3.amazonaws.com'", "has no id"),
        ("id = 'a'", "has no principal"),
        ("id = 'a'\nprincipal = 's3.example.com'", "a service such as"),
        ("id = 'a'\nprincipal = '12345'", "a service such as"),
        ("id = 'a'\nprincipal = '*'", "anybody could invoke"),
        ("id = 'a'\nprincipal = 'sns.amazonaws.com'\norganization = 'o-a1b2c3d4e5'", "in no organization"),
        ("id = 'a'\nprincipal = '123456789012'\norganization = 'o-x'", "an organization such as"),
        ("id = 'a'\nprincipal = '123456789012'\naction = 'invoke'", "an action such as"),
        ("id = 'a'\nprincipal = 's3.amazonaws.com'\nsource-arn = 'bucket'", "must be an ARN"),
        ("id = 'a'\nprincipal = 's3.amazonaws.com'\nsource-account = '1'", "twelve digits"),
        ("id = 'a'\nprincipal = 's3.amazonaws.com'\nsource-account = 123456789012", "must be text"),
    ],
)  # fmt: skip
def test_wrong_permissions(mistakes, text, words):
    (finding,) = mistakes(f"[[deploy.permissions]]\n{text}\n")
    assert words in finding.message


def test_ids_of_permissions_are_unique(mistakes):
    one = "[[deploy.permissions]]\nid = 'a'\nprincipal = '123456789012'\n"
    (finding,) = mistakes(one * 2)
    assert (finding.line, finding.message) == (5, "permissions[1].id is a, as that of a permission before it")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (QUEUE, "batch-size = 10"),
        (QUEUE, "batch-size = 10000\nbatching-window = 1"),
        (QUEUE, "max-concurrency = 1000"),
        (FIFO, "batch-size = 10\nmax-concurrency = 2\nreport-batch-item-failures = true"),
        (KINESIS, "starting-position = 'LATEST'\nbatch-size = 10000\nparallelization = 10"),
        (CONSUMER, "starting-position = 'TRIM_HORIZON'\ntumbling-window = 900"),
        (KINESIS, "starting-position = 'AT_TIMESTAMP'\nstarting-timestamp = 1700000000"),
        (DYNAMODB, "starting-position = 'TRIM_HORIZON'\nretries = 10000\nmax-record-age = 604800"),
        (DYNAMODB, f"starting-position = 'LATEST'\non-failure = '{BUCKET}'"),
        (MSK, "topics = ['orders']\nconsumer-group = 'g'\nstarting-position = 'LATEST'"),
        (MSK, "starting-position = 'LATEST'\ntopics = ['orders']\non-failure = 'kafka://dead'"),
        (MSK, f"starting-position = 'LATEST'\ntopics = ['orders']\n{ways(f'SASL_SCRAM_512_AUTH {SECRET}')}"),
        (MQ, f"{OF_MQ}\nbatching-window = 300"),
        (MQ, f"queues = ['orders']\n{ways(f'BASIC_AUTH {SECRET}', 'VIRTUAL_HOST /shop')}"),
        (DOCUMENTS, OF_DOCUMENTS),
        (DOCUMENTS, f"{OF_DOCUMENTS}\ncollection = 'orders.open'\nfull-document = 'UpdateLookup'"),
        (None, OWN + ways(*NETWORK)),
        (None, OWN + ways(*NETWORK, f"SASL_SCRAM_256_AUTH {SECRET}", f"SERVER_ROOT_CA_CERTIFICATE {SECRET}")),
        (None, OWN + ways("IAM_AUTH")),
        (None, OWN + ways(f"OAUTHBEARER_AUTH {SECRET}", "OAUTHBEARER_SCOPE read", "OAUTHBEARER_AUDIENCE a")),
        (None, OWN + ways("IAM_OAUTHBEARER_AUTH", "OAUTHBEARER_AUDIENCE a")),
    ],
)  # fmt: skip
def test_what_each_kind_of_source_takes(settings, source, text):
    written = f"source = '{source}'\n" if source else ""
    (found,) = settings(f"[[deploy.event-sources]]\n{written}{text}\n").event_sources
    assert found.source == (source or "")
    assert bool(found.servers) is not bool(source)


def test_subnets_and_groups_are_given_as_lambda_wants_them(settings):
    (found,) = settings(f"[[deploy.event-sources]]\n{OWN}{ways(*NETWORK)}\n").event_sources
    uris = [access.uri for access in found.access]
    assert uris == ["subnet:subnet-1", "subnet:subnet-2", "security_group:sg-1"]


def test_access_is_a_list_of_tables_with_their_own_lines(mistakes):
    text = f"[[deploy.event-sources]]\nsource = '{MQ}'\nqueues = ['a']\n"
    (finding,) = mistakes(text + "[[deploy.event-sources.access]]\ntype = 'BASIC_AUTH'\nuri = 'hunter2'\n")
    assert finding.line == 6
    assert "event-sources[0].access[0].uri must be the ARN of a secret" in finding.message


@pytest.mark.parametrize(
    ("source", "text", "words"),
    [
        (QUEUE, BASIC, "access is nothing for a SQS queue"),
        (QUEUE, "servers = ['a:1']", "servers is nothing for a SQS queue"),
        (MSK, "servers = ['a:1']", "servers is nothing for a MSK cluster"),
        (MQ, "database = 'a'", "database is nothing for a broker of Amazon MQ"),
        (MQ, "queues = ['q']", "has no access, which a broker of Amazon MQ needs"),
        (MQ, "access = []", "has no BASIC_AUTH, which a broker of Amazon MQ needs"),
        (MQ, ways("VIRTUAL_HOST /"), "has no BASIC_AUTH"),
        (MQ, ways(f"BASIC_AUTH {SECRET}", f"BASIC_AUTH {SECRET}2"), "holds BASIC_AUTH 2 times"),
        (MQ, ways("BASIC_AUTH"), "access[0] has no uri"),
        (MQ, "access = [{}]", "access[0] has no type"),
        (MQ, "access = 'secret'", "must be a list of tables"),
        (MQ, ways(f"PLAIN {SECRET}"), 'access[0].type must be "BASIC_AUTH", '),
        (MQ, ways(f"BASIC_AUTH {QUEUE}"), "the ARN of a secret"),
        (MQ, ways(f"BASIC_AUTH {SECRET}{'a' * 200}"), "of at most 200 characters"),
        (MQ, ways("VPC_SUBNET subnet-1"), "is VPC_SUBNET, which is nothing for a broker of Amazon MQ"),
        (MQ, "access = [{ type = 'BASIC_AUTH', secret = 'x' }]", "access[0].secret is not a setting"),
        (MQ, ways("VIRTUAL_HOST a;b"), "1 to 200 letters"),
        (MQ, f"access = {'[' + '{},' * 24 + ']'}", "must not hold more than 23"),
        (MSK, ways(f"BASIC_AUTH {SECRET}"), "is BASIC_AUTH, which is nothing for a MSK cluster"),
        (
            MSK,
            ways(f"SASL_SCRAM_512_AUTH {SECRET}", f"CLIENT_CERTIFICATE_TLS_AUTH {SECRET}"),
            "one way to log in, not CLIENT_CERTIFICATE_TLS_AUTH and SASL_SCRAM_512_AUTH",
        ),
        (DOCUMENTS, "starting-position = 'LATEST'", "has no database"),
        (DOCUMENTS, "starting-position = 'LATEST'", "has no access"),
        (DOCUMENTS, "database = 'a.b'", "the name of a database"),
        (DOCUMENTS, f"database = '{'a' * 64}'", "the name of a database"),
        (DOCUMENTS, "collection = 'system.users'", "the name of a collection"),
        (DOCUMENTS, "collection = 'a$b'", "the name of a collection"),
        (DOCUMENTS, f"collection = '{'a' * 58}'", "the name of a collection"),
        (DOCUMENTS, "full-document = 'All'", 'must be "UpdateLookup" or "Default"'),
        (None, "servers = ['a:1']", "has no topics"),
        (None, "topics = ['a']", "has no servers"),
        (None, "servers = []", "must hold a server"),
        (None, "servers = ['a']", "a server and its port"),
        (None, "servers = ['-a:1']", "a server and its port"),
        (None, f"servers = ['{'a' * 300}:1']", "a server and its port"),
        (None, "servers = ['a:1', 'a:1']", "holds a server twice"),
        (None, f"servers = {[f'a{n}:1' for n in range(11)]}", "at most 10 of servers"),
        (None, OWN, "has no access"),
        (None, OWN + "access = []", "neither a way to log in nor a VPC"),
        (None, OWN + ways(f"SERVER_ROOT_CA_CERTIFICATE {SECRET}"), "neither a way to log in nor a VPC"),
        (None, OWN + ways("VPC_SUBNET subnet-1", "IAM_AUTH"), "and VPC_SECURITY_GROUP, or neither"),
        (None, OWN + ways("VPC_SUBNET sg-1"), "the id of a subnet"),
        (None, OWN + ways("VPC_SECURITY_GROUP subnet-1"), "the id of a security group"),
        (None, OWN + ways("VIRTUAL_HOST /"), "is VIRTUAL_HOST, which is nothing for a Kafka cluster"),
        (None, OWN + ways(f"IAM_AUTH {SECRET}"), "uri is not for IAM_AUTH"),
        (None, OWN + ways("IAM_OAUTHBEARER_AUTH"), "has no OAUTHBEARER_AUDIENCE"),
        (None, OWN + ways("IAM_AUTH", "OAUTHBEARER_SCOPE a"), "goes with OAUTHBEARER_AUTH only"),
        (
            None,
            OWN + ways("IAM_OAUTHBEARER_AUTH", "OAUTHBEARER_AUDIENCE a", "OAUTHBEARER_SCOPE a"),
            "holds OAUTHBEARER_SCOPE, which goes with OAUTHBEARER_AUTH only",
        ),
        (
            MQ,
            f"queues = ['q']\n{BASIC.replace('eu-west-1', 'us-east-1')}",
            "event-sources[0].access[0].uri is in us-east-1, and the function in eu-west-1",
        ),
    ],
)  # fmt: skip
def test_what_brokers_and_clusters_do_not_take(mistakes, source, text, words):
    written = f"source = '{source}'\n" if source else ""
    findings = mistakes(f"[[deploy.event-sources]]\n{written}{text}\n")
    assert any(words in finding.message for finding in findings), [f.message for f in findings]


@pytest.mark.parametrize(
    ("source", "text", "words"),
    [
        (BUCKET, "", "must be the ARN of an event source"),
        (f"arn:aws:dynamodb:{ACCOUNT}:table/Orders", "", "must be the ARN of an event source"),
        (None, "", "has no source"),
        (QUEUE, "batch-size = 11", "is over 10, for which a queue needs a batching-window"),
        (QUEUE, "batch-size = 10001", "from 1 to 10,000"),
        (QUEUE, "batch-size = 0", "from 1 to 10,000"),
        (QUEUE, "batching-window = 301", "from 0 to 300"),
        (QUEUE, "starting-position = 'LATEST'", "starting-position is nothing for a SQS queue"),
        (QUEUE, "retries = 1", "retries is nothing for a SQS queue"),
        (QUEUE, f"on-failure = '{QUEUE}'", "on-failure is nothing"),
        (QUEUE, "parallelization = 2", "parallelization is nothing"),
        (QUEUE, "max-concurrency = 1", "from 2 to 1,000"),
        (FIFO, "batch-size = 11", "must be at most 10 for a FIFO queue"),
        (FIFO, "batching-window = 1", "batching-window is nothing for a FIFO queue"),
        (KINESIS, "", "has no starting-position"),
        (KINESIS, "starting-position = 'AT_TIMESTAMP'", "has no starting-timestamp"),
        (KINESIS, "starting-position = 'LATEST'\nstarting-timestamp = 1", 'with starting-position = "AT_'),
        (KINESIS, "starting-position = 'AT_TIMESTAMP'\nstarting-timestamp = 2026-11-25T00:00:00", "its zone"),
        (KINESIS, "starting-position = 'FIRST'", "starting-position must be"),
        (KINESIS, "starting-position = 'LATEST'\nparallelization = 11", "from 1 to 10"),
        (KINESIS, "starting-position = 'LATEST'\nmax-concurrency = 5", "max-concurrency is nothing"),
        (KINESIS, "starting-position = 'LATEST'\nretries = -2", "from -1 to 10,000"),
        (KINESIS, "starting-position = 'LATEST'\nmax-record-age = 59", "-1 is for ever"),
        (KINESIS, "starting-position = 'LATEST'\ntumbling-window = 901", "from 0 to 900"),
        (KINESIS, f"starting-position = 'LATEST'\non-failure = '{FUNCTION}'", "a queue, topic or bucket"),
        (KINESIS, "starting-position = 'LATEST'\ntopics = ['t']", "topics is nothing"),
        (DYNAMODB, "starting-position = 'AT_TIMESTAMP'\nstarting-timestamp = 1", "LATEST or TRIM_HORIZON"),
        (MSK, "starting-position = 'LATEST'", "has no topics"),
        (
            KINESIS,
            "starting-position = 'AT_TIMESTAMP'\nstarting-timestamp = 1969-12-31T00:00:00Z",
            "before 1970",
        ),
        (
            DYNAMODB,
            "starting-position = 'LATEST'\nstarting-timestamp = 1",
            "starting-timestamp is nothing for a DynamoDB stream",
        ),
        (MSK, "topics = ['a']", "has no starting-position"),
        (DOCUMENTS, "", "has no starting-position"),
        (None, "topics = ['a']", "has no starting-position"),
        (MSK, "topics = ['a', 'b']", "exactly 1"),
        (MSK, "topics = []", "exactly 1"),
        (MSK, "topics = ['a']", "of 2 to 249 characters"),
        (MSK, "topics = ['a']\ntumbling-window = 1", "tumbling-window is nothing"),
        (MQ, "", "has no queues"),
        (MQ, "queues = ['q']\nreport-batch-item-failures = true", "is nothing for a broker of Amazon MQ"),
        (DOCUMENTS, "filters = ['{}']", "filters is nothing for a cluster of DocumentDB"),
        (QUEUE, "filters = ['[1]']", "filters [0] must be an object"),
        (QUEUE, "filters = ['{']", "filters [0] is not valid JSON"),
        (QUEUE, f"filters = ['{{\"a\": \"{'b' * 4096}\"}}']", "4,096"),
        (QUEUE, f"filters = {['{}'] * 6}", "at most 5 of filters"),
        ("arn:aws:sqs:us-east-1:123456789012:q", "", "is in us-east-1, and the function in eu-west-1"),
    ],
)  # fmt: skip
def test_what_a_kind_of_source_does_not_take(mistakes, source, text, words):
    written = f"source = '{source}'\n" if source else ""
    findings = mistakes(f"[[deploy.event-sources]]\n{written}{text}\n")
    assert any(words in finding.message for finding in findings), [f.message for f in findings]


def test_an_event_source_is_written_once(mistakes):
    findings = mistakes(f"[[deploy.event-sources]]\nsource = '{QUEUE}'\n" * 3)
    assert [(finding.line, finding.message) for finding in findings] == [
        (1, "event-sources[0] is written again as event-sources[1]"),
        (3, "event-sources[1] is the same event source as event-sources[0]"),
        (5, "event-sources[2] is the same event source as event-sources[0]"),
    ]


@pytest.mark.parametrize(
    ("source", "text", "other"),
    [
        (MSK, "starting-position = 'LATEST'\ntopics = ['NAME-1']", "b"),
        (MQ, f"queues = ['NAME']\n{BASIC}", "b"),
        (MQ, f"queues = ['q']\n{ways(f'BASIC_AUTH {SECRET}', 'VIRTUAL_HOST /NAME')}", ""),
        (DOCUMENTS, f"{OF_DOCUMENTS}\ncollection = 'NAME'", "b"),
        (DOCUMENTS, OF_DOCUMENTS.replace("shop", "NAME"), "b"),
        (None, OWN.replace("kafka-1", "NAME") + ways("IAM_AUTH"), "b"),
    ],
)
def test_one_source_gives_several_things(settings, mistakes, source, text, other):
    one = "[[deploy.event-sources]]\n" + (f"source = '{source}'\n" if source else "") + text + "\n"
    both = one.replace("NAME", "a") + one.replace("NAME", other)
    assert len(settings(both).event_sources) == 2
    assert len(mistakes(one.replace("NAME", "a") * 2)) == 2


def test_servers_count_in_any_order_and_a_virtual_host_has_a_name_of_its_own(mistakes):
    own = f"[[deploy.event-sources]]\n{OWN}{ways('IAM_AUTH')}\n"
    servers = "['a:1', 'b:1']", "['b:1', 'a:1']"
    text = "".join(own.replace("['kafka-1.example.com:9092']", one) for one in servers)
    assert len(mistakes(text)) == 2
    broker = f"[[deploy.event-sources]]\nsource = '{MQ}'\nqueues = ['q']\n"
    text = broker + BASIC + "\n" + broker + ways(f"BASIC_AUTH {SECRET}", "VIRTUAL_HOST /") + "\n"
    assert len(mistakes(text)) == 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dead-letter", f"'{TOPIC}'"),
        ("async", f"{{ on-success = '{BUS}', on-failure = '{BUCKET}' }}"),
        ("async", f"{{ on-success = '{FUNCTION}', on-failure = '' }}"),
        ("ephemeral-storage", "10240"),
        ("file-systems", f"[{{ arn = '{S3_FILES}', path = '/mnt/a' }}]"),
        ("event-sources", f"[{{ source = '{QUEUE}', filters = ['''\n{{}}\n'''] }}]"),
        ("alarms", "{ period = 3600, periods = 168 }"),
        ("alarms", "{ errors = false, duration-percent = false }"),
        ("tags", "{ '' = '' }".replace("''", "'é 1_.:/=+-@'", 1)),
        ("role", "{ statements = [{ Effect = 'Allow', NotAction = 'a:b', NotResource = ['x'] }] }"),
    ],
)
def test_values_at_the_limits_are_taken(settings, key, value):
    settings(in_deploy(key, value), **IN_VPC)


ZIP_ONLY = "arn:aws:lambda:eu-west-1:123456789012:code-signing-config:csc-0123456789abcdef0"
ACCESS_POINT = "arn:aws:elasticfilesystem:eu-west-1:123456789012:access-point/fsap-0123456789abcdef0"
FILES = f"[[deploy.file-systems]]\narn = '{ACCESS_POINT}'\npath = '/mnt/a'\n"
OF_IMAGE = {"codeSourceType": "CODE_SOURCE_TYPE_IMAGE"}
ALIAS = "[deploy]\nalias = 'live'\n"


@pytest.mark.parametrize(
    ("text", "spec", "words"),
    [
        ("[deploy]\nprovisioned-concurrency = 1\n", {}, "goes with an alias only"),
        ("[deploy.rollout]\nsteps = [10]\n", {}, "rollout goes with an alias only"),
        ("[deploy]\nsnap-start = true\n", {}, "snap-start goes with an alias only"),
        (ALIAS + "snap-start = true\nprovisioned-concurrency = 1\n", {}, "does not go with provisioned"),
        (ALIAS + "snap-start = true\nephemeral-storage = 513\n", {}, "more than 512 MB"),
        (ALIAS + "snap-start = true\n", {"runtime": "python3.11"}, "not for the runtime python3.11"),
        (ALIAS + "snap-start = true\n", {"runtime": "nodejs22.x"}, "not for the runtime nodejs22.x"),
        (ALIAS + "snap-start = true\n", {"runtime": "java8.al2"}, "not for the runtime java8.al2"),
        (ALIAS + "snap-start = true\n", OF_IMAGE, "not for container images"),
        (FILES, {}, "needs a function in a VPC"),
        (FILES * 2, IN_VPC, "one file system"),
        (f"[deploy]\ncode-signing = '{ZIP_ONLY}'\n", OF_IMAGE, "code-signing is for ZIP files"),
        ("[deploy.runtime-management]\n", OF_IMAGE, "Lambda's own runtimes"),
        ("[deploy.image]\ncommand = ['a']\n", {}, "run from a container image, and orders does not"),
        (ALIAS + "provisioned-concurrency = 6\n", {"reservedConcurrency": 5}, "reserves only 5"),
        ("[deploy.alarms]\nduration = 3001\n", {}, "may run 3 s only"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together(mistakes, text, spec, words):
    (finding,) = mistakes(text, **spec)
    assert words in finding.message
    assert finding.file.name == "planton.toml"
    assert finding.line is not None


@pytest.mark.parametrize(
    "runtime", ["python3.12", "python3.14", "java11", "java17.al2023", "java25", "dotnet8"]
)
def test_runtimes_with_snap_start(settings, runtime):
    assert settings(ALIAS + "snap-start = true\n", runtime=runtime).snap_start


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        (ALIAS + "provisioned-concurrency = 5\n", {"reservedConcurrency": 5}),
        (ALIAS + "snap-start = true\nephemeral-storage = 512\n", {}),
        ("[deploy]\nprovisioned-concurrency = false\nsnap-start = false\nrollout = false\n", {}),
        ("[deploy.alarms]\nduration = 3000\n", {}),
        ("[deploy.image]\ncommand = ['sh', '-c', \"one\\ntwo\", '']\n", OF_IMAGE),
    ],
)
def test_what_does_fit_together(settings, text, spec):
    settings(text, **spec)


def test_tags_of_several_files_are_counted_together(mistakes):
    def table(start: int) -> str:
        return "{ " + ", ".join(f"k{n} = ''" for n in range(start, start + 26)) + " }"

    (finding,) = mistakes(f"[deploy]\ntags = {table(0)}\n[function.orders.deploy]\ntags = {table(26)}\n")
    assert "52 entries" in finding.message
    assert finding.line == 4


def test_a_key_in_both_spellings_is_one_too_many(mistakes):
    (finding,) = mistakes("[deploy]\nlog-retention = 1\nlog_retention = 1\n")
    assert finding.message == 'log_retention is the same as "log-retention"'
    assert finding.line == 3
