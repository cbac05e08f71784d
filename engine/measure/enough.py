"""How many networks a statistic of them needs; it imports nothing."""

# Networks below which no rank correlation and no interval by bootstrap is told: of 3 networks a
# resample mostly holds one twice, and three in order by chance (1 of 6) would be "+1.00 to +1.00".
LEAST = 8


def enough(networks: int) -> bool:
    """Whether a statistic over so many networks says anything; else it is withheld."""
    return networks >= LEAST
