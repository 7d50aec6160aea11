"""Every case of the corpus, from each interpreter to each, by each way for code to travel."""

import collections

import pytest


@pytest.mark.timeout(600)
def test_pair(client, server, mode, run_corpus, tabulate):
    """Every case that applies to the pair passes, and none costs a worker its life."""
    results = run_corpus(client, server, mode)
    counts = collections.Counter(result["status"] for result in results)
    applied = len(results) - counts["skipped"]
    wrong = ", ".join(f"{n} {s}" for s, n in counts.items() if s not in ("passed", "skipped"))
    text = f"{counts['passed']} of {applied}" + (f" ({wrong})" if wrong else "")
    tabulate("corpus", (client, server), mode, text)
    bad = [result for result in results if result["status"] not in ("passed", "skipped")]
    assert not bad, "\n\n".join(
        f"{r['status']}: {r['category']}.{r['name']}\n{r['detail']}" for r in bad[:20]
    )
    assert applied > 250
