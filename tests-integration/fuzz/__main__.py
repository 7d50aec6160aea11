"""``python tests-integration/fuzz`` fuzzes what there is to fuzz."""

from preauth import main

main()
