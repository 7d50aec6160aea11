"""``python tests-integration/bench`` prints farm's figures beside those of its peers."""

from suite import main

main()
