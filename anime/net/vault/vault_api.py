"""Vault's HTTP API as far as we need it; whatever it answers becomes a sentence.

https://openbao.org/api-docs/
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import hvac
import requests
from hvac import exceptions
from requests.exceptions import ConnectionError as ConnectionFailed
from requests.exceptions import RequestException, SSLError, Timeout

from anime.core.vault_leases import VaultLease, lease_of
from anime.errors import VaultDenied, VaultRefused, VaultUnavailable
from anime.settings.vault import VaultConfig

FOREVER = 0  # the TTL of what never ends


@dataclass(frozen=True, slots=True)
class VaultToken:
    """A token, and how long it lasts; without a lease it never ends."""

    value: str = field(repr=False)
    lease: VaultLease | None
    policies: tuple[str, ...] = ()

    @property
    def is_root(self) -> bool:
        """Whether it may do everything."""
        return "root" in self.policies


@dataclass(frozen=True, slots=True)
class VaultAnswer:
    """What a path has: values by key, and a lease if Vault takes them back some time."""

    data: Mapping[str, Any] = field(repr=False)  # values as JSON has them
    lease: VaultLease | None
    lease_id: str = ""


class VaultApi:
    """One Vault. It blocks; each call takes at most some seconds, and is made once.

    Every method raises VaultUnavailable when there is no answer, or one of a Vault that is sealed,
    and VaultRefused when it refuses.
    """

    def __init__(self, config: VaultConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self.url = config.url.rstrip("/")
        self.timeout_seconds = config.timeout_seconds
        self._clock = clock
        session = requests.Session()
        # No proxy for a server of the studio; and ~/.netrc would replace the token's header.
        session.trust_env = False
        session.verify = str(config.ca_file) if config.ca_file else True
        self._client = hvac.Client(
            url=self.url,
            token="",  # None would take VAULT_TOKEN or ~/.vault-token, whosever they are
            namespace=config.namespace,
            session=session,
        )

    def check(self) -> None:
        """Return if it answers, and is not sealed."""
        with self._explained("Its seal", "See its log."):
            if self._get("sys/seal-status", token="")["sealed"]:
                raise _sealed(f"Vault at {self.url}")

    def log_in(self, mount: str, proof: Mapping[str, str]) -> VaultToken:
        """A new token, by what the login method asks for."""
        at = self._clock()
        with self._explained(f"The login at auth/{mount}", _CHECK_LOGIN):
            answer = self._post(f"auth/{mount}/login", proof, token="")
            return _token_of(answer["auth"], answer["auth"]["client_token"], at)

    def look_up(self, token: str) -> VaultToken:
        """What the token may do, and how long it lasts."""
        at = self._clock()
        with self._explained("The token", _CHECK_TOKEN):
            data = self._get("auth/token/lookup-self", token=token)["data"]
            lease = {"lease_duration": data["ttl"], "renewable": data["renewable"]}
            # One that never ends has a TTL of 0, and no time at which it expires.
            is_endless = data["ttl"] == FOREVER and not data.get("expire_time")
            return _token_of({**data, **lease}, token, at, is_endless=is_endless)

    def renew_token(self, token: VaultToken) -> VaultToken:
        """The same token with the time that Vault grants now."""
        assert token.lease is not None  # noqa: S101  whoever asks has looked
        at = self._clock()
        with self._explained("The renewal of the token", _CHECK_TOKEN):
            auth = self._post("auth/token/renew-self", {}, token=token.value)["auth"]
            lease = token.lease.renewed(
                int(auth["lease_duration"]), at, is_renewable=auth["renewable"]
            )
            return VaultToken(token.value, lease, token.policies)

    def mount_of(self, path: str, token: str) -> tuple[str, str]:
        """The mount of the path, without a slash at the end, and its kind, such as kv2."""
        with self._explained(f"There is no mount for {path}, or the token may not see it", _MOUNTS):
            found = self._get(f"sys/internal/ui/mounts/{path}", token=token)["data"]
            version = (found.get("options") or {}).get("version") or "1"
            kind = f"kv{version}" if found["type"] in {"kv", "generic"} else str(found["type"])
            return str(found["path"]).strip("/"), kind

    def read(self, path: str, token: str) -> VaultAnswer:
        """What the path has.

        Raises:
            VaultRefused: nothing, or its newest version was deleted or destroyed.
        """
        at = self._clock()
        with self._explained(f"The secret {path}", _CHECK_SECRET):
            answer = self._get(path, token=token)
            lease_id = answer.get("lease_id") or ""
            # KV version 1 has a duration, which is advice, and no lease.
            lease = _lease_of(answer, at) if lease_id else None
            return VaultAnswer(dict(answer.get("data") or {}), lease, lease_id)

    def renew(self, lease_id: str, lease: VaultLease, token: str) -> VaultLease:
        """The lease with the time that Vault grants now, which may be less than was asked for."""
        at = self._clock()
        asked = {"lease_id": lease_id, "increment": round(lease.first_seconds)}
        with self._explained("The renewal of a lease", _CHECK_SECRET):
            answer = self._post("sys/leases/renew", asked, token=token)
            return lease.renewed(
                int(answer["lease_duration"]), at, is_renewable=answer["renewable"]
            )

    def revoke(self, lease_id: str, token: str) -> None:
        """End the lease; twice is harmless."""
        with self._explained("The end of a lease", _CHECK_SECRET):
            self._post("sys/leases/revoke", {"lease_id": lease_id}, token=token)

    def revoke_token(self, token: str) -> None:
        """End the token, and with it all leases that it has got."""
        with self._explained("The end of the token", _CHECK_TOKEN):
            self._post("auth/token/revoke-self", {}, token=token)

    def creation_path(self, wrapping_token: str) -> str:
        """Where what is wrapped was made; the wrapping stays closed."""
        with self._explained("The look at the wrapping", _CHECK_SECRET):
            found = self._post("sys/wrapping/lookup", {"token": wrapping_token}, token="")
            return str(found["data"]["creation_path"])

    def unwrap(self, wrapping_token: str) -> Mapping[str, Any]:
        """What is wrapped. It opens once."""
        with self._explained("The opening of the wrapping", _CHECK_SECRET):
            return dict(self._post("sys/wrapping/unwrap", {}, token=wrapping_token)["data"])

    def close(self) -> None:
        """Close the connection."""
        self._client.adapter.close()

    def _get(self, path: str, *, token: str) -> dict[str, Any]:
        return self._request("get", path, token)

    def _post(self, path: str, body: Mapping[str, Any], *, token: str) -> dict[str, Any]:
        return self._request("post", path, token, json=dict(body))

    def _request(self, method: str, path: str, token: str, **options: Any) -> dict[str, Any]:
        headers = {"X-Vault-Token": token} if token else {}
        answer = self._client.adapter.request(
            method, f"/v1/{path}", headers=headers, timeout=self.timeout_seconds, **options
        )
        if isinstance(answer, dict):
            return answer
        if answer.status_code == requests.codes.no_content:
            return {}
        raise self._no_vault()

    def _no_vault(self) -> VaultUnavailable:
        return VaultUnavailable(
            f"What answers at {self.url} is not Vault.", "Correct ANIME_VAULT_URL."
        )

    @contextmanager
    def _explained(self, what: str, todo: str) -> Iterator[None]:
        """Raise errors of ours for those of hvac and requests; `what` begins the sentence."""
        vault = f"Vault at {self.url}"
        try:
            yield
        except Timeout as fault:
            raise VaultUnavailable(
                f"{vault} has not answered within {self.timeout_seconds:g} s.",
                "It may be busy or cut off; ANIME_VAULT_TIMEOUT_SECONDS says how long we wait.",
            ) from fault
        except SSLError as fault:
            raise VaultRefused(
                f"The certificate of {vault} is not accepted.",
                "Set ANIME_VAULT_CA_FILE to the authority that it is from.",
            ) from fault
        except ConnectionFailed as fault:
            raise VaultUnavailable(
                f"{vault} does not answer.", "Start it, or correct ANIME_VAULT_URL."
            ) from fault
        except OSError as fault:
            if not isinstance(fault, RequestException):  # the file of the authority is not there
                raise VaultRefused(f"{fault}.", "Correct ANIME_VAULT_CA_FILE.") from fault
            raise VaultUnavailable(
                f"{vault} cannot be asked: {type(fault).__name__}.",
                "Correct ANIME_VAULT_URL, or what it is shown.",
            ) from None  # it may quote a token with a line break
        except exceptions.VaultError as fault:
            raise _error_of(fault, vault, what, todo) from fault
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
            raise self._no_vault() from None  # it may quote a secret


_CHECK_LOGIN = "Correct ANIME_VAULT_AUTH, ANIME_VAULT_AUTH_MOUNT and what they log in with."
_CHECK_TOKEN = "Give a token that is valid: ANIME_VAULT_TOKEN says where it is."  # noqa: S105  advice
_CHECK_SECRET = "Correct the reference, or the policy of the token."  # noqa: S105  advice
_MOUNTS = "Correct the first part of the reference; `bao secrets list` shows the mounts."


def _error_of(
    fault: exceptions.VaultError, vault: str, what: str, todo: str
) -> VaultUnavailable | VaultRefused:
    """What an answer that is no success means."""
    said = "; ".join(map(str, fault.errors or ())) or type(fault).__name__
    match fault:
        case exceptions.VaultDown():
            if "sealed" in said:
                return _sealed(vault)
            return VaultUnavailable(f"{vault} is not ready: {said}.", "See its log.")
        case exceptions.VaultNotInitialized():
            return VaultUnavailable(f"{vault} is not initialised.", "Run `bao operator init`.")
        case (
            exceptions.RateLimitExceeded()
            | exceptions.InternalServerError()
            | exceptions.BadGateway()
        ):
            return VaultUnavailable(f"{vault} has a fault: {said}.", "See its log.")
        case exceptions.InvalidPath():
            return VaultRefused(f"{what} {_why_nothing_is_there(fault)}.", todo)
        case exceptions.Forbidden():
            return VaultDenied(f"{what}: {vault} says {said!r}.", todo)
        case _:
            return VaultRefused(f"{what}: {vault} says {said!r}.", todo)


def _sealed(vault: str) -> VaultUnavailable:
    return VaultUnavailable(f"{vault} is sealed.", "Unseal it, or wait until somebody has.")


def _why_nothing_is_there(fault: exceptions.VaultError) -> str:
    """KV version 2 says of its newest version why it has no values."""
    metadata = _dict(_dict(_dict(fault.json).get("data")).get("metadata"))
    if metadata.get("destroyed"):
        return f"has no values: version {metadata.get('version')}, the newest, was destroyed"
    if since := metadata.get("deletion_time"):
        return (
            f"has no values: version {metadata.get('version')}, the newest, was deleted at {since}"
        )
    return "does not exist"


def _dict(value: Any) -> dict[str, Any]:  # JSON as it comes
    return value if isinstance(value, dict) else {}


def _token_of(
    auth: Mapping[str, Any], value: str, at: float, *, is_endless: bool = False
) -> VaultToken:
    policies = tuple(auth.get("policies") or ())
    if is_endless or (auth["lease_duration"] == FOREVER and not auth["renewable"]):
        return VaultToken(value, None, policies)
    return VaultToken(value, _lease_of(auth, at), policies)


def _lease_of(answer: Mapping[str, Any], at: float) -> VaultLease:
    return lease_of(int(answer["lease_duration"]), at, is_renewable=bool(answer["renewable"]))
