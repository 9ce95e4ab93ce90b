"""No test here may reach a real provider, or find one configured on this machine."""

from __future__ import annotations

import pytest

VARIABLES = ["OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "OLLAMA_HOST"]
PROXIES = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [*VARIABLES, *PROXIES, *map(str.lower, PROXIES)]:
        monkeypatch.delenv(variable, raising=False)
