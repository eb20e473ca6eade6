"""The losses of the six searches, one search and one query at a time, from the formulas."""

import torch

from mcmfh_lightning.losses import average_precision_loss
from mcmfh_lightning.searches import SEARCHES


def _of_searches(codes, relations, loss, rows):
    """Average a loss of one query over the queries of each search; a query is not an item of its own search."""
    found = {}
    for name, (query, target) in SEARCHES.items():
        queries, items = codes.get(f"query/{name}", codes[query]), codes[target]
        values = []
        for row in rows:
            others = torch.ones(len(items), dtype=torch.bool)
            others[row] = query != target
            positives, ignored = relations.positives[row][others], relations.ignored[row][others]
            if positives.any():
                values.append(loss(queries[row], items[others][positives | ~ignored], positives[positives | ~ignored]))
        found[name] = torch.stack(values).mean() if values else torch.zeros(())
    return found


def info_nce_of_searches(codes, relations, temperature, rows=None):
    """InfoNCE of each search; ``rows`` are those that count as queries."""

    def loss(query, items, positives):
        cosines = torch.nn.functional.cosine_similarity(query[None], items) / temperature
        return -(cosines[positives] - cosines.logsumexp(0)).mean()

    return _of_searches(codes, relations, loss, range(len(relations.positives)) if rows is None else rows)


def average_precision_of_searches(codes, relations, rows=None):
    """One minus the relaxed average precision of each search."""

    def loss(query, items, positives):
        return average_precision_loss(query[None], items, positives[None])

    return _of_searches(codes, relations, loss, range(len(relations.positives)) if rows is None else rows)
