"""Where the database is: its URL, read once and named without its password."""

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from anime.errors import ConfigurationError
from anime.settings import resolve_reference

DRIVER = "postgresql+psycopg"
_SCHEMES = frozenset({"postgres", "postgresql"})


def parse_address(text: str) -> URL:
    """The URL, with what its references stand for now; it may wait for Vault.

    Raises:
        ConfigurationError: it is no PostgreSQL URL, names no database, or refers to nothing.
        VaultUnavailable: Vault does not answer.
    """
    return url_of(resolve_reference(text))


def url_of(url: str) -> URL:
    """The URL for SQLAlchemy and psycopg 3; `postgres://` and other drivers are taken, too.

    Raises:
        ConfigurationError: it is no PostgreSQL URL or names no database.

    >>> url_of("postgres://studio@db/anime").drivername
    'postgresql+psycopg'
    """
    advice = "Set ANIME_DATABASE_URL to postgresql://user:password@host:5432/anime_production."
    if url.partition("?")[0].count("@") > 1:  # a part of the password would be the host
        raise ConfigurationError(
            "The user or the password in the database's URL has an @ that is not written as %40.",
            advice,
        )
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigurationError("The database's URL cannot be read.", advice) from None
    if parsed.get_backend_name() not in _SCHEMES:
        raise ConfigurationError(
            f"The database's URL begins with {parsed.drivername}, and only PostgreSQL will do.",
            advice,
        )
    if not parsed.database:
        raise ConfigurationError("The database's URL names no database.", advice)
    return parsed.set(drivername=DRIVER)


def libpq_url(address: URL) -> str:
    """The URL, with its password, as libpq reads it.

    In options SQLAlchemy writes a space as a plus, which libpq takes for one.

    >>> libpq_url(url_of("postgresql://us%2Ber:p%2Bw@/anime?host=/Ghibli%20%2B%20Co/sockets"))
    'postgresql://us+er:p+w@/anime?host=%2FGhibli%20%2B%20Co%2Fsockets'
    """
    text = address.set(drivername="postgresql").render_as_string(hide_password=False)
    place, mark, options = text.partition("?")
    return place + mark + options.replace("+", "%20")


def name_of(address: URL) -> str:
    """The database as error messages call it.

    >>> name_of(url_of("postgresql://studio:secret@db:5433/anime"))
    'the database anime on db:5433'
    """
    given = address.host or address.query.get("host") or "localhost"
    host = given if isinstance(given, str) else ", ".join(given)
    return f"the database {address.database} on {host}" + (
        f":{address.port}" if address.port else ""
    )
