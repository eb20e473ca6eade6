"""How well a hasher finds planted classes, before and after training; used by the tests of several methods."""

import torch

from mcmfh_lightning.metrics.functional import unpack_bits
from mcmfh_lightning.searches import SEARCHES


def found_after_training(model, make_batch, steps=60):
    """Train on planted pairs; return the share of relevant items among the nearest of unseen ones, by search."""
    batch, unseen = make_batch(96), make_batch(64, seed=1)
    before = {search: _found(model, unseen, search) for search in SEARCHES}
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        sum(model.objective(batch).terms.values()).backward()
        optimizer.step()
    return {search: (before[search], _found(model, unseen, search)) for search in SEARCHES}


def _found(model, batch, search):
    """Of the ten nearest other items of each query, by Hamming distance, the share of its class."""
    with torch.no_grad():
        output = model.evaluate(batch)
        codes = {name: (output[name] >= 0).double() for name in ("image", "text", "case")}
        query = (model.encode_query(search, batch[SEARCHES[search].query]) >= 0).double()
    item = codes[SEARCHES[search].target]
    distance = torch.cdist(query, item, p=1).fill_diagonal_(torch.inf)
    labels = unpack_bits(batch["labels"])
    shared = (labels[:, None] & labels).any(2)
    nearest = distance.argsort(dim=1, stable=True)[:, :10]
    return shared.gather(1, nearest).double().mean().item()
