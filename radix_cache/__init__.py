"""The radix-tree prefix cache over a small KV-store protocol."""

from .base import Blob, CacheFull, KVStore
from .cache import RadixCache
from .fake import FakeKVStore
from .lease import Lease
from .prefix_cache import PrefixCache, cache_for
from .snapshots import SnapshotCache
from .stats import CacheStats
from .tree import Match, Node, RadixTree

__all__ = [
    "Blob",
    "CacheFull",
    "CacheStats",
    "FakeKVStore",
    "KVStore",
    "Lease",
    "Match",
    "Node",
    "PrefixCache",
    "RadixCache",
    "RadixTree",
    "SnapshotCache",
    "cache_for",
]
