"""Sequential patterns counted the slow way, straight from the definitions: what the doors must equal.

A sequence is a list of (moment, set of items); a pattern a tuple of frozensets.
"""

NO_LIMITS = (-1, -1, -1)


def embeddings(pattern, sequence, limits=NO_LIMITS):
    """All ways to find the elements of a pattern in order: tuples of places."""
    least, most, window = limits

    def follow(places):
        if len(places) == len(pattern):
            yield places
            return
        for place in range(places[-1] + 1 if places else 0, len(sequence)):
            moment, items = sequence[place]
            if not pattern[len(places)] <= items:
                continue
            if places:
                gap = moment - sequence[places[-1]][0]
                if (least >= 0 and gap < least) or (most >= 0 and gap > most):
                    continue
                if window >= 0 and moment - sequence[places[0]][0] > window:
                    continue
            yield from follow((*places, place))

    return follow(())


def holds(pattern, sequence, limits=NO_LIMITS):
    return next(embeddings(pattern, sequence, limits), None) is not None


def patterns_of(sequences, min_count, limits=NO_LIMITS, max_len=None):
    """All patterns held by enough sequences: pattern -> count. A prefix is as frequent at least: growth finds all."""
    items = sorted({item for sequence in sequences for _, held in sequence for item in held})
    found, waiting = {}, [(frozenset([item]),) for item in items]
    while waiting:
        pattern = waiting.pop()
        count = sum(holds(pattern, sequence, limits) for sequence in sequences)
        if count < min_count or (max_len and sum(map(len, pattern)) > max_len):
            continue
        found[pattern] = count
        waiting += [(*pattern, frozenset([item])) for item in items]
        waiting += [(*pattern[:-1], pattern[-1] | {item}) for item in items if item > max(pattern[-1])]
    return found


def is_part(small, large):
    """Whether a pattern is held wherever another is."""
    return holds(small, [(place, element) for place, element in enumerate(large)])


def closed_of(counts):
    return {p: n for p, n in counts.items() if not any(p != q and m == n and is_part(p, q) for q, m in counts.items())}


def maximal_of(counts):
    return {p: n for p, n in counts.items() if not any(p != q and is_part(p, q) for q in counts)}
