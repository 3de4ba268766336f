"""What a daemon needs that no other command does: a configuration can be valid and yet none that can be started."""

from __future__ import annotations

from edge.settings.sections import Settings

LOOPBACK = frozenset(["127.0.0.1", "::1", "localhost"])
"""Hosts of the page that only this machine reaches."""


def what_a_start_lacks(settings: Settings) -> list[str]:
    """One line `key.path: what is wrong` for each need that is not met."""
    if settings.sources:
        return contradictions(settings)
    return [
        'sources: none is configured; add a [[sources]] with kind = "camera" or "folder"',
        *contradictions(settings),
    ]


def contradictions(settings: Settings) -> list[str]:
    """What is asked for without what it needs, a line each.

    The token is among it, for the service alone may have it: `maskgate classify` on the same board does without.
    """
    problems = []
    if settings.homeassistant.discovery and not settings.mqtt.host:
        problems.append("homeassistant.discovery: needs a broker, and mqtt.host is empty; name one")
    web = settings.web
    if web.enabled and web.host not in LOOPBACK and not web.token.get_secret_value():
        problems.append(
            f"web: host {web.host} is reachable from elsewhere and needs a token, best as the credential web__token"
        )
    return problems
