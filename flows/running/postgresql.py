"""Which PostgreSQL servers do: told before anything is written to one."""

from collections.abc import Sequence

# Prefect's server asks for it; MLflow and Optuna, which may be in older ones, are held to it too,
# so that one server does for all
OLDEST = (14, 9)


def check_release(found: Sequence[int], named: str) -> None:
    """ValueError where a server is too old; `named`: the variable that names it."""
    if tuple(found) < OLDEST:
        theirs, ours = (".".join(map(str, each)) for each in (found, OLDEST))
        raise ValueError(
            f"the data base that {named} names is PostgreSQL {theirs}, older than {ours}: update "
            "it (pg_upgrade), or name another"
        )


def check_address(url: str, named: str) -> None:
    """ValueError where nobody answers at a PostgreSQL address, or a server that is too old.

    Never with the address, which may hold a password. Any other kind of address is left alone.
    """
    if not url.startswith("postgresql"):
        return
    import psycopg

    address = "postgresql" + url[url.index("://") :]
    try:
        with psycopg.connect(address, connect_timeout=5) as base:
            number = base.info.server_version
    except psycopg.Error as error:
        cause = str(error).strip().splitlines()[-1].rpartition("failed: ")[2][:200]
        raise ValueError(
            f"the data base that {named} names does not answer ({cause}): start it, or mend the "
            "address (an @ within the password is %40)"
        ) from None
    check_release(divmod(number, 10_000), named)
