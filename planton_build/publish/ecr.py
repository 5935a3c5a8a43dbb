"""Amazon ECR: which registry it is, the login for it, and its repositories. Pushing is in `registry`.

A repository that is made here keeps what Lambda needs. Its tags are immutable, and every image gets one from
its own digest, so an image of ours is never without a tag. The lifecycle policy expires images without a tag
alone: what is or was deployed, and could be deployed again, stays. Lambda fetches an image anew when its
function was idle, so a policy that counts images or days would one day take a running function away.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import weakref
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from planton_build.errors import AccessDenied, PushFailed, RepositoryUnknown
from planton_build.publish.aws import Aws
from planton_build.publish.aws_errors import error_code, explained
from planton_build.registry.login import Login, LoginSource

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_ecr.type_defs import ImageIdentifierTypeDef

UNTAGGED_DAYS = 14
"""How long an image without a tag stays in a repository that was made here: time to look into a failure."""
_SUFFIXES = {
    "cn-": "amazonaws.com.cn",
    "eusc-": "amazonaws.eu",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
}
"""Domains of AWS's other partitions by their regions' names (botocore, `partitions.json`)."""
_HOST = re.compile(
    r"(?P<account>[0-9]{12})\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z]{2,4}(?:-[a-z]+)+-[0-9])\."
    r"(?:amazonaws\.com(?:\.cn)?|amazonaws\.eu|c2s\.ic\.gov|sc2s\.sgov\.gov)"
)
_EARLY = timedelta(minutes=15)
"""How long before its end a token is replaced. It is good for 12 hours; one push may take some minutes."""
_TAGS = {"managed-by": "planton-build"}


@dataclass(frozen=True, slots=True)
class EcrRepository:
    """A repository in ECR: the registry's host, which tells account and region, and the name in it."""

    host: str
    account: str
    region: str
    name: str

    @property
    def uri(self) -> str:
        """Return the name by which images in it are called."""
        return f"{self.host}/{self.name}"


@dataclass(frozen=True, slots=True)
class Token:
    """What ECR gives for logging in: good for every repository that the caller may use, for some hours."""

    login: Login = field(repr=False)
    expires: datetime
    host: str
    """The registry of the caller's own account in the region."""


def registry_host(account: str, region: str) -> str:
    """Return the host of an account's registry in a region."""
    suffix = next((end for start, end in _SUFFIXES.items() if region.startswith(start)), "amazonaws.com")
    return f"{account}.dkr.ecr.{region}.{suffix}"


def is_ecr(host: str) -> bool:
    """Tell whether a registry is a private one of ECR; Lambda takes images from no other."""
    return _HOST.fullmatch(host) is not None


def parse_repository(uri: str) -> EcrRepository:
    """Read `HOST/NAME`, without tag and digest.

    Raises:
        RepositoryUnknown: the host is no private registry of ECR.
    """
    host, _, name = uri.partition("/")
    found = _HOST.fullmatch(host)
    if found is None or not name:
        raise RepositoryUnknown(
            f"{uri[:200]} is not in a private registry of Amazon ECR, and Lambda takes images from no other",
            hint="name it <account>.dkr.ecr.<region>.amazonaws.com/<repository>, or leave the registry out",
        )
    return EcrRepository(host, found["account"], found["region"], name)


_SHARED: weakref.WeakKeyDictionary[Aws, dict[str, EcrRegistry]] = weakref.WeakKeyDictionary()
_SHARED_GUARD = threading.Lock()


class EcrRegistry:
    """ECR in one region, as one caller: the login, which is kept in memory alone, and the repositories."""

    def __init__(self, aws: Aws, region: str) -> None:
        self._aws = aws
        self._token: Token | None = None
        self._lock = threading.Lock()
        self.region = region

    @classmethod
    def of(cls, aws: Aws, region: str) -> EcrRegistry:
        """Return ECR in a region with the one login that all functions of a caller share."""
        with _SHARED_GUARD:
            return _SHARED.setdefault(aws, {}).setdefault(region, cls(aws, region))

    @property
    def _client(self) -> ECRClient:
        return self._aws.ecr(self.region)

    def token(self, *, other_than: Token | None = None) -> Token:
        """Return a token that is good for a while yet, and not the one that a registry has refused.

        Raises:
            AccessDenied, CredentialsMissing, AwsUnreachable: AWS gives none.
            PushFailed: it gives something that is none.
        """
        with self._lock:
            now = self._token
            if now is None or now is other_than or now.expires - _EARLY < datetime.now(UTC):
                self._token = now = self._fetched()
            return now

    def login_source(self) -> LoginSource:
        """Return what logs in to this registry: asked again, as after a refusal, it gives a new token."""
        given: list[Token] = []

        def login() -> Login:
            token = self.token(other_than=given[-1] if given else None)
            given[:] = [token]
            return token.login

        return login

    @property
    def account(self) -> str:
        """Return the account of the caller. Raises as `token`."""
        return self.token().host.partition(".")[0]

    def repository(self, name: str) -> EcrRepository:
        """Return a repository of the caller's own account. Raises as `token`."""
        return parse_repository(f"{self.token().host}/{name}")

    def check_region(self, repository: EcrRepository) -> None:
        """Refuse a repository of another region.

        Raises:
            RepositoryUnknown: it is elsewhere than the function.
        """
        if repository.region != self.region:
            raise RepositoryUnknown(
                f"the repository {repository.uri} is in {repository.region}, and the function in "
                f"{self.region}; Lambda takes images only from its own region",
                hint=f"name a repository in {self.region}, or leave the registry out",
            )

    def images(self, repository: EcrRepository, *references: str) -> tuple[str | None, ...]:
        """Return the digests that tags and digests stand for in a repository, None for what is not there.

        Raises:
            RepositoryUnknown: there is no such repository.
            AccessDenied, CredentialsMissing, AwsUnreachable, PushFailed: AWS does not tell.
        """
        from botocore.exceptions import ClientError

        wanted = [_identifier(reference) for reference in references]
        with self._explained(f"looking for images in {repository.uri}", repository):
            try:
                answer = self._client.batch_get_image(
                    registryId=repository.account, repositoryName=repository.name, imageIds=wanted
                )
            except ClientError as error:
                if error_code(error) == "RepositoryNotFoundException":
                    raise self._unknown(repository) from None
                raise
        found: dict[str, str] = {}
        for image in answer.get("images", []):
            identifier = image.get("imageId", {})
            if digest := identifier.get("imageDigest"):
                found[digest] = digest
                found[identifier.get("imageTag", "")] = digest
        return tuple(found.get(reference) for reference in references)

    def create(self, repository: EcrRepository) -> tuple[str, ...]:
        """Make a repository as Lambda needs it; return what could not be set up, as remarks.

        One that somebody else has made meanwhile is left as it is.

        Raises:
            RepositoryUnknown: it would be another account's.
            AccessDenied, CredentialsMissing, AwsUnreachable, PushFailed: AWS does not make it.
        """
        from botocore.exceptions import ClientError

        if repository.account != self.account:
            raise self._unknown(repository)
        with self._explained(f"creating the repository {repository.uri}", repository):
            try:
                made = self._client.create_repository(
                    repositoryName=repository.name,
                    imageTagMutability="IMMUTABLE",
                    imageScanningConfiguration={"scanOnPush": True},
                    tags=[{"Key": key, "Value": value} for key, value in _TAGS.items()],
                )["repository"]
            except ClientError as error:
                if error_code(error) == "RepositoryAlreadyExistsException":
                    return ()
                raise
        partition = made.get("repositoryArn", "arn:aws").split(":")[1]
        lifecycle, policy = lifecycle_policy(), lambda_policy(repository, partition)
        place: Any = {"registryId": repository.account, "repositoryName": repository.name}
        return (
            *self._set_up(
                repository,
                "setting the lifecycle policy of",
                lambda: self._client.put_lifecycle_policy(**place, lifecyclePolicyText=lifecycle),
            ),
            *self._set_up(
                repository,
                "letting Lambda pull from",
                lambda: self._client.set_repository_policy(**place, policyText=policy),
            ),
        )

    def remarks(self, repository: EcrRepository) -> tuple[str, ...]:
        """Return what is to be known about a repository that was there already, and is left as it is."""
        from botocore.exceptions import ClientError

        if repository.account != self.account:
            return (
                (
                    f"{repository.uri} belongs to another account than yours ({self.account}): its policy "
                    f"must let that account and lambda.amazonaws.com use {' and '.join(_PULLING)}"
                ),
            )
        try:
            with self._explained(f"reading the policy of {repository.uri}", repository):
                try:
                    answer = self._client.get_repository_policy(
                        registryId=repository.account, repositoryName=repository.name
                    )
                    known = "lambda.amazonaws.com" in answer.get("policyText", "")
                except ClientError as error:
                    if error_code(error) != "RepositoryPolicyNotFoundException":
                        raise
                    known = False
        except AccessDenied:
            return ()  # nobody needs the right to read it for pushing
        if known:
            return ()
        return (
            (
                f"the policy of {repository.uri} does not name Lambda; Lambda adds itself when who deploys "
                "may use ecr:GetRepositoryPolicy and ecr:SetRepositoryPolicy"
            ),
        )

    def _set_up(self, repository: EcrRepository, doing: str, call: Any) -> tuple[str, ...]:
        try:
            with self._explained(f"{doing} {repository.uri}", repository):
                call()
        except AccessDenied as error:
            return (f"{error.message}; the repository is there without it",)
        return ()

    def _fetched(self) -> Token:
        with explained(f"asking ECR in {self.region} for a login", otherwise=PushFailed):
            answer = self._client.get_authorization_token()
        try:
            told = answer["authorizationData"][0]
            user, colon, password = base64.b64decode(told["authorizationToken"]).decode().partition(":")
            host = urlsplit(told["proxyEndpoint"]).netloc
            if not (colon and password and is_ecr(host)):
                raise ValueError
            return Token(Login.of(user, password), told["expiresAt"], host)
        except (LookupError, ValueError):
            raise PushFailed(
                f"ECR in {self.region} answers without a login",
                hint="AWS_ENDPOINT_URL may name another service",
            ) from None

    def _unknown(self, repository: EcrRepository) -> RepositoryUnknown:
        own = repository.account == self.account
        return RepositoryUnknown(
            f"there is no repository {repository.uri}",
            hint="pass --create-repository to have it made, or make it yourself"
            if own
            else f"account {repository.account} must make it, and let yours ({self.account}) use it",
        )

    def _explained(self, doing: str, repository: EcrRepository) -> Any:
        return explained(doing, otherwise=PushFailed, resource=f"the repository {repository.name}")


_PULLING = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")


def ecr_login(host: str, aws: Aws) -> LoginSource | None:
    """Return the login for a registry's host, or None for one that is not ECR."""
    found = _HOST.fullmatch(host)
    return EcrRegistry.of(aws, found["region"]).login_source() if found is not None else None


def lifecycle_policy() -> str:
    """Return the lifecycle policy of a repository that is made here: only what has no tag expires."""
    return json.dumps(
        {
            "rules": [
                {
                    "rulePriority": 1,
                    "description": f"What has no tag for {UNTAGGED_DAYS} days; deployed images have one",
                    "selection": {
                        "tagStatus": "untagged",
                        "countType": "sinceImagePushed",
                        "countUnit": "days",
                        "countNumber": UNTAGGED_DAYS,
                    },
                    "action": {"type": "expire"},
                }
            ]
        }
    )


def lambda_policy(repository: EcrRepository, partition: str = "aws") -> str:
    """Return the policy by which Lambda may pull, for functions of the repository's account and region.

    From the AWS Lambda guide, "Amazon ECR permissions".
    """
    functions = f"arn:{partition}:lambda:{repository.region}:{repository.account}:function:*"
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "LambdaPullsImages",
                    "Effect": "Allow",
                    "Principal": {"Service": "lambda.amazonaws.com"},
                    "Action": list(_PULLING),
                    "Condition": {"StringLike": {"aws:sourceArn": functions}},
                }
            ],
        }
    )


def _identifier(reference: str) -> ImageIdentifierTypeDef:
    return {"imageDigest": reference} if reference.startswith("sha256:") else {"imageTag": reference}
