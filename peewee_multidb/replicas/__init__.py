"""Reads on replicas: which one, when not, and what to do when one fails.

`readers` chooses and retries, `health` knows who may be asked at all, `waiting` sees to it that nobody reads
what is older than his own writes, `policies` says who is asked among equals, and `tokens` carries what was
seen to another process.
"""

from .policies import POLICIES, Policy
from .readers import Readers, readers_of
from .tokens import causal_token, use_causal_token

__all__ = ["POLICIES", "Policy", "Readers", "causal_token", "readers_of", "use_causal_token"]
