"""Where secrets come from."""

from __future__ import annotations

from typing import Protocol

SECRETS = "secrets/"  # what the names of kept texts begin with that say since when and why secrets are old


class SecretResolver(Protocol):
    """One kind of `${kind:reference}`. Module alerting.secrets.<kind> has `resolve(reference) -> str`."""

    def __call__(self, reference: str) -> str:
        """Give the value. Raises SecretError that names the reference and what to do."""
        ...


class SecretStore(Protocol):
    """What a module of alerting.secrets has besides `resolve` when its secrets come over a network.

    Then `resolve` reads from memory, and whoever runs the program sees to it that memory is fresh.
    """

    def document(self, reference: str) -> str:
        """Give the name of the document that holds it; asks nobody. Raises SecretError for what cannot work."""
        ...

    def refresh(self, document: str) -> None:
        """Ask for a document now; blocks for a bounded time. Raises SecretError; what was held then stays."""
        ...
