"""A claim of a token: only of one that was signed as the application says, for it, and not too long ago."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from peewee_multidb.errors import ConfigurationError, InvalidTenant
from peewee_multidb.middleware import by_jwt_claim
from tests.middleware.test_selectors import asgi, wsgi

KEY = "a text of at least thirty-two bytes, that nobody else knows"
PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CLAIMS = {"tenant": "acme", "aud": "shop", "iss": "us"}


def signed(key: Any = KEY, algorithm: str | None = "HS256", seconds: float = 60, **claims: Any) -> str:
    given = {**CLAIMS, "exp": time.time() + seconds, **claims}
    given = {name: value for name, value in given.items() if value is not None}
    return jwt.encode(given, key, algorithm=algorithm)


def request(token: str) -> Any:
    return asgi(authorization=f"Bearer {token}")


def select(**options: Any) -> Any:
    return by_jwt_claim("tenant", **{"key": KEY, "algorithms": ["HS256"], "audience": "shop", **options})


def test_a_valid_token_says_whose_the_request_is() -> None:
    assert select()(request(signed())) == "acme"
    assert select(issuer="us")(wsgi(authorization=f"bearer {signed()}")) == "acme"
    assert select(cookie="token")(wsgi(cookie=f"token={signed()}")) == "acme"
    public = PRIVATE.public_key()
    assert select(key=public, algorithms=["RS256"])(request(signed(PRIVATE, "RS256"))) == "acme"
    assert select(key=lambda token: public, algorithms=["RS256"])(request(signed(PRIVATE, "RS256"))) == "acme"
    assert select(audience=None)(request(signed(aud=None))) == "acme"


def test_no_token_is_no_tenant() -> None:
    for given in (
        wsgi(),
        wsgi(authorization="Basic eDp5"),
        wsgi(authorization="Bearer"),
        wsgi(cookie="token=1"),
    ):
        assert select()(given) is None


def unsigned() -> str:
    parts = [{"alg": "none", "typ": "JWT"}, {**CLAIMS, "exp": time.time() + 60}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, ""])


@pytest.mark.parametrize(
    "token",
    [
        signed("another text of at least thirty-two bytes, too"),
        signed(algorithm="HS384"),
        signed(seconds=-60),
        signed(exp=None),
        signed(aud="blog"),
        signed(aud=None),
        signed(tenant="a b"),
        signed(tenant=None),
        signed(tenant=["acme"]),
        signed(tenant={"acme": 1}),
        signed(iss="them"),
        signed(nbf=time.time() + 3600),
        unsigned(),
        signed()[:-3],
        "x",
        "x" * 20_000,
        "a.b.c",
        "é.é.é",
    ],
)
def test_any_other_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidTenant) as raised:
        select(issuer="us")(request(token))
    assert token not in str(raised.value) or len(token) < 6


def test_the_public_key_is_no_shared_secret() -> None:
    with pytest.raises(ConfigurationError, match="HS"):
        select(algorithms=["RS256", "HS256"])


@pytest.mark.parametrize("algorithms", [[], "HS256", ["none"], ["HS256", "None"], [None]])
def test_what_may_have_signed_it_is_given_and_is_a_signature(algorithms: Any) -> None:
    with pytest.raises(ConfigurationError):
        select(algorithms=algorithms)
