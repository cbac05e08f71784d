"""How many samples a share of them is."""


def part_of(share: float, count: int) -> int:
    """A share in (0, 1) of `count` samples: at least one, where there is one."""
    return min(count, max(1, round(share * count)))
